//! Every experiment at its default settings: what is measured is what is predicted.

use super::{report::Plot, *};

/// How far a measured value may be from the formula's.
const ALLOWED: f64 = 0.1;

fn report(name: &str, seed: u64) -> Report {
    let experiment = EXPERIMENTS.iter().find(|experiment| experiment.name == name).expect("there is such an experiment");
    perform(experiment, Setting { seed, is_real: false }).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn agrees(name: &str) -> Report {
    let report = report(name, 1);
    for measure in &report.measures {
        let deviation = measure.deviation().unwrap_or(0.0);
        assert!(deviation.abs() <= ALLOWED, "{name}: {measure:?}");
    }
    let text = text::print(&report);
    for line in text.lines() {
        assert!(line.chars().count() <= usize::from(text::COLUMNS), "{name} is too wide: {line}");
    }
    assert!(svg::print(&report).starts_with("<svg"));
    report
}

macro_rules! each_agrees {
    ($($test:ident: $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { agrees($name); })+
    };
}

each_agrees! {
    response_times_are_those_of_the_textbook: "response-time",
    a_304_costs_a_round_trip: "conditional-get",
    mail_arrives_at_the_first_attempt_after_the_link_is_up: "store-and-forward",
    radio_links_take_their_time: "compression",
    ftp_takes_the_round_trips_that_it_takes: "ftp-channels",
    slow_clients_hold_a_service_for_a_line: "slow-clients",
}

#[test]
fn a_cache_relieves_the_access_link() {
    let report = agrees("web-cache");
    let delay = |name: &str| report.measures.iter().find(|measure| measure.what == format!("{name}: delay")).unwrap().measured;
    let Plot::Lines { series, .. } = &report.plots[0] else { panic!("it is a picture of lines") };
    let (early, late) = series[0].points.split_at(series[0].points.len() / 2);
    let mean = |points: &[(f64, f64)]| points.iter().map(|(_, y)| y).sum::<f64>() / points.len() as f64;
    assert!(mean(late) > mean(early), "a full link has a queue that grows");
    assert!(delay("cache, 1.5 Mbit/s") < delay("no cache, 10 Mbit/s"));
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    for name in ["response-time", "store-and-forward"] {
        let print = |seed| serde_json::to_string(&report(name, seed)).expect("a report is plain data");
        assert_eq!(print(5), print(5), "{name}");
    }
}
