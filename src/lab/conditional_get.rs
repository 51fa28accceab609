//! `conditional-get`: asking whether something has changed, instead of asking for it.

use std::net::SocketAddr;

use super::{
    Setting,
    report::{Measure, Plot, Report, Unit},
    stage::{Opened, Stage, noise, put_file},
    visit::{Fetched, Visit, get},
};

const OBJECT_OCTETS: usize = 100_000;
const LINE: &str = "rtt:100ms,rate:1Mbps,queue:256KiB";
const RTT: f64 = 0.1;
const BITS_PER_SEC: f64 = 1e6;

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let stage = Stage::new(setting);
    let files = vec![("/object".into(), noise(OBJECT_OCTETS, setting.seed))];
    let origin = stage.open("[http]\ncompress = false\n", &["http"], files)?;
    let mut found = Found::default();
    by_hand(&stage, &origin, &mut found).await?;
    through_the_proxy(&stage, &origin, &mut found).await?;
    let Found { measures, octets } = found;
    let bars = measures.iter().filter(|measure| measure.unit == Unit::Seconds).map(Measure::bar).collect();
    Ok(Report {
        name: "conditional-get",
        title: "What a conditional GET saves".into(),
        setup: vec![format!(
            "An object of {OBJECT_OCTETS} octets behind a line with RTT = 100 ms and R = 1 Mbit/s, on a connection that stands. \
             L is the response on the wire. The proxy is on the client's side of the line."
        )],
        formulas: vec!["RTT + L/R; for 304 (Not Modified) L is a head alone.".into()],
        measures: measures.into_iter().chain(octets).collect(),
        tables: Vec::new(),
        plots: vec![Plot::Bars { title: "Response time".into(), unit: Unit::Seconds, bars }],
        remarks: vec![
            "304 costs a round trip and saves the transmission: worth much on slow lines, little on long ones. Only a response that is \
             still fresh saves both."
                .into(),
        ],
    })
}

#[derive(Default)]
struct Found {
    measures: Vec<Measure>,
    octets: Vec<Measure>,
}

impl Found {
    /// Notes a response that was asked for at `asked`, and what went over the line for it.
    fn note(&mut self, what: &str, asked: f64, got: &Fetched, over_the_line: u64) {
        let (formula, predicted) = match over_the_line {
            0 => ("no line in between", 0.0),
            octets => ("RTT + L/R", RTT + octets as f64 * 8.0 / BITS_PER_SEC),
        };
        self.measures.push(Measure::seconds(format!("{what}: {}", got.status), formula, predicted, got.done - asked));
    }
}

fn changed_since(got: &Fetched) -> String {
    format!("If-Modified-Since: {}\r\n", got.fields.text("last-modified").unwrap_or_default())
}

async fn by_hand(stage: &Stage, origin: &Opened, found: &mut Found) -> Result<(), String> {
    let mut visit = Visit::to(stage, &stage.clients_behind(LINE)?, origin.at("http")?).await?;
    let asked = stage.now();
    let first = visit.fetch(&get("/object", "")).await?;
    found.note("GET", asked, &first, first.octets);
    let asked = stage.now();
    let unchanged = visit.fetch(&get("/object", &changed_since(&first))).await?;
    found.note("unchanged", asked, &unchanged, unchanged.octets);
    // Dates count seconds: the file must be younger than that.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    put_file(&origin.house, "/object", noise(OBJECT_OCTETS, stage.setting.seed.wrapping_add(1)))?;
    let asked = stage.now();
    let changed = visit.fetch(&get("/object", &changed_since(&first))).await?;
    found.note("changed", asked, &changed, changed.octets);
    let octets = |what: &str, got: &Fetched| Measure {
        what: format!("{what}: L"),
        formula: "-".into(),
        predicted: None,
        measured: got.octets as f64,
        unit: Unit::Octets,
    };
    found.octets.extend([octets("200", &first), octets("304", &unchanged)]);
    Ok(())
}

/// The proxy asks the origin whether what it has stored is still right.
async fn through_the_proxy(stage: &Stage, origin: &Opened, found: &mut Found) -> Result<(), String> {
    let proxy = stage.open(&format!("[links]\nproxy-out = \"{LINE}\"\n"), &["proxy"], Vec::new())?;
    let near = stage.clients_behind("rtt:0s")?;
    let site = origin.at("http")?;
    let mut visit = Visit::to(stage, &near, proxy.at("proxy")?).await?;
    let miss = visit.fetch(&by_proxy(site, "")).await?;
    // The origin's answer to the proxy's question is as long as its answer to ours.
    let not_modified = found.octets.last().map_or(0.0, |measure| measure.measured) as u64;
    let asked = stage.now();
    let revalidated = visit.fetch(&by_proxy(site, "Cache-Control: no-cache\r\n")).await?;
    found.note("proxy, revalidated", asked, &revalidated, not_modified);
    let asked = stage.now();
    let fresh = visit.fetch(&by_proxy(site, "")).await?;
    found.note("proxy, fresh", asked, &fresh, 0);
    if miss.body == revalidated.body && fresh.body == miss.body { Ok(()) } else { Err("the proxy has changed the object".into()) }
}

fn by_proxy(site: SocketAddr, fields: &str) -> String {
    format!("GET http://{site}/object HTTP/1.1\r\nHost: {site}\r\n{fields}\r\n")
}
