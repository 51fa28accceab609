//! The book's capitalising servers over TCP and UDP: a line in, the line in capitals out.
//!
//! Also the proof that a service is one folder and one row of the registry.

pub(crate) mod conversation;

use crate::explain::{Explained, row};

/// There is nothing to explain but the line itself.
pub(crate) const EXPLAIN: &[Explained] = &[row("line", "Any line of text; it comes back in capitals.", "Kurose & Ross, 2.7")];
