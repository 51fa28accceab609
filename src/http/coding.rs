//! Content codings (RFC 9110, 8.4.1): which one a client wants, and the encoders.
//!
//! Compression is a pure function here; where it runs and what is kept of its results is the
//! server's business.

use std::io::{self, Write};

use super::{
    fields::Fields,
    lists::{self, Weighted},
};

/// The codings that we can produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Coding {
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard (RFC 8878).
    Zstd,
    /// gzip (RFC 1952).
    Gzip,
}

/// How much work compression is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For what is sent once and forgotten.
    Once,
    /// For what is kept and sent again.
    Kept,
}

/// The window that every decoder of a Content-Encoding must provide, as a power of two: 8 MB
/// (RFC 9659, 3).
const ZSTD_WINDOW_LOG: u32 = 23;
const BROTLI_WINDOW_LOG: i32 = 22;

impl Coding {
    pub(crate) const ALL: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

    /// The name in Content-Encoding and Accept-Encoding.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Br => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What the name of a file in this coding ends in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Br => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }

    fn answers_to(self, name: &str) -> bool {
        // `x-gzip` is another name of gzip (RFC 9110, 8.4.1.3).
        name == self.name() || (self == Coding::Gzip && name == "x-gzip")
    }

    /// Compresses. The same octets give the same result every time, so that a strong entity tag
    /// keeps its promise when a result was forgotten and is made again.
    pub(crate) fn encode(self, octets: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(octets.len() / 3 + 64);
        match self {
            Coding::Br => brotli(octets, self.level(effort).into(), out),
            Coding::Zstd => zstd(octets, self.level(effort).into(), out),
            Coding::Gzip => gzip(octets, self.level(effort).into(), out),
        }
    }

    /// The level of compression, as each encoder counts. What is sent once keeps pace with a
    /// network.
    pub(super) fn level(self, effort: Effort) -> u8 {
        match (self, effort) {
            (Coding::Br | Coding::Gzip, Effort::Once) => 4,
            (Coding::Br | Coding::Gzip, Effort::Kept) => 6,
            (Coding::Zstd, Effort::Once) => 3,
            (Coding::Zstd, Effort::Kept) => 9,
        }
    }
}

fn brotli(mut octets: &[u8], quality: i32, mut out: Vec<u8>) -> io::Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: BROTLI_WINDOW_LOG,
        size_hint: octets.len(),
        ..brotli::enc::BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut octets, &mut out, &params)?;
    Ok(out)
}

fn zstd(octets: &[u8], level: i32, out: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(out, level)?;
    encoder.window_log(ZSTD_WINDOW_LOG.min(window_log(octets.len())))?;
    encoder.set_pledged_src_size(Some(octets.len() as u64))?;
    encoder.write_all(octets)?;
    encoder.finish()
}

/// A window no larger than the content: a decoder allocates it. Ten is the least that there is.
fn window_log(octets: usize) -> u32 {
    usize::BITS.saturating_sub(octets.leading_zeros()).max(10)
}

fn gzip(octets: &[u8], level: u32, out: Vec<u8>) -> io::Result<Vec<u8>> {
    // No time and no name in the header: the result depends on the content alone.
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(level));
    encoder.write_all(octets)?;
    encoder.finish()
}

/// What a client says about codings (RFC 9110, 12.5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted(Vec<Weighted>);

impl Accepted {
    /// Reads Accept-Encoding. Absent, anything would do and the plain form is the safest; empty,
    /// only the plain form will. Both come to the same here.
    pub(crate) fn of(fields: &Fields) -> Accepted {
        Accepted(lists::weighted(fields.get_all("accept-encoding")))
    }

    /// How much a coding is wanted, in thousandths; 0: not at all. `*` stands for all that are
    /// not named.
    fn quality(&self, coding: Coding) -> u16 {
        self.named(|name| coding.answers_to(name)).or_else(|| self.named(|name| name == "*")).unwrap_or(0)
    }

    /// The quality of the plain form where it is named.
    fn identity(&self) -> Option<u16> {
        self.named(|name| name == "identity")
    }

    /// Whether the plain form will do: unless `identity;q=0` says otherwise, or `*;q=0` without
    /// another word on `identity`.
    pub(crate) fn allows_identity(&self) -> bool {
        self.identity().or_else(|| self.named(|name| name == "*")) != Some(0)
    }

    /// The codings that the client prefers to the plain form, best first, with their qualities;
    /// among equals those that stand first in `offered`. A plain form that is not named is the last
    /// resort.
    pub(crate) fn preferred(&self, offered: &[Coding]) -> Vec<(u16, Coding)> {
        let least = self.identity().unwrap_or(0).max(1);
        let wanted = offered.iter().map(|coding| (self.quality(*coding), *coding)).filter(|(quality, _)| *quality >= least);
        let mut wanted: Vec<(u16, Coding)> = wanted.collect();
        wanted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        wanted
    }

    /// The best quality that the field gives to whatever `is_meant`: a name may stand there twice.
    fn named(&self, is_meant: impl Fn(&str) -> bool) -> Option<u16> {
        self.0.iter().filter(|wish| is_meant(&wish.name)).map(|wish| wish.quality).max()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use proptest::prelude::*;

    fn accepted(value: Option<&str>) -> Accepted {
        let mut fields = Fields::new();
        value.iter().for_each(|value| fields.push("Accept-Encoding", value));
        Accepted::of(&fields)
    }

    #[test]
    fn codings_in_the_order_of_preference() {
        use Coding::{Br, Gzip, Zstd};
        for (value, codings, identity) in [
            (None, &[][..], true),
            (Some(""), &[], true),
            (Some("gzip, deflate, br, zstd"), &[Br, Zstd, Gzip], true),
            (Some("gzip"), &[Gzip], true),
            (Some("GZIP"), &[Gzip], true),
            (Some("x-gzip"), &[Gzip], true),
            (Some("gzip;q=0.5, br;q=0.2"), &[Gzip, Br], true),
            (Some("gzip;q=1.0, identity; q=0.5, *;q=0"), &[Gzip], true),
            (Some("gzip;q=0"), &[], true),
            (Some("*"), &[Br, Zstd, Gzip], true),
            (Some("*;q=0.5, gzip;q=0"), &[Br, Zstd], true),
            (Some("gzip;q=0.5, identity"), &[], true),
            (Some("gzip, identity"), &[Gzip], true),
            (Some("identity"), &[], true),
            (Some("identity;q=0"), &[], false),
            (Some("*;q=0"), &[], false),
            (Some("*;q=0, identity;q=0.1"), &[], true),
            (Some("gzip, identity;q=0"), &[Gzip], false),
            (Some("br, *;q=0"), &[Br], false),
            (Some("compress, deflate"), &[], true),
            (Some("gzip;q=banana"), &[], true),
        ] {
            let accepted = accepted(value);
            let preferred = accepted.preferred(&Coding::ALL).into_iter().map(|(_, coding)| coding);
            assert_eq!(preferred.collect::<Vec<_>>(), codings, "{value:?}");
            assert_eq!(accepted.allows_identity(), identity, "{value:?}");
        }
        assert_eq!(accepted(Some("br, gzip")).preferred(&[Gzip]), [(1000, Gzip)], "only what is offered");
    }

    fn decoded(coding: Coding, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Br => brotli::Decompressor::new(octets, 4096).read_to_end(&mut out).unwrap(),
            Coding::Zstd => zstd::Decoder::new(octets).unwrap().read_to_end(&mut out).unwrap(),
            Coding::Gzip => flate2::read::GzDecoder::new(octets).read_to_end(&mut out).unwrap(),
        };
        out
    }

    proptest! {
        #[test]
        fn what_is_encoded_can_be_decoded_and_is_the_same_again(
            octets in prop::collection::vec(0_u8..5, 0..3000),
            coding in prop::sample::select(&Coding::ALL[..]),
        ) {
            for effort in [Effort::Once, Effort::Kept] {
                let encoded = coding.encode(&octets, effort).unwrap();
                prop_assert_eq!(&decoded(coding, &encoded), &octets);
                prop_assert_eq!(coding.encode(&octets, effort).unwrap(), encoded);
            }
        }

        #[test]
        fn arbitrary_wishes_never_panic(value in "[ -~]{0,40}") {
            let accepted = accepted(Some(&value));
            let _ = (accepted.preferred(&Coding::ALL), accepted.allows_identity());
        }
    }

    #[test]
    fn compression_is_worth_it() {
        let text = include_bytes!("coding.rs");
        for coding in Coding::ALL {
            assert!(coding.encode(text, Effort::Kept).unwrap().len() * 2 < text.len(), "{coding:?}");
        }
    }
}
