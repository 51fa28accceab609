//! The text format of conversations: one format to record, replay, test and teach.
//!
//! It knows no protocol and opens no connection; the player that does is in `crate::play`.

pub(crate) mod matching;
pub(crate) mod record;
pub(crate) mod script;
