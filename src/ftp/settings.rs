//! `[ftp]` in `portico.toml`.

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{command, listing::matches};
use crate::{store::VirtualPath, units::Size};

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
    /// Folders in which guests may store new files. What is there they can't change, nor remove.
    pub anonymous_write: Folders,
    /// What those folders may hold before guests get 552: what strangers send has a bound.
    pub anonymous_quota: Size,
    /// Commands that nobody may use (502).
    pub deny_commands: Verbs,
    /// Patterns of names that no new file, directory or name may have; small letters are as large ones.
    pub deny_names: Vec<String>,
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
            anonymous_write: Folders(Vec::new()),
            anonymous_quota: Size(100_000_000),
            deny_commands: Verbs(Vec::new()),
            deny_names: Vec::new(),
            banner: String::new(),
            dotfiles: true,
            require_tls: false,
            require_tls_data: false,
            max_bad_commands: 30,
        }
    }
}

impl Settings {
    pub(crate) fn denies_name(&self, name: &str) -> bool {
        // Most set nothing, and pay nothing.
        self.deny_names.iter().any(|pattern| matches(&pattern.to_lowercase(), &name.to_lowercase()))
    }
}

/// Folders of the tree, as `["/incoming/"]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Folders(pub Vec<VirtualPath>);

impl TryFrom<Vec<String>> for Folders {
    type Error = String;
    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let folder = |text: &String| match VirtualPath::parse(text) {
            Ok(path) if text.starts_with('/') && !path.is_root() => Ok(path),
            _ => Err(format!("`{text}` is not a folder of the tree such as \"/incoming/\"")),
        };
        texts.iter().map(folder).collect::<Result<_, _>>().map(Folders)
    }
}

impl From<Folders> for Vec<String> {
    fn from(folders: Folders) -> Vec<String> {
        folders.0.iter().map(ToString::to_string).collect()
    }
}

/// Commands of the table, in capitals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Verbs(pub Vec<String>);

impl TryFrom<Vec<String>> for Verbs {
    type Error = String;
    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let verb = |text: &String| match command::find(&text.to_ascii_uppercase()) {
            Some(row) => Ok(row.verb.to_owned()),
            None => Err(format!("`{text}` is not a command that there is; `portico explain ftp` lists them")),
        };
        texts.iter().map(verb).collect::<Result<_, _>>().map(Verbs)
    }
}

impl From<Verbs> for Vec<String> {
    fn from(verbs: Verbs) -> Vec<String> {
        verbs.0
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

    #[test]
    fn folders_verbs_and_names() {
        assert_eq!(Folders::try_from(vec!["/incoming/".to_owned()]).unwrap().0, [VirtualPath::parse("/incoming").unwrap()]);
        for text in ["incoming", "/", ""] {
            assert!(Folders::try_from(vec![text.to_owned()]).is_err(), "{text}");
        }
        assert_eq!(Verbs::try_from(vec!["dele".to_owned(), "XMKD".to_owned()]).unwrap().0, ["DELE", "MKD"]);
        assert!(Verbs::try_from(vec!["get".to_owned()]).is_err());
        let settings = Settings { deny_names: vec!["*.exe".into()], ..Settings::default() };
        assert!(settings.denies_name("Setup.EXE") && !settings.denies_name("exe"));
    }
}
