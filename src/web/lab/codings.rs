//! Content codings, for clients that say they can decode them, and for those that don't.

use super::{
    call::{Act, Call},
    inspect,
};
use crate::{
    http::{
        Fault,
        coding::{Coding, Effort},
    },
    web::reply::{Body, Reply},
};

pub(super) fn gzip(call: &Call) -> Result<Act, Fault> {
    coded(call, "gzip", |octets| Coding::Gzip.encode(octets, Effort::Once))
}

pub(super) fn brotli(call: &Call) -> Result<Act, Fault> {
    coded(call, "br", |octets| Coding::Br.encode(octets, Effort::Once))
}

pub(super) fn zstd(call: &Call) -> Result<Act, Fault> {
    coded(call, "zstd", |octets| Coding::Zstd.encode(octets, Effort::Once))
}

/// The name stands for the zlib format (RFC 9110, 8.4.1.2), which not everybody has read.
pub(super) fn deflate(call: &Call) -> Result<Act, Fault> {
    coded(call, "deflate", |octets| {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(octets)?;
        encoder.finish()
    })
}

fn coded(call: &Call, coding: &'static str, encode: impl Fn(&[u8]) -> std::io::Result<Vec<u8>>) -> Result<Act, Fault> {
    let octets = encode(inspect::summary(call, coding).as_bytes());
    let octets = octets.map_err(|error| Fault::new(500, format!("{coding} failed: {error}"), "RFC 9110, 15.6.1"))?;
    let reply = Reply::new(200).with("Content-Type", "application/json").with("Content-Encoding", coding).with("Cache-Control", "no-store");
    Ok(reply.with_body(Body::Octets(octets)).into())
}
