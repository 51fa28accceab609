//! Which part of a file answers a request, or why none does: pure.

use std::{ops::Range, time::SystemTime};

use sha2::{Digest, Sha256};

use crate::{
    http::{
        Fields, Method, RequestHead,
        coding::Coding,
        lists,
        range::{self, Wanted},
        validators::{self, EntityTag, Validators, Verdict},
    },
    store::tree::FileFacts,
};

/// What to do about a GET or HEAD of a file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// 200.
    Whole,
    /// 206.
    Part(Range<u64>),
    /// 206 with several parts.
    Parts(Vec<Range<u64>>),
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Plans the answer: preconditions first, then the range (RFC 9110, 13.2.2).
pub(super) fn plan(request: &RequestHead, current: &Validators, octets: u64, now: SystemTime) -> Plan {
    let fields = &request.fields;
    match validators::weigh(&request.method, fields, Some(current), now) {
        Verdict::Failed => return Plan::Failed,
        Verdict::NotModified => return Plan::NotModified,
        Verdict::Proceed => {}
    }
    // Range is for GET alone (14.2).
    let wanted = match fields.only("range") {
        Some(range) if request.method == Method::Get && validators::allows_range(fields, current, now) => range::wanted(range, octets),
        _ => Wanted::Whole,
    };
    match wanted {
        Wanted::Whole => Plan::Whole,
        Wanted::Part(part) => Plan::Part(part),
        Wanted::Parts(parts) => Plan::Parts(parts),
        Wanted::Unsatisfiable => Plan::Unsatisfiable,
    }
}

/// Where a file's entity tag comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagSource {
    Facts,
    Content,
}

/// A tag must change with every change of the file. Its times, size and inode tell all changes
/// but those within one tick of the clock, so a young file's tag comes from the content. Whoever
/// shows such a tag later is answered with one.
pub(super) fn tag_source(facts: &FileFacts, fields: &Fields, now: SystemTime) -> TagSource {
    let shows_content_tag = || {
        let conditions = ["if-match", "if-none-match", "if-range"];
        conditions.iter().any(|name| fields.get_all(name).any(|value| memchr::memmem::find(value, CONTENT_MARK.as_bytes()).is_some()))
    };
    if facts.have_settled(now) && !shows_content_tag() { TagSource::Facts } else { TagSource::Content }
}

/// How tags from the content begin.
const CONTENT_MARK: &str = "\"c-";

pub(super) fn tag_of_facts(facts: &FileFacts) -> EntityTag {
    let nanos = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    EntityTag::strong(format!("{:x}-{:x}-{:x}-{:x}", nanos(facts.modified), nanos(facts.changed), facts.octets, facts.inode))
}

/// The tag of a coded form: that of the plain file, that of the coded one where there is one, and
/// the coding. Forms of one file differ in their octets, so they differ in their strong
/// tags (RFC 9110, 8.8.3.3).
pub(super) fn coded_tag(plain: &EntityTag, sibling: Option<&EntityTag>, coding: Coding) -> EntityTag {
    let own = sibling.map(|own| format!(".{}", own.opaque.trim_matches('"'))).unwrap_or_default();
    EntityTag::strong(format!("{}{own}.{}", plain.opaque.trim_matches('"'), coding.name()))
}

/// The tag of the file that the request knows it by: the plain one, or that of one of its forms. For
/// preconditions of PUT and DELETE, which are about the file whichever form the client was sent.
pub(super) fn known_tag(plain: EntityTag, fields: &Fields) -> EntityTag {
    let start = format!("{}.", plain.opaque.trim_end_matches('"'));
    let is_form = |tag: &EntityTag| !tag.is_weak && tag.opaque.starts_with(&start);
    let listed = ["if-match", "if-none-match"].into_iter().flat_map(|name| fields.get_all(name)).flat_map(lists::elements);
    listed.filter_map(EntityTag::parse).find(is_form).unwrap_or(plain)
}

/// Whether one of the conditions of the request names this tag.
pub(super) fn is_shown(tag: &EntityTag, fields: &Fields) -> bool {
    let listed = ["if-match", "if-none-match", "if-range"].into_iter().flat_map(|name| fields.get_all(name)).flat_map(lists::elements);
    listed.filter_map(EntityTag::parse).any(|shown| shown.matches_weakly(tag))
}

pub(super) fn tag_of_content(content: &[u8]) -> EntityTag {
    let digest = Sha256::digest(content);
    let hex: String = digest.iter().take(12).map(|octet| format!("{octet:02x}")).collect();
    EntityTag::strong(format!("c-{hex}"))
}

/// When the file was modified, for Last-Modified: never in the future (RFC 9110, 8.8.2.1).
pub(super) fn modified(facts: &FileFacts, now: SystemTime) -> SystemTime {
    facts.modified.min(now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        http::parse::{self, LineEnds},
        store::tree::FileKind,
    };

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn facts(age_millis: u64) -> FileFacts {
        let then = NOW + Duration::from_secs(9) - Duration::from_millis(age_millis);
        FileFacts { kind: FileKind::File, octets: 10, modified: then, changed: then, inode: 7, mode: 0o644 }
    }

    fn planned(request: &str) -> Plan {
        let head = parse::request(format!("{request}Host: a\r\n\r\n").as_bytes(), LineEnds::CrLf).unwrap();
        let current = Validators { tag: Some(EntityTag::strong("t")), modified: Some(NOW) };
        plan(&head, &current, 10, NOW + Duration::from_secs(9))
    }

    #[test]
    fn preconditions_come_before_ranges() {
        assert_eq!(planned("GET / HTTP/1.1\r\n"), Plan::Whole);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=2-3\r\n"), Plan::Part(2..4));
        assert_eq!(planned("HEAD / HTTP/1.1\r\nRange: bytes=2-3\r\n"), Plan::Whole);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=10-\r\n"), Plan::Unsatisfiable);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=2-3\r\nIf-None-Match: \"t\"\r\n"), Plan::NotModified);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=2-3\r\nIf-Match: \"u\"\r\n"), Plan::Failed);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=2-3\r\nIf-Range: \"u\"\r\n"), Plan::Whole);
        assert_eq!(planned("GET / HTTP/1.1\r\nRange: bytes=2-3\r\nRange: bytes=2-3\r\n"), Plan::Whole);
    }

    #[test]
    fn forms_of_a_file_have_tags_of_their_own() {
        let plain = EntityTag::strong("t");
        let (kept, beside) = (coded_tag(&plain, None, Coding::Br), coded_tag(&plain, Some(&EntityTag::strong("s")), Coding::Gzip));
        assert_eq!((kept.opaque.as_str(), beside.opaque.as_str()), ("\"t.br\"", "\"t.s.gzip\""));
        let mut fields = Fields::new();
        fields.push("If-Match", "\"x\", \"t.br\"");
        assert_eq!(known_tag(plain.clone(), &fields), kept);
        assert_eq!(known_tag(EntityTag::strong("u"), &fields), EntityTag::strong("u"));
        assert!(is_shown(&kept, &fields) && !is_shown(&plain, &fields));
    }

    #[test]
    fn a_young_file_gets_its_tag_from_the_content() {
        let source = |age, fields: &Fields| tag_source(&facts(age), fields, NOW + Duration::from_secs(9));
        let mut fields = Fields::new();
        assert_eq!(source(100, &fields), TagSource::Facts);
        assert_eq!(source(99, &fields), TagSource::Content);
        fields.push("If-None-Match", "\"c-00\"");
        assert_eq!(source(5000, &fields), TagSource::Content);
    }
}
