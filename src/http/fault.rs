//! What is wrong with a message.

use std::borrow::Cow;

/// Why a message is refused: the status for the answer, a sentence about *this* message, and the
/// section that forbids it. The proxy turns faults of an origin's response into 502.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub status: u16,
    pub what: Cow<'static, str>,
    pub source: &'static str,
}

impl Fault {
    pub(crate) fn new(status: u16, what: impl Into<Cow<'static, str>>, source: &'static str) -> Fault {
        Fault { status, what: what.into(), source }
    }

    /// The ordinary case: 400 (Bad Request).
    pub(crate) fn bad(what: impl Into<Cow<'static, str>>, source: &'static str) -> Fault {
        Fault::new(400, what, source)
    }
}
