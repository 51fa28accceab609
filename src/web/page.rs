//! The pages that the server writes itself, refusals above all. Everything is escaped by `maud`.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{audience::Audience, login, reply::Reply};
use crate::{
    http::{Fault, head::reason},
    net::escape::escape,
};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const PROBLEM: &str = "application/problem+json";
/// Nothing on these pages loads or runs anything.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
/// What others have chosen is shown and does nothing: it has an origin of its own, and no scripts.
pub(super) const SANDBOX: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const STYLE: &str = include_str!("page.css");

/// Says what was wrong with *this* request: as a page for browsers, in two lines for people with
/// curl or telnet, as a problem document (RFC 9457) for programs.
pub(super) fn refusal(fault: &Fault, audience: Audience) -> Reply {
    with_duties(told(fault, audience), fault)
}

/// A refusal that wants a login of another kind than our accounts.
pub(super) fn challenge(fault: &Fault, audience: Audience, challenge: &str) -> Reply {
    told(fault, audience).with("WWW-Authenticate", challenge)
}

fn told(fault: &Fault, audience: Audience) -> Reply {
    let title = format!("{} {}", fault.status, reason(fault.status));
    let what = sentence(&harmless(&fault.what));
    match audience {
        Audience::Browser => self::reply(fault.status, &title, explanation(fault, &what)),
        Audience::Anybody => Reply::text(fault.status, TEXT, format!("{title}\n{what} See {}.\n", fault.source)),
        Audience::Program => Reply::text(fault.status, PROBLEM, problem(fault, &what)),
    }
    // What is a page for one client is two lines for another: caches must know.
    .with("Vary", "Accept")
}

/// A refusal quotes what it refuses, decoded at times: no line end and no terminal's escape sequence
/// may come back in it. What has been escaped already stays as it is.
fn harmless(text: &str) -> String {
    text.split('\\').map(escape).collect::<Vec<_>>().join("\\")
}

/// The fields that a status asks for.
pub(super) fn with_duties(reply: Reply, fault: &Fault) -> Reply {
    let mut reply = reply;
    if fault.status == 401 {
        reply = reply.with("WWW-Authenticate", login::CHALLENGE);
    }
    // With another field of the request there would have been something to send (RFC 9110, 12.5.5).
    if fault.status == 406 {
        reply = reply.with("Vary", "Accept-Encoding");
    }
    if fault.status == 503 {
        reply = reply.with("Retry-After", "5");
    }
    reply
}

/// A page of ours.
pub(super) fn reply(status: u16, title: &str, content: Markup) -> Reply {
    with_policy(status, title, content, POLICY)
}

/// A page of ours that loads something.
pub(super) fn with_policy(status: u16, title: &str, content: Markup, policy: &str) -> Reply {
    Reply::text(status, HTML, document(title, content)).with("Content-Security-Policy", policy)
}

/// A whole document of somebody else's making.
pub(super) fn bare(status: u16, document: &str) -> Reply {
    Reply::text(status, HTML, document.into()).with("Content-Security-Policy", SANDBOX)
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

fn explanation(fault: &Fault, what: &str) -> Markup {
    html! {
        p.lead { (what) }
        p.quiet {
            "The rule stands in "
            @match address(fault.source) {
                Some(address) => { a href=(address) rel="noreferrer" { (fault.source) } }
                None => { (fault.source) }
            }
            "."
        }
    }
}

/// A problem document of the general type, whose title is the status phrase (RFC 9457, 4.2.1).
fn problem(fault: &Fault, what: &str) -> String {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": reason(fault.status),
        "status": fault.status,
        "detail": what,
        "rule": fault.source,
        "see": address(fault.source),
    });
    format!("{document:#}\n")
}

/// Where the text of a rule stands: `RFC 9110, 15.5.5` is a section of a page of the RFC Editor.
fn address(source: &str) -> Option<String> {
    let (number, section) = source.strip_prefix("RFC ")?.split_once(", ")?;
    let is_plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    (is_plain(number) && is_plain(section)).then(|| format!("https://www.rfc-editor.org/rfc/rfc{number}#section-{section}"))
}

/// With a capital at its beginning and a full stop at its end.
fn sentence(what: &str) -> String {
    let mut rest = what.chars();
    let first = rest.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", rest.as_str())
}
