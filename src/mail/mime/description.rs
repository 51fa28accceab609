//! What a part is, for those who look at a message: a line for people, JSON for programs. Its sender
//! chose every word of it, so whoever shows it escapes it.

use serde_json::{Value, json};

use super::tree::Part;
use crate::units::grouped;

impl Part {
    /// `image/jpeg "porch.jpg", base64, 9,024 octets, 6,594 decoded`
    pub(crate) fn description(&self, decoded_octets: usize) -> String {
        let (kind, sent_octets) = (&self.kind, self.body.len());
        let charset = kind.charset.as_deref().map(|charset| format!("; charset={charset}")).unwrap_or_default();
        let name = kind.name.as_deref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let what = format!("{}{charset}{name}", kind.media);
        if self.is_composite {
            return what;
        }
        let decoded = if sent_octets == decoded_octets { String::new() } else { format!(", {} decoded", grouped(decoded_octets as u64)) };
        format!("{what}, {}, {} octets{decoded}", kind.encoding.name(), grouped(sent_octets as u64))
    }

    /// The same for programs, and where it is in the tree.
    pub(crate) fn json(&self, decoded_octets: usize) -> Value {
        let kind = &self.kind;
        let mut json = json!({
            "part": self.number, "depth": self.depth, "type": kind.media, "charset": kind.charset, "encoding": kind.encoding.name(),
            "name": kind.name, "attachment": kind.is_attachment, "octets": self.body.len(),
        });
        if !self.is_composite {
            json["decoded-octets"] = json!(decoded_octets);
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use crate::mail::mime::tree::Tree;

    #[test]
    fn a_part_is_told_in_a_line() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n\
            --b\r\nContent-Type: image/png; name=\"a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
        let tree = Tree::read(message.as_bytes()).unwrap();
        let lines = tree.parts.iter().map(|part| part.description(part.octets(message.as_bytes()).len()));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            ["multipart/mixed", "text/plain; charset=utf-8, 7bit, 5 octets", "image/png \"a.png\", base64, 4 octets, 3 decoded"]
        );
        assert_eq!(tree.parts[0].json(0).get("decoded-octets"), None, "its parts are told by themselves");
        assert_eq!(tree.parts[2].json(3)["decoded-octets"], 3);
    }
}
