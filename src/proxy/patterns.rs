//! Rules by host: lists of names in the settings, in which `*` stands for anything.

/// A list of host patterns: `www.example.org`, `*.example.org`, `10.*`, `*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<String>);

impl Patterns {
    pub(crate) fn new(patterns: &[String]) -> Patterns {
        Patterns(patterns.iter().map(|pattern| plain(pattern)).collect())
    }

    /// Whether one of them fits the host, in whatever case and with or without the root's dot.
    pub(crate) fn fit(&self, host: &str) -> bool {
        !self.0.is_empty() && {
            let host = plain(host);
            self.0.iter().any(|pattern| fits(pattern.as_bytes(), host.as_bytes()))
        }
    }
}

/// `example.org.` and `Example.org` are the same host, and must not be two ways past a rule.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Without recursion: the last `*` alone is ever tried again.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(octet) if text.get(in_text) == Some(octet) => (at, in_text) = (at + 1, in_text + 1),
            _ => match star {
                Some((star_at, taken)) => {
                    (at, in_text) = (star_at + 1, taken + 1);
                    star = Some((star_at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|octet| *octet == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, host, fit) in [
            ("www.example.org", "WWW.example.org.", true),
            ("Example.ORG", "example.org", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "xexample.org", false),
            ("10.*", "10.1.2.3", true),
            ("10.*", "110.1.2.3", false),
            ("*", "anything", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[::1]", "[::1]", true),
            ("", "a", false),
        ] {
            assert_eq!(Patterns::new(&[pattern.to_owned()]).fit(host), fit, "{pattern} {host}");
        }
        assert!(!Patterns::default().fit("a"));
    }

    proptest::proptest! {
        #[test]
        fn many_stars_end_soon(pattern in "[a*]{0,40}", host in "a{0,60}b?") {
            let _ = Patterns::new(&[pattern]).fit(&host);
        }
    }
}
