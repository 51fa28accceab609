//! `ftp-channels`: FTP's control and data connections on a time line, against HTTP.

use std::net::SocketAddr;

use super::{
    Setting,
    report::{Kind, Measure, Plot, Report, Row, Span},
    stage::{Stage, connect, noise},
    talk::Talk,
    visit::{Visit, get},
};
use crate::net::dial::Dialer;

const FILE_OCTETS: usize = 100_000;
const LINE: &str = "rtt:100ms,rate:1Mbps,queue:256KiB";
const RTT: f64 = 0.1;
const TRANSMISSION: f64 = FILE_OCTETS as f64 * 8.0 / 1e6;

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let stage = Stage::new(setting);
    let files = vec![("/file.bin".into(), noise(FILE_OCTETS, setting.seed))];
    let server = stage.open("[http]\ncompress = false\n", &["ftp", "http"], files)?;
    let dialer = stage.clients_behind(LINE)?;
    let mut session = Session { stage: &stage, dialer: &dialer, control: Vec::new(), data: Vec::new() };
    let (first, second) = session.fetch_twice(server.at("ftp")?).await?;
    let Session { control, data, .. } = session;
    let (http_first, http_second, http) = fetch_by_http(&stage, &dialer, server.at("http")?).await?;
    let row = |label: &str, spans| Row { label: label.into(), spans };
    Ok(Report {
        name: "ftp-channels",
        title: "FTP's two connections, against HTTP's one".into(),
        setup: vec![format!(
            "A file of {FILE_OCTETS} octets, fetched twice in one session, over a line with RTT = 100 ms and R = 1 Mbit/s. L/R = {TRANSMISSION} s."
        )],
        formulas: vec![
            "FTP, first: connection, greeting, USER, PASS, TYPE, EPSV, data connection, RETR: 8 RTT".into(),
            "FTP, next: EPSV, data connection, RETR: 3 RTT".into(),
            "HTTP, first: connection, GET: 2 RTT; next: GET: 1 RTT".into(),
        ],
        measures: vec![
            Measure::seconds("FTP, first file", "8 RTT + L/R", 8.0 * RTT + TRANSMISSION, first),
            Measure::seconds("FTP, next file", "3 RTT + L/R", 3.0 * RTT + TRANSMISSION, second),
            Measure::seconds("HTTP, first file", "2 RTT + L/R", 2.0 * RTT + TRANSMISSION, http_first),
            Measure::seconds("HTTP, next file", "RTT + L/R", RTT + TRANSMISSION, http_second),
        ],
        tables: Vec::new(),
        plots: vec![Plot::Spans {
            title: "Who talks when".into(),
            rows: vec![row("FTP control", control), row("FTP data", data), row("HTTP", http)],
        }],
        remarks: vec![
            "FTP's commands go out of band: the control connection is free while a file is on its way (ABOR, STAT), and each file has a \
             connection of its own, whose end is the file's end. HTTP says the length instead, in band, and goes on."
                .into(),
        ],
    })
}

/// An FTP session and what happened when.
struct Session<'a> {
    stage: &'a Stage,
    dialer: &'a Dialer,
    control: Vec<Span>,
    data: Vec<Span>,
}

impl Session<'_> {
    async fn fetch_twice(&mut self, at: SocketAddr) -> Result<(f64, f64), String> {
        let begun = self.stage.now();
        let mut talk = Talk::to(self.dialer, at).await?;
        self.control.push(Span { from: begun, to: self.stage.now(), kind: Kind::Connect });
        for (line, digit) in [("USER anonymous", '3'), ("PASS lab@", '2'), ("TYPE I", '2')] {
            self.say(&mut talk, line, digit).await?;
        }
        self.retrieve(&mut talk, at).await?;
        let first = self.stage.now();
        talk.expect('2').await?;
        let again = self.stage.now();
        self.retrieve(&mut talk, at).await?;
        let second = self.stage.now();
        talk.expect('2').await?;
        for span in self.control.iter_mut().chain(&mut self.data) {
            (span.from, span.to) = (span.from - begun, span.to - begun);
        }
        Ok((first - begun, second - again))
    }

    async fn say(&mut self, talk: &mut Talk, line: &str, digit: char) -> Result<String, String> {
        let from = self.stage.now();
        let reply = talk.say(line, digit).await?;
        self.control.push(Span { from, to: self.stage.now(), kind: Kind::Wait });
        Ok(reply)
    }

    /// Fetches the file, up to the end of the data connection.
    async fn retrieve(&mut self, talk: &mut Talk, at: SocketAddr) -> Result<(), String> {
        let reply = self.say(talk, "EPSV", '2').await?;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok()).ok_or("no port")?;
        let from = self.stage.now();
        let mut data = connect(self.dialer, SocketAddr::new(at.ip(), port)).await?;
        let stands = self.stage.now();
        self.data.push(Span { from, to: stands, kind: Kind::Connect });
        self.say(talk, "RETR /file.bin", '1').await?;
        let (mut octets, mut first) = (0, None);
        while let Some(piece) = data.bytes().await.map_err(|ended| ended.to_string())? {
            first.get_or_insert(self.stage.now());
            octets += piece.len();
        }
        let first = first.unwrap_or(stands);
        self.data.push(Span { from: stands, to: first, kind: Kind::Wait });
        self.data.push(Span { from: first, to: self.stage.now(), kind: Kind::Receive });
        if octets == FILE_OCTETS { Ok(()) } else { Err(format!("{octets} octets have come instead of {FILE_OCTETS}")) }
    }
}

async fn fetch_by_http(stage: &Stage, dialer: &Dialer, at: SocketAddr) -> Result<(f64, f64, Vec<Span>), String> {
    let begun = stage.now();
    let mut visit = Visit::to(stage, dialer, at).await?;
    let span = |from: f64, to: f64, kind| Span { from: from - begun, to: to - begun, kind };
    let mut spans = vec![span(visit.dialled, visit.connected, Kind::Connect)];
    let mut done = [0.0, 0.0];
    for end in &mut done {
        let asked = stage.now();
        let got = visit.fetch(&get("/file.bin", "")).await?;
        spans.push(span(asked, got.first, Kind::Wait));
        spans.push(span(got.first, got.done, Kind::Receive));
        *end = got.done - begun;
    }
    let [first, second] = done;
    Ok((first, second - first, spans))
}
