//! `[ftp]` in `portico.toml`.

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// `"0"` (any), or a range `"40000-40100"`.
    pub passive_ports: PassivePorts,
    /// The IPv4 address that PASV announces, where it differs (NAT); empty: our own.
    pub passive_address: PassiveAddress,
    /// Data connections must resume the control connection's TLS session. Needs clients that can.
    pub require_tls_reuse: bool,
    /// An upload whose TLS ends without a word counts as whole, for old clients that end so: an
    /// attacker can cut it anywhere, and nobody notices.
    pub lenient_tls_close: bool,
    /// Whether `anonymous` may log in and read.
    pub anonymous: bool,
    /// Said before the greeting, line by line.
    pub banner: String,
    /// Whether names with a leading dot exist for clients; LIST shows them with `-a` only.
    pub dotfiles: bool,
    /// Nobody logs in before AUTH TLS.
    pub require_tls: bool,
    /// Data connections need PROT P.
    pub require_tls_data: bool,
    /// Lines that are no good command before the control connection is closed. Clients try out a
    /// few that a server may not know; whoever sends many doesn't speak FTP.
    pub max_bad_commands: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            passive_ports: PassivePorts(0..=0),
            passive_address: PassiveAddress(None),
            require_tls_reuse: false,
            lenient_tls_close: false,
            anonymous: true,
            banner: String::new(),
            dotfiles: true,
            require_tls: false,
            require_tls_data: false,
            max_bad_commands: 30,
        }
    }
}

/// Where passive data connections are awaited; 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PassivePorts(pub RangeInclusive<u16>);

/// See [`Settings::passive_address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PassiveAddress(pub Option<Ipv4Addr>);

impl FromStr for PassivePorts {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(PassivePorts(0..=0));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(PassivePorts(first..=last)),
            _ => Err(format!("`{text}` is neither \"0\" nor a range of ports such as \"40000-40100\"")),
        }
    }
}

impl fmt::Display for PassivePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.0.end() == 0 { f.write_str("0") } else { write!(f, "{}-{}", self.0.start(), self.0.end()) }
    }
}

impl FromStr for PassiveAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(PassiveAddress(None));
        }
        let address = text.parse().map_err(|_| format!("`{text}` is not an IPv4 address such as \"192.0.2.1\""))?;
        Ok(PassiveAddress(Some(address)))
    }
}

impl fmt::Display for PassiveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

macro_rules! as_text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
as_text!(PassivePorts);
as_text!(PassiveAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses_survive_the_round_trip() {
        for text in ["0", "40000-40100", "21-21"] {
            assert_eq!(text.parse::<PassivePorts>().unwrap().to_string(), text);
        }
        for text in ["", "0-5", "5-4", "70000", "a-b"] {
            assert!(text.parse::<PassivePorts>().is_err(), "{text}");
        }
        for text in ["", "192.0.2.1"] {
            assert_eq!(text.parse::<PassiveAddress>().unwrap().to_string(), text);
        }
        assert!("::1".parse::<PassiveAddress>().is_err());
    }
}
