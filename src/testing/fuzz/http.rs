//! Readers of HTTP.

use std::time::{Duration, UNIX_EPOCH};

use super::{bounded, cuts, is_one_line, reference};
use crate::{
    http::{
        Fault, Fields, Form, Method, Target, basic,
        body::{Decoder, Step},
        coding::{Accepted, Coding},
        framing::{self, Framing},
        lists, multipart as http_multipart,
        parse::{self, LineEnds},
        range, secrets as http_secrets,
        target::split_authority,
        validators::{EntityTag, format_date, parse_date, whole_seconds},
    },
    web,
};

/// A request head: as our parser, `httparse` and the reference read it.
pub fn request_head(data: &[u8]) {
    let data = bounded(data);
    check_head_end(data);
    let Some(end) = parse::head_end(data, 0) else { return };
    let head = &data[..end];
    let strict = parse::request(head, LineEnds::CrLf);
    let lenient = parse::request(head, LineEnds::Either);
    for fault in [&strict, &lenient].into_iter().filter_map(|read| read.as_ref().err()) {
        check_fault(fault);
    }
    if strict.is_ok() {
        assert_eq!(strict, lenient, "who takes one line end only takes no other message");
    }
    let expected = reference::read_request(head, true);
    let Ok(request) = lenient else {
        return assert!(!matches!(expected, reference::Read::Whole(_)), "we refuse what the reference reads");
    };
    check_fields(&request.fields);
    assert!(request.target.as_str().len() <= parse::TARGET_OCTETS);
    let mut printed = Vec::new();
    request.write_to(&mut printed);
    assert_eq!(parse::head_end(&printed, 0), Some(printed.len()), "a printed head ends where it ends");
    assert_eq!(parse::request(&printed, LineEnds::CrLf).as_ref(), Ok(&request), "parse, print, parse");
    let framing = framing::of_request(&request);
    match (&framing, &expected) {
        (Err(fault), read) => {
            check_fault(fault);
            assert!(!matches!(read, reference::Read::Whole(_)), "we find ambiguous what the reference reads");
        }
        (Ok(framing), reference::Read::Whole(asked)) => assert_eq!(*framing, asked.framing, "where the request ends"),
        (Ok(Framing::Length(_) | Framing::Chunked), reference::Read::Partial) => {}
        (Ok(_), read) => panic!("we read what the reference does not: {read:?}"),
    }
    agrees_with_httparse(head, &request.fields, request.method.as_str(), request.target.as_str());
}

/// A response head.
pub fn response_head(data: &[u8]) {
    let data = bounded(data);
    let Some(end) = parse::head_end(data, 0) else { return };
    let response = match parse::response(&data[..end], LineEnds::CrLf) {
        Ok(response) => response,
        Err(fault) => return check_fault(&fault),
    };
    assert!((100..=999).contains(&response.status));
    check_fields(&response.fields);
    let mut printed = Vec::new();
    response.write_to(&mut printed);
    let again = parse::response(&printed, LineEnds::CrLf);
    assert_eq!(again.as_ref(), Ok(&response), "parse, print, parse");
    for asked in [Method::Get, Method::Head, Method::Connect] {
        let framing = framing::of_response(&asked, &response);
        assert_eq!(framing, again.as_ref().map_err(Clone::clone).and_then(|again| framing::of_response(&asked, again)));
        if response.status < 200 || matches!(response.status, 204 | 304) {
            assert_eq!(framing, Ok(Framing::Empty), "such a response has no body whatever its fields say");
        }
    }
}

/// A chunked body with what follows it.
pub fn chunked_body(data: &[u8]) {
    let data = bounded(data);
    let whole = decode(&[data]);
    for (first, second) in cuts(data) {
        assert_eq!(decode(&[first, second]), whole, "cut after {} octets", first.len());
    }
    if data.len() <= super::EVERY_CUT_OCTETS {
        assert_eq!(decode(&data.chunks(1).collect::<Vec<_>>()), whole, "octet by octet");
    }
    let expected = reference::read_chunked(data);
    match &whole {
        Some((body, trailers, used)) => {
            assert!(body.len() <= data.len() && *used <= data.len());
            check_fields(trailers);
            assert_eq!(expected, reference::Chunked::Whole { body: body.clone(), octets: *used });
        }
        None => assert!(!matches!(expected, reference::Chunked::Whole { .. }), "we refuse what the reference reads"),
    }
}

/// The body, its trailers and how many octets they took; `None` for one that is broken or not
/// over.
fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, Fields, usize)> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let (mut input, mut body, mut used) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        while !decoder.is_over() {
            let step = decoder.step(&input).ok()?;
            assert!(step.octets() <= input.len(), "it takes no more than there is");
            if let Step::Data(octets) = step {
                body.extend_from_slice(&input[..octets]);
            }
            used += step.octets();
            drop(input.drain(..step.octets()));
            if step == Step::More {
                break;
            }
        }
    }
    decoder.is_over().then(|| (body, decoder.trailers().clone(), used))
}

/// A request target, with each method that has a form of its own.
pub fn request_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(bounded(data)) else { return };
    for method in [Method::Get, Method::Options, Method::Connect] {
        let target = match Target::parse(&method, text) {
            Ok(target) => target,
            Err(fault) => {
                check_fault(&fault);
                continue;
            }
        };
        assert_eq!(target.as_str(), text);
        assert!(
            target.form() == Form::Asterisk
                || target.form() == Form::Authority
                || target.path().starts_with('/')
                || target.form() == Form::Absolute
        );
        if let Some(authority) = target.authority() {
            assert!(
                split_authority(authority.as_bytes()).is_some_and(|(host, _)| !host.is_empty() && !host.contains(['@', '/', '?', '#']))
            );
        }
        let origin_form = target.origin_form();
        if target.form() != Form::Authority && target.form() != Form::Asterisk {
            let again = Target::parse(&Method::Get, &origin_form).expect("what goes to the origin is a target");
            assert_eq!((again.path(), again.query(), again.form()), (target.path(), target.query(), Form::Origin));
        }
    }
}

/// A Range field against representations of several sizes.
pub fn range(data: &[u8]) {
    let data = bounded(data);
    for octets in [0, 1, 10, 10_000, u64::MAX] {
        let parts = match range::wanted(data, octets) {
            range::Wanted::Part(part) => vec![part],
            range::Wanted::Parts(parts) => {
                assert!((2..=100).contains(&parts.len()));
                parts
            }
            range::Wanted::Whole | range::Wanted::Unsatisfiable => Vec::new(),
        };
        for (index, part) in parts.iter().enumerate() {
            assert!(part.start < part.end && part.end <= octets, "a part lies within and is not empty");
            assert!(parts[index + 1..].iter().all(|other| part.end < other.start || other.end < part.start), "parts don't touch");
            assert!(is_one_line(&range::content_range(part, octets)));
        }
    }
}

/// An HTTP date, and entity tags beside it.
pub fn dates(data: &[u8]) {
    let data = bounded(data);
    let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
    if let Some(date) = parse_date(data, now) {
        assert_eq!(whole_seconds(date), date, "HTTP dates know no fractions");
        let printed = format_date(date);
        assert_eq!(parse_date(printed.as_bytes(), now), Some(date), "parse, print, parse");
    }
    if let Some(tag) = EntityTag::parse(data) {
        assert!(tag.matches_weakly(&tag) && tag.matches_strongly(&tag) != tag.is_weak);
        if std::str::from_utf8(data).is_ok() {
            assert_eq!(tag.to_field().as_bytes(), data, "parse, print");
        }
    }
}

/// The values of `Accept`, `Accept-Language`, `Accept-Encoding` and other lists.
pub fn accept(data: &[u8]) {
    let data = bounded(data);
    let elements: Vec<&[u8]> = lists::raw_elements(data).collect();
    assert!(elements.iter().all(|element| element.trim_ascii() == *element));
    for weighted in lists::weighted([data].into_iter()) {
        assert!(weighted.quality <= 1000);
    }
    let mut fields = Fields::new();
    fields.push("Accept-Encoding", sanitized(data));
    let accepted = Accepted::of(&fields);
    let preferred = accepted.preferred(&Coding::ALL);
    assert!(preferred.iter().all(|one| accepted.preferred(&[one.1]) == [*one]), "each of them would do alone");
    for element in lists::elements(data) {
        let (name, parameters) = lists::parameters(element);
        assert!(name.len() <= element.len() && parameters.iter().all(|(name, _)| !name.is_empty()));
    }
    let mut fields = Fields::new();
    fields.push("Accept-Language", sanitized(data));
    let page = crate::store::VirtualPath::parse("/folder/page.html").expect("it is a path");
    for (path, language) in web::negotiation::variants(&page, &fields) {
        assert_eq!(path.parent().as_str(), "/folder", "a language leads to no other folder");
        assert!(is_one_line(&language));
    }
}

/// A Cookie field.
pub fn cookies(data: &[u8]) {
    let mut fields = Fields::new();
    fields.push("Cookie", sanitized(bounded(data)));
    if let Some(value) = web::cookies::value_of(&fields, "visitor") {
        assert!(!value.contains(';'), "a value ends where the next pair begins");
        assert!(!value.chars().any(|c| c.is_ascii_control() && c != '\t'));
    }
}

/// The body of a form.
pub fn form(data: &[u8]) {
    let data = bounded(data);
    let pairs = web::form::pairs(data);
    assert!(pairs.len() <= data.len());
    // A replacement character takes three octets for one.
    assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= 3 * data.len());
}

/// A form in parts, its boundary being `x`: it comes to the same however it is cut.
pub fn multipart(data: &[u8]) {
    let data = bounded(data);
    let read = |pieces: &[&[u8]]| {
        let mut machine = http_multipart::Multipart::new("x");
        let (mut heads, mut content, mut is_open) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            for event in machine.feed(piece).ok()? {
                match event {
                    http_multipart::Event::Part(head) => {
                        assert!(!std::mem::replace(&mut is_open, true), "a part begins after the one before it");
                        heads.push(head);
                    }
                    http_multipart::Event::Data(octets) => {
                        assert!(is_open, "content belongs to a part");
                        content.extend(octets);
                    }
                    http_multipart::Event::PartEnd => is_open = false,
                }
            }
        }
        machine.finish().ok()?;
        assert!(!is_open && content.len() <= data.len());
        Some((heads, content))
    };
    let whole = read(&[data]);
    for (first, second) in cuts(data) {
        assert_eq!(read(&[first, second]), whole);
    }
}

/// Basic credentials.
pub fn credentials(data: &[u8]) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let Some((name, password)) = basic::credentials(bounded(data)) else { return };
    assert!(!name.contains(':'), "the name ends at the first colon");
    let printed = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    assert_eq!(basic::credentials(printed.as_bytes()), Some((name, password)), "parse, print, parse");
}

/// A head whose secrets are masked before it is shown.
pub fn secrets(data: &[u8]) {
    let data = bounded(data);
    for (line, secret) in http_secrets::lines(data) {
        if let Some(span) = secret {
            assert!(span.start <= span.end && span.end <= line.len(), "a secret lies within its line");
        }
    }
    let shown = http_secrets::masked(data);
    let password: &[u8] = b"hunter2-";
    if [&b"Authorization: Basic "[..], b"Cookie: a="].iter().any(|start| data.starts_with(start)) && !data.contains(&b'\n') {
        assert!(memchr::memmem::find(&shown, password).is_none(), "a credential shows");
    }
}

/// The end of a head is found wherever the input is cut, and what ends early is refused.
fn check_head_end(data: &[u8]) {
    let whole = parse::head_end(data, 0);
    for (first, _) in cuts(data) {
        if let Some(end) = parse::request_end(first, 0).filter(|end| whole != Some(*end)) {
            assert!(parse::request(&data[..end], LineEnds::Either).is_err(), "cut short after {end} octets");
        }
        match parse::head_end(first, 0) {
            Some(end) => assert_eq!(Some(end), whole, "a head that ends stays so"),
            None => assert_eq!(parse::head_end(data, first.len()), whole, "cut after {} octets", first.len()),
        }
    }
}

fn check_fault(fault: &Fault) {
    assert!(matches!(fault.status, 400 | 414 | 431 | 501 | 505), "{fault:?}");
    assert!(is_one_line(&fault.what), "{fault:?}");
    assert!(fault.source.starts_with("RFC "), "{fault:?}");
}

fn check_fields(fields: &Fields) {
    assert!(fields.len() <= parse::MAX_FIELDS);
    for (name, value) in fields.iter() {
        assert!(parse::is_token(name), "{fields:?}");
        assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "{fields:?}");
        assert!(value.trim_ascii() == value, "{fields:?}");
    }
}

/// `httparse`, which reads more than we do, reads the same.
fn agrees_with_httparse(head: &[u8], fields: &Fields, method: &str, target: &str) {
    let mut rows = [httparse::EMPTY_HEADER; parse::MAX_FIELDS];
    let mut other = httparse::Request::new(&mut rows);
    match other.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            assert_eq!((other.method, other.path), (Some(method), Some(target)));
            assert!(other.headers.iter().map(|row| (row.name.as_bytes(), row.value.trim_ascii())).eq(fields.iter()));
        }
        Ok(httparse::Status::Partial) => panic!("httparse waits for more where our head has ended"),
        // It knows 1.0 and 1.1 only, and some octets of URIs not at all.
        Err(httparse::Error::Version | httparse::Error::Token) => {}
        Err(error) => panic!("httparse: {error}"),
    }
}

/// What of the input can stand in a field value at all.
fn sanitized(data: &[u8]) -> Vec<u8> {
    data.iter().copied().filter(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..)).collect()
}
