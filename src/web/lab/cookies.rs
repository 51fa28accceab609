//! Cookies to play with (RFC 6265). They live below `/lab/`, apart from those that mean something.

use serde_json::json;

use super::{
    call::{Act, Call},
    inspect,
};
use crate::{
    http::{Fault, parse::is_token},
    web::{cookies, page},
};

const MAX_COOKIES: usize = 20;
/// Name and value together, in octets: browsers need to keep no more (RFC 6265, 6.1).
const COOKIE_OCTETS: usize = 4096;

pub(super) fn show(call: &Call) -> Result<Act, Fault> {
    let pairs = cookies::pairs(&call.request.head.fields);
    Ok(call.show(&json!({"cookies": inspect::map(&pairs)})).into())
}

pub(super) fn set(call: &Call) -> Result<Act, Fault> {
    let named = call.argument(0).zip(call.argument(1)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wanted: Vec<_> = named.into_iter().chain(call.query.iter().cloned()).collect();
    changed(call, &wanted, |name, value| format!("{name}={value}; Path=/lab; SameSite=Lax"))
}

/// An expiry in the past is how a server says it (RFC 6265, 3.1).
pub(super) fn delete(call: &Call) -> Result<Act, Fault> {
    changed(call, &call.query, |name, _| format!("{name}=; Path=/lab; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"))
}

fn changed(call: &Call, wanted: &[(String, String)], render: impl Fn(&str, &str) -> String) -> Result<Act, Fault> {
    if wanted.is_empty() || wanted.len() > MAX_COOKIES {
        return Err(Fault::bad(format!("from 1 to {MAX_COOKIES} cookies at a time, as `?name=value`"), "RFC 6265, 6.1"));
    }
    let fault = Fault::new(302, "this leads on to /lab/cookies", "RFC 9110, 15.4.3");
    let mut reply = page::refusal(&fault, call.request.audience()).with("Location", "/lab/cookies").with("Cache-Control", "no-store");
    for (name, value) in wanted {
        check(name, value)?;
        reply = reply.with_secret("Set-Cookie", &render(name, value));
    }
    Ok(reply.into())
}

/// What a cookie is made of (RFC 6265, 4.1.1). A `;` in a value would add an attribute, and the
/// names of the visitor's own cookies would make somebody else of whoever follows a link.
fn check(name: &str, value: &str) -> Result<(), Fault> {
    let bad = |what: String| Err(Fault::bad(what, "RFC 6265, 4.1.1"));
    let is_value = value.bytes().all(|octet| matches!(octet, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e));
    if !is_token(name.as_bytes()) {
        return bad(format!("`{name}` can't be the name of a cookie"));
    }
    if !is_value {
        return bad(format!(
            "the value of `{name}` holds what no cookie may: a blank, a quote, a comma, a semicolon, a backslash, a control or a letter outside ASCII"
        ));
    }
    if name.len() + value.len() > COOKIE_OCTETS {
        return bad(format!("the cookie `{name}` is longer than {COOKIE_OCTETS} octets"));
    }
    let is_ours = cookies::OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) || name.starts_with("__");
    if is_ours { bad(format!("the cookie `{name}` is the server's own")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_are_none() {
        assert_eq!(check("a", "b=c/d"), Ok(()));
        let long = "x".repeat(COOKIE_OCTETS);
        for (name, value) in [
            ("", "a"),
            ("a b", "c"),
            ("a", "b; Domain=x"),
            ("a", "ø"),
            ("visitor", "1"),
            ("Visitor", "1"),
            ("__Host-visitor", "1"),
            ("a", &long),
        ] {
            assert!(check(name, value).is_err(), "{name}={value}");
        }
    }
}
