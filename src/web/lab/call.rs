//! What an exhibit is told, and what it can have done.

use std::{net::SocketAddr, time::Duration};

use maud::{Markup, html};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::table::Exhibit;
use crate::{
    http::{Fault, Fields},
    net::tls::TlsFacts,
    web::{audience::Audience, form, page, reply::Reply, request::Request},
};

/// One request to an exhibit.
pub(super) struct Call<'a> {
    pub exhibit: &'static Exhibit,
    pub request: &'a Request,
    pub body: Received,
    pub wire: Wire,
    /// The path's segments after the exhibit's name, decoded.
    arguments: Vec<String>,
    pub query: Vec<(String, String)>,
}

/// A request's body.
pub(super) struct Received {
    /// Its beginning.
    pub content: Vec<u8>,
    /// How long it was.
    pub octets: u64,
    /// SHA-256 of all of it.
    pub digest: [u8; 32],
    /// Its beginning as it came on the wire, chunk sizes and all.
    pub wire: Vec<u8>,
    pub trailers: Fields,
}

impl Received {
    /// Whether all of it was kept.
    pub(super) fn is_whole(&self) -> bool {
        self.octets == self.content.len() as u64
    }
}

/// The connection that a request came on.
pub(super) struct Wire {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub conn: u64,
    pub tls: Option<TlsFacts>,
}

/// What is to happen.
pub(super) struct Act {
    pub before: Vec<Before>,
    /// None: the connection is closed without an answer.
    pub reply: Option<Reply>,
}

/// What comes before the reply.
pub(super) enum Before {
    Pause(Duration),
    /// The head of an interim response.
    Interim(String),
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Act {
        Act { before: Vec::new(), reply: Some(reply) }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(exhibit: &'static Exhibit, request: &'a Request, body: Received, wire: Wire) -> Result<Call<'a>, Fault> {
        let decode = |segment: &str| {
            let decoded = percent_decode_str(segment).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(|_| Fault::bad(format!("`{segment}` is not UTF-8"), "RFC 3986, 2.5"))
        };
        let arguments = exhibit.arguments_in(request.head.target.path()).map(decode).collect::<Result<_, _>>()?;
        let query = form::pairs(request.head.target.query().unwrap_or_default().as_bytes());
        Ok(Call { exhibit, request, body, wire, arguments, query })
    }

    /// The path's segment number `at` after the exhibit's name.
    pub(super) fn argument(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// What the query says under one of these names.
    pub(super) fn asked(&self, names: &[&str]) -> Option<&str> {
        self.query.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    }

    /// Whether the query switches something on: `?name`, `?name=1`, `?name=true`.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.asked(&[name]).is_some_and(|value| matches!(value, "" | "1" | "true" | "yes" | "on"))
    }

    /// `http://host` as the client knows us.
    pub(super) fn site(&self) -> String {
        let scheme = if self.request.is_secure { "https" } else { "http" };
        format!("{scheme}://{}", self.request.host())
    }

    pub(super) fn url(&self) -> String {
        format!("{}{}", self.site(), self.request.head.target.origin_form())
    }

    /// Shows a value: as a table to people with a browser, as JSON to everybody else. It is about
    /// this one request, so no cache may keep it.
    pub(super) fn show(&self, value: &Value) -> Reply {
        self.show_as(200, value).with("Cache-Control", "no-store")
    }

    /// The same with another status, and without a word to caches.
    pub(super) fn show_as(&self, status: u16, value: &Value) -> Reply {
        let reply = match self.request.audience() {
            Audience::Browser => page::reply(status, &self.exhibit.title(), self.page(value)),
            _ => Reply::text(status, "application/json", json(value)),
        };
        reply.with("Vary", "Accept")
    }

    /// A page about this exhibit with something shown on it.
    pub(super) fn page_with(&self, content: &Markup) -> Reply {
        page::reply(200, &self.exhibit.title(), self.frame(content)).with("Cache-Control", "no-store").with("Vary", "Accept")
    }

    fn page(&self, value: &Value) -> Markup {
        self.frame(&table(value))
    }

    fn frame(&self, content: &Markup) -> Markup {
        html! {
            p.lead { (self.exhibit.says) }
            (content)
            p.quiet { "By hand: " code { (self.exhibit.command(&self.site())) } }
            p.quiet { a href="/lab/" { "All of the lab" } }
        }
    }
}

/// JSON for people too: indented, with a line end.
pub(super) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// One of a list of names and values, which reads best as a row.
fn is_pair(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.len() == 2 && fields.contains_key("name") && fields.contains_key("value"))
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A value as nested tables.
fn table(value: &Value) -> Markup {
    match value {
        Value::Object(fields) if fields.is_empty() => html! { span.quiet { "none" } },
        Value::Object(fields) => html! {
            table { @for (name, value) in fields { tr { th { (name) } td { (table(value)) } } } }
        },
        Value::Array(rows) if rows.is_empty() => html! { span.quiet { "none" } },
        Value::Array(rows) if rows.iter().all(is_pair) => html! {
            table { @for row in rows { tr { th { (plain(&row["name"])) } td { (table(&row["value"])) } } } }
        },
        Value::Array(rows) => html! { @for row in rows { div { (table(row)) } } },
        Value::Null => html! { span.quiet { "none" } },
        Value::String(text) if text.contains('\n') => html! { pre { (text) } },
        Value::String(text) => html! { (text) },
        other => html! { (other) },
    }
}
