//! A link as people write it: `rtt:100ms,rate:1.5Mbps,queue:32KiB`, or the name of a preset.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::units::{Rate, Size, Span};

/// What a link is like. Times and rates are those of the whole way, both directions together for
/// `rtt`; nothing is added for heads of packets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkSpec {
    /// There and back, without queueing and transmission.
    pub rtt: Duration,
    /// Each way takes up to so much more or less than half the `rtt`, evenly spread.
    pub jitter: Duration,
    /// From the client to the server; `None`: transmission takes no time.
    pub up: Option<Rate>,
    /// From the server to the client.
    pub down: Option<Rate>,
    /// How many of the packets are lost, from 0 to 1.
    pub loss: f64,
    /// What waits before the bottleneck at most, each way, in octets.
    pub queue: Size,
    /// All connections share one bottleneck each way; otherwise each has its own.
    pub shared: bool,
    /// What jitter and loss are drawn from: the same seed, the same draws.
    pub seed: u64,
}

/// The longest round trip: to Mars and back it is three quarters of an hour at most.
const LONGEST_RTT: Duration = Duration::from_secs(3600);
/// A full queue of 64 KiB is what many home routers had for years.
const QUEUE: Size = Size(64 * 1024);

/// Links by name: the radio links of a study of Web services in the field, and those that people
/// have at home.
pub(crate) const PRESETS: &[(&str, &str, &str)] = &[
    ("radio-300k", "rtt:100ms,rate:300kbps,queue:32KiB", "wideband radio, 300 kbit/s"),
    ("radio-64k", "rtt:250ms,rate:64kbps,queue:16KiB", "tactical radio, 64 kbit/s"),
    ("radio-38k4", "rtt:400ms,rate:38.4kbps,queue:16KiB", "VHF radio, 38.4 kbit/s"),
    ("radio-9k6", "rtt:600ms,rate:9.6kbps,queue:8KiB", "VHF radio, 9.6 kbit/s"),
    ("radio-2k4", "rtt:2s,rate:2.4kbps,queue:8KiB", "HF radio, 2.4 kbit/s, long interleaving"),
    ("radio-1k0", "rtt:4s,rate:1kbps,queue:4KiB", "HF radio, 1.0 kbit/s, long interleaving"),
    ("modem-56k", "rtt:150ms,up:33.6kbps,down:53.3kbps,queue:16KiB", "a V.90 modem on a telephone line"),
    ("adsl", "rtt:40ms,up:1Mbps,down:8Mbps", "ADSL at home"),
    ("3g", "rtt:150ms,up:384kbps,down:2Mbps,jitter:20ms,queue:128KiB", "UMTS, on the move"),
    ("satellite", "rtt:600ms,up:2Mbps,down:10Mbps,queue:256KiB", "a geostationary satellite"),
    ("lan", "rtt:1ms,rate:100Mbps", "Fast Ethernet in one building"),
];

impl Default for LinkSpec {
    fn default() -> LinkSpec {
        LinkSpec { rtt: Duration::ZERO, jitter: Duration::ZERO, up: None, down: None, loss: 0.0, queue: QUEUE, shared: false, seed: 1 }
    }
}

impl LinkSpec {
    /// The preset of that name.
    pub(crate) fn preset(name: &str) -> Option<LinkSpec> {
        let (_, text, _) = PRESETS.iter().find(|(known, ..)| *known == name)?;
        text.parse().ok()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let span = |text: &str| text.parse::<Span>().map(|span| span.0);
        match key {
            "rtt" => self.rtt = span(value)?,
            "jitter" => self.jitter = span(value)?,
            "rate" => (self.up, self.down) = (Some(value.parse()?), Some(value.parse()?)),
            "up" => self.up = Some(value.parse()?),
            "down" => self.down = Some(value.parse()?),
            "loss" => self.loss = share(value)?,
            "queue" => self.queue = value.parse()?,
            "seed" => self.seed = value.parse().map_err(|_| format!("`{value}` is not a number to draw from"))?,
            _ => return Err(format!("a link has no `{key}`: it has rtt, rate, up, down, jitter, loss, queue, seed and shared")),
        }
        Ok(())
    }
}

/// `1%` or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().ok().map(|number| number / unit).filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share such as 1% or 0.01, below 100%"))
}

impl FromStr for LinkSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<LinkSpec, String> {
        let mut spec = LinkSpec::default();
        for (number, part) in text.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            match part.split_once(':') {
                Some((key, value)) => spec.set(key.trim(), value.trim())?,
                None if part == "shared" => spec.shared = true,
                None => match LinkSpec::preset(part).filter(|_| number == 0) {
                    Some(preset) => spec = preset,
                    None => return Err(not_a_link(part)),
                },
            }
        }
        if text.trim().is_empty() {
            return Err("a link is missing: write rtt:100ms,rate:1.5Mbps, or a preset such as modem-56k".into());
        }
        if spec.rtt > LONGEST_RTT {
            return Err(format!("an rtt is at most {}", Span(LONGEST_RTT)));
        }
        if spec.jitter > spec.rtt / 2 {
            return Err(format!("a jitter of {} is more than one way of the rtt, {}", Span(spec.jitter), Span(spec.rtt / 2)));
        }
        Ok(spec)
    }
}

fn not_a_link(part: &str) -> String {
    let names: Vec<_> = PRESETS.iter().map(|(name, ..)| *name).collect();
    format!("`{part}` is not a link: write rtt:100ms,rate:1.5Mbps, or begin with one of {}", names.join(", "))
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rtt:{}", Span(self.rtt))?;
        match (self.up, self.down) {
            (Some(up), Some(down)) if up == down => write!(f, ",rate:{up}")?,
            (up, down) => {
                up.map_or(Ok(()), |up| write!(f, ",up:{up}"))?;
                down.map_or(Ok(()), |down| write!(f, ",down:{down}"))?;
            }
        }
        if !self.jitter.is_zero() {
            write!(f, ",jitter:{}", Span(self.jitter))?;
        }
        if self.loss > 0.0 {
            write!(f, ",loss:{}%", self.loss * 100.0)?;
        }
        if self.queue != QUEUE {
            write!(f, ",queue:{}", self.queue)?;
        }
        if self.seed != 1 {
            write!(f, ",seed:{}", self.seed)?;
        }
        f.write_str(if self.shared { ",shared" } else { "" })
    }
}

impl Serialize for LinkSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<LinkSpec, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "rtt:100ms,rate:1.5Mbps",
            "rtt:0s",
            "rtt:150ms,up:384kbps,down:2Mbps,jitter:20ms,loss:1%,queue:128KiB,seed:7,shared",
            "rtt:2s,down:2.4kbps",
        ] {
            assert_eq!(text.parse::<LinkSpec>().unwrap().to_string(), text);
        }
        for (name, text, _) in PRESETS {
            let spec = LinkSpec::preset(name).unwrap_or_else(|| panic!("{name}: {text}"));
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn a_preset_can_be_changed() {
        let spec: LinkSpec = "adsl,rtt:80ms,shared".parse().unwrap();
        assert_eq!(spec.to_string(), "rtt:80ms,up:1Mbps,down:8Mbps,shared");
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for wrong in [
            "asdl",
            "rtt:100",
            "rtt:100ms,adsl",
            "rate:1.5",
            "rate:0bps",
            "loss:100%",
            "loss:-1%",
            "speed:1Mbps",
            "rtt:1ms,jitter:1ms",
            "",
            "rtt:61m",
            "jitter:9999999999years",
        ] {
            assert!(wrong.parse::<LinkSpec>().is_err(), "{wrong}");
        }
    }
}
