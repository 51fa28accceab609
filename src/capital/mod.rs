//! The book's capitalising servers over TCP and UDP: a line in, the line in capitals out.
//!
//! Also the proof that a service is one folder and one row of the registry.

pub(crate) mod conversation;
