//! Fuzzing: one plain function per reader of outside octets. It is given arbitrary octets and
//! asserts what must hold whatever they are.
//!
//! Three callers share each body: its target in `fuzz/fuzz_targets` (libFuzzer, on nightly), the
//! replay of `fuzz/corpus` and of mutations of it in `cargo test` (on stable), and whoever wants
//! to look at one input under a debugger. What holds for nearly all of them:
//!
//! * nothing panics, and what is refused is refused with a status that the RFC has for it;
//! * what is read, printed and read again is the same;
//! * input cut in two at any octet comes to the same as input in one piece;
//! * everything that a stranger can grow stays within its bound.

mod caching;
mod conversations;
mod files;
mod ftp;
mod http;
mod mail;
mod mime;
mod reference;
mod relay;
#[cfg(test)]
mod tests;

pub use caching::{cache_control, cache_object, combine, freshness, vary};
pub use conversations::{ftp_conversation, pop3_conversation, proxy_conversation, smtp_chunks, smtp_conversation, web_conversation};
pub use files::{maildir_name, queue_envelope, transcript_script, tree_path, undo_record};
pub use ftp::{ftp_address, ftp_ascii, ftp_command, ftp_deflate, ftp_gateway, ftp_glob, ftp_listing};
pub use http::{
    accept, chunked_body, cookies, credentials, dates, form, multipart, range, request_head, request_target, response_head, secrets,
};
pub use mail::{address, dots, line_ends, message_head, pop3_command, smtp_command};
pub use mime::{mailbox_page, mime_build, mime_show};
pub use relay::relay_conversation;

/// Input beyond this is cut off, in octets: what is wrong shows in little, and much is slow.
const INPUT_OCTETS: usize = 4096;
/// Input up to this is cut in two at every octet; longer input at a few places only.
const EVERY_CUT_OCTETS: usize = 128;

/// Panics where something does not hold.
pub type Body = fn(&[u8]);

/// Every body that needs no runtime, by the name of its target and of its folder in the corpus.
pub const BODIES: &[(&str, Body)] = &[
    ("accept", accept),
    ("address", address),
    ("cache_control", cache_control),
    ("cache_object", cache_object),
    ("chunked_body", chunked_body),
    ("combine", combine),
    ("cookies", cookies),
    ("credentials", credentials),
    ("dates", dates),
    ("dots", dots),
    ("form", form),
    ("freshness", freshness),
    ("ftp_address", ftp_address),
    ("ftp_ascii", ftp_ascii),
    ("ftp_command", ftp_command),
    ("ftp_deflate", ftp_deflate),
    ("ftp_gateway", ftp_gateway),
    ("ftp_glob", ftp_glob),
    ("ftp_listing", ftp_listing),
    ("line_ends", line_ends),
    ("maildir_name", maildir_name),
    ("message_head", message_head),
    ("mailbox_page", mailbox_page),
    ("mime_build", mime_build),
    ("mime_show", mime_show),
    ("multipart", multipart),
    ("pop3_command", pop3_command),
    ("queue_envelope", queue_envelope),
    ("range", range),
    ("request_head", request_head),
    ("request_target", request_target),
    ("response_head", response_head),
    ("secrets", secrets),
    ("smtp_command", smtp_command),
    ("transcript_script", transcript_script),
    ("tree_path", tree_path),
    ("undo_record", undo_record),
    ("vary", vary),
];

/// The bodies that play a whole conversation. They want a runtime whose clock is paused.
pub const CONVERSATIONS: &[&str] = &[
    "ftp_conversation",
    "pop3_conversation",
    "proxy_conversation",
    "relay_conversation",
    "smtp_chunks",
    "smtp_conversation",
    "web_conversation",
];

/// As much of the input as is used.
fn bounded(data: &[u8]) -> &[u8] {
    data.get(..INPUT_OCTETS).unwrap_or(data)
}

/// The input in two pieces: cut everywhere where it is short, else at a few places that hang on
/// the input itself, so that the fuzzer can find others.
fn cuts(data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let stride = if data.len() <= EVERY_CUT_OCTETS { 1 } else { data.len() / 16 };
    let first = if stride == 1 {
        0
    } else {
        data.iter().fold(0usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet))) % stride
    };
    (first..=data.len()).step_by(stride).map(|at| data.split_at(at))
}

/// The parts of an input that has several, each on lines of its own with `====` between them.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    const SEPARATOR: &[u8] = b"\n====\n";
    let mut rest = Some(data);
    std::array::from_fn(|index| {
        let text = rest.take().unwrap_or_default();
        match memchr::memmem::find(text, SEPARATOR).filter(|_| index + 1 < N) {
            Some(at) => {
                rest = Some(&text[at + SEPARATOR.len()..]);
                &text[..at]
            }
            None => text,
        }
    })
}

/// Whether text that quotes a stranger could break out of the line it stands in.
fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
