//! `slow-clients`: attackers who hold connections by sending their requests ever so slowly.

use std::{net::SocketAddr, sync::Arc};

use tokio::task::JoinSet;

use super::{
    Setting,
    report::{Measure, Plot, Report, Unit},
    stage::{Stage, connect},
    visit::{Visit, get},
};
use crate::net::dial::Dialer;

const CONNECTIONS: usize = 50;
const LINE_SECS: f64 = 30.0;
/// In real time nobody wants to wait for so long.
const REAL_LINE_SECS: f64 = 3.0;
const RTT: f64 = 0.02;
/// After its last words a server listens a little longer, or a reset would take them away.
const LINGER_SECS: f64 = 2.0;
const ATTACKERS: [usize; 5] = [0, 25, 49, 50, 200];
/// How often a client asks again that was refused, in seconds.
const RETRY: f64 = 0.5;

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let line = if setting.is_real { REAL_LINE_SECS } else { LINE_SECS };
    let mut measures = Vec::new();
    for attackers in ATTACKERS {
        let measured = play(setting, attackers, line).await?;
        let is_full = attackers >= CONNECTIONS;
        let (formula, predicted) = if is_full { ("line + 2 s + 2 RTT", line + LINGER_SECS + 2.0 * RTT) } else { ("2 RTT", 2.0 * RTT) };
        measures.push(Measure::seconds(format!("{attackers} attackers"), formula, predicted, measured));
    }
    let bars = measures.iter().map(Measure::bar).collect();
    Ok(Report {
        name: "slow-clients",
        title: "How many slow clients a service stands".into(),
        setup: vec![format!(
            "A web server that takes {CONNECTIONS} connections at a time (limits.connections) and gives a request head {line} s \
             (limits.line), a line with an RTT of {} ms. Each attacker sends a letter per second and never ends its head. \
             How long until another client, who asks again every {RETRY} s when it is refused, has its page?",
            RTT * 1000.0
        )],
        formulas: vec![
            "Fewer attackers than connections: nobody notices, an idle connection costs some kilobytes.".into(),
            "As many or more: 503 at once, until the attackers' time for a head is up, and 2 s more, for which the server \
             listens after its last words."
                .into(),
        ],
        measures,
        tables: Vec::new(),
        plots: vec![Plot::Bars { title: "Until the page is there".into(), unit: Unit::Seconds, bars }],
        remarks: vec![format!(
            "To hold a service for good one must open {CONNECTIONS} connections every {line} s. The limit by default is 20,000 connections, of \
             which one address gets 200 (limits.connections-per-address; loopback is exempt, or there would be nothing to see here)."
        )],
    })
}

/// How long a good client waits for its page.
async fn play(setting: Setting, attackers: usize, line: f64) -> Result<f64, String> {
    let stage = Arc::new(Stage::new(setting));
    let settings = format!("[limits.http]\nconnections = {CONNECTIONS}\nline = \"{}ms\"\n", line * 1000.0);
    let server = stage.open(&settings, &["http"], vec![("/page.html".into(), b"here I am".into())])?;
    let at = server.at("http")?;
    let dialer = stage.clients_behind(&format!("rtt:{}ms", RTT * 1000.0))?;
    let mut attack = JoinSet::new();
    for _ in 0..attackers {
        attack.spawn(drip(stage.clone(), dialer.clone(), at));
    }
    // By then the attackers are in.
    stage.wait_until(stage.now() + 3.0 * RTT).await;
    let begun = stage.now();
    loop {
        match fetch(&stage, &dialer, at).await {
            Ok(()) => return Ok(stage.now() - begun),
            Err(why) if stage.now() - begun > 10.0 * line => return Err(why),
            Err(_) => stage.wait_until(stage.now() + RETRY).await,
        }
    }
}

async fn fetch(stage: &Stage, dialer: &Dialer, at: SocketAddr) -> Result<(), String> {
    let mut visit = Visit::to(stage, dialer, at).await?;
    match visit.fetch(&get("/page.html", "")).await?.status {
        200 => Ok(()),
        status => Err(format!("answered {status}")),
    }
}

/// An attacker, until it is hung up on.
async fn drip(stage: Arc<Stage>, dialer: Dialer, at: SocketAddr) {
    let Ok(mut conn) = connect(&dialer, at).await else { return };
    conn.push(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    while conn.flush().await.is_ok() {
        stage.wait_until(stage.now() + 1.0).await;
        conn.push(b"z");
    }
}
