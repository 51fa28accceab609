//! Compression towards slow clients (`proxy.compress`): which responses, and what their heads say
//! then. How their bodies go out is in [`super::outlet`].
//!
//! It is the last thing that happens to a response, after the cache: what is stored stays as it
//! came, and hits, misses and those who follow a fetch are treated alike. It transforms content
//! (RFC 9110, 7.7), so `no-transform` forbids it, and what is said of the octets as they came is
//! dropped or weakened.

use std::{borrow::Cow, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Proxy, entry::Stored, serving::Share};
use crate::http::{
    Fields, RequestHead, ResponseHead,
    coding::{Accepted, Coding},
    compressible::{Compressible, WORTHWHILE_OCTETS},
    lists,
};

/// Bodies that are compressed at a time: each encoder takes 1 to 4 MB. Beyond that, responses go
/// out as they are.
const MAX_ENCODERS: usize = 128;

/// Fields about the octets of the content as it came: digests, its length, and that parts of it
/// can be had.
const UNDONE: &[&str] = &["content-length", "accept-ranges", "content-md5", "content-digest", "repr-digest", "digest"];

/// What compression needs where it is switched on.
pub(crate) struct Compressor {
    types: Compressible,
    places: Arc<Semaphore>,
}

/// The right to compress one body.
pub(crate) struct Coder {
    pub coding: Coding,
    _place: OwnedSemaphorePermit,
}

/// A response as it goes to this client.
pub(super) struct Dressed<'a> {
    pub head: Cow<'a, ResponseHead>,
    pub coder: Option<Coder>,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor { types: Compressible::default(), places: Arc::new(Semaphore::new(MAX_ENCODERS)) }
    }
}

impl Compressor {
    /// `octets` is the length of the content, where it is known.
    fn dress<'a>(&self, asked: &RequestHead, head: &'a ResponseHead, octets: Option<u64>) -> Dressed<'a> {
        if head.status == 304 && shows_weakly(&asked.fields, &head.fields) {
            return Dressed { head: Cow::Owned(weakened(head.clone())), coder: None };
        }
        if !self.is_candidate(head, octets) {
            return Dressed { head: Cow::Borrowed(head), coder: None };
        }
        match wanted(asked).and_then(|coding| self.coder(coding)) {
            Some(coder) => Dressed { head: Cow::Owned(coded(head, coder.coding)), coder: Some(coder) },
            None => Dressed { head: Cow::Owned(varied(head.clone())), coder: None },
        }
    }

    /// Whether a response is compressed for whoever wants that.
    fn is_candidate(&self, head: &ResponseHead, octets: Option<u64>) -> bool {
        let fields = &head.fields;
        // Trailers may say something of the octets as they came.
        let is_plain = !["content-encoding", "content-range", "trailer"].iter().any(|name| fields.contains(name));
        head.status == 200
            && is_plain
            && octets.is_none_or(|octets| octets >= WORTHWHILE_OCTETS)
            && fields.get("content-type").is_some_and(|content_type| self.types.holds(content_type))
            && !forbids_transforming(fields)
    }

    fn coder(&self, coding: Coding) -> Option<Coder> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Coder { coding, _place: place })
    }
}

impl Proxy {
    /// A response of the origin as it goes to this client.
    pub(super) fn dress<'a>(&self, asked: &RequestHead, head: &'a ResponseHead, octets: Option<u64>) -> Dressed<'a> {
        match &self.compressor {
            Some(compressor) => compressor.dress(asked, head, octets),
            None => Dressed { head: Cow::Borrowed(head), coder: None },
        }
    }

    /// A stored response, where it goes to this client under another head, and the share of it.
    pub(super) fn dress_stored(&self, asked: &RequestHead, stored: &Stored, share: Share) -> (Option<Box<Stored>>, Share, Option<Coder>) {
        let Dressed { head, coder } = self.dress(asked, &stored.head, stored.complete_octets());
        let dressed = match head {
            Cow::Owned(head) => Some(Box::new(stored.with_head(head))),
            Cow::Borrowed(_) => None,
        };
        match (share, coder) {
            (Share::Whole, Some(coder)) => (dressed, Share::Coded, Some(coder)),
            (share, _) => (dressed, share, None),
        }
    }
}

/// The coding that a client wants most. Ranges are those of the original: whoever asks for one gets
/// that, whole or in part.
fn wanted(asked: &RequestHead) -> Option<Coding> {
    if asked.fields.contains("range") || forbids_transforming(&asked.fields) {
        return None;
    }
    Accepted::of(&asked.fields).preferred(&Coding::ALL).first().map(|(_, coding)| *coding)
}

/// `no-transform`, in a response or in a request (RFC 9111, 5.2.2.6 and 5.2.1.6).
fn forbids_transforming(fields: &Fields) -> bool {
    lists::contains_token(fields.get_all("cache-control"), "no-transform")
}

/// The head of the compressed form.
fn coded(head: &ResponseHead, coding: Coding) -> ResponseHead {
    let mut head = weakened(head.clone());
    UNDONE.iter().for_each(|name| head.fields.remove(name));
    head.fields.push("Content-Encoding", coding.name());
    head
}

/// With the tag weakened: a strong one names the very octets, which are others in each form
/// (RFC 9110, 8.8.1).
fn weakened(head: ResponseHead) -> ResponseHead {
    let mut head = varied(head);
    if let Some(tag) = head.fields.get("etag").filter(|tag| !tag.starts_with(b"W/")).map(|tag| [b"W/", tag].concat()) {
        head.fields.set("ETag", tag);
    }
    head
}

/// Caches on the way must know that others get it in another form (RFC 9110, 12.5.5).
fn varied(mut head: ResponseHead) -> ResponseHead {
    let names: Vec<&[u8]> = head.fields.get_all("vary").flat_map(lists::elements).collect();
    if !names.iter().any(|name| *name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")) {
        let all = [names, vec![b"Accept-Encoding"]].concat().join(&b", "[..]);
        head.fields.set("Vary", all);
    }
    head
}

/// Whether the client shows, weakened, the tag of a 304: then that is how it must be told, or it
/// would not know what it has again (RFC 9111, 4.3.4).
fn shows_weakly(asked: &Fields, answer: &Fields) -> bool {
    let is_it = |shown: &[u8]| shown.strip_prefix(b"W/").is_some_and(|opaque| answer.get("etag") == Some(opaque));
    asked.get_all("if-none-match").flat_map(lists::elements).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{self, LineEnds};

    fn request(fields: &str) -> RequestHead {
        let text = format!("GET http://a.test/ HTTP/1.1\nHost: a.test\n{fields}\n").replace('\n', "\r\n");
        parse::request(text.as_bytes(), LineEnds::CrLf).unwrap()
    }

    fn response(fields: &str) -> ResponseHead {
        parse::response(format!("HTTP/1.1 200 OK\n{fields}\n").replace('\n', "\r\n").as_bytes(), LineEnds::CrLf).unwrap()
    }

    fn coding(asked: &str, head: &ResponseHead, octets: Option<u64>) -> Option<Coding> {
        Compressor::default().dress(&request(asked), head, octets).coder.map(|coder| coder.coding)
    }

    #[test]
    fn which_responses_are_compressed_and_for_whom() {
        let gzip = "Accept-Encoding: gzip\n";
        for (asked, fields, octets, expected) in [
            (gzip, "Content-Type: text/html\n", None, Some(Coding::Gzip)),
            (gzip, "Content-Type: text/html\n", Some(1024), Some(Coding::Gzip)),
            (gzip, "Content-Type: text/html\n", Some(1023), None),
            (gzip, "Content-Type: image/png\n", None, None),
            (gzip, "", None, None),
            (gzip, "Content-Type: text/html\nContent-Encoding: br\n", None, None),
            (gzip, "Content-Type: text/html\nCache-Control: max-age=5, No-Transform\n", None, None),
            ("Accept-Encoding: gzip;q=0.5, zstd, br;q=0\n", "Content-Type: text/html\n", None, Some(Coding::Zstd)),
            ("Accept-Encoding: identity, gzip;q=0.5\n", "Content-Type: text/html\n", None, None),
            ("", "Content-Type: text/html\n", None, None),
            ("Accept-Encoding: gzip\nRange: bytes=0-\n", "Content-Type: text/html\n", None, None),
            ("Accept-Encoding: gzip\nCache-Control: no-transform\n", "Content-Type: text/html\n", None, None),
        ] {
            assert_eq!(coding(asked, &response(fields), octets), expected, "{asked} {fields} {octets:?}");
        }
        let partial = ResponseHead { status: 206, ..response("Content-Type: text/html\n") };
        assert_eq!(coding(gzip, &partial, None), None);
    }

    #[test]
    fn what_is_said_of_the_octets_goes() {
        let fields =
            "Content-Type: text/html\nContent-Length: 5000\nAccept-Ranges: bytes\nETag: \"1\"\nDigest: x\nContent-MD5: y\nVary: Cookie\n";
        let head = coded(&response(fields), Coding::Br);
        let mut out = Vec::new();
        head.fields.write_to(&mut out);
        let text = "Content-Type: text/html\r\nVary: Cookie, Accept-Encoding\r\nETag: W/\"1\"\r\nContent-Encoding: br\r\n";
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(std::str::from_utf8(&out).unwrap()), sorted(text));
    }

    #[test]
    fn weak_tags_and_full_vary_stay() {
        let fields = "ETag: W/\"1\"\nVary: accept-encoding\n";
        assert_eq!(weakened(response(fields)), response(fields));
        assert_eq!(varied(response("Vary: *\n")), response("Vary: *\n"));
    }

    #[test]
    fn a_304_names_what_the_client_has() {
        let compressor = Compressor::default();
        let answer = ResponseHead { status: 304, ..response("ETag: \"1\"\n") };
        let tag = |asked: &str| compressor.dress(&request(asked), &answer, None).head.fields.text("etag").map(str::to_owned);
        assert_eq!(tag("If-None-Match: \"2\", W/\"1\"\n").as_deref(), Some("W/\"1\""));
        assert_eq!(tag("If-None-Match: \"1\"\n").as_deref(), Some("\"1\""));
    }

    #[test]
    fn without_a_place_it_goes_out_as_it_is() {
        let compressor = Compressor { places: Arc::new(Semaphore::new(1)), ..Compressor::default() };
        let (asked, head) = (request("Accept-Encoding: gzip\n"), response("Content-Type: text/html\nETag: \"1\"\n"));
        let first = compressor.dress(&asked, &head, None);
        let second = compressor.dress(&asked, &head, None);
        assert!(first.coder.is_some() && second.coder.is_none());
        assert_eq!(second.head.fields.text("etag"), Some("\"1\""));
        drop(first);
        assert!(compressor.dress(&asked, &head, None).coder.is_some());
    }
}
