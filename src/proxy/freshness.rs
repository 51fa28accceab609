//! How long a response stays fresh and how old it is (RFC 9111, 4.2). Pure arithmetic: time comes
//! in as an argument.

use std::time::{Duration, SystemTime};

use super::control::{Control, delta_seconds};
use crate::http::{Fields, lists, validators::parse_date};

/// The longest that a response without explicit expiration is taken for fresh, in seconds.
const HEURISTIC_SECS: u64 = 24 * 60 * 60;
/// The shortest, in seconds: a file that was put a moment ago would never be fresh by the tenth
/// of its age, and somebody who fetches it twice is to see a hit. Requests with a condition don't
/// count on it; see `rules::reuse`.
const YOUNG_SECS: u64 = 10;

/// A freshness lifetime and the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub secs: u64,
    pub rule: Rule,
}

/// Where a freshness lifetime comes from, in the order in which the sources are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    SMaxage,
    MaxAge,
    Expires,
    /// A tenth of the time since it was last modified.
    Heuristic,
    /// It was modified a moment ago: a few seconds.
    Young,
    /// Nothing tells: it must be validated each time.
    Unknown,
}

impl Rule {
    /// As Cache-Status and people read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::SMaxage => "s-maxage",
            Rule::MaxAge => "max-age",
            Rule::Expires => "expires",
            Rule::Heuristic => "heuristic",
            Rule::Young => "young",
            Rule::Unknown => "no-lifetime",
        }
    }

    /// Whether the origin itself said it, which makes any final status storable (RFC 9111, 3).
    pub(crate) fn is_explicit(self) -> bool {
        matches!(self, Rule::SMaxage | Rule::MaxAge | Rule::Expires)
    }
}

/// The freshness lifetime of a response (RFC 9111, 4.2.1). A malformed source means stale.
pub(crate) fn lifetime(status: u16, fields: &Fields, control: &Control, received: SystemTime) -> Lifetime {
    if let Some(secs) = control.s_maxage {
        return Lifetime { secs, rule: Rule::SMaxage };
    }
    if let Some(secs) = control.max_age {
        return Lifetime { secs, rule: Rule::MaxAge };
    }
    let date = date_of(fields, received);
    if let Some(expires) = fields.get("expires").filter(|_| !control.is_targeted) {
        let secs = cache_date(expires, received).map_or(0, |expires| secs_between(date, expires));
        return Lifetime { secs, rule: Rule::Expires };
    }
    match fields.get("last-modified").and_then(|text| cache_date(text, received)) {
        Some(modified) if is_heuristically_cacheable(status) || control.public => heuristic(modified, date),
        _ => Lifetime { secs: 0, rule: Rule::Unknown },
    }
}

/// The lifetime where the origin says nothing but when the content was modified (RFC 9111, 4.2.2).
fn heuristic(modified: SystemTime, date: SystemTime) -> Lifetime {
    match secs_between(modified, date) / 10 {
        _ if modified > date => Lifetime { secs: 0, rule: Rule::Heuristic },
        tenth if tenth < YOUNG_SECS => Lifetime { secs: YOUNG_SECS, rule: Rule::Young },
        tenth => Lifetime { secs: tenth.min(HEURISTIC_SECS), rule: Rule::Heuristic },
    }
}

/// Status codes whose responses may be stored without explicit freshness (RFC 9110, 15.1).
pub(crate) fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The age that a response had when it arrived, in seconds: `corrected_initial_age` in RFC 9111,
/// 4.2.3.
pub(crate) fn initial_age(fields: &Fields, requested: SystemTime, received: SystemTime) -> u64 {
    let apparent_age = secs_between(date_of(fields, received), received);
    let response_delay = secs_between(requested, received);
    apparent_age.max(age_value(fields).saturating_add(response_delay))
}

/// The age of a response now, in seconds: `current_age` in RFC 9111, 4.2.3.
pub(crate) fn current_age(initial_age: u64, received: SystemTime, now: SystemTime) -> u64 {
    initial_age.saturating_add(secs_between(received, now))
}

/// The Age field: the first member counts, and junk counts as absent (RFC 9111, 5.1).
fn age_value(fields: &Fields) -> u64 {
    fields.get("age").and_then(|value| lists::elements(value).next()).and_then(delta_seconds).unwrap_or(0)
}

/// When the response was made; where it does not say, when it arrived (RFC 9110, 6.6.1).
pub(crate) fn date_of(fields: &Fields, received: SystemTime) -> SystemTime {
    fields.get("date").and_then(|text| cache_date(text, received)).unwrap_or(received)
}

/// A date as a cache reads it: in any case of its letters, but in no other zone than GMT
/// (RFC 9111, 4.2).
pub(crate) fn cache_date(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    parse_date(text, now).or_else(|| parse_date(&in_usual_case(text), now))
}

/// `THU, 18 aug 2050 02:01:18 gmt` as `Thu, 18 Aug 2050 02:01:18 GMT`.
fn in_usual_case(text: &[u8]) -> Vec<u8> {
    let mut usual = text.to_ascii_lowercase();
    for word in usual.split_mut(|octet| !octet.is_ascii_alphabetic()) {
        if word == b"gmt" {
            word.make_ascii_uppercase();
        } else if let Some(first) = word.first_mut() {
            first.make_ascii_uppercase();
        }
    }
    usual
}

/// Whole seconds from `earlier` to `later`; 0 where it is the other way round.
pub(crate) fn secs_between(earlier: SystemTime, later: SystemTime) -> u64 {
    later.duration_since(earlier).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(ZERO + secs)
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        fields
    }

    fn life(status: u16, lines: &[(&str, &str)]) -> (u64, Rule) {
        let fields = fields(lines);
        let control = Control::parse(fields.get_all("cache-control"));
        let lifetime = lifetime(status, &fields, &control, at(0));
        (lifetime.secs, lifetime.rule)
    }

    #[test]
    fn the_most_specific_source_of_freshness_wins() {
        let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let hour = ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT");
        assert_eq!(life(200, &[date, hour]), (3600, Rule::Expires));
        assert_eq!(life(200, &[date, hour, ("Cache-Control", "max-age=5")]), (5, Rule::MaxAge));
        assert_eq!(life(200, &[date, hour, ("Cache-Control", "max-age=5, s-maxage=9")]), (9, Rule::SMaxage));
        assert_eq!(life(200, &[hour]), (3600, Rule::Expires), "without Date the arrival counts");
        for any_case in ["SUN, 06 NOV 1994 09:49:37 GMT", "sun, 06 nov 1994 09:49:37 gmt", "Sun Nov  6 09:49:37 1994"] {
            assert_eq!(life(200, &[date, ("Expires", any_case)]), (3600, Rule::Expires), "{any_case}");
        }
        for junk in ["0", "-1", "", "tomorrow", "Sun, 06 Nov 1994 09:49:37 UTC", "Sun, 06 Nov 94 09:49:37 GMT"] {
            assert_eq!(life(200, &[date, ("Expires", junk)]), (0, Rule::Expires), "{junk}");
        }
    }

    #[test]
    fn the_heuristic_is_a_tenth_and_at_most_a_day_and_for_known_codes_only() {
        let modified = ("Last-Modified", "Sun, 06 Nov 1994 07:49:37 GMT");
        assert_eq!(life(200, &[modified]), (360, Rule::Heuristic));
        assert_eq!(life(200, &[("Last-Modified", "Sun, 06 Nov 1983 07:49:37 GMT")]), (HEURISTIC_SECS, Rule::Heuristic));
        assert_eq!(life(200, &[("Last-Modified", "Sun, 06 Nov 2033 07:49:37 GMT")]), (0, Rule::Heuristic));
        assert_eq!(life(200, &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]), (YOUNG_SECS, Rule::Young));
        assert_eq!(life(200, &[("Last-Modified", "Sun, 06 Nov 1994 08:47:57 GMT")]), (10, Rule::Heuristic));
        assert_eq!(life(302, &[modified]), (0, Rule::Unknown));
        assert_eq!(life(302, &[modified, ("Cache-Control", "public")]), (360, Rule::Heuristic));
        assert_eq!(life(200, &[]), (0, Rule::Unknown));
    }

    #[test]
    fn age_adds_what_upstream_says_the_delay_and_the_time_here() {
        let now = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(initial_age(&fields(&[now]), at(0), at(3)), 3);
        assert_eq!(initial_age(&fields(&[now, ("Age", "100")]), at(0), at(3)), 103);
        assert_eq!(initial_age(&fields(&[now, ("Age", "100, 7")]), at(0), at(0)), 100);
        assert_eq!(initial_age(&fields(&[now, ("Age", "-7")]), at(0), at(0)), 0);
        assert_eq!(initial_age(&fields(&[now]), at(600), at(600)), 600, "an old Date is an age");
        assert_eq!(current_age(103, at(3), at(10)), 110);
        assert_eq!(current_age(103, at(10), at(3)), 103, "a clock set back does not rejuvenate");
        assert_eq!(current_age(u64::MAX, at(0), at(3)), u64::MAX);
    }
}
