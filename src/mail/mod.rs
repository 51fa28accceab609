//! The formats of mail, shared by SMTP and POP3: addresses, dot-stuffing, trace fields.
//!
//! All of it is pure: octets in, values or octets out. It knows neither the network nor the store.

pub(crate) mod address;
pub(crate) mod convert;
pub(crate) mod date;
pub(crate) mod dots;
pub(crate) mod head;
pub(crate) mod message;
pub(crate) mod mime;
pub(crate) mod xtext;
