//! Cache-Control, parsed as the structured list that it is (RFC 9111, 5.2).
//!
//! Requests and responses share the syntax, so one type holds the directives of both. What is
//! unknown is ignored; what is known and malformed is read in the most careful way.

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::http::{Fields, lists};

/// The directives of all Cache-Control lines of one head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Whether there was any line: Pragma counts only without (RFC 9111, 5.4).
    pub present: bool,
    /// Whether it is from a targeted field: then Expires does not count (RFC 9213, 2.2).
    pub is_targeted: bool,
    pub no_store: bool,
    pub no_cache: Scope,
    pub private: Scope,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    /// `u64::MAX` where it stood without a value: however stale.
    pub max_stale: Option<u64>,
    pub min_fresh: Option<u64>,
    pub stale_while_revalidate: Option<u64>,
    pub stale_if_error: Option<u64>,
}

/// What a directive covers that may name fields: `no-cache`, `no-cache="Set-Cookie"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    Absent,
    Whole,
    /// These fields only, in lower case.
    Fields(Vec<String>),
}

impl Scope {
    pub(crate) fn is_whole(&self) -> bool {
        *self == Scope::Whole
    }

    /// The fields it names.
    pub(crate) fn fields(&self) -> &[String] {
        match self {
            Scope::Fields(names) => names,
            _ => &[],
        }
    }

    /// The wider of two wins: directives that conflict bind at their strictest (RFC 9111, 4.2.1).
    fn widen(&mut self, argument: Option<&[u8]>) {
        let names: Vec<_> = argument.map(field_names).unwrap_or_default();
        match self {
            Scope::Whole => {}
            _ if names.is_empty() => *self = Scope::Whole,
            Scope::Absent => *self = Scope::Fields(names),
            Scope::Fields(known) => known.extend(names),
        }
    }
}

impl Control {
    /// Reads the values of all Cache-Control lines of a head.
    pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Control {
        let mut control = Control::default();
        for value in values {
            control.present = true;
            for element in lists::elements(value) {
                let (name, argument) = directive(element);
                control.take(name, argument.as_deref().map(str::as_bytes));
                // Nobody knows where the string was meant to end: what forbids is heard all the same.
                prohibitions(unclosed(element).unwrap_or_default()).for_each(|name| control.take(name, None));
            }
        }
        control
    }

    /// The directives of a response: of the first of the `targeted` fields that is there and can
    /// be read (RFC 9213, 2.2), else of Cache-Control.
    pub(crate) fn of_response(fields: &Fields, targeted: &[String]) -> Control {
        let first = targeted.iter().find_map(|name| Control::parse_targeted(fields.get_all(name)));
        first.unwrap_or_else(|| Control::parse(fields.get_all("cache-control")))
    }

    /// Reads a targeted field: a dictionary of RFC 9651. `None` where there is none, or it is
    /// empty or malformed, which counts as none (RFC 9213, 2.1).
    fn parse_targeted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Control> {
        let lines = values.collect::<Vec<_>>().join(&b", "[..]);
        let directives: Dictionary = Parser::new(&lines).parse().ok()?;
        let mut control = Control { present: true, is_targeted: true, ..Control::default() };
        for (name, value) in &directives {
            if let Some(argument) = argument(value) {
                control.take(name.as_str().as_bytes(), argument.as_deref().map(str::as_bytes));
            }
        }
        (!directives.is_empty()).then_some(control)
    }

    /// Takes one directive; what is unknown is ignored (RFC 9111, 5.2.3).
    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.widen(argument),
            b"private" => self.private.widen(argument),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => first(&mut self.max_age, argument, 0),
            b"s-maxage" => first(&mut self.s_maxage, argument, 0),
            b"max-stale" => first(&mut self.max_stale, argument, if argument.is_none() { u64::MAX } else { 0 }),
            b"min-fresh" => first(&mut self.min_fresh, argument, u64::MAX),
            b"stale-while-revalidate" => first(&mut self.stale_while_revalidate, argument, 0),
            b"stale-if-error" => first(&mut self.stale_if_error, argument, 0),
            _ => {}
        }
    }
}

/// The argument of a directive in a targeted field; `None` where the directive is denied
/// (`name=?0`). What is neither a number nor a string is malformed, and so is an empty string.
fn argument(value: &ListEntry) -> Option<Option<String>> {
    let ListEntry::Item(item) = value else { return Some(Some(String::new())) };
    match &item.bare_item {
        BareItem::Boolean(holds) => holds.then_some(None),
        BareItem::Integer(number) => Some(Some(number.to_string())),
        // Digits in a string are no number (RFC 9213, 2.1); names of fields are.
        BareItem::String(text) if text.as_str().parse::<u64>().is_err() => Some(Some(text.as_str().to_owned())),
        _ => Some(Some(String::new())),
    }
}

/// Of a directive that is repeated the first counts (RFC 9111, 4.2.1); one that makes no sense
/// counts as `careful`.
fn first(slot: &mut Option<u64>, argument: Option<&[u8]>, careful: u64) {
    if slot.is_none() {
        *slot = Some(argument.and_then(delta_seconds).unwrap_or(careful));
    }
}

/// A number of seconds; too large a one is as large as can be (RFC 9111, 1.2.2).
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u64> {
    const GREATEST: u64 = 1 << 31;
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    Some(number.unwrap_or(GREATEST).min(GREATEST))
}

/// Name and argument of one directive; quotes around the argument are taken off, for both forms
/// mean the same (RFC 9111, 5.2). No blank may stand beside the `=`: where one does, the argument
/// is malformed, but the directive is still what it is.
fn directive(element: &[u8]) -> (&[u8], Option<String>) {
    let Some(at) = memchr::memchr(b'=', element) else { return (element, None) };
    let (name, argument) = (&element[..at], &element[at + 1..]);
    let is_blank = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_whitespace);
    if is_blank(name.last()) || is_blank(argument.first()) || unclosed(argument).is_some() {
        return (name.trim_ascii(), Some(String::new()));
    }
    (name, Some(lists::unquote(argument)))
}

/// What stands behind a quotation mark that is never closed.
fn unclosed(element: &[u8]) -> Option<&[u8]> {
    let (mut open, mut is_escaped) = (None, false);
    for (at, octet) in element.iter().enumerate() {
        match (octet, open) {
            _ if is_escaped => is_escaped = false,
            (b'\\', Some(_)) => is_escaped = true,
            (b'"', Some(_)) => open = None,
            (b'"', None) => open = Some(at + 1),
            _ => {}
        }
    }
    element.get(open?..)
}

/// The names of those directives in a list that keep a response from being stored or reused.
fn prohibitions(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    const NAMES: [&[u8]; 5] = [b"no-store", b"no-cache", b"private", b"must-revalidate", b"proxy-revalidate"];
    let names = list.split(|octet| *octet == b',').filter_map(|element| element.split(|octet| *octet == b'=').next());
    names.map(<[u8]>::trim_ascii).filter(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

fn field_names(list: &[u8]) -> Vec<String> {
    lists::elements(list).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(line: &str) -> Control {
        Control::parse([line.as_bytes()])
    }

    #[test]
    fn numbers_are_read_carefully() {
        for (line, max_age) in [
            ("max-age=60", Some(60)),
            ("MAX-Age=\"60\"", Some(60)),
            ("max-age=0060", Some(60)),
            ("max-age=60, max-age=5", Some(60)),
            ("max-age=99999999999999999999999", Some(1 << 31)),
            ("max-age=-1", Some(0)),
            ("max-age=60.5", Some(0)),
            ("max-age='60'", Some(0)),
            ("max-age= 60", Some(0)),
            ("max-age =60", Some(0)),
            ("max-age=a60", Some(0)),
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("x-max-age=60", None),
            ("extension=\"max-age=60, public\"", None),
            (",, ,max-age=60,", Some(60)),
            ("other=\"a\\\"b, no-store\", max-age=7", Some(7)),
        ] {
            assert_eq!(control(line).max_age, max_age, "{line}");
            assert!(!control(line).no_store, "{line}");
        }
    }

    #[test]
    fn fields_that_a_directive_names_add_up_until_it_stands_alone() {
        let lines = ["private=\"Set-Cookie, X-One\"".as_bytes(), b"private=x-two"];
        assert_eq!(Control::parse(lines).private.fields(), ["set-cookie", "x-one", "x-two"]);
        assert!(control("no-cache=\"a\", no-cache").no_cache.is_whole());
        assert!(control("no-cache=\"\"").no_cache.is_whole());
    }

    #[test]
    fn a_string_without_end_hides_nothing() {
        assert!(control("max-age=60, x=\"foo, No-Store").no_store);
        assert!(control("x=\"a\\\"b, private=c, d").private.is_whole());
        assert!(control("private=\"x-a").private.is_whole());
        let quoted = control("x=\"foo, no-store\", y=\"\\\"\", max-age=\"60");
        assert_eq!((quoted.no_store, quoted.max_age), (false, Some(0)));
    }

    #[test]
    fn max_stale_may_stand_alone_and_min_fresh_may_not() {
        assert_eq!(control("max-stale").max_stale, Some(u64::MAX));
        assert_eq!(control("max-stale=5").max_stale, Some(5));
        assert_eq!(control("max-stale=x").max_stale, Some(0));
        assert_eq!(control("min-fresh").min_fresh, Some(u64::MAX));
    }

    fn targeted(line: &str) -> Control {
        let mut fields = Fields::new();
        fields.push("Cache-Control", "max-age=1");
        fields.push("CDN-Cache-Control", line);
        Control::of_response(&fields, &["Other".into(), "cdn-cache-control".into()])
    }

    #[test]
    fn a_targeted_field_counts_before_cache_control_unless_it_is_malformed() {
        for (line, max_age) in [
            ("max-age=60", Some(60)),
            ("max-age=60;x=1, other=(a b)", Some(60)),
            ("max-age=999999999999999", Some(1 << 31)),
            ("no-store", None),
            ("max-age=\"60\"", Some(0)),
            ("max-age=60.5", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age", Some(0)),
            ("max-age=?0", None),
            ("", Some(1)),
            ("max-age=60, &&", Some(1)),
            ("Max-Age=60", Some(1)),
            ("max-age =60", Some(1)),
        ] {
            let control = targeted(line);
            assert_eq!(control.max_age, max_age, "{line}");
            assert_eq!(control.is_targeted, max_age != Some(1), "{line}");
        }
        assert!(targeted("no-store").no_store && !targeted("no-store=?0").no_store);
        assert_eq!(targeted("private=\"a, b\"").private.fields(), ["a", "b"]);
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_survived(line in proptest::collection::vec(0u8.., 0..80)) {
            let _any = Control::parse([line.as_slice()]);
            let _any = Control::parse_targeted([line.as_slice()].into_iter());
        }
    }
}
