//! Replies of an FTP server (RFC 959, 4.2), and what they come to in HTTP. Pure.

use std::time::SystemTime;

use time::{Date, Month, PrimitiveDateTime, Time};

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub code: u16,
    /// The text of its last line.
    pub text: String,
}

/// A line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// `220-...`: more come until the last one of this code.
    More(u16),
    Last(Reply),
    /// Inside a reply of several lines: anything.
    Text,
}

impl Line {
    pub(crate) fn parse(line: &[u8]) -> Line {
        let (Some(digits), rest) = (line.get(..3), line.get(3..).unwrap_or_default()) else { return Line::Text };
        let code = match digits {
            [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Line::Text,
        };
        match rest.split_first() {
            Some((b'-', _)) => Line::More(code),
            Some((b' ', text)) => Line::Last(Reply { code, text: String::from_utf8_lossy(text).trim().to_owned() }),
            None => Line::Last(Reply { code, text: String::new() }),
            Some(_) => Line::Text,
        }
    }
}

impl Reply {
    /// The HTTP status that says the same of a refusal.
    pub(crate) fn status(&self) -> u16 {
        match self.code {
            // Not logged in; an account is needed.
            332 | 530 | 532 => 401,
            // The file is not there, or not for us: most servers don't tell the difference.
            550 | 551 => 404,
            553 => 403,
            // Busy, closing, or too many users.
            421 | 450 | 451 => 503,
            _ => 502,
        }
    }

    /// The port of `229 ... (|||6446|)` (RFC 2428, 3). The delimiter is any character.
    pub(crate) fn extended_port(&self) -> Option<u16> {
        let inner = self.text.split_once('(')?.1.split_once(')')?.0;
        let delimiter = inner.chars().next()?;
        let parts: Vec<&str> = inner.split(delimiter).collect();
        let ["", "", "", port, ""] = parts[..] else { return None };
        number(port)
    }

    /// The port of `227 ... (h1,h2,h3,h4,p1,p2)`. The address in it is not looked at: data comes
    /// from where commands go, or a server could point us at others (the PASV attack).
    pub(crate) fn passive_port(&self) -> Option<u16> {
        let start = self.text.find(|c: char| c.is_ascii_digit())?;
        let end = self.text.get(start..)?.find(|c: char| !c.is_ascii_digit() && c != ',').map_or(self.text.len(), |at| start + at);
        let numbers: Vec<u8> = self.text.get(start..end)?.split(',').map(number).collect::<Option<_>>()?;
        let [_, _, _, _, high, low] = numbers[..] else { return None };
        Some(u16::from_be_bytes([high, low]))
    }

    /// The number of `213 1234` (RFC 3659, 4).
    pub(crate) fn octets(&self) -> Option<u64> {
        number(&self.text)
    }

    /// The time of `213 19941106084937.123`, in UTC (RFC 3659, 2.3).
    pub(crate) fn time(&self) -> Option<SystemTime> {
        timestamp(&self.text)
    }
}

/// `YYYYMMDDHHMMSS` with an optional fraction.
pub(super) fn timestamp(text: &str) -> Option<SystemTime> {
    let whole = text.split('.').next().filter(|whole| whole.len() == 14)?;
    let part = |from: usize, to: usize| number::<u8>(whole.get(from..to)?);
    let date = Date::from_calendar_date(number::<u16>(whole.get(..4)?)?.into(), Month::try_from(part(4, 6)?).ok()?, part(6, 8)?).ok()?;
    let time = Time::from_hms(part(8, 10)?, part(10, 12)?, part(12, 14)?.min(59)).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().into())
}

/// Digits and nothing else.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::validators::format_date;

    fn reply(line: &str) -> Reply {
        match Line::parse(line.as_bytes()) {
            Line::Last(reply) => reply,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines() {
        assert_eq!(Line::parse(b"220-Welcome"), Line::More(220));
        assert_eq!(reply("220 "), Reply { code: 220, text: String::new() });
        for text in ["", "22", "220x", " 220 a", "920 a", "\u{fffd}"] {
            assert_eq!(Line::parse(text.as_bytes()), Line::Text, "{text}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(reply("229 Entering Extended Passive Mode (|||6446|)").extended_port(), Some(6446));
        assert_eq!(reply("229 x (|||66446|)").extended_port(), None);
        assert_eq!(reply("229 x (|1|1.2.3.4|5|)").extended_port(), None);
        assert_eq!(reply("227 Entering Passive Mode (10,0,0,1,4,1).").passive_port(), Some(1025));
        assert_eq!(reply("227 Entering Passive Mode 10,0,0,1,4,1").passive_port(), Some(1025));
        assert_eq!(reply("227 (1,2,3,4,5)").passive_port(), None);
        assert_eq!(reply("227 (1,2,3,4,256,1)").passive_port(), None);
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(reply("213 1234").octets(), Some(1234));
        assert_eq!(reply("213 -1").octets(), None);
        assert_eq!(reply("213 19941106084937.5").time().map(format_date).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(reply("213 19941306084937").time(), None);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = Line::parse(text.as_bytes());
            let reply = Reply { code: 200, text };
            let _ = (reply.extended_port(), reply.passive_port(), reply.octets(), reply.time());
        }
    }
}
