//! The pages that the server writes itself, refusals above all. Everything is escaped by `maud`.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{login, reply::Reply};
use crate::http::{Fault, head::reason};

pub(super) const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Nothing on these pages loads or runs anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
const STYLE: &str = include_str!("page.css");

/// Says what was wrong with *this* request: as a page for browsers, in two lines for people with
/// curl or telnet.
pub(super) fn refusal(fault: &Fault, html: bool) -> Reply {
    let title = format!("{} {}", fault.status, reason(fault.status));
    let mut reply = match html {
        true => self::reply(fault.status, &title, html! { p { (sentence(&fault.what)) } p.quiet { "See " (fault.source) "." } }),
        false => Reply::text(fault.status, TEXT, format!("{title}\n{} See {}.\n", sentence(&fault.what), fault.source)),
    };
    // What is a page for one client is two lines for another: caches must know.
    reply = reply.with("Vary", "Accept");
    if fault.status == 401 {
        reply = reply.with("WWW-Authenticate", login::CHALLENGE);
    }
    if fault.status == 503 {
        reply = reply.with("Retry-After", "5");
    }
    reply
}

/// A page of ours.
pub(super) fn reply(status: u16, title: &str, content: Markup) -> Reply {
    Reply::text(status, HTML, document(title, content)).with("Content-Security-Policy", POLICY)
}

pub(super) fn document(title: &str, content: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (content)
                }
                footer { a href="/" { "Portico" } " " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    page.into_string()
}

/// Whether an Accept field, or a head that can't be parsed, asks for HTML by name: browsers do,
/// curl and people at a telnet prompt don't.
pub(super) fn is_for_browser(accept: &[u8]) -> bool {
    memchr::memmem::find(accept, b"text/html").is_some()
}

/// With a capital at its beginning and a full stop at its end.
fn sentence(what: &str) -> String {
    let mut rest = what.chars();
    let first = rest.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", rest.as_str())
}
