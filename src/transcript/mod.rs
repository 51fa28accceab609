//! The text format of conversations: one format to record, replay, test and teach. It is
//! described in `docs/transcripts.md`.
//!
//! It knows no protocol and opens no connection; the player that does is in `crate::play`.

mod directive;
pub(crate) mod matching;
pub(crate) mod record;
pub(crate) mod script;
pub(crate) mod text;
mod words;
