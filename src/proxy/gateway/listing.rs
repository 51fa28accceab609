//! What FTP servers say of a folder, by MLSD (RFC 3659, 7) or as `ls -l` and DOS write it, and the
//! same as a page or as JSON. Pure.

use maud::{DOCTYPE, html};
use percent_encoding::utf8_percent_encode;
use serde::Serialize;

use super::{path::SEGMENT, reply::timestamp};
use crate::{http::validators::format_date, net::escape::escape};

/// Entries that are shown.
const MAX_ENTRIES: usize = 10_000;

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub size: Option<u64>,
    /// As a date of HTTP where the server tells one that can be read, else as it tells it.
    pub modified: Option<String>,
}

const FOLDER: &str = "directory";
const FILE: &str = "file";

/// Reads a listing; lines that can't be understood are left out.
pub(crate) fn read(text: &str) -> Vec<Listed> {
    let read = |line: &str| of_facts(line).or_else(|| of_unix(line)).or_else(|| of_dos(line));
    let is_shown = |entry: &Listed| !matches!(entry.name.as_str(), "" | "." | "..") && !entry.name.contains(['/', '\r', '\0']);
    text.lines().filter_map(read).filter(is_shown).take(MAX_ENTRIES).collect()
}

/// `type=file;size=12;modify=19941106084937; name`.
fn of_facts(line: &str) -> Option<Listed> {
    let (facts, name) = line.split_once(' ')?;
    let mut entry = Listed { name: name.to_owned(), kind: FILE, size: None, modified: None };
    for fact in facts.strip_suffix(';')?.split(';') {
        let (fact, value) = fact.split_once('=')?;
        match fact.to_ascii_lowercase().as_str() {
            "type" => match value.to_ascii_lowercase().as_str() {
                "file" => {}
                "dir" => entry.kind = FOLDER,
                // This folder, the one above, and what is neither.
                _ => entry.name.clear(),
            },
            "size" => entry.size = value.parse().ok(),
            "modify" => entry.modified = timestamp(value).map(format_date),
            _ => {}
        }
    }
    if entry.kind == FOLDER {
        entry.size = None;
    }
    Some(entry)
}

/// `-rw-r--r-- 1 alice users 12 Nov  6 08:49 name`, a link's target left out.
fn of_unix(line: &str) -> Option<Listed> {
    let kind = match line.as_bytes().first()? {
        b'd' => FOLDER,
        b'-' | b'l' => FILE,
        _ => return None,
    };
    let mut rest = line;
    let mut word = || {
        rest = rest.trim_start();
        let end = rest.find(' ')?;
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    };
    let _rights = word().filter(|rights| rights.len() >= 10)?;
    let (_links, _owner, _group) = (word()?, word()?, word()?);
    let size = word()?.parse().ok();
    let modified = [word()?, word()?, word()?].join(" ");
    let name = rest.strip_prefix(' ')?;
    let name = if line.starts_with('l') { name.split(" -> ").next().unwrap_or(name) } else { name };
    Some(Listed { name: name.to_owned(), kind, size: size.filter(|_| kind == FILE), modified: Some(modified) })
}

/// `11-06-94  08:49AM       <DIR>          name`.
fn of_dos(line: &str) -> Option<Listed> {
    let (date, rest) = line.split_once("  ")?;
    let (time, rest) = rest.trim_start().split_once(' ')?;
    let (size, name) = rest.trim_start().split_once(' ')?;
    let is_date = date.len() >= 8 && date.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-');
    let kind = match size {
        "<DIR>" => FOLDER,
        size if size.bytes().all(|octet| octet.is_ascii_digit()) => FILE,
        _ => return None,
    };
    is_date.then(|| Listed { name: name.trim_start().to_owned(), kind, size: size.parse().ok(), modified: Some(format!("{date} {time}")) })
}

/// The listing as a page, folders first.
pub(crate) fn html(title: &str, has_parent: bool, entries: &[Listed]) -> String {
    let mut sorted: Vec<&Listed> = entries.iter().collect();
    sorted.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Index of " (escape(title)) } }
            body {
                h1 { "Index of " (escape(title)) }
                table {
                    tr { th { "Name" } th { "Octets" } th { "Modified" } }
                    @if has_parent { tr { td { a href="../" { "../" } } td {} td {} } }
                    @for entry in sorted {
                        @let slash = if entry.kind == FOLDER { "/" } else { "" };
                        tr {
                            td { a href=(format!("./{}{slash}", utf8_percent_encode(&entry.name, SEGMENT))) { (escape(&entry.name)) (slash) } }
                            td { @if let Some(size) = entry.size { (size) } }
                            td { @if let Some(modified) = &entry.modified { (escape(modified)) } }
                        }
                    }
                }
                hr;
                p { "Portico, caching proxy" }
            }
        }
    };
    page.into_string()
}

pub(crate) fn json(entries: &[Listed]) -> String {
    serde_json::to_string(entries).unwrap_or_else(|_| "[]".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: &'static str, size: Option<u64>, modified: &str) -> Listed {
        Listed { name: name.into(), kind, size, modified: Some(modified.into()) }
    }

    #[test]
    fn the_three_ways_of_listing() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (line, expected) in [
            ("Type=file;Size=12;Modify=19941106084937; a b;c", entry("a b;c", FILE, Some(12), date)),
            ("modify=19941106084937;type=dir; d", entry("d", FOLDER, None, date)),
            ("-rw-r--r--   1 alice  users   12 Nov  6 08:49  a b", entry(" a b", FILE, Some(12), "Nov 6 08:49")),
            ("drwxr-xr-x 2 a b 4096 Nov  6  1994 d", entry("d", FOLDER, None, "Nov 6 1994")),
            ("lrwxrwxrwx 1 a b 4 Nov  6 08:49 link -> to", entry("link", FILE, Some(4), "Nov 6 08:49")),
            ("11-06-94  08:49AM       <DIR>          d", entry("d", FOLDER, None, "11-06-94 08:49AM")),
            ("11-06-94  08:49AM                   12 a b", entry("a b", FILE, Some(12), "11-06-94 08:49AM")),
        ] {
            assert_eq!(read(line), [expected], "{line}");
        }
        for line in ["total 12", "", "type=cdir; .", "type=pdir; ..", "type=file; a/b", "drwx"] {
            assert_eq!(read(line), [], "{line}");
        }
    }

    #[test]
    fn a_name_is_neither_markup_nor_a_scheme() {
        let page = html("ftp://a/<i>/", true, &read("type=file; <b>\ntype=file; javascript:x"));
        assert!(
            page.contains("./%3Cb%3E") && page.contains("&lt;b&gt;") && page.contains("./javascript%3Ax") && page.contains("&lt;i&gt;")
        );
        assert!(json(&read("type=file;size=1; \"")).contains(r#"{"name":"\"","type":"file","size":1,"modified":null}"#));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[-dl<>A-Z0-9=; \n:.]{0,80}") {
            let _ = html("x", false, &read(&text));
        }
    }
}
