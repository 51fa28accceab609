//! Validators, freshness, and response fields of the client's choice.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{
    call::{Act, Call},
    inspect,
};
use crate::{
    http::{
        Fault,
        parse::is_token,
        validators::{self, EntityTag, Validators, Verdict, format_date},
    },
    web::{
        page,
        reply::{Body, Reply},
    },
};

/// A year, in seconds: more is the same as for ever (RFC 9111, 1.2.2).
const FRESH_SECS: u64 = 31_536_000;
/// How many fields a client may choose.
const MAX_FIELDS: usize = 50;

/// Something that has this entity tag and changes never: to try all of RFC 9110, 13 on.
pub(super) fn etag(call: &Call) -> Result<Act, Fault> {
    let text = call.argument(0).unwrap_or_default();
    let (is_weak, opaque) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
    let field = format!("{}\"{}\"", if is_weak { "W/" } else { "" }, opaque.trim_matches('"'));
    let tag = EntityTag::parse(field.as_bytes()).filter(|_| !field.contains(char::is_control));
    let tag = tag.ok_or_else(|| Fault::bad("an entity tag has no quotes, blanks or controls in it", "RFC 9110, 8.8.3"))?;
    let current = Validators { tag: Some(tag), modified: None };
    let value = json!({"etag": field, "method": call.request.head.method.as_str()});
    Ok(weighed(call, &current, |call| call.show_as(200, &value), |reply| reply.with("ETag", &field))?.into())
}

/// Something that is made anew every so many seconds and says so.
pub(super) fn cache(call: &Call) -> Result<Act, Fault> {
    let fresh = call.number(0, 0, 0..=FRESH_SECS)?;
    let now = call.request.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Without a number: the date of the examples in RFC 9110.
    let made = now.checked_rem(fresh).map_or(784_111_777, |since| now - since);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(made);
    let current = Validators { tag: Some(EntityTag::strong(format!("made-{made}"))), modified: Some(modified) };
    let tag = current.tag.as_ref().map(EntityTag::to_field).unwrap_or_default();
    let control = match call.argument(0) {
        Some(_) => format!("public, max-age={}", (made + fresh).saturating_sub(now)),
        None => "no-cache".to_owned(),
    };
    let value = json!({"made": format_date(modified), "fresh-for-seconds": fresh});
    let with_fields = |reply: Reply| reply.with("ETag", &tag).with("Last-Modified", format_date(modified)).with("Cache-Control", &control);
    Ok(weighed(call, &current, |call| call.show_as(200, &value), with_fields)?.into())
}

/// Answers as the preconditions have it.
fn weighed(
    call: &Call,
    current: &Validators,
    whole: impl Fn(&Call) -> Reply,
    with_fields: impl Fn(Reply) -> Reply,
) -> Result<Reply, Fault> {
    let head = &call.request.head;
    match validators::weigh(&head.method, &head.fields, Some(current), call.request.now) {
        Verdict::Proceed => Ok(with_fields(whole(call))),
        Verdict::NotModified => Ok(with_fields(Reply::new(304).with("Vary", "Accept"))),
        Verdict::Failed => {
            let tag = current.tag.as_ref().map(EntityTag::to_field).unwrap_or_default();
            Err(Fault::new(412, format!("the precondition does not hold: the entity tag is {tag}"), "RFC 9110, 13.1"))
        }
    }
}

/// Fields that frame the message or guard the browser are ours alone: with them a link could
/// split responses, plant a session in somebody's browser, let a page run or have the browser report
/// to or call on another host long afterwards.
const RESERVED: [&str; 20] = [
    "alt-svc",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-security-policy",
    "date",
    "keep-alive",
    "location",
    "nel",
    "refresh",
    "report-to",
    "server",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "clear-site-data",
    "x-content-type-options",
];

pub(super) fn response_headers(call: &Call) -> Result<Act, Fault> {
    if call.query.len() > MAX_FIELDS {
        return Err(Fault::bad(format!("more than {MAX_FIELDS} fields are asked for"), "RFC 9110, 5.4"));
    }
    let mut reply = Reply::new(200);
    for (name, value) in &call.query {
        check_field(name, value)?;
        reply = reply.with(name, value);
    }
    let octets = super::call::json(&inspect::map(&call.query)).into_bytes();
    if !call.query.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        reply = reply.with("Content-Type", "application/json");
    }
    // The media type is the client's to choose; if it is HTML, nothing on the page runs.
    let reply = reply.with("Content-Security-Policy", page::SANDBOX);
    Ok(reply.with_body(Body::Octets(octets)).into())
}

fn check_field(name: &str, value: &str) -> Result<(), Fault> {
    if !is_token(name.as_bytes()) {
        return Err(Fault::bad(format!("`{name}` is not the name of a field"), "RFC 9110, 5.1"));
    }
    if value.contains(char::is_control) {
        return Err(Fault::bad(format!("the value of `{name}` holds a control character, such as the end of a line"), "RFC 9110, 5.5"));
    }
    match RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        true => Err(Fault::bad(format!("the field `{name}` is the server's own"), "RFC 9110, 17")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_clients_choice() {
        assert_eq!(check_field("X-Mine", "any text, ø"), Ok(()));
        for (name, value) in [
            ("", "a"),
            ("a b", "c"),
            ("a:", "c"),
            ("X", "a\r\nSet-Cookie: b"),
            ("X", "a\u{85}b"),
            ("Set-Cookie", "a=b"),
            ("content-LENGTH", "0"),
        ] {
            assert_eq!(check_field(name, value).unwrap_err().status, 400, "{name}");
        }
    }
}
