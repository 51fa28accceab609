//! `response-time`: a base page with ten pictures, fetched in the four ways of the textbook.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Setting,
    report::{Kind, Measure, Plot, Report, Row, Series, Span, Unit},
    stage::{Opened, Stage, join, link, noise},
    visit::{Fetched, Visit, get},
};
use crate::net::{dial::Dialer, link::Link};

/// As the textbook has it: 100,000 bit for an object, here with its head.
const OBJECT_OCTETS: usize = 12_250;
const PAGE_OCTETS: usize = 2_000;
const OBJECTS: usize = 10;
const RTT_MS: f64 = 100.0;
const RATE_KBPS: f64 = 1500.0;
/// Round-trip times and rates that are swept over.
const RTTS_MS: [f64; 5] = [20.0, 50.0, 100.0, 200.0, 400.0];
const RATES_KBPS: [f64; 5] = [256.0, 512.0, 1000.0, 1500.0, 3000.0];

/// A way to fetch a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    NonPersistent,
    Parallel,
    Persistent,
    Pipelined,
}

const WAYS: [Way; 4] = [Way::NonPersistent, Way::Parallel, Way::Persistent, Way::Pipelined];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::NonPersistent => "non-persistent",
            Way::Parallel => "parallel",
            Way::Persistent => "persistent",
            Way::Pipelined => "pipelined",
        }
    }

    fn formula(self) -> &'static str {
        match self {
            Way::NonPersistent => "(2 RTT + P/R) + 10 (2 RTT + L/R)",
            Way::Parallel => "(2 RTT + P/R) + 2 RTT + 10 L/R",
            Way::Persistent => "(2 RTT + P/R) + 10 (RTT + L/R)",
            Way::Pipelined => "(2 RTT + P/R) + RTT + 10 L/R",
        }
    }

    /// In seconds, with the page and an object of so many octets.
    fn predict(self, line: Line, page: f64, object: f64) -> f64 {
        let (rtt, bits) = (line.rtt_ms / 1000.0, line.kbps * 1000.0);
        let (page, object, count) = (page * 8.0 / bits, object * 8.0 / bits, OBJECTS as f64);
        let rest = match self {
            Way::NonPersistent => count * (2.0 * rtt + object),
            Way::Parallel => 2.0 * rtt + count * object,
            Way::Persistent => count * (rtt + object),
            Way::Pipelined => rtt + count * object,
        };
        2.0 * rtt + page + rest
    }
}

/// The line between client and server.
#[derive(Clone, Copy)]
struct Line {
    rtt_ms: f64,
    kbps: f64,
}

impl Line {
    fn link(self) -> Result<Arc<Link>, String> {
        link(&format!("rtt:{}ms,rate:{}kbps,queue:256KiB,shared", self.rtt_ms, self.kbps))
    }
}

/// What one page took.
struct Taken {
    secs: f64,
    /// The responses on the wire: that of the page, and the mean one of an object.
    page: f64,
    object: f64,
    rows: Vec<Row>,
}

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let stage = Stage::new(setting);
    let object = |index| (format!("/{index}.jpg"), noise(OBJECT_OCTETS, setting.seed.wrapping_add(index as u64)));
    let page = ("/page.html".into(), noise(PAGE_OCTETS, setting.seed));
    let server = stage.open("", &["http"], (0..OBJECTS).map(object).chain([page]).collect())?;
    let line = Line { rtt_ms: RTT_MS, kbps: RATE_KBPS };
    let (mut measures, mut plots) = (Vec::new(), Vec::new());
    for way in WAYS {
        let taken = fetch(&stage, &server, line, way).await?;
        measures.push(Measure::seconds(way.name(), way.formula(), way.predict(line, taken.page, taken.object), taken.secs));
        plots.push(Plot::Spans { title: format!("{}: what happens when", way.name()), rows: taken.rows });
    }
    plots.insert(
        0,
        Plot::Bars { title: "Response time of the page".into(), unit: Unit::Seconds, bars: measures.iter().map(Measure::bar).collect() },
    );
    if !setting.is_real {
        let by_rtt = RTTS_MS.map(|rtt_ms| (rtt_ms, Line { rtt_ms, ..line }));
        plots.push(sweep(&stage, &server, "By round-trip time, at 1.5 Mbit/s", "ms", &by_rtt).await?);
        let by_rate = RATES_KBPS.map(|kbps| (kbps, Line { kbps, ..line }));
        plots.push(sweep(&stage, &server, "By rate, at an RTT of 100 ms", "kbit/s", &by_rate).await?);
    }
    Ok(report(measures, plots))
}

async fn sweep(stage: &Stage, server: &Opened, title: &str, x: &str, lines: &[(f64, Line)]) -> Result<Plot, String> {
    let mut series = Vec::new();
    for way in WAYS {
        let mut points = Vec::new();
        for (at, line) in lines {
            points.push((*at, fetch(stage, server, *line, way).await?.secs));
        }
        series.push(Series { label: way.name().into(), points });
    }
    Ok(Plot::Lines { title: title.into(), x: x.into(), y: "s".into(), series })
}

fn report(measures: Vec<Measure>, plots: Vec<Plot>) -> Report {
    Report {
        name: "response-time",
        title: "Response time of a page with ten objects".into(),
        setup: vec![format!(
            "A page of {PAGE_OCTETS} octets and {OBJECTS} pictures of {OBJECT_OCTETS}, each with its head, over one line with \
             RTT = {RTT_MS} ms and R = {} Mbit/s. P and L are the responses as measured on the wire.",
            RATE_KBPS / 1000.0
        )],
        formulas: vec![
            "One RTT to set up the connection, one for the request and the first octet".into(),
            "of its response, then the transmission: 2 RTT + L/R.".into(),
        ],
        measures,
        tables: Vec::new(),
        plots,
        remarks: vec![
            "Parallel connections share the line: they save round trips, no transmission time. Pipelining has all requests \
             under way at once on one connection."
                .into(),
            "Not modelled: the slow start of TCP, which adds round trips to large objects on fast lines.".into(),
        ],
    }
}

/// A page while it is fetched.
struct Page<'a> {
    stage: &'a Stage,
    dialer: Dialer,
    at: SocketAddr,
    begun: f64,
    rows: Vec<Row>,
    /// Of all objects.
    octets: u64,
}

async fn fetch(stage: &Stage, server: &Opened, line: Line, way: Way) -> Result<Taken, String> {
    let (dialer, at, begun) = (stage.dialer(&line.link()?), server.at("http")?, stage.now());
    let mut page = Page { stage, dialer, at, begun, rows: Vec::new(), octets: 0 };
    let mut visit = page.visit().await?;
    let got = visit.fetch(&get("/page.html", "")).await?;
    let page_octets = got.octets;
    page.note("page.html", Some(visit.dialled), visit.connected, &got);
    match way {
        Way::NonPersistent => {
            for index in 0..OBJECTS {
                let mut own = page.visit().await?;
                let got = own.fetch(&request(index)).await?;
                page.note(&name(index), Some(own.dialled), own.connected, &got);
            }
        }
        Way::Parallel => page.fetch_in_parallel().await?,
        Way::Persistent => {
            for index in 0..OBJECTS {
                let asked = stage.now();
                let got = visit.fetch(&request(index)).await?;
                page.note(&name(index), None, asked, &got);
            }
        }
        Way::Pipelined => {
            let asked = stage.now();
            visit.ask(&(0..OBJECTS).map(request).collect::<String>()).await?;
            for index in 0..OBJECTS {
                let got = visit.receive().await?;
                page.note(&name(index), None, asked, &got);
            }
        }
    }
    let object = (page.octets - page_octets) as f64 / OBJECTS as f64;
    Ok(Taken { secs: stage.now() - begun, page: page_octets as f64, object, rows: page.rows })
}

fn name(index: usize) -> String {
    format!("{index}.jpg")
}

fn request(index: usize) -> String {
    get(&format!("/{index}.jpg"), "")
}

impl<'a> Page<'a> {
    async fn visit(&self) -> Result<Visit<'a>, String> {
        Visit::to(self.stage, &self.dialer, self.at).await
    }

    async fn fetch_in_parallel(&mut self) -> Result<(), String> {
        let fetches = (0..OBJECTS).map(async |index| {
            let mut own = self.visit().await?;
            let got = own.fetch(&request(index)).await?;
            Ok::<_, String>((own.dialled, own.connected, got))
        });
        for (index, fetched) in join(fetches).await.into_iter().enumerate() {
            let (dialled, connected, got) = fetched?;
            self.note(&name(index), Some(dialled), connected, &got);
        }
        Ok(())
    }

    fn note(&mut self, label: &str, dialled: Option<f64>, asked: f64, got: &Fetched) {
        self.octets += got.octets;
        let span = |from: f64, to: f64, kind| Span { from: from - self.begun, to: to - self.begun, kind };
        let connecting = dialled.map(|dialled| span(dialled, asked, Kind::Connect));
        let spans = connecting.into_iter().chain([span(asked, got.first, Kind::Wait), span(got.first, got.done, Kind::Receive)]);
        self.rows.push(Row { label: label.to_owned(), spans: spans.collect() });
    }
}
