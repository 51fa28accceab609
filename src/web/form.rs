//! The lab's form: what a browser sends with GET and with POST, shown as it came in.

use maud::{Markup, html};
use percent_encoding::percent_decode;

use super::{
    Web,
    audience::Audience,
    body::RequestBody,
    page,
    reply::{Halt, Reply},
    request::{FORM, Request},
};
use crate::{
    http::Fault,
    net::{Conn, escape::escape},
};

/// The largest form that is taken, in octets.
pub(super) const FORM_OCTETS: u64 = 64 * 1024;
/// More pairs than this are not shown.
const MAX_PAIRS: usize = 200;

impl Web {
    /// The empty form; beneath it what the query says, if it says anything.
    pub(super) fn show_form(&self, request: &Request) -> Reply {
        match request.head.target.query() {
            Some(query) => echo(request, "the query of the target", query.as_bytes()),
            None => page::reply(200, "A form", form()),
        }
    }

    pub(super) async fn echo_form(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        Ok(echo(request, "the body of the request", &urlencoded(conn, request, body).await?))
    }
}

/// The body of a POST in the form's own coding.
pub(super) async fn urlencoded(conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, Halt> {
    let said = request.head.fields.get("content-type").and_then(|value| std::str::from_utf8(value).ok());
    let media_type = said.and_then(|text| text.parse::<mime::Mime>().ok());
    if media_type.is_none_or(|media_type| media_type.essence_str() != mime::APPLICATION_WWW_FORM_URLENCODED) {
        return Err(Fault::new(415, "a form's Content-Type is application/x-www-form-urlencoded", "RFC 9110, 15.5.16").into());
    }
    body.collect(conn, FORM_OCTETS).await
}

/// `name=value&name=value`, with `+` for blanks.
pub(crate) fn pairs(octets: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &[u8]| {
        let blanks: Vec<u8> = part.iter().map(|octet| if *octet == b'+' { b' ' } else { *octet }).collect();
        percent_decode(&blanks).decode_utf8_lossy().into_owned()
    };
    let pair = |part: &[u8]| match memchr::memchr(b'=', part) {
        Some(at) => (decode(&part[..at]), decode(&part[at + 1..])),
        None => (decode(part), String::new()),
    };
    octets.split(|octet| *octet == b'&').filter(|part| !part.is_empty()).take(MAX_PAIRS).map(pair).collect()
}

fn echo(request: &Request, place: &str, octets: &[u8]) -> Reply {
    let pairs = pairs(octets);
    if request.audience() != Audience::Browser {
        let lines: String = pairs.iter().map(|(name, value)| format!("{} = {}\n", escape(name), escape(value))).collect();
        return Reply::text(200, "text/plain; charset=utf-8", lines);
    }
    let content = html! {
        p { "With " b { (request.head.method.as_str()) } " a browser puts a form into " b { (place) } ". This came:" }
        pre { (escape(octets)) }
        table {
            tr { th { "name" } th { "value" } }
            @for (name, value) in &pairs { tr { td { (name) } td { (value) } } }
        }
        (form())
    };
    page::reply(200, "What the form sent", content)
}

fn form() -> Markup {
    html! {
        @for (method, title) in [("get", "In the target, with GET"), ("post", "In the body, with POST")] {
            h2 { (title) }
            form action=(FORM) method=(method) {
                label { "Animal " input name="animal" value="monkeys"; }
                label { "Fruit " input name="fruit" value="banana"; }
                button { "Send with " (method.to_uppercase()) }
            }
        }
        p { "Then do it by hand: " code { "curl -d 'animal=monkeys&fruit=banana' http://localhost:8080" (FORM) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let expected = [("animal", "monkeys"), ("a b", "ø=1"), ("only", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(pairs(b"animal=monkeys&a+b=%C3%B8=1&&only"), expected);
        assert_eq!(pairs(b"%ff=%zz"), [("\u{fffd}".to_owned(), "%zz".to_owned())]);
    }
}
