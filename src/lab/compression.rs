//! `compression`: XML over slow radio links, as a study of Web services in the field had it.

use super::{
    Setting,
    report::{Measure, Plot, Report, Table, Unit},
    stage::{Opened, Stage},
    visit::{Fetched, Visit, get},
};
use crate::{
    http::coding::{Coding, Effort},
    net::link::LinkSpec,
    units::Rate,
};

const LARGE_OCTETS: usize = 540_000;
const TINY: &str = "<p x=\"59.91\" y=\"10.75\"/>\n";
const CODINGS: [&str; 4] = ["identity", "gzip", "br", "zstd"];
const RADIOS: [&str; 6] = ["radio-300k", "radio-64k", "radio-38k4", "radio-9k6", "radio-2k4", "radio-1k0"];
/// Slower ones would take hours in real time.
const REAL_RADIOS: [&str; 1] = ["radio-300k"];

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let stage = Stage::new(setting);
    let files = vec![("/large.xml".into(), positions(LARGE_OCTETS)), ("/tiny.xml".into(), TINY.into())];
    let server = stage.open("[http]\ncompress-from = \"0B\"\n", &["http"], files)?;
    let radios: &[&str] = if setting.is_real { &REAL_RADIOS } else { &RADIOS };
    let (mut measures, mut times, mut gzipped) = (Vec::new(), Vec::new(), None);
    for radio in radios {
        let spec = LinkSpec::preset(radio).ok_or("a preset is missing")?;
        let bits_per_sec = spec.down.map_or(f64::MAX, |Rate(rate)| rate as f64);
        let mut row = vec![(*radio).to_owned()];
        for coding in CODINGS {
            let (secs, got) = fetch(&stage, &server, radio, "/large.xml", coding).await?;
            let bits = (request(coding, "/large.xml").len() as f64 + got.octets as f64) * 8.0;
            let predicted = 2.0 * spec.rtt.as_secs_f64() + bits / bits_per_sec;
            row.push(Unit::Seconds.show(secs));
            gzipped = gzipped.or((coding == "gzip").then_some(got.body.len() as f64));
            measures.push(Measure::seconds(format!("{radio} {coding}"), "2 RTT + (Q + L)/R", predicted, secs));
        }
        times.push(row);
    }
    let mut sizes = sizes(&stage, &server).await?;
    sizes.push(coded_all_the_same()?);
    let heads = |first: &str| std::iter::once(first).chain(CODINGS).map(str::to_owned).collect::<Vec<_>>();
    let shrunk = gzipped.map_or(0.0, |octets| 100.0 * (1.0 - octets / LARGE_OCTETS as f64));
    let bars = measures.iter().rev().take(CODINGS.len()).rev().map(Measure::bar).collect();
    Ok(Report {
        name: "compression",
        title: "XML over slow radio links".into(),
        setup: vec![format!(
            "A document of {LARGE_OCTETS} octets, positions in XML, and one of {} octets, fetched from this program's web server with \
             its own content codings, a connection for each.",
            TINY.len()
        )],
        formulas: vec!["2 RTT + (Q + L)/R: request Q and response L as they were on the wire".into()],
        measures,
        tables: vec![
            Table { title: "The body, in octets".into(), head: heads("document"), rows: sizes },
            Table { title: "The large one takes".into(), head: heads("link"), rows: times },
        ],
        plots: vec![Plot::Bars { title: format!("The large one over {}", radios.last().unwrap_or(&"")), unit: Unit::Seconds, bars }],
        remarks: vec![format!(
            "gzip takes {shrunk:.1} % off the large document. The tiny one would grow: a coding has a head and a checksum of its own. The server sees \
             that and leaves it alone."
        )],
    })
}

async fn sizes(stage: &Stage, server: &Opened) -> Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    for path in ["/large.xml", "/tiny.xml"] {
        let mut row = vec![path.trim_start_matches('/').to_owned()];
        for coding in CODINGS {
            let (_, got) = fetch(stage, server, "lan", path, coding).await?;
            row.push(Unit::Octets.show(got.body.len() as f64));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// What the codings make of the tiny document, which the server leaves alone since it would grow.
fn coded_all_the_same() -> Result<Vec<String>, String> {
    let codings = [Coding::Gzip, Coding::Br, Coding::Zstd].map(|coding| coding.encode(TINY.as_bytes(), Effort::Kept));
    let mut row = vec!["tiny.xml, coded all the same".to_owned(), Unit::Octets.show(TINY.len() as f64)];
    for coded in codings {
        row.push(Unit::Octets.show(coded.map_err(|error| error.to_string())?.len() as f64));
    }
    Ok(row)
}

fn request(coding: &str, path: &str) -> String {
    get(path, &format!("Accept-Encoding: {coding}\r\n"))
}

async fn fetch(stage: &Stage, server: &Opened, radio: &str, path: &str, coding: &str) -> Result<(f64, Fetched), String> {
    let begun = stage.now();
    let mut visit = Visit::to(stage, &stage.clients_behind(radio)?, server.at("http")?).await?;
    let got = visit.fetch(&request(coding, path)).await?;
    Ok((got.done - begun, got))
}

/// Positions of units as XML, of that many octets.
fn positions(octets: usize) -> Vec<u8> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<pos:tracks xmlns:pos=\"urn:lab:positions\">\n");
    let mut number = 0_u64;
    while text.len() + 600 < octets {
        let (north, east) = (5_991_273 + number * 7919 % 40_000, 1_074_609 + number * 104_729 % 90_000);
        text.push_str(&format!(
            "  <pos:track>\n    <pos:positionalData>\n      <pos:trackSource><pos:system>lab</pos:system><pos:transponderId>{}</pos:transponderId></pos:trackSource>\n      \
             <pos:coordinates><pos:latitude>{}.{:05}</pos:latitude><pos:longitude>{}.{:05}</pos:longitude></pos:coordinates>\n      \
             <pos:bearing>90</pos:bearing><pos:speed>12</pos:speed>\n    </pos:positionalData>\n    <pos:statusData>\n      \
             <pos:operationalStatus>OPERATIONAL</pos:operationalStatus>\n    </pos:statusData>\n  </pos:track>\n",
            number % 48,
            north / 100_000,
            north % 100_000,
            east / 100_000,
            east % 100_000
        ));
        number += 1;
    }
    text.push_str("</pos:tracks>\n");
    text.push_str(&" ".repeat(octets.saturating_sub(text.len())));
    text.into_bytes()
}
