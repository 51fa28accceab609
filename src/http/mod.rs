//! HTTP/1.1 on the wire (RFC 9110, RFC 9112): what the origin server and the proxy share.
//!
//! Everything here is pure: octets and values in, values out. It opens no connection, asks no
//! clock and touches no disk. The way of one message through it:
//!
//! ```text
//! octets --parse--> head --framing--> how long is the body? --body--> pieces of it
//!                    |
//!                    +--validators, range, coding, lists--> what the fields ask for
//! ```
//!
//! Wherever two readers of a message could differ about where it ends, the message is refused:
//! that is all there is to request smuggling.

pub(crate) mod basic;
pub(crate) mod body;
pub(crate) mod coding;
pub(crate) mod compressible;
pub(crate) mod dates;
pub(crate) mod encoder;
pub(crate) mod fault;
pub(crate) mod fields;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod lists;
pub(crate) mod multipart;
pub(crate) mod parse;
pub(crate) mod range;
pub(crate) mod secrets;
pub(crate) mod target;
pub(crate) mod validators;

pub(crate) use fault::Fault;
pub(crate) use fields::Fields;
pub(crate) use head::{Method, RequestHead, ResponseHead, Version};
pub(crate) use target::{Form, Target};
