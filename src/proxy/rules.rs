//! What a shared cache may store and when it may use it again (RFC 9111). Pure: a request, a
//! response and the time in, a decision and its reason out. The reasons go into Cache-Status.
//!
//! | file | decides | RFC 9111 |
//! |---|---|---|
//! | [`storing`] | whether a response is kept, and which fields of it | 3 |
//! | [`mod@selection`] | which stored response a request selects | 4.1 |
//! | [`mod@reuse`] | whether that one is sent, with or without asking the origin | 4.2.4, 5.2 |
//! | [`conditions`] | what the client's own conditions come to | 4.3.2 |
//! | [`freshening`] | which stored responses a 304 or a HEAD is about | 4.3.3 to 4.3.5 |

mod conditions;
mod freshening;
mod reuse;
mod selection;
mod storing;

pub(crate) use conditions::{is_not_modified, range_applies};
pub(crate) use freshening::{HeadEffect, NOT_UPDATED, has_validator, head_effect, shares_strong_tag, validates};
pub(crate) use reuse::{Reuse, Why, Wish, is_origin_error, may_serve_disconnected, may_serve_on_error, reuse};
pub(crate) use selection::{candidates, matches_selection, select, selection};
pub(crate) use storing::{may_store, unstorable_fields};

#[cfg(test)]
mod tests;
