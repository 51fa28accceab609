//! `store-and-forward`: two mail servers and a radio link between them that is down at first.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Setting,
    report::{Kind, Measure, Plot, Report, Row, Span, Table, Unit},
    stage::{Opened, Stage, link},
    talk::Talk,
};
use crate::{
    control::{self, queue::Order},
    net::link::Link,
};

const RADIO: &str = "rtt:250ms,rate:64kbps,queue:16KiB,shared";
const RTT: f64 = 0.25;
const BITS_PER_SEC: f64 = 64_000.0;
const MESSAGE_OCTETS: usize = 20_000;
/// When the other server can be reached, in seconds.
const UP: f64 = 20.0;
const PRIORITIES: [(&str, i8); 3] = [("routine", -4), ("ordinary", 0), ("urgent", 4)];
/// How long one waits for mail at most, and how often one looks, in seconds.
const PATIENCE: f64 = 300.0;
const LOOK: f64 = 0.05;

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let stage = Stage::new(setting);
    let far = stage.free_address()?;
    let settings = format!(
        "domains = [\"alice.test\"]\n[smtp]\nrelay-loopback = true\nconnections-per-destination = 1\n[smtp.routes]\n\"bob.test\" = \"{far}\"\n\
         [smtp.retry]\nfirst = \"5m\"\n[links]\nrelay-out = \"{RADIO}\"\n"
    );
    let near = stage.open(&settings, &["smtp"], Vec::new())?;
    let at = near.at("smtp")?;
    submit(&stage, at).await?;
    stage.wait_until(UP / 2.0).await;
    let queued = near.house.queue.list().map_err(|error| error.to_string())?.len();
    stage.wait_until(UP).await;
    let server = stage.open_at("domains = [\"bob.test\"]\n", &["smtp"], &[far], Vec::new())?;
    // As `portico queue retry all` does; by itself the queue would try again at a time of its own.
    let retry = Order::Retry { which: vec!["all".to_owned()] };
    control::queue::perform(retry, &*near.house.queue, &near.house.clock, &near.house.wake)?;
    let arrived = await_mail(&stage, &server).await?;
    Ok(report(queued, &arrived))
}

/// Alice's agent hands over her messages, one each second, the least urgent first.
async fn submit(stage: &Stage, at: SocketAddr) -> Result<(), String> {
    let near: Arc<Link> = link("rtt:0s")?;
    let mut talk = Talk::to(&stage.dialer(&near), at).await?;
    talk.say("EHLO alice", '2').await?;
    for (index, (name, priority)) in PRIORITIES.into_iter().enumerate() {
        stage.wait_until(index as f64).await;
        talk.say(&format!("MAIL FROM:<alice@alice.test> MT-PRIORITY={priority}"), '2').await?;
        talk.say("RCPT TO:<bob@bob.test>", '2').await?;
        talk.say("DATA", '3').await?;
        let line = format!("{}\r\n", "x".repeat(70));
        let body = line.repeat(MESSAGE_OCTETS / line.len());
        talk.send(format!("From: alice@alice.test\r\nSubject: {name}\r\n\r\n{body}.\r\n").as_bytes());
        talk.expect('2').await?;
    }
    Ok(())
}

/// What arrives in Bob's mailbox, and when.
async fn await_mail(stage: &Stage, server: &Opened) -> Result<Vec<(String, f64)>, String> {
    let mut arrived: Vec<(String, f64)> = Vec::new();
    let mut seen = 0;
    while arrived.len() < PRIORITIES.len() {
        if stage.now() > PATIENCE {
            return Err(format!("only {} messages have arrived in {PATIENCE} s", arrived.len()));
        }
        stage.wait_until(stage.now() + LOOK).await;
        let maildrop = server.house.mail.browse("bob").map_err(|error| error.to_string())?;
        for index in seen..maildrop.messages().len() {
            arrived.push((subject(&*maildrop, index)?, stage.now()));
        }
        seen = maildrop.messages().len();
    }
    Ok(arrived)
}

fn subject(maildrop: &dyn crate::store::mail::Maildrop, index: usize) -> Result<String, String> {
    let mut text = String::new();
    let mut reader = maildrop.read(index).map_err(|error| error.to_string())?;
    std::io::Read::read_to_string(&mut reader, &mut text).map_err(|error| error.to_string())?;
    let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
    Ok(subject.unwrap_or("(none)").trim().to_owned())
}

fn report(queued: usize, arrived: &[(String, f64)]) -> Report {
    let transmission = MESSAGE_OCTETS as f64 * 8.0 / BITS_PER_SEC;
    let predict = |nth: f64| UP + 8.0 * RTT + transmission + nth * (2.0 * RTT + transmission);
    let mut measures = vec![Measure {
        what: "in the queue at 10 s".into(),
        formula: "what was submitted".into(),
        predicted: Some(PRIORITIES.len() as f64),
        measured: queued as f64,
        unit: Unit::Count,
    }];
    if let (Some((_, first)), Some((_, last))) = (arrived.first(), arrived.last()) {
        measures.push(Measure::seconds("first one arrives", "T + 8 RTT + L/R", predict(0.0), *first));
        measures.push(Measure::seconds("last one arrives", "T + 12 RTT + 3 L/R", predict(2.0), *last));
    }
    let rows = arrived.iter().enumerate().map(|(nth, (name, at))| vec![format!("{}.", nth + 1), name.clone(), Unit::Seconds.show(*at)]);
    let spans = arrived.iter().map(|(name, at)| Row {
        label: name.clone(),
        spans: vec![Span { from: 0.0, to: UP, kind: Kind::Wait }, Span { from: UP, to: *at, kind: Kind::Receive }],
    });
    Report {
        name: "store-and-forward",
        title: "Mail that waits for a link".into(),
        setup: vec![format!(
            "Three messages of {MESSAGE_OCTETS} octets, submitted one each second, go from Alice's server to Bob's over a radio link of 64 kbit/s with an RTT of 250 ms. Bob's \
             server can't be reached for the first {UP} s; meanwhile they wait in the queue of Alice's."
        )],
        formulas: vec![
            "T: the link is up, and Alice's administrator says `portico queue retry all`.".into(),
            "8 RTT: connection, greeting, EHLO, STARTTLS, its handshake, EHLO, envelope, the last reply".into(),
            "then 2 RTT for each further message on the same connection: envelope, the last reply".into(),
        ],
        measures,
        tables: vec![Table {
            title: "In the order of arrival (submitted: routine, ordinary, urgent)".into(),
            head: ["", "priority", "at"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
        }],
        plots: vec![Plot::Spans { title: "Waiting in the queue, and on the way".into(), rows: spans.collect() }],
        remarks: vec![
            "The most urgent message leaves first, though it came last.".into(),
            "Without the order the queue tries again by itself, after 4 s, 8 s, 16 s, ... and up to an eighth more, so that not all that failed \
             together comes back together."
                .into(),
            "Nobody resends anything by hand: that is what the queue is for. `portico queue list` shows what waits.".into(),
        ],
    }
}
