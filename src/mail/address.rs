//! Mail addresses as the envelope has them (RFC 5321, 4.1.2): paths, mailboxes, domains and
//! address literals.
//!
//! Parsing takes every legal spelling (quoted local parts, source routes) to one value, and
//! printing gives its canonical spelling, so two spellings of one mailbox compare equal. What an
//! address is *for* (ours, to be relayed, a trick) is decided in `smtp`. Addresses beyond ASCII
//! (RFC 6531, 3.3) are read, too; whether the client may use them is for `smtp` to say.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use unicode_normalization::UnicodeNormalization;

/// RFC 5321, 4.5.3.1: local part, domain, and a whole path with its brackets, in octets.
const LOCAL_OCTETS: usize = 64;
const DOMAIN_OCTETS: usize = 255;
const PATH_OCTETS: usize = 256;
/// RFC 1035, 2.3.4.
const LABEL_OCTETS: usize = 63;

/// What stands between the angle brackets of MAIL and RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `<>`: nobody; the sender of a bounce (4.5.5).
    Null,
    /// `<postmaster>`: allowed without a domain for RCPT alone (4.1.1.3).
    Postmaster,
    Mailbox(Mailbox),
}

/// `local@host`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mailbox {
    /// Without its quotes. Only the host may give it a meaning, so its case is kept.
    local: String,
    host: Host,
}

/// Where a mailbox is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// A domain name, in lower case; labels beyond ASCII as A-labels (RFC 5890, 2.3.2.1), so that
    /// both spellings of a domain are one, and a server without SMTPUTF8 can be given it.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not begin with `<`.
    NoBracket,
    /// `>` is missing, or text follows it where none may.
    Unclosed,
    Local,
    NoDomain,
    Domain,
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NoBracket => "put the address in <angle brackets>",
            Fault::Unclosed => "the closing bracket is missing",
            Fault::Local => "bad local part",
            Fault::NoDomain => "the domain is missing",
            Fault::Domain => "bad domain",
            Fault::TooLong => "address too long",
        })
    }
}

impl Path {
    /// Reads a path at the start of `text` and returns it with the rest of `text`.
    ///
    /// A source route (`<@a,@b:user@host>`) is read and forgotten, as RFC 5321, C asks.
    pub(crate) fn parse(text: &str) -> Result<(Path, &str), Fault> {
        let inner = text.strip_prefix('<').ok_or(Fault::NoBracket)?;
        if let Some(rest) = inner.strip_prefix('>') {
            return Ok((Path::Null, rest));
        }
        if let Some((word, rest)) = inner.split_once('>')
            && word.eq_ignore_ascii_case("postmaster")
        {
            return Ok((Path::Postmaster, rest));
        }
        let after_route = skip_route(inner)?;
        let (mailbox, rest) = Mailbox::parse_prefix(after_route)?;
        let rest = match rest.strip_prefix('>') {
            Some(rest) => rest,
            None if rest.is_empty() || rest.starts_with(' ') => return Err(Fault::Unclosed),
            None => return Err(Fault::Domain),
        };
        if text.len() - rest.len() > PATH_OCTETS {
            return Err(Fault::TooLong);
        }
        Ok((Path::Mailbox(mailbox), rest))
    }
}

impl Path {
    /// The same with another local part.
    pub(crate) fn with_local(&self, local: &str) -> Path {
        match self {
            Path::Mailbox(mailbox) => Path::Mailbox(mailbox.with_local(local)),
            path => path.clone(),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Null => f.write_str("<>"),
            Path::Postmaster => f.write_str("<postmaster>"),
            Path::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl Mailbox {
    /// A mailbox without brackets, and nothing after it.
    pub(crate) fn parse(text: &str) -> Result<Mailbox, Fault> {
        match Mailbox::parse_prefix(text)? {
            (mailbox, "") => Ok(mailbox),
            _ => Err(Fault::Unclosed),
        }
    }

    fn parse_prefix(text: &str) -> Result<(Mailbox, &str), Fault> {
        let (local, rest) = if text.starts_with('"') { quoted_string(text)? } else { dot_string(text)? };
        let rest = match rest.strip_prefix('@') {
            Some(rest) => rest,
            None if rest.is_empty() || rest.starts_with('>') => return Err(Fault::NoDomain),
            None => return Err(Fault::Local),
        };
        let (host, rest) = Host::parse_prefix(rest)?;
        if text.len() - rest.len() > PATH_OCTETS - 2 {
            return Err(Fault::TooLong);
        }
        Ok((Mailbox { local, host }, rest))
    }

    /// The local part without quotes.
    pub(crate) fn local(&self) -> &str {
        &self.local
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Another mailbox at the same host.
    pub(crate) fn with_local(&self, local: &str) -> Mailbox {
        Mailbox { local: local.to_owned(), host: self.host.clone() }
    }

    /// Whether a server without SMTPUTF8 could not be given it.
    pub(crate) fn needs_utf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.host);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.host)
    }
}

impl Host {
    /// A domain or address literal, and nothing after it.
    pub(crate) fn parse(text: &str) -> Result<Host, Fault> {
        match Host::parse_prefix(text)? {
            (host, "") => Ok(host),
            _ => Err(Fault::Domain),
        }
    }

    fn parse_prefix(text: &str) -> Result<(Host, &str), Fault> {
        if let Some(literal) = text.strip_prefix('[') {
            let (literal, rest) = literal.split_once(']').ok_or(Fault::Domain)?;
            return Ok((address_literal(literal).ok_or(Fault::Domain)?, rest));
        }
        let end = text.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '-' && c != '.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return Err(Fault::NoDomain);
        }
        // Before anything is made of it: a long name is not worth the work.
        if name.len() > DOMAIN_OCTETS {
            return Err(Fault::TooLong);
        }
        let ascii = if name.is_ascii() { name.to_ascii_lowercase() } else { a_labels(name).ok_or(Fault::Domain)? };
        match ascii {
            name if name.len() > DOMAIN_OCTETS => Err(Fault::TooLong),
            name if name.split('.').all(is_label) => Ok((Host::Name(name), rest)),
            _ => Err(Fault::Domain),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(ip) => write!(f, "[{ip}]"),
            Host::V6(ip) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// The A-labels of a domain beyond ASCII (RFC 5891, 4.4).
fn a_labels(name: &str) -> Option<String> {
    idna::domain_to_ascii_strict(name).ok()
}

/// The form in which local parts are compared where they are looked up: one for all ways in which
/// Unicode spells the same characters (RFC 6531, 3.3 and 6532, 3.1), and for upper and lower case.
pub(crate) fn fold(local: &str) -> String {
    if local.is_ascii() { local.to_ascii_lowercase() } else { local.nfc().collect::<String>().to_lowercase().nfc().collect() }
}

/// Skips `@host,@host:` where there is one.
fn skip_route(text: &str) -> Result<&str, Fault> {
    let mut rest = text;
    while let Some(hop) = rest.strip_prefix('@') {
        let (_, after) = Host::parse_prefix(hop)?;
        rest = match after.strip_prefix(',') {
            Some(next) if next.starts_with('@') => next,
            Some(_) => return Err(Fault::Domain),
            None => return after.strip_prefix(':').ok_or(Fault::Domain),
        };
    }
    Ok(rest)
}

fn dot_string(text: &str) -> Result<(String, &str), Fault> {
    let end = text.find(|c: char| !is_atext(c) && c != '.').unwrap_or(text.len());
    let (local, rest) = text.split_at(end);
    if local.len() > LOCAL_OCTETS {
        return Err(Fault::TooLong);
    }
    if is_dot_string(local) { Ok((local.to_owned(), rest)) } else { Err(Fault::Local) }
}

fn quoted_string(text: &str) -> Result<(String, &str), Fault> {
    let mut local = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        let meant = match c {
            '"' if at >= LOCAL_OCTETS => return Err(Fault::TooLong),
            '"' => return Ok((local, &text[at + 1..])),
            '\\' => chars.next().ok_or(Fault::Local)?.1,
            _ => c,
        };
        if !matches!(meant, ' '..='~') && !is_beyond_ascii(meant) {
            return Err(Fault::Local);
        }
        local.push(meant);
    }
    Err(Fault::Local)
}

fn address_literal(literal: &str) -> Option<Host> {
    match literal.split_once(':') {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => address.parse().ok().map(Host::V6),
        Some(_) => None,
        None => literal.parse().ok().map(Host::V4),
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= LABEL_OCTETS && !label.starts_with('-') && !label.ends_with('-')
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_beyond_ascii(c)
}

/// UTF8-non-ascii (RFC 6531, 3.3), but for control characters and marks that turn the direction of
/// writing: an address that shows as another one is a trick.
fn is_beyond_ascii(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    !c.is_ascii() && !c.is_control() && !turns && c != char::REPLACEMENT_CHARACTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Result<String, Fault> {
        Path::parse(text).map(|(path, rest)| format!("{path}{rest}"))
    }

    #[test]
    fn every_legal_spelling_has_one_canonical_form() {
        for (sent, meant) in [
            ("<alice@portico.test>", "<alice@portico.test>"),
            ("<Alice@PORTICO.Test>", "<Alice@portico.test>"),
            ("<>", "<>"),
            ("<PostMaster>", "<postmaster>"),
            ("<postmaster@portico.test>", "<postmaster@portico.test>"),
            ("<\"alice\"@a.b>", "<alice@a.b>"),
            ("<\"al\\ice\"@a.b>", "<alice@a.b>"),
            ("<\"a b\"@a.b>", "<\"a b\"@a.b>"),
            ("<\"\"@a.b>", "<\"\"@a.b>"),
            ("<\"a@b\"@a.b>", "<\"a@b\"@a.b>"),
            ("<\"a>b\"@a.b>", "<\"a>b\"@a.b>"),
            ("<\"q\\\"\\\\\"@a.b>", "<\"q\\\"\\\\\"@a.b>"),
            ("<@one.test,@two.test:alice@a.b>", "<alice@a.b>"),
            ("<alice@[127.0.0.1]>", "<alice@[127.0.0.1]>"),
            ("<alice@[ipv6:0:0::1]>", "<alice@[IPv6:::1]>"),
            ("<a%b@c.d> SIZE=3", "<a%b@c.d> SIZE=3"),
            ("<a!b@c>", "<a!b@c>"),
            ("<blåbær@a.b>", "<blåbær@a.b>"),
            ("<\"blå bær\"@a.b>", "<\"blå bær\"@a.b>"),
            ("<alice@BÜCHER.example>", "<alice@xn--bcher-kva.example>"),
            ("<alice@bu\u{308}cher.example>", "<alice@xn--bcher-kva.example>"),
            ("<@bücher.example:alice@a.b>", "<alice@a.b>"),
        ] {
            assert_eq!(path(sent).as_deref(), Ok(meant), "{sent}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (sent, fault) in [
            ("alice@a.b", Fault::NoBracket),
            ("", Fault::NoBracket),
            ("<alice@a.b", Fault::Unclosed),
            ("<alice@a.b c>", Fault::Unclosed),
            ("<alice>", Fault::NoDomain),
            ("<alice@>", Fault::NoDomain),
            ("<@a.b>", Fault::Domain),
            ("<@a.b:>", Fault::Local),
            ("<@a.b,:x@y>", Fault::Domain),
            ("<.a@b>", Fault::Local),
            ("<a..b@c>", Fault::Local),
            ("<a b@c>", Fault::Local),
            ("<\"a@b>", Fault::Local),
            ("<\"a\x01\"@b>", Fault::Local),
            ("<a@b..c>", Fault::Domain),
            ("<a@-b>", Fault::Domain),
            ("<a@b.>", Fault::Domain),
            ("<a@b_c>", Fault::Domain),
            ("<a@b@c>", Fault::Domain),
            ("<a@[127.0.0]>", Fault::Domain),
            ("<a@[::1]>", Fault::Domain),
            ("<a@[x:y]>", Fault::Domain),
            ("<a@[IPv6:zz]>", Fault::Domain),
            ("<bl\u{85}@a.b>", Fault::Local),
            ("<a\u{202e}b@c>", Fault::Local),
            ("<a@\u{200d}.b>", Fault::Domain),
            ("<a@b\u{ff0e}\u{ff0e}c>", Fault::Domain),
        ] {
            assert_eq!(path(sent), Err(fault), "{sent}");
        }
    }

    #[test]
    fn each_part_is_taken_at_its_limit_and_refused_one_past_it() {
        let local = |octets| format!("<{}@b>", "a".repeat(octets));
        assert!(path(&local(64)).is_ok());
        assert_eq!(path(&local(65)), Err(Fault::TooLong));
        let label = "x".repeat(63);
        assert!(path(&format!("<a@{label}.b>")).is_ok());
        assert_eq!(path(&format!("<a@{label}x.b>")), Err(Fault::Domain));
        let domain = |octets: usize| format!("{label}.{label}.{label}.{}", "y".repeat(octets - 192));
        assert!(path(&format!("<a@{}>", domain(252))).is_ok());
        assert_eq!(path(&format!("<a@{}>", domain(253))), Err(Fault::TooLong));
        // Octets are counted, not characters.
        assert!(path(&format!("<{}@b>", "å".repeat(32))).is_ok());
        assert_eq!(path(&format!("<{}@b>", "å".repeat(33))), Err(Fault::TooLong));
    }

    #[test]
    fn local_parts_are_compared_whatever_the_spelling() {
        assert_eq!(fold("Bob"), "bob");
        assert_eq!(fold("BLÅBÆR"), fold("bla\u{30a}bær"));
        assert_ne!(fold("blåbær"), fold("blabaer"));
    }

    proptest! {
        #[test]
        fn a_path_printed_and_read_again_is_itself(local in "[ -~åあ]{0,30}", host in "[a-z0-9.ü-]{1,20}") {
            let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok((path, "")) = Path::parse(&format!("<\"{quoted}\"@{host}>")) {
                let printed = path.to_string();
                prop_assert_eq!(Path::parse(&printed), Ok((path, "")));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}", inner in "[<>@:,.\"\\\\a\\[\\]]{0,30}") {
            let _refused_or_not = (Path::parse(&text), Path::parse(&format!("<{inner}")));
        }
    }
}
