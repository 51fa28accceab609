//! The fields of a head: ordered, case-insensitive, possibly several of one name, octets kept as
//! they came.

use std::{fmt, ops::Range};

/// Header or trailer fields (RFC 9110, 5).
///
/// All names and values lie in one buffer, so that a head of twenty fields costs two allocations.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Clone)]
struct Row {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    pub(crate) fn new() -> Fields {
        Fields::default()
    }

    pub(crate) fn with_capacity(octets: usize, fields: usize) -> Fields {
        Fields { text: Vec::with_capacity(octets), rows: Vec::with_capacity(fields) }
    }

    /// The same fields in as little memory as they need: for those that are kept for long.
    pub(crate) fn compacted(&self) -> Fields {
        let octets = self.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut fields = Fields::with_capacity(octets, self.rows.len());
        self.iter().for_each(|(name, value)| fields.push(name, value));
        fields
    }

    /// Appends a field. The value must be free of CR, LF and NUL: whoever builds one from outside
    /// data takes it from parsed fields or encodes it first.
    pub(crate) fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        debug_assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "a field value would break the head apart");
        let at = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        let middle = at + name.len();
        self.rows.push(Row { name: at..middle, value: middle..self.text.len() });
    }

    /// Replaces all fields of this name by one.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes all fields of this name.
    pub(crate) fn remove(&mut self, name: &str) {
        let text = &self.text;
        self.rows.retain(|row| !text[row.name.clone()].eq_ignore_ascii_case(name.as_bytes()));
    }

    /// All fields in order, as they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|row| (&self.text[row.name.clone()], &self.text[row.value.clone()]))
    }

    /// The values of all fields of this name, in order.
    pub(crate) fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of the first field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The value of the first field of this name where it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the only field of this name; `None` where there are none or several.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.get_all(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes the fields out, each with its CR LF, without the empty line that ends a head.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_values_keep_their_order() {
        let mut fields = Fields::new();
        fields.push("Accept", "a");
        fields.push("X", "1");
        fields.push("accept", "b");
        assert_eq!(fields.get_all("ACCEPT").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!((fields.only("Accept"), fields.only("x")), (None, Some(&b"1"[..])));
        fields.set("accept", "c");
        let mut out = Vec::new();
        fields.write_to(&mut out);
        assert_eq!(out, b"X: 1\r\naccept: c\r\n");
    }
}
