//! The lab's form: what a browser sends with GET and with POST, in each of the codings that forms
//! have, shown as it came in.

use maud::{Markup, html};
use percent_encoding::percent_decode;
use serde_json::json;

use super::{
    Web,
    audience::Audience,
    body::RequestBody,
    files, page,
    reply::{Halt, Reply},
    request::{FORM, Request},
    sent::{Sent, SentFile, Taking, Trouble},
};
use crate::{
    http::{Fault, multipart::boundary},
    net::{Conn, escape::escape},
    store::VirtualPath,
};

/// The largest form without files that is taken, in octets.
const FORM_OCTETS: u64 = 64 * 1024;
/// More pairs than this are not shown.
const MAX_PAIRS: usize = 1000;

impl Web {
    /// The empty form; beneath it what the query says, if it says anything.
    pub(super) fn show_form(&self, request: &Request) -> Result<Reply, Fault> {
        self.check_lab(request)?;
        Ok(match request.head.target.query() {
            Some(query) => {
                let sent = Sent { fields: pairs(query.as_bytes()), files: Vec::new() };
                show(request, "the query of the target", Some(query.as_bytes()), &sent)
            }
            None => page::reply(200, "A form", form()),
        })
    }

    pub(super) async fn echo_form(&self, conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Reply, Halt> {
        self.check_lab(request)?;
        if let Some(boundary) = boundary(content_type(request))? {
            let sent = self.take_parts(conn, body, &boundary).await?;
            return Ok(show(request, "the parts of the body", None, &sent));
        }
        let octets = urlencoded(conn, request, body).await?;
        let sent = Sent { fields: pairs(&octets), files: Vec::new() };
        Ok(show(request, "the body of the request", Some(&octets), &sent))
    }

    /// Takes in a form with files: these go to the disk, and are gone when they have been looked at.
    async fn take_parts(&self, conn: &mut Conn, body: &mut RequestBody, boundary: &str) -> Result<Sent, Halt> {
        body.limit(self.deps.settings.max_form.0);
        let make_spool = || self.deps.mail.spool();
        let mut taking = Taking::new(boundary, &make_spool);
        while let Some(octets) = body.next(conn).await? {
            taking.take(&octets).map_err(refusal)?;
        }
        taking.finish().map_err(refusal)
    }
}

fn refusal(trouble: Trouble) -> Halt {
    match trouble {
        Trouble::Form(fault) => fault.into(),
        Trouble::Store(error) => files::refusal(error, &VirtualPath::root()).into(),
    }
}

fn content_type(request: &Request) -> &str {
    request.head.fields.text("content-type").unwrap_or_default()
}

/// The body of a POST in the form's own coding.
pub(super) async fn urlencoded(conn: &mut Conn, request: &Request, body: &mut RequestBody) -> Result<Vec<u8>, Halt> {
    if !is_urlencoded(content_type(request)) {
        let what = "a form's Content-Type is application/x-www-form-urlencoded, or multipart/form-data where it has files";
        return Err(Fault::new(415, what, "RFC 9110, 15.5.16").into());
    }
    body.collect(conn, FORM_OCTETS).await
}

pub(super) fn is_urlencoded(content_type: &str) -> bool {
    let media_type = content_type.parse::<mime::Mime>();
    media_type.is_ok_and(|media_type| media_type.essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED)
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

/// A digest as people compare it.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn show(request: &Request, place: &str, raw: Option<&[u8]>, sent: &Sent) -> Reply {
    let reply = match request.audience() {
        Audience::Browser => page::reply(200, "What the form sent", as_page(request, place, raw, sent)),
        Audience::Program => Reply::text(200, "application/json", as_json(sent)),
        Audience::Anybody => Reply::text(200, page::TEXT, as_text(sent)),
    };
    reply.with("Cache-Control", "no-store").with("Vary", "Accept")
}

fn as_text(sent: &Sent) -> String {
    let fields = sent.fields.iter().map(|(name, value)| format!("{} = {}\n", escape(name), escape(value)));
    let files = sent.files.iter().map(|file| {
        let SentFile { field, name, media_type, octets, sha256, .. } = file;
        format!("{} = file {name}, {}, {octets} octets, sha256 {sha256}\n", escape(field), escape(media_type))
    });
    fields.chain(files).collect()
}

fn as_json(sent: &Sent) -> String {
    let fields: Vec<_> = sent.fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let file = |file: &SentFile| json!({"name": file.field, "filename": file.name, "type": file.media_type, "octets": file.octets, "sha256": file.sha256});
    let files: Vec<_> = sent.files.iter().map(file).collect();
    format!("{:#}\n", json!({"fields": fields, "files": files}))
}

fn as_page(request: &Request, place: &str, raw: Option<&[u8]>, sent: &Sent) -> Markup {
    html! {
        p { "With " b { (request.head.method.as_str()) } " a browser puts a form into " b { (place) } ". This came:" }
        @if let Some(raw) = raw { pre { (escape(raw)) } }
        table {
            tr { th { "name" } th { "value" } }
            @for (name, value) in &sent.fields { tr { td { (name) } td { (value) } } }
        }
        @for file in &sent.files {
            h2 { "File " (file.name) }
            table {
                tr { th { "field" } td { (file.field) } }
                tr { th { "type" } td { (file.media_type) } }
                tr { th { "octets" } td { (file.octets) } }
                tr { th { "SHA-256" } td { code { (file.sha256) } } }
                tr { th { "begins" } td { code { (file.text) } } }
            }
        }
        (form())
    }
}

fn form() -> Markup {
    let codings = [
        ("get", "", "In the target, with GET"),
        ("post", "application/x-www-form-urlencoded", "In the body, with POST"),
        ("post", "multipart/form-data", "In parts, with files"),
    ];
    html! {
        @for (method, coding, title) in codings {
            h2 { (title) }
            form action=(FORM) method=(method) enctype=[(!coding.is_empty()).then_some(coding)] {
                label { "Animal " input name="animal" value="monkeys"; }
                @if coding.starts_with("multipart") { label { "File " input type="file" name="file" multiple; } }
                @else { label { "Fruit " input name="fruit" value="banana"; } }
                button { "Send with " (method.to_uppercase()) }
            }
        }
        p { "Then do it by hand:" }
        pre { "curl -d 'animal=monkeys&fruit=banana' http://localhost:8080" (FORM) "\ncurl -F animal=monkeys -F file=@photo.jpg http://localhost:8080" (FORM) }
        p.quiet { "Files are weighed, digested and thrown away." }
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
