//! What was asked: the request, shown back.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::html;
use serde_json::{Map, Value, json};

use super::call::{Act, Call, Received};
use crate::{
    http::{Fault, Fields, Form},
    net::escape::escape,
    web::{
        audience::Audience,
        cookies, form,
        reply::{Body, Reply},
        sent::{self, Sent, SentFile},
    },
};

/// The octets of head and body as they were received. As `message/http` no browser shows them as
/// anything but text (RFC 9112, 10.1).
pub(super) fn echo(call: &Call) -> Result<Act, Fault> {
    let octets = [&call.request.wire, &call.body.wire[..]].concat();
    Ok(match call.request.audience() {
        Audience::Browser => call.page_with(&html! { pre { (lines(&octets)) } }),
        _ => {
            let reply = Reply::new(200).with("Content-Type", "message/http").with("Cache-Control", "no-store").with("Vary", "Accept");
            reply.with_body(Body::Octets(octets))
        }
    }
    .into())
}

/// Escaped line by line, with the line ends that were there.
fn lines(octets: &[u8]) -> String {
    octets.split_inclusive(|octet| *octet == b'\n').map(|line| format!("{}\n", escape(line))).collect()
}

pub(super) fn request(call: &Call) -> Result<Act, Fault> {
    let head = &call.request.head;
    let target = &head.target;
    let form = match target.form() {
        Form::Origin => "origin-form",
        Form::Absolute => "absolute-form",
        Form::Authority => "authority-form",
        Form::Asterisk => "asterisk-form",
    };
    let tls = call.wire.tls.as_ref().map(|tls| {
        json!({"version": tls.version, "cipher": tls.cipher, "server-name": tls.server_name, "alpn": tls.alpn, "resumed": tls.resumes.is_some()})
    });
    let value = json!({
        "method": head.method.as_str(),
        "target": target.as_str(),
        "version": version(&call.request.wire),
        "form-of-target": form,
        "url": call.url(),
        "path": target.path(),
        "query": rows(&call.query),
        "fields": fields(&head.fields),
        "cookies": rows(&cookies::pairs(&head.fields)),
        "form": sent(call).map(|sent| rows(&sent.fields)),
        "files": sent(call).map(|sent| files(&sent)),
        "body": body(&call.body),
        "connection": {
            "number": call.wire.conn,
            "client": call.wire.client.to_string(),
            "server": call.wire.server.to_string(),
            "tls": tls,
        },
    });
    Ok(call.show(&value).into())
}

/// The version as it was written: the parser reads 1.2 as 1.1.
fn version(head: &[u8]) -> String {
    let line = head.trim_ascii_start().split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii_end();
    escape(line.rsplit(|octet| *octet == b' ').next().unwrap_or_default())
}

/// Names may stand there twice, so that it is no map.
fn rows(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn fields(fields: &Fields) -> Value {
    fields.iter().map(|(name, value)| json!({"name": text(name), "value": text(value)})).collect()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn body(body: &Received) -> Value {
    if body.octets == 0 {
        return Value::Null;
    }
    let mut shown = Map::new();
    shown.insert("octets".into(), body.octets.into());
    shown.insert("sha256".into(), form::hex(&body.digest).into());
    match std::str::from_utf8(&body.content) {
        Ok(text) => shown.insert("text".into(), text.into()),
        Err(_) => shown.insert("base64".into(), STANDARD.encode(&body.content).into()),
    };
    shown.insert("all-shown".into(), body.is_whole().into());
    shown.insert("trailers".into(), fields(&body.trailers));
    Value::Object(shown)
}

/// What a form sent, where the body is one and small enough.
fn sent(call: &Call) -> Option<Sent> {
    let content_type = call.request.head.fields.text("content-type")?;
    call.body.is_whole().then(|| sent::read(content_type, &call.body.content)).flatten()
}

fn files(sent: &Sent) -> Value {
    let file = |file: &SentFile| json!({"name": file.field, "filename": file.name, "type": file.media_type, "octets": file.octets, "sha256": file.sha256});
    sent.files.iter().map(file).collect()
}

/// The shape in which httpbin answers: several values of one name are a list.
pub(super) fn anything(call: &Call) -> Result<Act, Fault> {
    let content = &call.body.content;
    let sent = sent(call).unwrap_or_default();
    let files: Vec<_> = sent.files.iter().map(|file| (file.field.clone(), file.text.clone())).collect();
    let is_form = !sent.fields.is_empty() || !files.is_empty();
    let value = json!({
        "method": call.request.head.method.as_str(),
        "url": call.url(),
        "args": map(&call.query),
        "headers": map(&field_pairs(&call.request.head.fields)),
        "form": map(&sent.fields),
        "files": map(&files),
        "data": if is_form { String::new() } else { text(content) },
        "json": serde_json::from_slice::<Value>(content).ok().filter(|_| !content.is_empty()),
        "origin": call.request.peer.to_canonical().to_string(),
    });
    Ok(call.show(&value).into())
}

pub(super) fn headers(call: &Call) -> Result<Act, Fault> {
    Ok(call.show(&json!({"headers": map(&field_pairs(&call.request.head.fields))})).into())
}

pub(super) fn ip(call: &Call) -> Result<Act, Fault> {
    Ok(call.show(&json!({"origin": call.request.peer.to_canonical().to_string()})).into())
}

pub(super) fn user_agent(call: &Call) -> Result<Act, Fault> {
    Ok(call.show(&json!({"user-agent": call.request.head.fields.get("user-agent").map(text)})).into())
}

fn field_pairs(fields: &Fields) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

pub(super) fn map(pairs: &[(String, String)]) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        match map.get_mut(name) {
            None => drop(map.insert(name.clone(), value.as_str().into())),
            Some(Value::Array(values)) => values.push(value.as_str().into()),
            Some(one) => *one = json!([one.clone(), value]),
        }
    }
    Value::Object(map)
}

/// The request as a small document, for those who only want something to encode.
pub(super) fn summary(call: &Call, coding: &str) -> String {
    let value = json!({
        "coding": coding,
        "method": call.request.head.method.as_str(),
        "origin": call.request.peer.to_canonical().to_string(),
        "headers": map(&field_pairs(&call.request.head.fields)),
    });
    super::call::json(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_of_one_name_are_a_list() {
        let pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(map(&pairs), json!({"a": ["1", "3", "4"], "b": "2"}));
    }

    #[test]
    fn versions_are_shown_as_written() {
        assert_eq!(version(b"\r\nGET / HTTP/1.9\r\n\r\n"), "HTTP/1.9");
        assert_eq!(version(b"GET / HTTP/1.0\n\n"), "HTTP/1.0");
    }
}
