//! For whom a page is written: one and the same answer is a page in a browser, text at a telnet
//! prompt and JSON for a program (proactive negotiation, RFC 9110, 12.5.1). Pure.

use crate::http::{Fields, lists};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Asks for HTML by name.
    Browser,
    /// Asks for JSON by name.
    Program,
    /// Takes anything: curl, or a person at a telnet prompt.
    Anybody,
}

impl Audience {
    /// Reads the Accept fields. What is asked for by name counts, `*/*` says nothing.
    pub(super) fn of(fields: &Fields) -> Audience {
        let wishes = lists::weighted(fields.get_all("accept"));
        let quality = |names: &[&str]| wishes.iter().filter(|wish| names.contains(&&*wish.name)).map(|wish| wish.quality).max();
        let html = quality(&["text/html", "application/xhtml+xml"]).unwrap_or(0);
        let json = quality(&["application/json", "application/problem+json"]).unwrap_or(0);
        match (html, json) {
            (0, 0) => Audience::Anybody,
            _ if html >= json => Audience::Browser,
            _ => Audience::Program,
        }
    }

    /// A guess from a head that can't be parsed.
    pub(super) fn guess(head: &[u8]) -> Audience {
        let names = |media_type: &str| memchr::memmem::find(head, media_type.as_bytes()).is_some();
        match (names("text/html"), names("application/json") || names("application/problem+json")) {
            (true, _) => Audience::Browser,
            (false, true) => Audience::Program,
            (false, false) => Audience::Anybody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_what() {
        for (accept, audience) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Audience::Browser),
            ("*/*", Audience::Anybody),
            ("text/*", Audience::Anybody),
            ("application/json", Audience::Program),
            ("application/problem+json, */*;q=0.1", Audience::Program),
            ("text/html;q=0.5, application/json", Audience::Program),
            ("text/html;q=0", Audience::Anybody),
            ("text/htmlx", Audience::Anybody),
        ] {
            let mut fields = Fields::new();
            fields.push("Accept", accept);
            assert_eq!(Audience::of(&fields), audience, "{accept}");
        }
        assert_eq!(Audience::of(&Fields::new()), Audience::Anybody);
        assert_eq!(Audience::guess(b"GET /\x00 HTTP/1.1\r\nAccept: text/html"), Audience::Browser);
    }
}
