//! `web-cache`: the access link of an institution, full; a faster one; and a cache in front of it.
//!
//! Requests come at random moments (Poisson), and all objects have one size, so the access link is
//! an M/D/1 queue: with utilisation u and transmission time S one waits `u S / (2 (1 - u))` on
//! average (Pollaczek and Khinchine). At u = 1 there is no mean: the queue grows and grows.

use std::{net::SocketAddr, sync::Arc};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::task::JoinSet;

use super::{
    Setting,
    report::{Measure, Plot, Report, Series, Unit},
    stage::{Opened, Stage},
    visit::{Visit, get},
};
use crate::net::dial::Dialer;

const OBJECT_BITS: f64 = 100_000.0;
const BODY_OCTETS: usize = 12_500;
const REQUESTS_PER_SEC: f64 = 15.0;
const INTERNET_SECS: f64 = 2.0;
const LAN_MBPS: f64 = 10.0;
const HIT_RATE: f64 = 0.4;
/// How long requests are made, in seconds; `--real` has less patience.
const DURATION_SECS: f64 = 150.0;
const REAL_DURATION_SECS: f64 = 20.0;
/// The proxy's connections to the origin stand before the clock starts.
const WARM_CONNECTIONS: usize = 80;
const WARM_UP_SECS: f64 = 15.0;
/// Addresses whose objects the cache holds from the start.
const POPULAR: usize = 20;

/// One of the three cases.
struct Case {
    name: &'static str,
    access_mbps: f64,
    hit_rate: f64,
}

const CASES: [Case; 3] = [
    Case { name: "no cache, 1.5 Mbit/s", access_mbps: 1.5, hit_rate: 0.0 },
    Case { name: "no cache, 10 Mbit/s", access_mbps: 10.0, hit_rate: 0.0 },
    Case { name: "cache, 1.5 Mbit/s", access_mbps: 1.5, hit_rate: HIT_RATE },
];

impl Case {
    fn transmission(&self) -> f64 {
        OBJECT_BITS / (self.access_mbps * 1e6)
    }

    fn utilisation(&self) -> f64 {
        (1.0 - self.hit_rate) * REQUESTS_PER_SEC * self.transmission()
    }

    /// The mean delay, where there is one.
    fn delay(&self) -> Option<f64> {
        let (used, lan) = (self.utilisation(), OBJECT_BITS / (LAN_MBPS * 1e6));
        let waiting = used * self.transmission() / (2.0 * (1.0 - used));
        let miss = INTERNET_SECS + self.transmission() + waiting + lan;
        (used < 0.999).then_some((1.0 - self.hit_rate) * miss + self.hit_rate * lan)
    }

    fn formula(&self) -> &'static str {
        match self.hit_rate {
            0.0 if self.utilisation() > 0.999 => "u = 1: no mean, it grows",
            0.0 => "2 s + S + W + lan",
            _ => "0.6 (2 s + S + W + lan) + 0.4 lan",
        }
    }
}

/// A request that was answered.
struct Answered {
    asked: f64,
    done: f64,
    is_hit: bool,
}

pub(super) async fn run(setting: Setting) -> Result<Report, String> {
    let duration = if setting.is_real { REAL_DURATION_SECS } else { DURATION_SECS };
    let (mut measures, mut growth) = (Vec::new(), Vec::new());
    for case in &CASES {
        let (answered, origin_octets) = play(setting, case, duration).await?;
        note(&mut measures, case, (&answered, origin_octets), duration);
        growth.push(Series { label: case.name.into(), points: means(&answered, duration) });
    }
    Ok(Report {
        name: "web-cache",
        title: "An access link that is full: a faster one, or a cache?".into(),
        setup: vec![format!(
            "{REQUESTS_PER_SEC} requests per second at random moments, for {duration} s. Objects of 100,000 bit; a LAN of {LAN_MBPS} Mbit/s \
             to the proxy, the access link behind it, and 2 s of Internet delay (the RTT to the origin). Heads come on top, two or three per cent. The proxy of this \
             program is the cache; \"no cache\" means addresses that it has not seen."
        )],
        formulas: vec![
            "S = object / rate; u = (1 - hit rate) 15/s S; lan = object / 10 Mbit/s".into(),
            "W = u S / (2 (1 - u)), the wait in an M/D/1 queue".into(),
        ],
        measures,
        tables: Vec::new(),
        plots: vec![Plot::Lines { title: "Mean delay of the requests of each 10 s".into(), x: "s".into(), y: "s".into(), series: growth }],
        remarks: vec![
            "A full link has no mean delay: the longer it lasts, the longer the queue. Even without the heads it would grow, like the square \
             root of the time, since requests come at random."
                .into(),
            "The cache costs less than the faster line, and its delay is lower still: hits need not go out at all.".into(),
        ],
    })
}

fn note(measures: &mut Vec<Measure>, case: &Case, (answered, origin_octets): (&[Answered], u64), duration: f64) {
    let count = answered.len() as f64;
    let over_access = answered.iter().filter(|one| !one.is_hit).count() as f64 * origin_octets as f64;
    // What came over the link in the time that it was busy for: the last requests end later.
    let end = answered.iter().map(|one| one.done).fold(duration, f64::max);
    let span = if case.utilisation() > 0.999 { end - INTERNET_SECS } else { duration };
    let used = over_access * 8.0 / (case.access_mbps * 1e6 * span) * 100.0;
    let delay = answered.iter().map(|one| one.done - one.asked).sum::<f64>() / count;
    let per_cent = |what: String, formula: &str, predicted: f64, measured: f64| Measure {
        what,
        formula: formula.into(),
        predicted: Some(predicted),
        measured,
        unit: Unit::PerCent,
    };
    measures.push(per_cent(format!("{}: link", case.name), "u", case.utilisation() * 100.0, used));
    if case.hit_rate > 0.0 {
        let hits = answered.iter().filter(|one| one.is_hit).count() as f64 / count * 100.0;
        measures.push(per_cent(format!("{}: hits", case.name), "drawn", case.hit_rate * 100.0, hits));
    }
    let what = format!("{}: delay", case.name);
    measures.push(Measure { what, formula: case.formula().into(), predicted: case.delay(), measured: delay, unit: Unit::Seconds });
}

/// The mean delay of the requests of each ten seconds.
fn means(answered: &[Answered], duration: f64) -> Vec<(f64, f64)> {
    let points = (0..(duration / 10.0) as u32).map(|number| {
        let (from, to) = (f64::from(number) * 10.0, f64::from(number + 1) * 10.0);
        let delays: Vec<_> = answered.iter().filter(|one| (from..to).contains(&one.asked)).map(|one| one.done - one.asked).collect();
        (to, delays.iter().sum::<f64>() / delays.len().max(1) as f64)
    });
    points.collect()
}

/// What was answered, and how long one response of the origin is.
async fn play(setting: Setting, case: &Case, duration: f64) -> Result<(Vec<Answered>, u64), String> {
    let stage = Arc::new(Stage::new(setting));
    let (_origin, proxy, site) = open(&stage, case)?;
    let lan = stage.clients_behind(&format!("rtt:0s,rate:{LAN_MBPS}Mbps,queue:1MiB,shared"))?;
    let at = proxy.at("proxy")?;
    // Popular objects come into the cache, and the proxy's connections to the origin stand.
    let mut warming = JoinSet::new();
    for number in 0..WARM_CONNECTIONS.max(POPULAR) {
        let name = if number < POPULAR { format!("popular{number}") } else { format!("warm{number}") };
        warming.spawn(fetch(stage.clone(), lan.clone(), at, site, name));
    }
    while let Some(fetched) = warming.join_next().await {
        fetched.map_err(|error| error.to_string())??;
    }
    let begun = stage.now().max(WARM_UP_SECS);
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(setting.seed);
    let (mut moment, mut number, mut running) = (begun, 0, JoinSet::new());
    loop {
        moment += -(1.0 - draws.random::<f64>()).ln() / REQUESTS_PER_SEC;
        if moment >= begun + duration {
            break;
        }
        number += 1;
        let is_popular = draws.random::<f64>() < case.hit_rate;
        let name = if is_popular { format!("popular{}", draws.random_range(0..POPULAR)) } else { format!("fresh{number}") };
        stage.wait_until(moment).await;
        running.spawn(fetch(stage.clone(), lan.clone(), at, site, name));
    }
    let mut answered = Vec::new();
    while let Some(fetched) = running.join_next().await {
        let one = fetched.map_err(|error| error.to_string())??;
        answered.push(Answered { asked: one.asked - begun, done: one.done - begun, ..one });
    }
    let own = Visit::to(&stage, &lan, site).await?.fetch(&get("/object", "")).await?;
    Ok((answered, own.octets))
}

fn open(stage: &Stage, case: &Case) -> Result<(Opened, Opened, SocketAddr), String> {
    let cacheable = "[http]\ncompress = false\n[[http.cache]]\nmatch = \"*\"\ncache-control = \"max-age=86400\"\n";
    let origin = stage.open(cacheable, &["http"], vec![("/object".into(), vec![b'x'; BODY_OCTETS])])?;
    let access = format!("rtt:{INTERNET_SECS}s,rate:{}Mbps,queue:100MB,shared", case.access_mbps);
    let settings = format!(
        "[links]\nproxy-out = \"{access}\"\n[proxy]\nconnections-per-origin = 10000\nconnect-timeout = \"1h\"\nfirst-byte-timeout = \"1h\"\n"
    );
    let proxy = stage.open(&settings, &["proxy"], Vec::new())?;
    let site = origin.at("http")?;
    Ok((origin, proxy, site))
}

async fn fetch(stage: Arc<Stage>, lan: Dialer, at: SocketAddr, site: SocketAddr, name: String) -> Result<Answered, String> {
    let asked = stage.now();
    let mut visit = Visit::to(&stage, &lan, at).await?;
    let got = visit.fetch(&format!("GET http://{site}/object?{name} HTTP/1.1\r\nHost: {site}\r\n\r\n")).await?;
    if got.status != 200 {
        return Err(format!("the proxy answered {}", got.status));
    }
    let is_hit = got.fields.text("cache-status").is_some_and(|status| status.contains("hit"));
    Ok(Answered { asked, done: got.done, is_hit })
}
