//! `ftp://` URLs (RFC 1738, 3.2): `/folder/file;type=i`. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::http::Fault;

/// What must be encoded in a segment of a path.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is wanted of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file as it is: TYPE I.
    Image,
    /// A file with line ends converted: `;type=a`.
    Text,
    /// A listing: the path ends in a slash, or in `;type=d`.
    Folder,
}

/// The path of an `ftp://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FtpPath {
    /// Decoded, without empty ones.
    segments: Vec<Vec<u8>>,
    pub kind: Kind,
}

impl FtpPath {
    /// # Errors
    /// 400 where an encoded line end would smuggle a second command into the control connection,
    /// and for types that there are not.
    pub(crate) fn parse(text: &str) -> Result<FtpPath, Fault> {
        let (path, wanted) = match text.to_ascii_lowercase().rfind(";type=") {
            Some(at) => (&text[..at], Some(&text[at + ";type=".len()..])),
            None => (text, None),
        };
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect::<Result<Vec<_>, _>>()?;
        let kind = match wanted {
            Some("d" | "D") => Kind::Folder,
            Some("a" | "A") => Kind::Text,
            Some("i" | "I") => Kind::Image,
            Some(_) => return Err(Fault::bad("the type of an ftp:// address is a, i or d", "RFC 1738, 3.2.2")),
            None if path.ends_with('/') || segments.is_empty() => Kind::Folder,
            None => Kind::Image,
        };
        Ok(FtpPath { segments, kind })
    }

    /// As the server is told: relative to where the login leads, unless it begins with `%2F`.
    pub(crate) fn name(&self) -> Vec<u8> {
        self.segments.join(&b"/"[..])
    }

    pub(crate) fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// For people, with a slash at both ends.
    pub(crate) fn shown(&self) -> String {
        let names = self.segments.iter().map(|segment| format!("{}/", String::from_utf8_lossy(segment)));
        format!("/{}", names.collect::<String>())
    }

    /// The reference by which its listing is found.
    pub(crate) fn with_slash(&self) -> String {
        let encoded = self.segments.iter().map(|segment| format!("{}/", percent_encode(segment, SEGMENT)));
        format!("/{}", encoded.collect::<String>())
    }

    /// By the extension of the name.
    pub(crate) fn media_type(&self) -> &'static str {
        let name = self.segments.last().map(|segment| String::from_utf8_lossy(segment).into_owned()).unwrap_or_default();
        let unknown = if self.kind == Kind::Text { "text/plain" } else { "application/octet-stream" };
        name.rsplit_once('.').and_then(|(_, extension)| mime_guess::from_ext(extension).first_raw()).unwrap_or(unknown)
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, Fault> {
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    check_line(&decoded).map(|()| decoded)
}

/// Refuses what would end the line that it is to stand in: a second command (`%0D%0ADELE x`) in
/// the URL would be carried out with the user's rights.
pub(crate) fn check_line(text: &[u8]) -> Result<(), Fault> {
    match text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        true => Err(Fault::bad("CR, LF and NUL have no place in an ftp:// address", "RFC 1738, 3.2.2")),
        false => Ok(()),
    }
}

/// Name and password of `name:password`, decoded.
pub(crate) fn credentials(userinfo: &str) -> Result<(String, String), Fault> {
    let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let text = |part: &str| decode(part).map(|decoded| String::from_utf8_lossy(&decoded).into_owned());
    match text(name)? {
        name if name.contains(':') => Err(Fault::bad("the user's name in the address holds a colon", "RFC 7617, 2")),
        name => Ok((name, text(password)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_types() {
        for (text, name, kind) in [
            ("/", "", Kind::Folder),
            ("/a/b.txt", "a/b.txt", Kind::Image),
            ("/a/b/", "a/b", Kind::Folder),
            ("/a%20b;type=A", "a b", Kind::Text),
            ("/a;type=d", "a", Kind::Folder),
            ("/%2Fetc/motd;TYPE=i", "/etc/motd", Kind::Image),
            ("//a//b", "a/b", Kind::Image),
        ] {
            let path = FtpPath::parse(text).unwrap();
            assert_eq!((path.name(), path.kind), (name.as_bytes().to_vec(), kind), "{text}");
        }
        assert_eq!(FtpPath::parse("/a%20b").unwrap().with_slash(), "/a%20b/");
        assert_eq!(FtpPath::parse("/a/b.html").unwrap().media_type(), "text/html");
    }

    #[test]
    fn a_second_command_is_refused() {
        for text in ["/a%0D%0ADELE%20b", "/%0a", "/a/%00", "/a;type=x", "/a;type=i%0d%0aQUIT"] {
            assert_eq!(FtpPath::parse(text).expect_err(text).status, 400);
        }
        assert!(credentials("bob:hun%0d%0agry").is_err() && credentials("b%3Aob:x").is_err());
        assert_eq!(credentials("b%40b:hun%3Agry").unwrap(), ("b@b".into(), "hun:gry".into()));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            if let Ok(path) = FtpPath::parse(&text) {
                proptest::prop_assert!(!path.name().contains(&b'\n'));
            }
            let _ = credentials(&text);
        }
    }
}
