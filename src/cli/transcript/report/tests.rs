//! One run, printed in every form and read again.

use super::*;
use crate::play::Failure;

fn run() -> Run {
    let mut failed = Part::new("refuses <b> & \"c\"", 3, 9);
    failed.ending = Ending::Failed(Box::new(Failure {
        file: "s.txt".into(),
        line: 12,
        difference: crate::play::Difference::between("the line differs", "S: 503", "S: 250 \u{1}ok"),
        because: Some("RCPT: so it is (RFC 5321, 3.3)".into()),
        so_far: "    0.000 C: RCPT\n".into(),
    }));
    let mut lost = Part::new("goes on", 1, 20);
    lost.ending = Ending::NotReached;
    let suite = Report::new("s".into(), "A suite".into(), Ok(Grade { parts: vec![Part::new("greets", 2, 5), failed, lost] }));
    let single = Report::new("one.txt".into(), "One thing".into(), Ok(Grade { parts: vec![Part::new("One thing", 1, 1)] }));
    let skipped = Report::new("own.txt".into(), "Own".into(), Err("it wants # settings".into()));
    Run { reports: vec![suite, single, skipped], began: SystemTime::UNIX_EPOCH, took: Duration::from_millis(1500), is_own: false }
}

#[test]
fn people_see_the_difference_beside_its_reason() {
    let told: String = run().reports.iter().map(text::one).collect::<String>() + &text::summary(&run());
    let told = anstream::adapter::strip_str(&told).to_string();
    for line in [
        "FAIL s: 2 of 6 points\n  ok    2/2  greets\n  FAIL  0/3  refuses <b> & \"c\"\n       s.txt:12: the line differs\n         expected  S: 503\n",
        "         because   RCPT: so it is (RFC 5321, 3.3)\n       the conversation so far:\n",
        "  ----  0/1  goes on (not reached)\n",
        "ok   one.txt\n",
        "skip own.txt: it wants # settings\n",
        "1 passed, 1 failed, 1 skipped; 2 of 6 points\n",
    ] {
        assert!(told.contains(line), "{line:?} in:\n{told}");
    }
}

#[test]
fn junit_is_xml_whatever_a_server_said() {
    let xml = junit::print(&run()).unwrap();
    let mut reader = quick_xml::Reader::from_str(&xml);
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                names.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
            }
            _ => {}
        }
    }
    assert_eq!(names.iter().filter(|name| *name == "testcase").count(), 5);
    assert_eq!(names.iter().filter(|name| *name == "failure").count(), 2);
    assert_eq!(names.iter().filter(|name| *name == "skipped").count(), 1);
    assert!(xml.contains("tests=\"5\" failures=\"2\" errors=\"0\" time=\"1.500\"") && xml.contains("250 ?ok"), "{xml}");
    // What Jenkins' and Ant's schemas require of a suite.
    let required = "tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\" timestamp=\"1970-01-01T00:00:00\" hostname=\"localhost\" time=";
    assert!(xml.contains(required), "{xml}");
}

#[test]
fn tap_counts_and_quotes() {
    let tap = tap::print(&run());
    assert!(tap.starts_with("TAP version 13\n1..5\nok 1 - s: greets\nnot ok 2 - s: refuses <b> & \"c\"\n  ---\n"), "{tap}");
    assert!(tap.ends_with("ok 4 - One thing\nok 5 - own.txt # SKIP it wants \\# settings\n"), "{tap}");
}

#[test]
fn gradescope_gets_its_points() {
    let results: serde_json::Value = serde_json::from_str(&gradescope::print(&run()).unwrap()).unwrap();
    let tests = results["tests"].as_array().unwrap();
    let score = |key: &str| tests.iter().map(|test| test[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((score("score"), score("max_score"), tests.len()), (3, 7, 5));
    assert_eq!(tests[1]["name"], "s: refuses <b> & \"c\"");
    assert_eq!((&tests[1]["status"], &tests[1]["number"], &tests[1]["visibility"]), (&"failed".into(), &"1.2".into(), &"visible".into()));
    assert!(tests[1]["output"].as_str().unwrap().contains("expected  S: 503"));
    assert_eq!((&tests[4]["status"], &tests[4]["max_score"]), (&"failed".into(), &0.into()), "what was skipped has not passed");
}

#[test]
fn json_keeps_the_first_difference_beside_the_parts() {
    let all: serde_json::Value = serde_json::from_str(&json::print(&run()).unwrap()).unwrap();
    assert_eq!(all[0]["verdict"], "failed");
    assert_eq!((&all[0]["line"], &all[0]["expected"][0], &all[0]["score"]), (&12.into(), &"S: 503".into(), &2.into()));
    assert_eq!(all[0]["parts"][2]["verdict"], "not-reached");
    assert_eq!((&all[2]["verdict"], &all[2]["reason"]), (&"skipped".into(), &"it wants # settings".into()));
}
