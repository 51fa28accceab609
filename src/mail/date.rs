//! Dates as mail writes them (RFC 5322, 3.3).

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// `Sun, 06 Nov 1994 08:49:37 +0000`.
pub(crate) fn format(at: SystemTime) -> String {
    // Only years beyond 9999 can't be written.
    OffsetDateTime::from(at).format(&Rfc2822).unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 +0000".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_written_with_two_digits_and_the_zone() {
        let textbook = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(format(textbook), "Sun, 06 Nov 1994 08:49:37 +0000");
    }
}
