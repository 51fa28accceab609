//! `[smtp.routes]` and `[smtp.retry]` in `portico.toml`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::units::Span;

/// A next hop: `"host:port"`, or a table with the host and more.
#[derive(Clone, Default, Serialize)]
pub(crate) struct RouteSettings {
    /// `name`, `name:port`, `192.0.2.1:port`, `[2001:db8::1]:port`.
    pub host: String,
    pub tls: RouteTls,
    /// TLS before everything else (RFC 8314, 3.3).
    pub implicit: bool,
    /// The account to log in with there, if any.
    pub user: String,
    pub password: String,
}

/// Whether a conversation with a next hop is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RouteTls {
    Never,
    /// Where it is offered; with whoever answers (RFC 7435).
    #[default]
    Opportunistic,
    /// Always, and only with a server that proves its name.
    Required,
}

impl RouteSettings {
    pub(crate) fn to(host: &str) -> RouteSettings {
        RouteSettings { host: host.to_owned(), ..RouteSettings::default() }
    }
}

impl fmt::Debug for RouteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteSettings").field("host", &self.host).field("user", &self.user).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for RouteSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = RouteSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a next hop such as \"mail.example:25\", or a table with `host`")
    }

    fn visit_str<E: de::Error>(self, host: &str) -> Result<RouteSettings, E> {
        Ok(RouteSettings::to(host))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteSettings, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct Table {
            // It may come from another source than the password.
            #[serde(default)]
            host: String,
            #[serde(default)]
            tls: RouteTls,
            #[serde(default)]
            implicit: bool,
            #[serde(default)]
            user: String,
            #[serde(default)]
            password: String,
        }
        let Table { host, tls, implicit, user, password } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RouteSettings { host, tls, implicit, user, password })
    }
}

/// `[smtp.retry]`: when the queue tries again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// The wait after the first failure; it doubles each time.
    pub first: Span,
    /// The longest wait.
    pub most: Span,
    /// After this the sender hears that the message is late; `0s` for never.
    pub warn_after: Span,
    /// After this the message is returned to its sender.
    pub give_up: Span,
}

impl Default for Retry {
    fn default() -> Self {
        let hours = |count: u64| Span::secs(count * 3600);
        Retry { first: Span::secs(300), most: hours(4), warn_after: hours(4), give_up: hours(5 * 24) }
    }
}
