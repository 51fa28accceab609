//! What the proxy says itself: the pages of its refusals, which tell a person which side failed
//! and how, and the auto-configuration file.

use std::{fmt, net::SocketAddr};

use maud::{DOCTYPE, html};

use super::{Cache, origin::Origin};
use crate::{
    http::{Fault, Fields, RequestHead, ResponseHead, secrets, validators::format_date},
    net::{dial::DialError, escape::escape},
    store::cache::Listed,
};

/// Addresses that a listing shows.
const LISTED: usize = 1000;

/// A response of our own.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub status: u16,
    pub fields: Fields,
    pub body: String,
}

/// Why there is no response from the origin.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(DialError),
    /// Too many requests wait for a connection to it.
    Crowded,
    /// Every address of the host is the proxy's own.
    Ourselves,
    /// The parent proxy, which made no tunnel, says so.
    Parent(u16),
    /// Connected, but its response did not begin in time.
    NoAnswer,
    /// It closed the connection before its response was there.
    Died,
    /// Its response can't be understood.
    Broken(Fault),
    /// It sent `101` unasked.
    Unasked,
    HeadTooLong,
}

impl Failure {
    /// Whether the origin gave no answer at all, so that we are as if disconnected from it.
    pub(crate) fn is_disconnection(&self) -> bool {
        matches!(self, Failure::Connect(_) | Failure::NoAnswer | Failure::Died) && self.status() != 403
    }

    /// Which side of 502 and 504 a failure is on; the gate's refusal is 403.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Failure::Connect(DialError::Forbidden(_)) => 403,
            Failure::Ourselves => 508,
            Failure::Crowded => 503,
            Failure::Connect(DialError::TimedOut) | Failure::NoAnswer => 504,
            _ => 502,
        }
    }

    pub(crate) fn page(&self, origin: &Origin) -> Page {
        let status = self.status();
        Page::new(status, &format!("{}: {self}.", origin.authority()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(DialError::Unknown(error)) => write!(f, "the name is not known ({error})"),
            Failure::Connect(DialError::Forbidden(_)) => write!(f, "this proxy does not connect its clients to that address"),
            Failure::Connect(DialError::TimedOut) => write!(f, "the server did not accept a connection in time"),
            Failure::Connect(DialError::Failed(error)) => write!(f, "the server can not be reached ({error})"),
            Failure::Crowded => write!(f, "too many other requests to this server are on their way"),
            Failure::Ourselves => write!(f, "that is this proxy itself"),
            Failure::Parent(407) => write!(f, "the parent proxy wants other credentials than the settings have"),
            Failure::Parent(status) => write!(f, "the parent proxy made no tunnel but says {status}"),
            Failure::NoAnswer => write!(f, "the server accepted the request but did not answer in time"),
            Failure::Died => write!(f, "the server closed the connection before it had answered"),
            Failure::Broken(fault) => write!(f, "the server's answer is not valid HTTP: {} ({})", fault.what, fault.source),
            Failure::Unasked => write!(f, "the server changed the protocol without being asked to"),
            Failure::HeadTooLong => write!(f, "the head of the server's answer is too long"),
        }
    }
}

impl Page {
    pub(crate) fn new(status: u16, sentence: &str) -> Page {
        let title = format!("{status} {}", crate::http::head::reason(status));
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head { meta charset="utf-8"; title { (title) } }
                body {
                    h1 { (title) }
                    p { (escape(sentence)) }
                    hr;
                    p { "Portico, caching proxy" }
                }
            }
        };
        let mut fields = Fields::new();
        fields.push("Content-Type", "text/html; charset=utf-8");
        Page { status, fields, body: body.into_string() }
    }

    /// A host that the settings forbid.
    pub(crate) fn never_forwarded(origin: &Origin) -> Page {
        Page::new(403, &format!("The settings of this proxy forbid requests to {}.", origin.host))
    }

    /// A request that can't be understood.
    pub(crate) fn fault(fault: &Fault) -> Page {
        Page::new(fault.status, &format!("{} ({}).", fault.what, fault.source))
    }

    /// A response without content.
    pub(crate) fn empty(status: u16) -> Page {
        Page { status, fields: Fields::new(), body: String::new() }
    }

    /// The request as it came, but for what must stay secret (RFC 9110, 9.3.8).
    pub(crate) fn trace(head: &RequestHead) -> Page {
        let mut fields = Fields::new();
        fields.push("Content-Type", "message/http");
        Page { status: 200, fields, body: String::from_utf8_lossy(&secrets::echo(head)).into_owned() }
    }

    /// What the cache holds and what it has saved, for people: then size, variants and address of
    /// what is in memory.
    pub(crate) fn listing(cache: &Cache) -> Page {
        let (totals, figures) = (cache.store.totals(), cache.counters.figures());
        let mut body = format!(
            "{} addresses in memory, {} octets; {} on disk, {} octets\n",
            totals.memory_keys, totals.memory_octets, totals.disk_keys, totals.disk_octets
        );
        body.push_str(&figures.to_string());
        body.push('\n');
        for Listed { key, variants, octets } in cache.store.list_memory(LISTED) {
            body.push_str(&format!("{octets:>12} {variants:>3} {}\n", escape(key)));
        }
        let mut fields = Fields::new();
        fields.push("Content-Type", "text/plain; charset=utf-8");
        fields.push("Cache-Control", "no-store");
        Page { status: 200, fields, body }
    }

    /// What a browser asks to find its proxy.
    pub(crate) fn auto_configuration(proxy: SocketAddr) -> Page {
        let body = format!("function FindProxyForURL(url, host) {{\n  return \"PROXY {proxy}; DIRECT\";\n}}\n");
        let mut fields = Fields::new();
        fields.push("Content-Type", "application/x-ns-proxy-autoconfig");
        Page { status: 200, fields, body }
    }

    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Page {
        self.fields.push(name, value);
        self
    }

    /// Its head, before the fields of the connection.
    pub(crate) fn head(&self, now: std::time::SystemTime) -> ResponseHead {
        let mut head = ResponseHead::new(self.status);
        head.fields = self.fields.clone();
        head.fields.push("Date", format_date(now));
        if self.status != 204 {
            head.fields.push("Content-Length", self.body.len().to_string());
        }
        head
    }
}
