//! Verdicts as JUnit XML, which every continuous integration reads: a suite per transcript, a case
//! per part. There is no standard; this is what the schemas of Jenkins and pytest (`junit-10.xsd`)
//! take, with the time stamp that those of Ant want.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::{Report, Run, told, told_shortly};
use crate::play::{Ending, Part};

type Xml = Writer<Vec<u8>>;

pub(super) fn print(run: &Run) -> io::Result<String> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let parts = || run.reports.iter().flat_map(Report::parts);
    let skipped = run.reports.iter().filter(|report| report.is_skipped()).count();
    let began = began(run);
    let suites = xml.create_element("testsuites").with_attributes([
        ("name", "portico transcript run"),
        ("tests", &(parts().count() + skipped).to_string()),
        ("failures", &parts().filter(|part| !part.has_passed()).count().to_string()),
        ("errors", "0"),
        ("time", &seconds(run.took.as_secs_f64())),
    ]);
    suites.write_inner_content(|xml| run.reports.iter().try_for_each(|report| suite(xml, report, &began)))?;
    Ok(String::from_utf8_lossy(&xml.into_inner()).into_owned() + "\n")
}

/// When the run began, as Ant's schema has times: in UTC, and without saying so.
fn began(run: &Run) -> String {
    humantime::format_rfc3339_seconds(run.began).to_string().trim_end_matches('Z').to_owned()
}

fn suite(xml: &mut Xml, report: &Report, began: &str) -> io::Result<()> {
    let parts = report.parts();
    let suite = xml.create_element("testsuite").with_attributes([
        ("name", &plain(&report.name)[..]),
        ("tests", &parts.len().max(1).to_string()),
        ("failures", &parts.iter().filter(|part| !part.has_passed()).count().to_string()),
        ("errors", "0"),
        ("skipped", if report.is_skipped() { "1" } else { "0" }),
        ("timestamp", began),
        ("hostname", "localhost"),
        ("time", &seconds(report.took.as_secs_f64())),
    ]);
    suite.write_inner_content(|xml| match &report.grade {
        Err(reason) => {
            let case = xml.create_element("testcase").with_attributes([
                ("classname", &plain(&report.name)[..]),
                ("name", &plain(report.called())),
                ("time", "0.000"),
            ]);
            let skipped =
                |xml: &mut Xml| xml.create_element("skipped").with_attribute(("message", &plain(reason)[..])).write_empty().map(drop);
            case.write_inner_content(skipped).map(drop)
        }
        // Parts take their time together; the first case bears it.
        Ok(grade) => grade.parts.iter().enumerate().try_for_each(|(index, part)| {
            let took = if index == 0 { report.took.as_secs_f64() } else { 0.0 };
            case(xml, report, part, took)
        }),
    })?;
    Ok(())
}

fn case(xml: &mut Xml, report: &Report, part: &Part, took: f64) -> io::Result<()> {
    let title = if part.title.is_empty() { report.called() } else { &part.title };
    let (name, title, took) = (plain(&report.name), plain(title), seconds(took));
    let case = xml.create_element("testcase").with_attributes([("classname", &name[..]), ("name", &title), ("time", &took)]);
    let Some(short) = told_shortly(part) else { return case.write_empty().map(drop) };
    let kind = if matches!(part.ending, Ending::NotReached) { "not reached" } else { "difference" };
    let text = plain(&told(part).unwrap_or_default());
    case.write_inner_content(|xml| {
        let failure = xml.create_element("failure").with_attributes([("type", kind), ("message", &plain(&short))]);
        failure.write_text_content(BytesText::new(&text)).map(drop)
    })?;
    Ok(())
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// XML has no way to write most control characters (XML 1.0, 2.2).
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{fffe}' | '\u{ffff}') { '?' } else { c })
        .collect()
}
