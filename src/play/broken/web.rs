//! What goes wrong in HTTP.

use super::layer::{Seen, line, text};
use crate::transcript::matching::field;

/// Whether a line of a head is this field.
fn is_field(said: &[u8], wanted: &str) -> bool {
    field(said).is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The response without a field.
fn response_without(seen: &Seen, said: &[u8], name: &str) -> Vec<u8> {
    if seen.is_response_head && is_field(said, name) { Vec::new() } else { said.to_vec() }
}

/// The request without some fields.
fn request_without(seen: &Seen, said: &[u8], names: &[&str]) -> Vec<u8> {
    if seen.is_request_head && names.iter().any(|name| is_field(said, name)) { Vec::new() } else { said.to_vec() }
}

/// The request with another line in its head.
fn request_with(seen: &Seen, said: &[u8], added: &str) -> Vec<u8> {
    let ends = !seen.is_request_head && text(said).is_empty() && !seen.asked.is_empty() && said.ends_with(b"\n");
    if ends { [line(added), said.to_vec()].concat() } else { said.to_vec() }
}

pub(super) fn wrong_content_length(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if !seen.is_response_head || !is_field(said, "content-length") {
        return said.to_vec();
    }
    let length: u64 = field(said).and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or_default();
    line(format!("Content-Length: {}", length.saturating_sub(2)))
}

pub(super) fn two_hundred(_seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if said.starts_with(b"HTTP/1.") { line("HTTP/1.1 200 OK") } else { said.to_vec() }
}

pub(super) fn missing_date(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    response_without(seen, said, "date")
}

pub(super) fn missing_type(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    response_without(seen, said, "content-type")
}

pub(super) fn no_via(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    response_without(seen, said, "via")
}

pub(super) fn one_cookie(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_response_head && is_field(said, "set-cookie") { line("Set-Cookie: visitor=you; Path=/") } else { said.to_vec() }
}

pub(super) fn text_only(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_response_head { said.to_vec() } else { said.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }).collect() }
}

pub(super) fn body_in_304(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    let ends = !seen.is_response_head && text(said).is_empty() && seen.status == "304";
    if ends { [said, b"nothing new\r\n"].concat() } else { said.to_vec() }
}

pub(super) fn ignores_host(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.has_host || !seen.asked.ends_with(" HTTP/1.1") { said.to_vec() } else { request_with(seen, said, "Host: localhost") }
}

pub(super) fn head_with_body(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    match said.strip_prefix(b"HEAD ") {
        Some(rest) if seen.is_request_head => [b"GET ", rest].concat(),
        _ => said.to_vec(),
    }
}

pub(super) fn no_304(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    request_without(seen, said, &["if-none-match", "if-modified-since"])
}

pub(super) fn forgets_cookies(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    request_without(seen, said, &["cookie"])
}

pub(super) fn not_persistent(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    request_with(seen, said, "Connection: close")
}

pub(super) fn never_caches(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    request_with(seen, said, "Cache-Control: no-store, no-cache")
}

pub(super) fn leaks_hop_by_hop(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_request_head && is_field(said, "connection") { line("Connection: close") } else { said.to_vec() }
}

pub(super) fn keep_alive_mixed_up(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    let request = text(said);
    let words: Vec<_> = request.split(' ').collect();
    let [method, target, version] = words[..] else { return said.to_vec() };
    if !version.starts_with("HTTP/1.") {
        return said.to_vec();
    }
    let first = seen.first_target.get_or_insert_with(|| target.to_owned());
    line(format!("{method} {first} {version}"))
}
