//! Content codings (RFC 9110, 8.4.1) for content that comes piece by piece. See
//! [`super::coding`] for content that is there as a whole.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

use super::coding::{Coding, Effort};

/// How far an encoder looks back, as a power of two: 256 KiB. With its tables it takes 1 to 4 MB (brotli)
/// of memory, however long the content is.
const WINDOW_LOG: u32 = 18;
/// What the brotli encoder hands on at once, in octets.
const BROTLI_BUFFER_OCTETS: usize = 4096;

/// Compresses content of any length in constant memory. What comes out waits in it until it is
/// taken.
pub(crate) struct Encoder {
    inner: Inner,
    /// Whether something went in that a decoder can't have out yet.
    is_holding: bool,
}

enum Inner {
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) fn new(coding: Coding) -> io::Result<Encoder> {
        let level = coding.level(Effort::Once);
        let inner = match coding {
            Coding::Br => Inner::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER_OCTETS, level.into(), WINDOW_LOG))),
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), level.into())?;
                encoder.window_log(WINDOW_LOG)?;
                Inner::Zstd(Box::new(encoder))
            }
            Coding::Gzip => Inner::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(level.into())))),
        };
        Ok(Encoder { inner, is_holding: false })
    }

    /// # Errors
    /// Where the encoder fails: then the content can't go on.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.is_holding = true;
        match &mut self.inner {
            Inner::Br(encoder) => encoder.write_all(octets),
            Inner::Zstd(encoder) => encoder.write_all(octets),
            Inner::Gzip(encoder) => encoder.write_all(octets),
        }
    }

    /// Whether [`Encoder::flush`] would bring something out.
    pub(crate) fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Brings out everything that went in. Each time costs some octets.
    ///
    /// # Errors
    /// As for [`Encoder::write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.is_holding = false;
        match &mut self.inner {
            Inner::Br(encoder) => encoder.flush(),
            Inner::Zstd(encoder) => encoder.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
        }
    }

    /// Takes what has come out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.inner {
            Inner::Br(encoder) => encoder.get_mut(),
            Inner::Zstd(encoder) => encoder.get_mut(),
            Inner::Gzip(encoder) => encoder.get_mut(),
        })
    }

    /// Ends the content and takes the rest.
    ///
    /// # Errors
    /// As for [`Encoder::write`].
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self.inner {
            Inner::Br(encoder) => Ok(encoder.into_inner()),
            Inner::Zstd(encoder) => encoder.finish(),
            Inner::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// As much as a decoder has out of these octets.
    fn decoded(coding: Coding, octets: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        // The content may be unfinished: what counts is what came out.
        let _unfinished = match coding {
            Coding::Br => brotli::Decompressor::new(octets, 4096).read_to_end(&mut plain),
            Coding::Zstd => zstd::Decoder::new(octets).unwrap().read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(octets).read_to_end(&mut plain),
        };
        plain
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            assert!(!encoder.is_holding());
            encoder.write(b"first ").unwrap();
            assert!(encoder.is_holding());
            encoder.flush().unwrap();
            let mut sent = encoder.take();
            assert_eq!(decoded(coding, &sent), b"first ", "{coding:?}");
            encoder.write(b"second").unwrap();
            sent.extend(encoder.finish().unwrap());
            assert_eq!(decoded(coding, &sent), b"first second", "{coding:?}");
        }
    }

    #[test]
    fn long_content_comes_out_on_the_way() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut longest = 0;
            for number in 0..2000_u32 {
                let piece: Vec<u8> = (0..1000).flat_map(|at: u32| (number ^ at).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
                encoder.write(&piece).unwrap();
                longest = longest.max(encoder.take().len());
            }
            assert!(longest > 0 && longest < 2 << WINDOW_LOG, "{coding:?}: {longest}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 0..20)) {
            for coding in Coding::ALL {
                let mut encoder = Encoder::new(coding).unwrap();
                let mut sent = Vec::new();
                for (piece, is_flushed) in &pieces {
                    encoder.write(piece).unwrap();
                    if *is_flushed {
                        encoder.flush().unwrap();
                    }
                    sent.extend(encoder.take());
                }
                sent.extend(encoder.finish().unwrap());
                let plain: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
                prop_assert_eq!(decoded(coding, &sent), plain);
            }
        }
    }
}
