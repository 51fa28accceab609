//! Tables of cases, one per rule.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::*;
use crate::{
    http::{Fields, ResponseHead},
    proxy::{
        control::Control,
        entry::{Stored, Times},
        freshness,
    },
};

/// When every stored response of these tests arrives.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn fields(lines: &[&str]) -> Fields {
    let mut fields = Fields::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        fields.push(name, value);
    }
    fields
}

fn wish(control: &Control, pragma: bool) -> Wish<'_> {
    Wish { control, pragma, is_conditional: false }
}

fn stored(asked: &[&str], lines: &[&str]) -> Stored {
    let head = ResponseHead { fields: fields(lines), ..ResponseHead::new(200) };
    Stored::new(&fields(asked), head, Bytes::from_static(b"body").into(), Times { requested: start(), received: start() }, &[])
}

fn storing(asked: &[&str], status: u16, lines: &[&str]) -> Result<(), &'static str> {
    let response = fields(lines);
    let control = Control::parse(response.get_all("cache-control"));
    let lifetime = freshness::lifetime(status, &response, &control, start());
    may_store(&fields(asked), status, &response, &control, lifetime)
}

#[test]
fn what_may_be_stored() {
    const FRESH: &str = "Cache-Control: max-age=60";
    const TAG: &str = "ETag: \"1\"";
    const AUTHORIZED: &str = "Authorization: Basic eDp5";
    for (asked, status, lines, expected) in [
        (&[][..], 200, &[FRESH][..], Ok(())),
        (&[], 200, &[TAG], Ok(())),
        (&[], 200, &["Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT"], Ok(())),
        (&[], 200, &[], Err("no-use")),
        (&[], 200, &["Cache-Control: no-cache"], Err("no-use")),
        (&[], 200, &["Cache-Control: no-cache", TAG], Ok(())),
        (&[], 200, &["Cache-Control: max-age=0"], Err("no-use")),
        (&[], 200, &[FRESH, "Cache-Control: no-store"], Err("no-store")),
        (&[], 200, &[FRESH, "Cache-Control: no-store, must-understand"], Ok(())),
        (&[], 299, &[FRESH, "Cache-Control: no-store, must-understand"], Err("must-understand")),
        (&[], 200, &[FRESH, "Cache-Control: private"], Err("private")),
        (&[], 200, &[FRESH, "Cache-Control: private=\"set-cookie\""], Ok(())),
        (&[], 200, &[FRESH, "Vary: Accept, *"], Err("vary-all")),
        (&[], 200, &[FRESH, "Set-Cookie: a=1"], Ok(())),
        (&[], 200, &["Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT", "Set-Cookie: a=1"], Err("set-cookie")),
        (&[], 200, &["Cache-Control: public", TAG, "Set-Cookie: a=1"], Ok(())),
        (&[], 304, &[FRESH], Err("status")),
        (&[], 103, &[FRESH], Err("status")),
        (&[], 302, &[TAG], Err("no-lifetime")),
        (&[], 302, &[TAG, "Cache-Control: public"], Ok(())),
        (&[], 302, &[FRESH], Ok(())),
        (&[], 599, &[FRESH], Ok(())),
        (&[], 404, &[FRESH], Ok(())),
        (&["Cache-Control: no-store"], 200, &[FRESH], Err("request-no-store")),
        (&[AUTHORIZED], 200, &[FRESH], Err("authorization")),
        (&[AUTHORIZED], 200, &[FRESH, "Cache-Control: public"], Ok(())),
        (&[AUTHORIZED], 200, &[FRESH, "Cache-Control: must-revalidate"], Ok(())),
        (&[AUTHORIZED], 200, &["Cache-Control: s-maxage=5"], Ok(())),
    ] {
        assert_eq!(storing(asked, status, lines), expected, "{asked:?} {status} {lines:?}");
    }
}

#[test]
fn when_a_stored_response_is_used_again() {
    // asked, stored, age in seconds: how long it stays fresh, or why it is validated
    for (asked, response, age, expected) in [
        ("", "max-age=60", 0, Ok(60)),
        ("", "max-age=60", 59, Ok(1)),
        ("", "max-age=60", 60, Err("max-age")),
        ("", "max-age=60, s-maxage=10", 10, Err("s-maxage")),
        ("", "no-cache, max-age=60", 0, Err("no-cache")),
        ("", "no-cache=\"x\", max-age=60", 0, Ok(60)),
        ("no-cache", "max-age=60", 0, Err("request-no-cache")),
        ("max-age=10", "max-age=60", 10, Ok(50)),
        ("max-age=10", "max-age=60", 11, Err("request-max-age")),
        ("max-age=0", "max-age=60", 0, Err("request-max-age")),
        ("max-age=junk", "max-age=60", 1, Err("request-max-age")),
        ("min-fresh=10", "max-age=60", 50, Ok(10)),
        ("min-fresh=10", "max-age=60", 51, Err("min-fresh")),
        ("max-stale=10", "max-age=60", 70, Ok(-10)),
        ("max-stale=10", "max-age=60", 71, Err("max-age")),
        ("max-stale", "max-age=60", 100_000, Ok(-99_940)),
        ("max-stale", "max-age=60, must-revalidate", 60, Err("max-age")),
        ("max-stale", "max-age=60, proxy-revalidate", 60, Err("max-age")),
        ("max-stale", "s-maxage=60", 60, Err("s-maxage")),
        // In the thousands: while the origin is asked.
        ("", "max-age=60, stale-while-revalidate=10", 59, Ok(1)),
        ("", "max-age=60, stale-while-revalidate=10", 70, Ok(-10_000)),
        ("", "max-age=60, stale-while-revalidate=10", 71, Err("max-age")),
        ("max-age=65", "max-age=60, stale-while-revalidate=10", 70, Err("request-max-age")),
        ("min-fresh=0", "max-age=60, stale-while-revalidate=10", 61, Err("min-fresh")),
        ("no-cache", "max-age=60, stale-while-revalidate=10", 61, Err("request-no-cache")),
        ("", "max-age=60, stale-while-revalidate=10, must-revalidate", 61, Err("max-age")),
        ("max-age=0", "max-age=60, immutable", 10, Ok(50)),
        ("max-age=0", "max-age=60, immutable", 60, Err("request-max-age")),
        ("no-cache", "max-age=60, immutable", 10, Err("request-no-cache")),
        ("no-store", "max-age=60", 0, Ok(60)),
        ("only-if-cached", "max-age=60", 0, Ok(60)),
    ] {
        let stored = stored(&[], &[&format!("Cache-Control: {response}"), "ETag: \"1\""]);
        let asked_control = Control::parse((!asked.is_empty()).then_some(asked.as_bytes()));
        let decision = match reuse(wish(&asked_control, false), &stored, start() + Duration::from_secs(age)) {
            Reuse::Serve { ttl } => Ok(ttl),
            Reuse::ServeAndValidate { ttl } => Ok(1000 * ttl),
            Reuse::Validate(why) => Err(why.detail),
        };
        assert_eq!(decision, expected, "{asked} / {response} / {age}");
    }
}

#[test]
fn pragma_counts_only_without_cache_control() {
    let stored = stored(&[], &["Cache-Control: max-age=60"]);
    assert_eq!(reuse(wish(&Control::default(), true), &stored, start()), Reuse::Validate(Why { fwd: "request", detail: "pragma" }));
    let control = Control::parse([&b"max-age=60"[..]]);
    assert_eq!(reuse(wish(&control, true), &stored, start()), Reuse::Serve { ttl: 60 });
}

#[test]
fn which_requests_select_a_stored_response() {
    let vary = ["Vary: Accept-Language", "Vary: accept-encoding, X"];
    let stored = stored(&["Accept-Language: de, en", "Accept-Encoding: gzip"], &vary);
    for (asked, selected) in [
        (&["Accept-Language: de, en", "Accept-Encoding: gzip"][..], true),
        (&["accept-language: de ,en", "accept-encoding:  gzip", "Other: 1"], true),
        (&["Accept-Language: de", "Accept-Language: en", "Accept-Encoding: gzip"], true),
        (&["Accept-Language: en, de", "Accept-Encoding: gzip"], true),
        (&["Accept-Language: de, en;q=0.5", "Accept-Encoding: gzip"], false),
        (&["Accept-Language: de, en"], false),
        (&["Accept-Language: de, en", "Accept-Encoding: gzip", "X: 1"], false),
        (&["Accept-Language: de, en", "Accept-Encoding: gzip", "X: ,"], false),
    ] {
        assert_eq!(matches_selection(&fields(asked), &stored.selection), selected, "{asked:?}");
    }
}

#[test]
fn a_304_updates_what_it_may() {
    let old = stored(
        &[],
        &["ETag: \"1\"", "Content-Length: 4", "Content-Encoding: gzip", "X: 1", "X: 2", "Age: 50", "Cache-Control: max-age=60"],
    );
    assert_eq!(old.age(start()), 50);
    let answer = fields(&["ETag: \"1\"", "Content-Length: 0", "Content-Encoding: br", "x: 3", "New: 4"]);
    let later = start() + Duration::from_secs(100);
    let new = old.updated(&Fields::new(), &answer, Times { requested: later, received: later }, &[]);
    for (name, value) in [("etag", "\"1\""), ("content-length", "4"), ("content-encoding", "gzip"), ("x", "3"), ("new", "4")] {
        assert_eq!(new.head.fields.only(name), Some(value.as_bytes()), "{name}");
    }
    assert_eq!((new.age(later), new.lifetime.secs, new.body.whole()), (0, 60, Some(&Bytes::from_static(b"body"))));
}

#[test]
fn stale_responses_stand_in_for_errors_only_where_allowed() {
    let at = |secs| start() + Duration::from_secs(secs);
    let may = |asked: &str, response: &str, secs| {
        let asked = Control::parse((!asked.is_empty()).then_some(asked.as_bytes()));
        may_serve_on_error(&asked, &stored(&[], &[&format!("Cache-Control: {response}")]), at(secs))
    };
    assert!(may("", "max-age=60, stale-if-error=10", 70));
    assert!(!may("", "max-age=60, stale-if-error=10", 71));
    assert!(!may("", "max-age=60", 61));
    assert!(may("stale-if-error=10", "max-age=60", 61));
    assert!(!may("", "max-age=60, stale-if-error=10, must-revalidate", 61));
    assert!(!may("no-cache", "max-age=60, stale-if-error=10", 61));
}

#[test]
fn which_304_is_about_what_is_stored() {
    const DATE: &str = "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT";
    const LATER: &str = "Last-Modified: Sun, 06 Nov 1994 07:49:38 GMT";
    for (kept, answer, is_alone, is_about) in [
        (&["ETag: \"1\""][..], &["ETag: \"1\""][..], true, true),
        (&["ETag: \"1\""], &["ETag: W/\"1\""], true, true),
        (&["ETag: \"1\""], &["ETag: \"2\""], true, false),
        (&["ETag: W/\"1\""], &["ETag: \"1\""], true, false),
        (&["ETag: \"1\"", DATE], &[DATE], true, true),
        (&["ETag: \"1\"", DATE], &[LATER], true, false),
        (&[DATE], &["ETag: \"1\""], true, false),
        (&["ETag: \"1\""], &[], true, true),
        (&["ETag: \"1\""], &[], false, false),
        (&["Cache-Control: max-age=1"], &[], true, false),
    ] {
        assert_eq!(validates(&fields(answer), &stored(&[], kept), is_alone), is_about, "{kept:?} {answer:?} {is_alone}");
    }
}

#[test]
fn what_a_head_tells_about_what_is_stored() {
    use HeadEffect::{Invalidate, Nothing, Update};
    let kept = stored(&[], &["ETag: \"1\"", "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT"]);
    for (answer, effect) in [
        (&["ETag: \"1\"", "Content-Length: 4"][..], Update),
        (&["Content-Length: 4"], Update),
        (&["ETag: \"1\""], Update),
        (&["ETag: \"1\"", "Content-Length: 5"], Invalidate),
        (&["ETag: \"2\"", "Content-Length: 4"], Invalidate),
        (&["Last-Modified: Sun, 06 Nov 1994 07:49:38 GMT"], Invalidate),
        (&["X: 1"], Nothing),
    ] {
        assert_eq!(head_effect(&fields(answer), &kept), effect, "{answer:?}");
    }
}

#[test]
fn what_stands_in_for_an_origin_that_can_not_be_reached() {
    let may = |asked: &str, response: &str, secs| {
        let asked = Control::parse((!asked.is_empty()).then_some(asked.as_bytes()));
        let kept = stored(&[], &[&format!("Cache-Control: {response}")]);
        may_serve_disconnected(&asked, &kept, start() + Duration::from_secs(secs), 100)
    };
    assert!(may("", "max-age=60", 160) && !may("", "max-age=60", 161));
    for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        assert!(!may("", &format!("max-age=60, {directive}"), 61), "{directive}");
    }
    assert!(!may("no-cache", "max-age=60", 61) && !may("max-age=10", "max-age=60", 61) && !may("min-fresh=1", "max-age=60", 61));
    assert!(may("", "max-age=60, stale-if-error=1000", 1000), "the origin allowed more");
}

#[test]
fn which_ranges_are_cut_from_what_is_stored() {
    let old = ["ETag: \"1\"", "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT", "Date: Sun, 06 Nov 1994 08:49:37 GMT"];
    let new = ["ETag: W/\"1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Date: Sun, 06 Nov 1994 08:49:37 GMT"];
    for (kept, condition, applies) in [
        (&old[..], "\"1\"", true),
        (&old, "\"2\"", false),
        (&old, "W/\"1\"", false),
        (&new, "W/\"1\"", false),
        (&new, "\"1\"", false),
        (&old, "Sun, 06 Nov 1994 07:49:37 GMT", true),
        (&old, "Sun, 06 Nov 1994 07:49:38 GMT", false),
        (&new, "Sun, 06 Nov 1994 08:49:37 GMT", false),
        (&old, "yesterday", false),
    ] {
        assert_eq!(range_applies(&fields(&[&format!("If-Range: {condition}")]), &stored(&[], kept)), applies, "{condition}");
    }
}

proptest::proptest! {
    #[test]
    fn what_is_served_without_being_asked_for_stale_is_fresh(life in 0u64..200, age in 0u64..200, initial in 0u64..200) {
        let response = stored(&[], &[&format!("Cache-Control: max-age={life}"), &format!("Age: {initial}")]);
        let now = start() + Duration::from_secs(age);
        let served = matches!(reuse(wish(&Control::default(), false), &response, now), Reuse::Serve { .. });
        proptest::prop_assert_eq!(served, age + initial < life);
    }
}

#[test]
fn what_has_just_been_put_is_fresh_for_a_moment_but_not_for_those_who_ask_for_changes() {
    let young = stored(&[], &["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"]);
    let plain = Control::default();
    let asking = Wish { is_conditional: true, ..wish(&plain, false) };
    assert_eq!(reuse(wish(&plain, false), &young, start()), Reuse::Serve { ttl: 10 });
    assert_eq!(reuse(asking, &young, start()), Reuse::Validate(Why { fwd: "request", detail: "young" }));
    let explicit = stored(&[], &["Cache-Control: max-age=60"]);
    assert_eq!(reuse(asking, &explicit, start()), Reuse::Serve { ttl: 60 });
}
