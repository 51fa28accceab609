//! Dates as HTTP writes them (RFC 9110, 5.6.7): one form to send, three to understand.
//!
//! ```text
//! Sun, 06 Nov 1994 08:49:37 GMT    IMF-fixdate: the one that is sent
//! Sunday, 06-Nov-94 08:49:37 GMT   RFC 850: two digits of the year, read by the century around now
//! Sun Nov  6 08:49:37 1994         asctime
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A date of two digits lies at most so many years ahead (5.6.7).
const YEARS_AHEAD: u64 = 50;
const DAY_SECS: u64 = 86_400;
/// The last second of the year 9999.
const YEAR_9999: Duration = Duration::from_secs(253_402_300_799);
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A date in any of the three forms, character by character as the grammar has them; `now` says
/// which century two digits mean. Dates before 1970 count as unreadable: no file here is older.
pub(crate) fn parse_date(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    imf_fixdate(text).or_else(|| rfc850(text, now)).or_else(|| asctime(text))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Dates that HTTP can't write become the nearest one it can.
pub(crate) fn format_date(date: SystemTime) -> String {
    httpdate::fmt_http_date(date.clamp(UNIX_EPOCH, UNIX_EPOCH + YEAR_9999))
}

/// HTTP dates know no fractions; a file compares as it was told.
pub(crate) fn whole_seconds(date: SystemTime) -> SystemTime {
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn imf_fixdate(text: &str) -> Option<SystemTime> {
    let (day_name, rest) = text.split_once(", ")?;
    if !DAYS.iter().any(|day| day[..3] == *day_name) {
        return None;
    }
    let [day, month, year, time, "GMT"] = parts(rest, ' ')? else { return None };
    instant(digits(year, 4)?, month, digits(day, 2)?, time)
}

fn rfc850(text: &str, now: SystemTime) -> Option<SystemTime> {
    let (day_name, rest) = text.split_once(", ")?;
    if !DAYS.contains(&day_name) {
        return None;
    }
    let [date, time, "GMT"] = parts(rest, ' ')? else { return None };
    let [day, month, year] = parts(date, '-')?;
    let (day, year) = (digits(day, 2)?, digits(year, 2)?);
    let this_year = year_of(now);
    let century = this_year - this_year % 100;
    let read = |year| instant(year, month, day, time);
    // More than fifty years ahead is the most recent year in the past with these digits.
    let later = this_year + YEARS_AHEAD;
    match read(century + year) {
        Some(_) if century + year > later => read((century + year).checked_sub(100)?),
        Some(date) if century + year == later && is_later_in_its_year(date, now) => read((century + year).checked_sub(100)?),
        read => read,
    }
}

fn asctime(text: &str) -> Option<SystemTime> {
    let (day_name, rest) = text.split_at_checked(3)?;
    if !DAYS.iter().any(|day| day[..3] == *day_name) {
        return None;
    }
    let (month, rest) = rest.strip_prefix(' ')?.split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(' ')?.split_at_checked(2)?;
    let [time, year] = parts(rest.strip_prefix(' ')?, ' ')?;
    let day = match day.strip_prefix(' ') {
        Some(digit) => digits(digit, 1)?,
        None => digits(day, 2)?,
    };
    instant(digits(year, 4)?, month, day, time)
}

/// Exactly `N` parts.
fn parts<const N: usize>(text: &str, between: char) -> Option<[&str; N]> {
    let parts: Vec<&str> = text.splitn(N + 1, between).collect();
    parts.try_into().ok()
}

/// Exactly so many digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    (text.len() == count && text.bytes().all(|octet| octet.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The moment that a date and a `hh:mm:ss` name; `None` for a day that the calendar lacks.
fn instant(year: u64, month: &str, day: u64, time: &str) -> Option<SystemTime> {
    let month = MONTHS.iter().position(|name| *name == month)?;
    let [hour, minute, second] = parts(time, ':')?;
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // 60 is a leap second.
    if year < 1970 || day == 0 || day > month_days(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let months: u64 = (0..month).map(|month| month_days(year, month)).sum();
    let days = years_days(year) + months + day - 1;
    let since = Duration::from_secs(days * DAY_SECS + hour * 3600 + minute * 60 + second);
    // The last leap second of all would lie in the year 10000, which no date can say.
    UNIX_EPOCH.checked_add(since.min(YEAR_9999))
}

fn month_days(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from 1970 to the beginning of a year.
fn years_days(year: u64) -> u64 {
    let leap_days = |years: u64| years / 4 - years / 100 + years / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn year_of(now: SystemTime) -> u64 {
    let days = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_SECS;
    // A year has 365.2425 days, but leap days come in lumps: this is right or one or two too high.
    let mut year = 1971 + days * 400 / 146_097;
    while years_days(year) > days {
        year -= 1;
    }
    year
}

/// Whether `date`, counted from the beginning of its year, comes after `now` counted so.
fn is_later_in_its_year(date: SystemTime, now: SystemTime) -> bool {
    let within = |date: SystemTime| {
        let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() - years_days(year_of(date)) * DAY_SECS
    };
    within(date) > within(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    /// The example of the RFC.
    const THEN: u64 = 784_111_777;

    #[test]
    fn the_example_of_the_rfc_in_its_three_forms() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse_date(text.as_bytes(), at(THEN)), Some(at(THEN)), "{text}");
        }
        assert_eq!(format_date(at(THEN)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn whatever_else_is_no_date() {
        for text in [
            "",
            "0",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Dim Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(text.as_bytes(), at(THEN)), None, "{text}");
        }
    }

    #[test]
    fn two_digits_lie_at_most_fifty_years_ahead() {
        let now = parse_date(b"Sat, 21 Nov 2026 12:00:00 GMT", at(0)).unwrap();
        for (year, meant) in
            [("26", "2026"), ("27", "2027"), ("75", "2075"), ("76", "2076"), ("77", "1977"), ("99", "1999"), ("00", "2000")]
        {
            let short = format!("Monday, 01-Jan-{year} 00:00:00 GMT");
            let long = format!("Mon, 01 Jan {meant} 00:00:00 GMT");
            assert_eq!(parse_date(short.as_bytes(), now), parse_date(long.as_bytes(), now), "{year}");
        }
        let late = parse_date(b"Monday, 22-Nov-76 00:00:00 GMT", now);
        assert_eq!(late, parse_date(b"Mon, 22 Nov 1976 00:00:00 GMT", now), "fifty years and half a day ahead");
    }

    #[test]
    fn dates_beyond_what_http_can_write_are_clamped() {
        assert_eq!(format_date(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_date(at(999_999_999_999)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(secs in 0u64..253_402_300_800) {
            prop_assert_eq!(parse_date(format_date(at(secs)).as_bytes(), at(0)), Some(at(secs)));
            prop_assert!(years_days(year_of(at(secs))) * DAY_SECS <= secs && secs < years_days(year_of(at(secs)) + 1) * DAY_SECS);
        }

        #[test]
        fn arbitrary_octets_never_panic(text in "(Sun|Sunday)?[, ]{0,2}[0-9 :A-Za-z-]{0,30}(GMT)?", octets in prop::collection::vec(any::<u8>(), 0..40), now in any::<u32>()) {
            let _ = parse_date(text.as_bytes(), at(now.into()));
            let _ = parse_date(&octets, at(now.into()));
        }
    }
}
