//! Names under which attachments may be saved. A stranger chose the name; none of it may lead out
//! of the folder, hide, start a program's option, or look like another name.

use std::borrow::Cow;

use super::tree::Part;

/// The longest name, in octets: file systems take 255, and a number may have to be put in.
const NAME_OCTETS: usize = 200;
/// The longest extension that is kept where a name is cut, in octets.
const EXTENSION_OCTETS: usize = 20;

/// Names that mean devices to Windows, with whatever extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "clock$"];

impl Part {
    /// A name to save this part under; made of its number where it has none.
    pub(crate) fn file_name(&self) -> String {
        self.kind.name.as_deref().and_then(safe).unwrap_or_else(|| {
            let extension = mime_guess::get_mime_extensions_str(&self.kind.media).and_then(|all| all.first());
            let extension = match self.kind.media.as_str() {
                "text/plain" => "txt",
                "message/rfc822" | "message/global" => "eml",
                // What the table has for it is a video format.
                "application/octet-stream" => "bin",
                _ => extension.unwrap_or(&"bin"),
            };
            format!("part-{}.{extension}", if self.number.is_empty() { "0" } else { &self.number })
        })
    }
}

/// The name made safe; `None` where nothing of it is left.
pub(crate) fn safe(name: &str) -> Option<String> {
    // Both kinds of slash, whatever system the sender used.
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !is_unseen(*c)).map(|c| if "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    let kept = kept.trim().trim_start_matches('.').trim_end_matches(['.', ' ']).trim_start();
    if kept.is_empty() {
        return None;
    }
    let must_not_begin_so = kept.starts_with(['-', '~']) || is_device(kept);
    let kept = if must_not_begin_so { Cow::Owned(format!("_{kept}")) } else { Cow::Borrowed(kept) };
    Some(shortened(&kept, ""))
}

/// The name to try when `tried` others are taken: `porch (2).jpg`.
pub(crate) fn variant(name: &str, tried: usize) -> String {
    if tried == 0 { name.to_owned() } else { shortened(name, &format!(" ({})", tried + 1)) }
}

/// The name with `mark` before its extension, cut to its bound.
fn shortened(name: &str, mark: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_OCTETS => name.split_at(at),
        _ => (name, ""),
    };
    let mut end = stem.len().min(NAME_OCTETS - extension.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}{extension}", stem[..end].trim_end())
}

/// What can't be seen, or turns what can be seen around: controls, zero widths, bidirectional marks.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| stem.strip_prefix(device).is_some_and(|rest| matches!(rest.as_bytes(), [b'0'..=b'9']));
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_leads_nowhere_and_hides_nothing() {
        for (name, expected) in [
            ("porch.jpg", "porch.jpg"),
            ("blåbær 1.txt", "blåbær 1.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\evil.exe", "evil.exe"),
            (".bashrc", "bashrc"),
            ("-rf", "_-rf"),
            ("~root", "_~root"),
            ("a\r\nb\0.txt\u{1b}[31m", "ab.txt[31m"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.txt", "_com1.txt"),
            ("comet.txt", "comet.txt"),
            ("a:b*c?.txt ", "a_b_c_.txt"),
            ("trailing. . .", "trailing"),
        ] {
            assert_eq!(safe(name).as_deref(), Some(expected), "{name:?}");
        }
        for name in ["", ".", "..", "a/", "\\", "\u{202e}", " . "] {
            assert_eq!(safe(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension_and_a_taken_one_gets_a_number() {
        let name = safe(&("å".repeat(300) + ".jpg")).unwrap();
        assert!(name.len() <= NAME_OCTETS && name.ends_with("å.jpg"));
        assert_eq!(variant("porch.jpg", 0), "porch.jpg");
        assert_eq!(variant("porch.jpg", 1), "porch (2).jpg");
        assert_eq!(variant("porch", 2), "porch (3)");
    }

    #[test]
    fn a_part_without_a_name_is_named_by_number_and_kind() {
        for (media, expected) in [
            ("application/octet-stream", "part-1.bin"),
            ("application/x-nobody-knows", "part-1.bin"),
            ("text/plain", "part-1.txt"),
            ("message/rfc822", "part-1.eml"),
        ] {
            let message = format!("Content-Type: {media}\r\n\r\nx\r\n");
            let tree = super::super::tree::Tree::read(message.as_bytes()).unwrap();
            assert_eq!(tree.parts[0].file_name(), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_safe(name in any::<String>(), tried in 0_usize..5000) {
            if let Some(name) = safe(&name) {
                let name = variant(&name, tried);
                prop_assert!(!name.is_empty() && name.len() <= 255);
                prop_assert!(!name.contains(['/', '\\']) && !name.starts_with(['.', '-', '~']) && !name.chars().any(is_unseen));
            }
        }
    }
}
