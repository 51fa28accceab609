//! Content of given kinds and sizes.

use std::ops::Range;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use maud::html;
use rand::random;

use super::{
    call::{Act, Call},
    timing::streamed,
};
use crate::{
    http::{
        Fault, lists,
        range::content_range,
        validators::{EntityTag, Validators},
    },
    web::{
        answer::{self, Plan},
        page,
        reply::{Body, Reply},
        stream::{Piece, Stream},
    },
};

/// What is made on request at most, in octets: enough to measure with, and made in constant memory.
const MADE_OCTETS: u64 = 1_000_000_000;
/// What is made at a time, in octets.
const PIECE_OCTETS: u64 = 32 * 1024;
const MAX_LINKS: u32 = 200;
/// The alphabet that can stand in a path; padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);

/// Octets by their place alone, so that any part of them can be made.
type Maker = fn(seed: u64, at: u64, octets: u64) -> Vec<u8>;

pub(super) fn bytes(call: &Call) -> Result<Act, Fault> {
    let octets = call.number(0, 1024, 0..=MADE_OCTETS)?;
    let seed = call.asked_number(&["seed"], 0, 0..=u64::MAX)?;
    made(call, octets, seed, "application/octet-stream", noise)
}

pub(super) fn range(call: &Call) -> Result<Act, Fault> {
    let octets = call.number(0, 1024, 0..=MADE_OCTETS)?;
    made(call, octets, 0, page::TEXT, |_, at, octets| alphabet(at, octets))
}

/// A representation that is never there as a whole, with everything that a file has.
fn made(call: &Call, octets: u64, seed: u64, content_type: &str, make: Maker) -> Result<Act, Fault> {
    let head = &call.request.head;
    let tag = EntityTag::strong(format!("{}-{octets}-{seed}", call.exhibit.name));
    let field = tag.to_field();
    let current = Validators { tag: Some(tag), modified: None };
    let (status, part) = match answer::plan(head, &current, octets, call.request.now) {
        // Several parts at once may be answered with the whole (RFC 9110, 14.2).
        Plan::Whole | Plan::Parts(_) => (200, 0..octets),
        Plan::Part(part) => (206, part),
        Plan::NotModified => return Ok(Reply::new(304).with("ETag", field).into()),
        Plan::Failed => return Err(Fault::new(412, format!("the entity tag is {field}"), "RFC 9110, 13.1")),
        Plan::Unsatisfiable => {
            let fault = Fault::new(416, format!("the range begins beyond the end: there are {octets} octets"), "RFC 9110, 15.5.17");
            return Ok(page::refusal(&fault, call.request.audience()).with("Content-Range", format!("bytes */{octets}")).into());
        }
    };
    let mut reply = Reply::new(status).with("Content-Type", content_type).with("ETag", field).with("Accept-Ranges", "bytes");
    if status == 206 {
        reply = reply.with("Content-Range", content_range(&part, octets));
    }
    let length = part.end - part.start;
    let stream = Stream::new(pieces(part, seed, PIECE_OCTETS, make)).with_length(length);
    Ok(reply.with_body(Body::Stream(Box::new(stream))).into())
}

fn pieces(part: Range<u64>, seed: u64, size: u64, make: Maker) -> impl Iterator<Item = Piece> + Send {
    let mut at = part.start;
    std::iter::from_fn(move || {
        let octets = size.min(part.end - at);
        at += octets;
        (octets > 0).then(|| Piece::Octets(make(seed, at - octets, octets)))
    })
}

pub(super) fn stream_bytes(call: &Call) -> Result<Act, Fault> {
    let octets = call.number(0, 1024, 0..=MADE_OCTETS)?;
    let seed = call.asked_number(&["seed"], 0, 0..=u64::MAX)?;
    let size = call.asked_number(&["chunk_size", "size"], PIECE_OCTETS, 1..=PIECE_OCTETS)?;
    Ok(streamed(200, "application/octet-stream", Stream::new(pieces(0..octets, seed, size, noise))).into())
}

/// `abc...xyzabc...`, from octet `at` on.
pub(super) fn alphabet(at: u64, octets: u64) -> Vec<u8> {
    (at..at + octets).map(|at| b'a' + (at % 26) as u8).collect()
}

/// Octets that look random and can be made from any place on.
fn noise(seed: u64, at: u64, octets: u64) -> Vec<u8> {
    let (first, last) = (at / 8, (at + octets).div_ceil(8));
    let words = (first..last).flat_map(|word| mixed(seed, word).to_le_bytes());
    words.skip((at % 8) as usize).take(octets as usize).collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014), a generator whose state is a counter.
fn mixed(seed: u64, word: u64) -> u64 {
    let state = seed.wrapping_add((word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

pub(super) fn json(_: &Call) -> Result<Act, Fault> {
    Ok(Reply::text(200, "application/json", include_str!("samples/sample.json").into()).into())
}

pub(super) fn xml(_: &Call) -> Result<Act, Fault> {
    Ok(Reply::text(200, "application/xml", include_str!("samples/sample.xml").into()).into())
}

pub(super) fn html(_: &Call) -> Result<Act, Fault> {
    Ok(page::bare(200, include_str!("samples/sample.html")).into())
}

pub(super) fn utf8(_: &Call) -> Result<Act, Fault> {
    Ok(Reply::text(200, page::TEXT, include_str!("samples/utf8.txt").into()).into())
}

/// The pictures, in the order in which they are given away where the client doesn't mind.
const PICTURES: [(&str, &str, &[u8]); 3] = [
    ("png", "image/png", include_bytes!("samples/porch.png")),
    ("jpeg", "image/jpeg", include_bytes!("samples/porch.jpg")),
    ("svg", "image/svg+xml", include_bytes!("samples/porch.svg")),
];

pub(super) fn image(call: &Call) -> Result<Act, Fault> {
    let found = match call.argument(0) {
        Some(kind) => PICTURES.iter().find(|(name, ..)| *name == kind),
        None => preferred_picture(call),
    };
    let (_, media_type, octets) = found.ok_or_else(|| match call.argument(0) {
        Some(kind) => Fault::new(404, format!("there is no picture of the kind `{kind}`: take png, jpeg or svg"), "RFC 9110, 15.5.5"),
        None => Fault::new(406, "there are pictures in PNG, JPEG and SVG, none of which `Accept` wants", "RFC 9110, 15.5.7"),
    })?;
    // A picture may carry scripts when it is opened by itself.
    let reply = Reply::new(200).with("Content-Type", media_type).with("Content-Security-Policy", page::SANDBOX).with("Vary", "Accept");
    Ok(reply.with_body(Body::Octets(octets.to_vec())).into())
}

/// The best one by `Accept`: a type by name outranks `image/*`, which outranks `*/*` (RFC 9110,
/// 12.5.1).
fn preferred_picture(call: &Call) -> Option<&'static (&'static str, &'static str, &'static [u8])> {
    let fields = &call.request.head.fields;
    if !fields.contains("accept") {
        return PICTURES.first();
    }
    let wishes = lists::weighted(fields.get_all("accept"));
    let quality = |media_type: &str| {
        let of = |name: &str| wishes.iter().find(|wish| wish.name == name).map(|wish| wish.quality);
        of(media_type).or_else(|| of("image/*")).or_else(|| of("*/*")).unwrap_or(0)
    };
    let best = PICTURES.iter().rev().max_by_key(|(_, media_type, _)| quality(media_type))?;
    (quality(best.1) > 0).then_some(best)
}

/// Version 4: 122 random bits (RFC 9562, 5.4).
pub(super) fn uuid(call: &Call) -> Result<Act, Fault> {
    let bits = (random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Ok(call.show(&serde_json::json!({"uuid": uuid})).into())
}

/// Whatever comes out is shown as text and as nothing else.
pub(super) fn base64_decode(call: &Call) -> Result<Act, Fault> {
    let text = call.argument(0).unwrap_or_default().replace('+', "-").replace('/', "_");
    let octets = BASE64.decode(text).map_err(|error| Fault::bad(format!("this is not base64: {error}"), "RFC 4648, 5"))?;
    let reply = Reply::new(200).with("Content-Type", page::TEXT).with("Content-Security-Policy", page::SANDBOX);
    Ok(reply.with_body(Body::Octets(octets)).into())
}

pub(super) fn base64_encode(call: &Call) -> Result<Act, Fault> {
    Ok(Reply::text(200, page::TEXT, format!("{}\n", BASE64.encode(call.argument(0).unwrap_or_default()))).into())
}

pub(super) fn links(call: &Call) -> Result<Act, Fault> {
    let count = call.number(0, 10, 1..=MAX_LINKS)?;
    let here = call.number(1, 0, 0..=count - 1)?;
    let content = html! {
        p {
            @for at in 0..count {
                @if at == here { b { (at) } } @else { a href={ "/lab/links/" (count) "/" (at) } { (at) } }
                " "
            }
        }
    };
    Ok(page::reply(200, "Links", content).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_the_same_as_in_the_whole() {
        let whole = noise(7, 0, 100);
        for at in 0..100 {
            for octets in [0, 1, 7, 8, 9] {
                let end = (at + octets).min(100);
                assert_eq!(noise(7, at, end - at), whole[at as usize..end as usize], "{at}+{octets}");
            }
        }
        assert_ne!(noise(8, 0, 8), noise(7, 0, 8));
        assert_eq!(alphabet(24, 4), b"yzab");
    }

    #[test]
    fn pieces_make_up_the_part() {
        let all: Vec<u8> = pieces(3..30, 0, 10, |_, at, octets| alphabet(at, octets))
            .flat_map(|piece| match piece {
                Piece::Octets(octets) => octets,
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(all, alphabet(3, 27));
    }
}
