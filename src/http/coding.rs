//! Content codings and what a client makes of them (RFC 9110, 8.4.1 and 12.5.3).

use super::{fields::Fields, lists};

/// How much the client likes this coding, in thousandths; 0: it must not be sent. `identity`
/// stays acceptable unless it is ruled out by name or by `*;q=0`.
pub(crate) fn quality(fields: &Fields, coding: &str) -> u16 {
    if !fields.contains("accept-encoding") {
        return if coding == "identity" { 1000 } else { 0 };
    }
    let wishes = lists::weighted(fields.get_all("accept-encoding"));
    let named = |name: &str| wishes.iter().find(|wish| wish.name == name).map(|wish| wish.quality);
    match (named(coding), named("*")) {
        (Some(quality), _) | (None, Some(quality)) => quality,
        (None, None) if coding == "identity" => 1,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_of_codings() {
        for (field, coding, expected) in [
            (None, "identity", 1000),
            (None, "gzip", 0),
            (Some("gzip"), "gzip", 1000),
            (Some("gzip"), "identity", 1),
            (Some("gzip;q=0.5, *;q=0"), "identity", 0),
            (Some("gzip;q=0.5, *;q=0"), "gzip", 500),
            (Some("identity;q=0"), "identity", 0),
            (Some("*"), "br", 1000),
            (Some(""), "gzip", 0),
        ] {
            let mut fields = Fields::new();
            if let Some(value) = field {
                fields.push("Accept-Encoding", value);
            }
            assert_eq!(quality(&fields, coding), expected, "{field:?} {coding}");
        }
    }
}
