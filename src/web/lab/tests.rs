//! What holds for all exhibits.

use super::table::{TABLE, find};

#[test]
fn paths_lead_to_their_exhibits_and_to_no_other() {
    for (path, name) in [
        ("/lab", Some("")),
        ("/lab/", Some("")),
        ("/lab/status/418", Some("status")),
        ("/lab/status", None),
        ("/lab/statuses", None),
        ("/lab/status/1/2", None),
        ("/lab/anything", Some("anything")),
        ("/lab/anything/", Some("anything")),
        ("/lab/anything/x", Some("anything")),
        ("/lab/cookies", Some("cookies")),
        ("/lab/cookies/set", Some("cookies/set")),
        ("/lab/cookies/set/a/b", Some("cookies/set")),
        ("/lab/base64/SGVsbG8", Some("base64")),
        ("/lab/base64/decode/SGVsbG8", Some("base64/decode")),
        ("/lab/echo", Some("echo")),
        ("/labs/echo", None),
        ("/lab/nothing", None),
    ] {
        assert_eq!(find(path).map(|exhibit| exhibit.name), name, "{path}");
    }
}

/// What the index page shows works.
#[test]
fn every_example_leads_to_its_own_exhibit() {
    for exhibit in TABLE {
        let address = format!("/lab/{}", exhibit.address());
        let path = address.split('?').next().unwrap();
        assert_eq!(find(path).map(|found| found.name), Some(exhibit.name), "{address}");
        assert!(exhibit.methods.contains("OPTIONS") && !exhibit.says.is_empty());
    }
}
