//! The listing of a folder that has no index page: pure.

use maud::html;
use percent_encoding::utf8_percent_encode;

use super::{files::PATH, page};
use crate::{
    http::validators::format_date,
    store::{
        VirtualPath,
        tree::{FileKind, TreeEntry},
    },
};

/// Renders the entries, folders first; hidden ones are left out. `up` links to the folder above.
pub(super) fn render(path: &VirtualPath, up: Option<&str>, entries: &[TreeEntry]) -> String {
    let mut shown: Vec<&TreeEntry> = entries.iter().filter(|entry| !entry.name.starts_with('.')).collect();
    shown.sort_by_key(|entry| entry.facts.kind == FileKind::File);
    let content = html! {
        table.listing {
            tr { th { "Name" } th.number { "Octets" } th { "Modified" } }
            @if let Some(up) = up { tr { td { a href=(up) { "../" } } td {} td {} } }
            @for entry in &shown {
                @let slash = if entry.facts.kind == FileKind::Folder { "/" } else { "" };
                tr {
                    td { a href=(format!("./{}{slash}", utf8_percent_encode(&entry.name, PATH))) { (entry.name) (slash) } }
                    td.number { @if slash.is_empty() { (entry.facts.octets) } }
                    td { (format_date(entry.facts.modified)) }
                }
            }
        }
        @if shown.is_empty() { p.quiet { "This folder is empty." } }
    };
    let title = if path.is_root() { "Index of /".to_owned() } else { format!("Index of {path}/") };
    page::document(&title, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tree::FileFacts;
    use std::time::SystemTime;

    #[test]
    fn names_are_escaped_and_hidden_ones_left_out() {
        let entry = |name: &str, kind| {
            let then = SystemTime::UNIX_EPOCH;
            TreeEntry { name: name.into(), facts: FileFacts { kind, octets: 1, modified: then, changed: then, inode: 1, mode: 0o644 } }
        };
        let entries = [
            entry("<b>?.txt", FileKind::File),
            entry("javascript:x", FileKind::File),
            entry("z", FileKind::Folder),
            entry(".secret", FileKind::File),
        ];
        let page = render(&VirtualPath::parse("/<i>").unwrap(), Some("../"), &entries);
        assert!(page.contains("./%3Cb%3E%3F.txt") && page.contains("&lt;b&gt;?.txt") && page.contains("Index of /&lt;i&gt;"));
        assert!(page.contains("\"./javascript:x\""), "a name is never a scheme");
        assert!(!page.contains("secret") && !page.contains("<b>?"));
        assert!(page.find("./z/").unwrap() < page.find("./javascript").unwrap(), "folders come first");
    }
}
