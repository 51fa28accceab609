//! The listing of a folder that has no index page, as a page and as JSON: pure.
//!
//! It is sorted by the server, so the page needs no script: `?sort=size&order=desc`. Large folders
//! come in pages of their own (`?page=2`), each with links to its neighbours.

use std::cmp::Ordering;

use maud::{Markup, html};
use percent_encoding::utf8_percent_encode;
use serde_json::json;
use time::{OffsetDateTime, macros::format_description};

use super::{audience::Audience, files::PATH, form, page};
use crate::{
    http::validators::format_date,
    store::{
        VirtualPath,
        tree::{FileKind, TreeEntry},
    },
    units::grouped,
};

/// Entries on one page: a page for people stays below 300 KiB, one for programs below 2 MiB.
const PAGE_ENTRIES: usize = 1000;
const JSON_ENTRIES: usize = 10_000;

/// How the listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub format: Format,
    sort: Sort,
    descending: bool,
    /// From 1.
    page: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Size,
    Date,
}

/// What becomes of it.
pub(super) struct Listed {
    pub text: String,
    /// For `Link` (RFC 8288); `None` where one page holds everything.
    pub links: Option<String>,
}

impl Wish {
    /// Reads the query; what can't be understood counts as not said. `format` outranks Accept.
    pub(super) fn read(query: Option<&str>, audience: Audience) -> Wish {
        let format = if audience == Audience::Program { Format::Json } else { Format::Html };
        let mut wish = Wish { format, sort: Sort::Name, descending: false, page: 1 };
        for (name, value) in form::pairs(query.unwrap_or_default().as_bytes()) {
            match (name.as_str(), value.as_str()) {
                ("format", "json") => wish.format = Format::Json,
                ("format", "html") => wish.format = Format::Html,
                ("sort", "name") => wish.sort = Sort::Name,
                ("sort", "size") => wish.sort = Sort::Size,
                ("sort", "date") => wish.sort = Sort::Date,
                ("order", "asc") => wish.descending = false,
                ("order", "desc") => wish.descending = true,
                ("page", number) => wish.page = number.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        wish
    }

    fn compare(&self, a: &TreeEntry, b: &TreeEntry) -> Ordering {
        let order = match self.sort {
            Sort::Name => Ordering::Equal,
            Sort::Size => a.facts.octets.cmp(&b.facts.octets),
            Sort::Date => a.facts.modified.cmp(&b.facts.modified),
        };
        let order = order.then_with(|| a.name.cmp(&b.name));
        let order = if self.descending { order.reverse() } else { order };
        // Folders first, however it is sorted.
        is_folder(b).cmp(&is_folder(a)).then(order)
    }

    /// A link to the same listing, otherwise sorted or at another page.
    fn link(&self, sort: Sort, descending: bool, page: usize) -> String {
        let order = if descending { "desc" } else { "asc" };
        let page = if page == 1 { String::new() } else { format!("&page={page}") };
        let format = if self.format == Format::Json { "&format=json" } else { "" };
        format!("?sort={}&order={order}{page}{format}", sort.name())
    }

    fn neighbour(&self, page: usize) -> String {
        self.link(self.sort, self.descending, page)
    }
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Size => "size",
            Sort::Date => "date",
        }
    }
}

/// Renders one page of the entries of the folder `path`; hidden ones are left out.
pub(super) fn render(path: &VirtualPath, mut entries: Vec<TreeEntry>, wish: &Wish) -> Listed {
    entries.retain(|entry| !entry.name.starts_with('.'));
    entries.sort_by(|a, b| wish.compare(a, b));
    let most = if wish.format == Format::Json { JSON_ENTRIES } else { PAGE_ENTRIES };
    let pages = entries.len().div_ceil(most).max(1);
    let shown = entries.chunks(most).nth(wish.page - 1).unwrap_or_default();
    let text = match wish.format {
        Format::Json => rows_as_json(shown),
        Format::Html => document(path, &entries, shown, wish, pages),
    };
    let link = |page: usize, name: &str| format!("<{}>; rel=\"{name}\"", wish.neighbour(page));
    let before = (wish.page > 1).then(|| link((wish.page - 1).min(pages), "prev"));
    let after = (wish.page < pages).then(|| link(wish.page + 1, "next"));
    let links: Vec<String> = before.into_iter().chain(after).collect();
    Listed { text, links: (!links.is_empty()).then(|| links.join(", ")) }
}

/// One object per entry, with the names that nginx's `autoindex_format json` made known, and a
/// link beside.
fn rows_as_json(shown: &[TreeEntry]) -> String {
    let row = |entry: &TreeEntry| {
        let mut row = json!({"name": entry.name, "type": if is_folder(entry) { "directory" } else { "file" }});
        if !is_folder(entry) {
            row["size"] = entry.facts.octets.into();
        }
        row["mtime"] = format_date(entry.facts.modified).into();
        row["url"] = link(entry).into();
        row.to_string()
    };
    let rows: Vec<String> = shown.iter().map(row).collect();
    if rows.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}

fn document(path: &VirtualPath, all: &[TreeEntry], shown: &[TreeEntry], wish: &Wish, pages: usize) -> String {
    let content = html! {
        table.listing {
            thead { tr { (heading("Name", Sort::Name, wish)) (heading("Size", Sort::Size, wish)) (heading("Modified", Sort::Date, wish)) } }
            tbody {
                @if !path.is_root() { tr { td { a href="../" { "../" } } td {} td {} } }
                @for entry in shown { (row(entry)) }
            }
        }
        @if shown.is_empty() { p.quiet { @if all.is_empty() { "This folder is empty." } @else { "There is no such page." } } }
        @else { p.quiet { (summary(all)) } }
        @if pages > 1 {
            p {
                @if wish.page > 1 { a href=(wish.neighbour((wish.page - 1).min(pages))) rel="prev" { "previous" } " · " }
                "page " (wish.page) " of " (pages)
                @if wish.page < pages { " · " a href=(wish.neighbour(wish.page + 1)) rel="next" { "next" } }
            }
        }
    };
    let title = if path.is_root() { "Index of /".to_owned() } else { format!("Index of {path}/") };
    page::document(&title, content)
}

/// The head of a column: a link that sorts by it, or the other way round.
fn heading(title: &str, sort: Sort, wish: &Wish) -> Markup {
    let is_current = wish.sort == sort;
    let descends = is_current && !wish.descending;
    let (arrow, spoken) = match (is_current, wish.descending) {
        (false, _) => ("", None),
        (true, false) => (" \u{2191}", Some("ascending")),
        (true, true) => (" \u{2193}", Some("descending")),
    };
    html! {
        th .number[sort == Sort::Size] aria-sort=[spoken] { a href=(wish.link(sort, descends, 1)) { (title) } (arrow) }
    }
}

fn row(entry: &TreeEntry) -> Markup {
    let modified = OffsetDateTime::from(entry.facts.modified);
    let minute = modified.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).unwrap_or_default();
    let slash = if is_folder(entry) { "/" } else { "" };
    html! {
        tr {
            td { a href=(link(entry)) { (entry.name) (slash) } }
            td.number title=[(!is_folder(entry)).then(|| format!("{} octets", grouped(entry.facts.octets)))] {
                @if !is_folder(entry) { (human(entry.facts.octets)) }
            }
            td title=(format_date(entry.facts.modified)) { (minute) }
        }
    }
}

/// From the folder itself: `./` keeps a name such as `javascript:x` from being a scheme.
fn link(entry: &TreeEntry) -> String {
    format!("./{}{}", utf8_percent_encode(&entry.name, PATH), if is_folder(entry) { "/" } else { "" })
}

fn summary(all: &[TreeEntry]) -> String {
    let folders = all.iter().filter(|entry| is_folder(entry)).count();
    let octets = all.iter().map(|entry| entry.facts.octets).sum();
    let counted = |number: usize, name: &str| format!("{} {name}{}", grouped(number as u64), if number == 1 { "" } else { "s" });
    format!("{}, {}, {} in all. Times are UTC.", counted(folders, "folder"), counted(all.len() - folders, "file"), human(octets))
}

fn is_folder(entry: &TreeEntry) -> bool {
    entry.facts.kind == FileKind::Folder
}

/// `12.3 kB`: three digits are what a person looks at.
fn human(octets: u64) -> String {
    if octets < 1000 {
        return format!("{octets} B");
    }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (octets as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let digits = if value < 99.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", units.get(unit).unwrap_or(&"EB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tree::FileFacts;
    use std::time::{Duration, SystemTime};

    fn entry(name: &str, kind: FileKind, octets: u64, secs: u64) -> TreeEntry {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        TreeEntry { name: name.into(), facts: FileFacts { kind, octets, modified: then, changed: then, inode: 1, mode: 0o644 } }
    }

    fn listed(entries: Vec<TreeEntry>, query: &str) -> Listed {
        render(&VirtualPath::parse("/<i>").unwrap(), entries, &Wish::read(Some(query), Audience::Browser))
    }

    #[test]
    fn names_are_escaped_and_hidden_ones_left_out() {
        let entries = vec![
            entry("<b>?.txt", FileKind::File, 1, 0),
            entry("javascript:x", FileKind::File, 1, 0),
            entry("z", FileKind::Folder, 0, 0),
            entry(".secret", FileKind::File, 1, 0),
        ];
        let page = listed(entries.clone(), "").text;
        assert!(page.contains("./%3Cb%3E%3F.txt") && page.contains("&lt;b&gt;?.txt") && page.contains("Index of /&lt;i&gt;"));
        assert!(page.contains("\"./javascript:x\""), "a name is never a scheme");
        assert!(!page.contains("secret") && !page.contains("<b>?"));
        let json: serde_json::Value = serde_json::from_str(&listed(entries, "format=json").text).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 3);
        assert_eq!(json[0], json!({"name": "z", "type": "directory", "mtime": "Thu, 01 Jan 1970 00:00:00 GMT", "url": "./z/"}));
        assert_eq!((&json[1]["name"], &json[1]["size"]), (&json!("<b>?.txt"), &json!(1)));
        assert_eq!(listed(Vec::new(), "format=json").text, "[]\n");
    }

    #[test]
    fn sorted_by_what_the_query_says() {
        let entries = || {
            vec![
                entry("a", FileKind::File, 9, 2),
                entry("b", FileKind::File, 30, 1),
                entry("c", FileKind::File, 9, 3),
                entry("d", FileKind::Folder, 0, 9),
                entry("e", FileKind::Folder, 0, 0),
            ]
        };
        for (query, order) in [
            ("", "deabc"),
            ("sort=name&order=desc", "edcba"),
            ("sort=size", "deacb"),
            ("sort=size&order=desc", "edbca"),
            ("sort=date&order=asc", "edbac"),
            ("sort=date&order=desc", "decab"),
            ("sort=colour&order=up&page=x", "deabc"),
        ] {
            let wish = Wish::read(Some(query), Audience::Anybody);
            let mut sorted = entries();
            sorted.sort_by(|a, b| wish.compare(a, b));
            assert_eq!(sorted.iter().map(|entry| entry.name.as_str()).collect::<String>(), order, "{query}");
        }
        let page = listed(entries(), "sort=size&order=desc").text;
        assert!(page.contains("aria-sort=\"descending\"") && page.contains("?sort=size&amp;order=asc"), "{page}");
    }

    #[test]
    fn a_large_folder_comes_in_pages() {
        let many: Vec<TreeEntry> = (0..2500).map(|number| entry(&format!("{number:04}"), FileKind::File, 1, 0)).collect();
        let first = listed(many.clone(), "");
        assert_eq!(first.links.unwrap(), "<?sort=name&order=asc&page=2>; rel=\"next\"");
        assert!(first.text.contains("page 1 of 3") && first.text.contains(">0999<") && !first.text.contains(">1000<"));
        let last = listed(many.clone(), "page=3&order=desc");
        assert_eq!(last.links.unwrap(), "<?sort=name&order=desc&page=2>; rel=\"prev\"");
        assert!(last.text.contains(">0000<") && last.text.contains("0 folders, 2,500 files, 2.5 kB in all"));
        assert!(listed(many.clone(), "page=99").text.contains("There is no such page."));
        assert!(listed(many, "format=json").links.is_none());
    }

    #[test]
    fn sizes_for_people() {
        for (octets, text) in [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB"), (999_950, "1.0 MB")] {
            assert_eq!(human(octets), text);
        }
        assert_eq!(human(u64::MAX), "18.4 EB");
        assert_eq!((grouped(0), grouped(1234), grouped(1_234_567)), ("0".into(), "1,234".into(), "1,234,567".into()));
    }

    #[test]
    fn a_program_gets_json_unless_the_query_says_otherwise() {
        let format = |query, audience| Wish::read(Some(query), audience).format;
        assert_eq!(format("", Audience::Program), Format::Json);
        assert_eq!(format("format=html", Audience::Program), Format::Html);
        assert_eq!(format("", Audience::Anybody), Format::Html);
    }
}
