//! What a part of a message is handed out as: pure.
//!
//! Its sender chose every octet, so nothing here has this server's origin: each answer is
//! sandboxed, its type is never guessed at (`nosniff`), and what is neither text nor a picture of a
//! well-known kind is for saving only.

use percent_encoding::utf8_percent_encode;

use super::{Disposition, address::SEGMENT, reading::Message};
use crate::{
    http::Fault,
    mail::mime::{file_name, tree::Part},
    web::{
        page,
        reply::{Body, Reply},
    },
};

/// For what is looked at by itself.
pub(super) const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";
/// For HTML in its frame: it has styles and embedded pictures, no scripts, no forms, no address of
/// its own choice, nothing of other servers; only our page may frame it.
const FRAME: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// Pictures that browsers show and that hold no scripts, as SVG does.
const PICTURES: [&str; 6] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif"];

impl Part {
    pub(super) fn is_picture(&self) -> bool {
        !self.is_composite && PICTURES.contains(&self.kind.media.as_str())
    }

    pub(super) fn is_html(&self) -> bool {
        !self.is_composite && self.kind.media == "text/html"
    }

    /// Text to be read in place, HTML included.
    pub(super) fn is_text(&self) -> bool {
        !self.is_composite && self.kind.media.starts_with("text/")
    }

    /// The address of the part, from that of its message.
    pub(super) fn address(&self, message: &str) -> String {
        format!("{message}/{}", self.number)
    }
}

pub(super) fn reply(message: &Message, number: &str, disposition: Disposition) -> Result<Reply, Fault> {
    let tree = message.tree.as_ref();
    let tree = tree.map_err(|why| Fault::new(404, format!("the message is not taken apart: {why}"), "RFC 9110, 15.5.5"))?;
    let part = tree.find(number);
    let part = part.ok_or_else(|| Fault::new(404, format!("the message has no part {number}"), "RFC 9110, 15.5.5"))?;
    let (kind, octets) = (&part.kind, || Body::Octets(part.octets(&message.octets).into_owned()));
    let text = |content_type| Reply::text(200, content_type, part.text(&message.octets));
    Ok(match disposition {
        Disposition::Rendered if part.is_html() => {
            let html = without_connections(&part.text(&message.octets));
            Reply::text(200, page::HTML, html).with("Content-Security-Policy", FRAME)
        }
        Disposition::Inline | Disposition::Rendered if part.is_text() || part.is_composite => {
            text(page::TEXT).with("Content-Security-Policy", SANDBOX)
        }
        Disposition::Inline | Disposition::Rendered if part.is_picture() => {
            let reply = Reply::new(200).with("Content-Type", &kind.media).with("Content-Security-Policy", SANDBOX);
            reply.with("Content-Disposition", content_disposition("inline", &part.file_name())).with_body(octets())
        }
        _ => download(Reply::new(200), media_type(&kind.media), &part.file_name()).with_body(octets()),
    })
}

/// Elements for which browsers connect, or may, before the policy forbids them to ask for anything:
/// `<link rel=preconnect>`, and frames. The connection alone tells the sender who reads this.
const CONNECTING: [&str; 8] = ["link", "iframe", "frame", "object", "embed", "portal", "fencedframe", "meta"];

/// HTML in which these are elements that nobody knows. For the browser's parser a `<` and the name
/// are one piece, in any case of letters: there is no other way to write them.
fn without_connections(html: &str) -> String {
    let mut shown = String::with_capacity(html.len());
    for (index, piece) in html.split('<').enumerate() {
        if index > 0 {
            shown.push('<');
        }
        if index > 0 && CONNECTING.iter().any(|name| begins_with(piece, name)) {
            shown.push_str("x-");
        }
        shown.push_str(piece);
    }
    shown
}

fn begins_with(piece: &str, name: &str) -> bool {
    piece.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
}

/// Says that this is for saving, and under which name.
pub(super) fn download(reply: Reply, media: &str, name: &str) -> Reply {
    let reply = reply.with("Content-Type", media).with("Content-Security-Policy", SANDBOX);
    reply.with("Content-Disposition", content_disposition("attachment", name))
}

/// The type that the sender named, where it is one.
fn media_type(media: &str) -> &str {
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c));
    match media.split_once('/') {
        Some((main, sub)) if is_token(main) && is_token(sub) && media.len() <= 127 => media,
        _ => "application/octet-stream",
    }
}

/// RFC 6266, 4.3: the name twice, for old clients without what they can't read. It was chosen by a
/// stranger, so no path is left in it.
fn content_disposition(kind: &str, name: &str) -> String {
    let name = file_name::safe(name).unwrap_or_else(|| "part.bin".into());
    let plain: String = name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' }).collect();
    match plain == name {
        true => format!("{kind}; filename=\"{plain}\""),
        false => format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, SEGMENT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_nothing_but_a_name() {
        for (name, expected) in [
            ("porch.jpg", "attachment; filename=\"porch.jpg\""),
            ("a b.txt", "attachment; filename=\"a b.txt\""),
            ("blåbær.txt", "attachment; filename=\"bl_b_r.txt\"; filename*=UTF-8''bl%C3%A5b%C3%A6r.txt"),
            ("a\"; filename=b.exe", "attachment; filename=\"a_; filename=b.exe\""),
            ("../../etc/passwd", "attachment; filename=\"passwd\""),
            ("a\r\nSet-Cookie: b", "attachment; filename=\"aSet-Cookie_ b\""),
            ("50%41.txt", "attachment; filename=\"50_41.txt\"; filename*=UTF-8''50%2541.txt"),
            ("\u{202e}gpj.exe", "attachment; filename=\"gpj.exe\""),
            ("..", "attachment; filename=\"part.bin\""),
        ] {
            assert_eq!(content_disposition("attachment", name), expected, "{name:?}");
        }
    }

    #[test]
    fn html_hints_at_no_connection() {
        let html = "<p>a<LinK rel=preconnect href=//evil.example><<link/></p><iFrame src=x></iframe><li><å";
        assert_eq!(
            without_connections(html),
            "<p>a<x-LinK rel=preconnect href=//evil.example><<x-link/></p><x-iFrame src=x></iframe><li><å"
        );
        assert_eq!(without_connections("link"), "link");
    }

    #[test]
    fn a_media_type_that_is_none_is_octets() {
        for media in ["", "text", "/", "a/b/c", "text/ht ml", "text/html;x=y", "a/\u{e5}", &format!("a/{}", "b".repeat(200))] {
            assert_eq!(media_type(media), "application/octet-stream", "{media}");
        }
        assert_eq!(media_type("application/vnd.ms-excel"), "application/vnd.ms-excel");
    }
}
