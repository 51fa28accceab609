//! Durations, sizes and ports as people write them in `portico.toml`: `"4s"`, `"256MB"`.
//!
//! Every duration and size in the settings carries its unit, so that nobody has to guess
//! whether `30` meant seconds or milliseconds.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// A span of time written with its unit: `"4s"`, `"10m"`, `"5days"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub Duration);

impl Span {
    pub(crate) const fn secs(secs: u64) -> Span {
        Span(Duration::from_secs(secs))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One word, so that it can stand among others: `7m35s`.
        f.write_str(&humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Span).map_err(|e| format!("`{text}` is not a duration such as \"30s\" or \"10m\": {e}"))
    }
}

/// A number of octets written with its unit: `"10MB"` (10,000,000), `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 6] =
            [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1_000_000, "MB"), (1 << 20, "MiB"), (1_000, "kB"), (1 << 10, "KiB")];
        for (unit, name) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Bits per second written with their unit: `"1.5Mbps"`, `"38.4kbit/s"`. Thousands, as on wires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rate(pub u64);

impl Rate {
    /// How long so many octets take.
    pub(crate) fn time_for(self, octets: u64) -> Duration {
        let nanos = u128::from(octets) * 8 * 1_000_000_000 / u128::from(self.0.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many octets go through in so long.
    pub(crate) fn octets_in(self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.0) * time.as_nanos() / 8_000_000_000).unwrap_or(u64::MAX)
    }
}

const RATE_UNITS: [(u64, &str); 4] = [(1_000_000_000, "Gbps"), (1_000_000, "Mbps"), (1_000, "kbps"), (1, "bps")];

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At most one digit behind the point; what has more is written in the next smaller unit.
        let fits = |unit: &&(u64, &str)| self.0 >= unit.0 && (self.0 * 10).is_multiple_of(unit.0);
        let (unit, name) = RATE_UNITS.iter().find(fits).unwrap_or(&RATE_UNITS[3]);
        match self.0 % unit {
            0 => write!(f, "{}{name}", self.0 / unit),
            part => write!(f, "{}.{}{name}", self.0 / unit, part * 10 / unit),
        }
    }
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a rate such as \"64kbps\" or \"1.5Mbps\"");
        let short = text.replace("bit/s", "bps");
        let (unit, name) = RATE_UNITS.iter().find(|(_, name)| short.ends_with(name)).ok_or_else(wrong)?;
        let number = short.strip_suffix(name).and_then(|number| number.trim().parse::<f64>().ok()).ok_or_else(wrong)?;
        let rate = (number * *unit as f64).round();
        if (1.0..=1e12).contains(&rate) { Ok(Rate(rate as u64)) } else { Err(wrong()) }
    }
}

/// A port or a range of them: `443`, `"40000-40100"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub RangeInclusive<u16>);

impl From<u16> for Ports {
    fn from(port: u16) -> Ports {
        Ports(port..=port)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

impl FromStr for Ports {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Ports(first..=last)),
            _ => Err(format!("`{text}` is neither a port nor a range of ports such as \"40000-40100\"")),
        }
    }
}

/// One port is a number, a range is text.
impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.start() == self.0.end() { serializer.serialize_u16(*self.0.start()) } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Ports;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 443 or a range such as \"40000-40100\"")
            }
            fn visit_i64<E: Error>(self, port: i64) -> Result<Ports, E> {
                u16::try_from(port).map(Ports::from).map_err(|_| E::custom(format!("{port} is no port: they go up to 65535")))
            }
            fn visit_u64<E: Error>(self, port: u64) -> Result<Ports, E> {
                u16::try_from(port).map(Ports::from).map_err(|_| E::custom(format!("{port} is no port: they go up to 65535")))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Ports, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("`{text}` has no unit: write \"{text}B\", \"{text}kB\" or \"{text}MB\""));
        }
        text.parse::<bytesize::ByteSize>()
            .map(|size| Size(size.as_u64()))
            .map_err(|e| format!("`{text}` is not a size such as \"64KiB\" or \"10MB\": {e}"))
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    };
}
as_text!(Rate);
as_text!(Span);
as_text!(Size);

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_survive_the_round_trip() {
        for text in ["256MB", "1GB", "64KiB", "17B", "1MiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["4s", "10m", "1day", "250ms", "7m35s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn rates_survive_the_round_trip_and_tell_times() {
        for text in ["1.5Mbps", "38.4kbps", "300bps", "10Gbps", "1234bps"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("9.6 kbit/s".parse(), Ok(Rate(9_600)));
        for wrong in ["", "1.5", "1.5MB", "-1kbps", "0bps", "NaNbps", "infbps"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        assert_eq!(Rate(1_500_000).time_for(187_500), Duration::from_secs(1));
        assert_eq!(Rate(1_500_000).octets_in(Duration::from_secs(1)), 187_500);
    }

    #[test]
    fn ports_are_numbers_or_ranges() {
        assert_eq!("80".parse(), Ok(Ports::from(80)));
        assert_eq!("8000-8999".parse::<Ports>().unwrap().to_string(), "8000-8999");
        for wrong in ["", "-", "9-8", "70000", "1-2-3", "http"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        assert!("256".parse::<Size>().unwrap_err().contains("no unit"));
        assert!("30".parse::<Span>().is_err());
    }
}
