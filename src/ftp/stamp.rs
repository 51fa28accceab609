//! Times as FTP writes them: `19941106084937`, always UTC (RFC 3659, 2.3), and as `ls -l` does.

use std::time::{Duration, SystemTime};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, macros::format_description};

/// How long a file counts as recent for `ls -l`, which then shows the time in place of the year.
const RECENT: Duration = Duration::from_secs(182 * 86_400);

/// Reads `YYYYMMDDHHMMSS`, with a fraction that is dropped, as seconds since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to)?.parse::<u8>().ok();
    let month = Month::try_from(part(4, 6)?).ok()?;
    let date = Date::from_calendar_date(whole.get(..4)?.parse().ok()?, month, part(6, 8)?).ok()?;
    // A leap second (60) counts as the one before it.
    let time = Time::from_hms(part(8, 10)?, part(10, 12)?, part(12, 14)?.min(59)).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// `19941106084937`.
pub(crate) fn print(at: SystemTime) -> String {
    let form = format_description!("[year][month][day][hour][minute][second]");
    civil(at).format(form).unwrap_or_default()
}

/// `Nov  6 08:49` where that is less than half a year before `now`, `Nov  6  1994` elsewhere.
pub(crate) fn print_short(at: SystemTime, now: SystemTime) -> String {
    let recent = now.duration_since(at).is_ok_and(|age| age < RECENT);
    let form: &[_] = match recent {
        true => format_description!("[month repr:short] [day padding:space] [hour]:[minute]"),
        false => format_description!("[month repr:short] [day padding:space]  [year]"),
    };
    civil(at).format(form).unwrap_or_default()
}

/// The date in UTC; times beyond year 9999, which a file system can hold, count as 1970.
fn civil(at: SystemTime) -> OffsetDateTime {
    let secs = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(0),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(0, |secs| -secs),
    };
    OffsetDateTime::from_unix_timestamp(secs).ok().filter(|date| (0..10_000).contains(&date.year())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Seconds since 1970 as a time; `None` where the system has none so far off.
pub(crate) fn from_unix(secs: i64) -> Option<SystemTime> {
    match u64::try_from(secs) {
        Ok(after) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(secs.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        for text in ["19941106084937", "19700101000000", "20240229235959", "19560101000000"] {
            assert_eq!(print(from_unix(parse(text).unwrap()).unwrap()), text);
        }
        assert_eq!(parse("19941106084937.123"), parse("19941106084937"));
        for text in ["1994110608493", "19941306084937", "19940230000000", "19941106240000", "1994110608493x", "19941106084937."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn short_dates_show_the_time_for_half_a_year() {
        let at = from_unix(784_111_777).unwrap();
        assert_eq!(print_short(at, at), "Nov  6 08:49");
        assert_eq!(print_short(at, at + RECENT), "Nov  6  1994");
        assert_eq!(print_short(at, at - Duration::from_secs(1)), "Nov  6  1994", "in the future");
    }
}
