//! MIME (RFC 2045 to 2049): how a message is looked at, and how one is made.
//!
//! Carry first, look second: nothing here touches what is delivered or relayed. [`tree`] finds the
//! parts of a message within bounds, [`content`] decodes one of them, [`fields`] decodes header
//! fields, [`description`] tells what a part is, [`file_name`] turns the name of an attachment into one that is safe on disk, and
//! [`draft`] builds new messages. Fields and charsets are read by `mail-parser`, and new messages
//! written by `mail-builder`; the walk through the parts is ours, since a stranger chooses how
//! deep it goes.

pub(crate) mod content;
mod description;
pub(crate) mod draft;
pub(crate) mod fields;
pub(crate) mod file_name;
pub(crate) mod tree;
