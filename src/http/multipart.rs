//! `multipart/form-data` (RFC 7578, framed as RFC 2046, 5.1.1 has it): a machine that takes a
//! form's body apart as it comes. Octets in, events out; it holds no more of the body than the
//! head of a part or the length of a delimiter.
//!
//! ```text
//! Preamble --delimiter--> Line --CRLF--> Head --Part--> Data --delimiter, PartEnd--> Line
//!                          \-- "--" --> Epilogue
//! ```
//!
//! It is ours since it must work on octets as they arrive, cut anywhere, without a wait inside:
//! what there is elsewhere reads from a stream of its own. It is strict: where senders and
//! readers could differ about where a part ends, the form is refused.

use super::{fault::Fault, lists, parse};

/// RFC 2046, 5.1.1: from 1 to 70 characters.
const BOUNDARY_OCTETS: usize = 70;
/// What may come before the first part: nobody sends anything there.
const PREAMBLE_OCTETS: usize = 1024;
/// The head of a part: two or three short fields.
const HEAD_OCTETS: usize = 8 * 1024;
/// Blanks between a boundary and the end of its line, which relays of mail once added.
const PADDING_OCTETS: usize = 64;
/// Names of fields and files.
const NAME_OCTETS: usize = 1024;
/// Each part costs us some work however small it is.
const MAX_PARTS: usize = 1000;

/// Takes one form apart.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// CR LF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    state: State,
    /// What has come and has not been told yet.
    held: Vec<u8>,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// The rest of a delimiter's line.
    Line,
    Head,
    Data,
    Epilogue,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Part(PartHead),
    /// Some of its content.
    Data(Vec<u8>),
    /// It is over.
    PartEnd,
}

/// What the head of a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartHead {
    /// The name of the form's field.
    pub name: String,
    /// A file's name, as the sender has it: may be empty, may hold anything.
    pub filename: Option<String>,
    pub content_type: Option<String>,
}

/// The boundary of a form's Content-Type; `None` where the type is another one.
///
/// # Errors
/// 400 for `multipart/form-data` without a boundary that can be one.
pub(crate) fn boundary(content_type: &str) -> Result<Option<String>, Fault> {
    let (media_type, parameters) = lists::parameters(content_type.as_bytes());
    if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
        return Ok(None);
    }
    let mut named = parameters.into_iter().filter(|(name, _)| name == "boundary").map(|(_, value)| value);
    let boundary = named.next().filter(|boundary| is_boundary(boundary) && named.next().is_none());
    boundary.map(Some).ok_or_else(|| Fault::bad("the Content-Type of the form has no usable `boundary`", "RFC 7578, 4.1"))
}

fn is_boundary(text: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&octet);
    (1..=BOUNDARY_OCTETS).contains(&text.len()) && text.bytes().all(is_allowed) && !text.ends_with(' ')
}

impl Multipart {
    pub(crate) fn new(boundary: &str) -> Multipart {
        // The first delimiter has no line before it: it gets the end of one.
        Multipart { delimiter: format!("\r\n--{boundary}").into_bytes(), state: State::Preamble, held: b"\r\n".to_vec(), parts: 0 }
    }

    /// Takes the next octets of the body and tells what they are.
    ///
    /// # Errors
    /// 400 where the form is malformed, 413 where it has too many parts.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> Result<Vec<Event>, Fault> {
        let mut events = Vec::new();
        if self.state != State::Epilogue {
            self.held.extend_from_slice(octets);
        }
        let mut at = 0;
        while let Some(taken) = self.step(at, &mut events)? {
            at += taken;
        }
        self.held.drain(..at);
        Ok(events)
    }

    /// To be called when the body is over.
    ///
    /// # Errors
    /// 400 where the last delimiter is missing: nobody knows what else is.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        match self.state {
            State::Epilogue => Ok(()),
            _ => Err(Fault::bad("the form breaks off before its closing delimiter", "RFC 2046, 5.1.1")),
        }
    }

    /// Looks at what is held from `at` on. Answers how much of it is settled, `None` when more
    /// must come first.
    fn step(&mut self, at: usize, events: &mut Vec<Event>) -> Result<Option<usize>, Fault> {
        let input = self.held.get(at..).unwrap_or_default();
        match self.state {
            State::Preamble => match memchr::memmem::find(input, &self.delimiter) {
                Some(found) if found <= PREAMBLE_OCTETS => Ok(Some(self.enter(State::Line, found + self.delimiter.len()))),
                _ if input.len() > PREAMBLE_OCTETS => Err(Fault::bad("the form does not begin with its boundary", "RFC 2046, 5.1.1")),
                _ => Ok(None),
            },
            State::Line => {
                let Some((next, octets)) = after_delimiter(input)? else { return Ok(None) };
                self.parts += usize::from(next == State::Head);
                if self.parts > MAX_PARTS {
                    return Err(Fault::new(413, format!("the form has more than {MAX_PARTS} parts"), "RFC 9110, 15.5.14"));
                }
                Ok(Some(self.enter(next, octets)))
            }
            State::Head => {
                let Some(end) = head_end(input)? else { return Ok(None) };
                events.push(Event::Part(part_head(&input[..end])?));
                Ok(Some(self.enter(State::Data, end)))
            }
            State::Data => Ok(self.data(at, events)),
            State::Epilogue => Ok((!input.is_empty()).then_some(input.len())),
        }
    }

    fn enter(&mut self, state: State, octets: usize) -> usize {
        self.state = state;
        octets
    }

    /// The content of a part, up to its delimiter. What could be the beginning of one is held
    /// back.
    fn data(&mut self, at: usize, events: &mut Vec<Event>) -> Option<usize> {
        let input = self.held.get(at..).unwrap_or_default();
        let found = memchr::memmem::find(input, &self.delimiter);
        let octets = found.unwrap_or_else(|| input.len().saturating_sub(self.delimiter.len() - 1));
        if octets > 0 {
            events.push(Event::Data(input[..octets].to_vec()));
        }
        if found.is_some() {
            events.push(Event::PartEnd);
            return Some(self.enter(State::Line, octets + self.delimiter.len()));
        }
        (octets > 0).then_some(octets)
    }
}

/// What follows a boundary: `--`, or blanks and the end of the line.
fn after_delimiter(input: &[u8]) -> Result<Option<(State, usize)>, Fault> {
    if input.starts_with(b"--") {
        return Ok(Some((State::Epilogue, 2)));
    }
    let padding = input.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    match input.get(padding..).unwrap_or_default() {
        _ if padding > PADDING_OCTETS => {}
        [b'\r', b'\n', ..] => return Ok(Some((State::Head, padding + 2))),
        [] | [b'\r'] => return Ok(None),
        [b'-'] if padding == 0 => return Ok(None),
        _ => {}
    }
    Err(Fault::bad("something other than the end of the line follows a boundary", "RFC 2046, 5.1.1"))
}

/// Where the head of a part ends, past its empty line.
fn head_end(input: &[u8]) -> Result<Option<usize>, Fault> {
    let found = if input.starts_with(b"\r\n") { Some(2) } else { memchr::memmem::find(input, b"\r\n\r\n").map(|at| at + 4) };
    match found {
        None if input.len() <= HEAD_OCTETS => Ok(None),
        Some(end) if end <= HEAD_OCTETS => Ok(Some(end)),
        _ => Err(Fault::bad(format!("the head of a part is longer than {HEAD_OCTETS} octets"), "RFC 7578, 4.8")),
    }
}

fn part_head(head: &[u8]) -> Result<PartHead, Fault> {
    let bad = |what: &'static str| Fault::bad(what, "RFC 7578, 4.2");
    let fields = parse::trailers(head).map_err(|fault| Fault::bad(format!("in the head of a part: {}", fault.what), fault.source))?;
    let disposition = fields.only("content-disposition").ok_or_else(|| bad("a part must have one Content-Disposition"))?;
    let (kind, parameters) = disposition_parameters(disposition).ok_or_else(|| bad("the Content-Disposition of a part can't be read"))?;
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err(bad("the Content-Disposition of a part is not `form-data`"));
    }
    let only = |wanted: &str| {
        let mut values = parameters.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let value = values.next();
        if values.next().is_some() { Err(bad("a part is named twice")) } else { Ok(value) }
    };
    let name = only("name")?.ok_or_else(|| bad("a part has no name"))?;
    let filename = only("filename")?;
    if name.len().max(filename.as_ref().map_or(0, String::len)) > NAME_OCTETS {
        return Err(Fault::bad(format!("a name in the form is longer than {NAME_OCTETS} octets"), "RFC 7578, 4.2"));
    }
    if let Some(encoding) = fields.text("content-transfer-encoding")
        && !["7bit", "8bit", "binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
    {
        return Err(Fault::bad(format!("a part is encoded in `{encoding}`: in HTTP no part is"), "RFC 7578, 4.7"));
    }
    Ok(PartHead { name, filename, content_type: fields.text("content-type").map(str::to_owned) })
}

/// Names, in lower case, and values.
type Parameters = Vec<(String, String)>;

/// `form-data; name="..."; filename="..."`. Unlike elsewhere a backslash stands for itself unless
/// a quote or another one follows it: browsers write `%22` for a quote, old ones send `C:\names`.
/// `filename*` is not for forms (RFC 7578, 4.2) and means nothing.
fn disposition_parameters(value: &[u8]) -> Option<(&[u8], Parameters)> {
    let (kind, mut rest) = match memchr::memchr(b';', value) {
        Some(at) => (value[..at].trim_ascii(), value.get(at..)?),
        None => (value.trim_ascii(), &b""[..]),
    };
    let mut found = Vec::new();
    while let Some(parameter) = rest.strip_prefix(b";") {
        let parameter = parameter.trim_ascii_start();
        if parameter.is_empty() {
            break;
        }
        let equals = memchr::memchr(b'=', parameter)?;
        let name = String::from_utf8_lossy(parameter[..equals].trim_ascii()).to_ascii_lowercase();
        let text = parameter.get(equals + 1..)?.trim_ascii_start();
        let (value, after) = if let Some(quoted) = text.strip_prefix(b"\"") {
            until_quote(quoted)?
        } else {
            let end = memchr::memchr(b';', text).unwrap_or(text.len());
            (text[..end].trim_ascii().to_vec(), text.get(end..)?)
        };
        found.push((name, unescaped(&value)));
        rest = after.trim_ascii_start();
    }
    rest.iter().all(|octet| *octet == b';').then_some((kind, found))
}

/// Reads up to the closing quote; what follows it comes second.
fn until_quote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', octet @ (b'"' | b'\\'), after @ ..] => {
                value.push(*octet);
                rest = after;
            }
            [octet, after @ ..] => {
                value.push(*octet);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// What browsers encode in names, and nothing else: a `%41` is what somebody typed.
fn unescaped(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &[u8] = b"--xx\r\nContent-Disposition: form-data; name=\"animal\"\r\n\r\nmonkeys\r\n--xx  \r\n\
        content-disposition: form-data; name=\"f\"; filename=\"a%22b.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        one\r\n--x\r\n--\r\n\r\n--xx\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--xx--\r\nepilogue";

    /// Feeds the pieces and joins the data of each part.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(PartHead, Vec<u8>)>, Fault> {
        let mut machine = Multipart::new("xx");
        let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
        let mut is_open = false;
        for event in pieces.iter().map(|piece| machine.feed(piece)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            match event {
                Event::Part(head) => {
                    assert!(!is_open);
                    is_open = true;
                    parts.push((head, Vec::new()));
                }
                Event::Data(octets) => parts.last_mut().expect("a part is open").1.extend(octets),
                Event::PartEnd => is_open = false,
            }
        }
        machine.finish()?;
        assert!(!is_open);
        Ok(parts)
    }

    fn head(name: &str, filename: Option<&str>, content_type: Option<&str>) -> PartHead {
        PartHead { name: name.into(), filename: filename.map(Into::into), content_type: content_type.map(Into::into) }
    }

    #[test]
    fn a_form_in_one_piece_and_in_many() {
        let expected = vec![
            (head("animal", None, None), b"monkeys".to_vec()),
            (head("f", Some("a\"b.txt"), Some("text/plain")), b"one\r\n--x\r\n--\r\n".to_vec()),
            (head("", None, None), Vec::new()),
        ];
        assert_eq!(read(&[FORM]).unwrap(), expected);
        assert_eq!(read(&FORM.chunks(1).collect::<Vec<_>>()).unwrap(), expected);
        for at in 0..FORM.len() {
            assert_eq!(read(&[&FORM[..at], &FORM[at..]]).unwrap(), expected, "split at {at}");
        }
    }

    #[test]
    fn forms_that_are_none() {
        let part = |head: &str| format!("--xx\r\n{head}\r\n\r\nx\r\n--xx--");
        for form in [
            String::new(),
            "x".repeat(PREAMBLE_OCTETS + 1),
            "--xx\r\n\r\nno head\r\n--xx--".into(),
            "--xx\nContent-Disposition: form-data; name=a\n\nx\n--xx--".into(),
            "--xxy\r\n".into(),
            format!("--xx{}\r\n", " ".repeat(PADDING_OCTETS + 1)),
            format!("--xx\r\nX: {}", "x".repeat(HEAD_OCTETS)),
            "--xx\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--xx".into(),
            part("X: y"),
            part("Content-Disposition: attachment; name=a"),
            part("Content-Disposition: form-data"),
            part("Content-Disposition: form-data; name=\"a"),
            part("Content-Disposition: form-data; name=\"a\" b"),
            part("Content-Disposition: form-data; name=a; name=b"),
            part("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b"),
            part("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"),
            part(&format!("Content-Disposition: form-data; name={}", "a".repeat(NAME_OCTETS + 1))),
            part("Content Disposition: form-data; name=a"),
        ] {
            assert_eq!(read(&[form.as_bytes()]).expect_err(&form).status, 400);
        }
        let many = "--xx\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(MAX_PARTS + 1);
        assert_eq!(read(&[many.as_bytes()]).unwrap_err().status, 413);
        read(&[format!("{}--xx--", &many[..many.len() / (MAX_PARTS + 1) * MAX_PARTS]).as_bytes()]).unwrap();
    }

    #[test]
    fn boundaries() {
        let of = |text| boundary(text).ok().flatten();
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(of("Multipart/Form-Data;charset=x; Boundary=\"a b:c\"").as_deref(), Some("a b:c"));
        assert_eq!(boundary("multipart/mixed; boundary=a"), Ok(None));
        for bad in ["", "; boundary=", "; boundary=\"a \"", "; boundary=a; boundary=b", "; boundary=\"a\u{7f}\""] {
            assert!(boundary(&format!("multipart/form-data{bad}")).is_err(), "{bad}");
        }
        assert!(boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))).is_err());
    }

    #[test]
    fn names_as_browsers_and_curl_write_them() {
        let of = |text: &str| disposition_parameters(text.as_bytes()).map(|(_, parameters)| parameters);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(r#"form-data; name="a\"b""#), Some(vec![pair("name", "a\"b")]));
        assert_eq!(of(r#"form-data; filename="C:\dir\f";x=y;"#), Some(vec![pair("filename", r"C:\dir\f"), pair("x", "y")]));
        assert_eq!(of("form-data; name"), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_alike_however_it_is_cut(parts in prop::collection::vec(prop::sample::select(PARTS), 0..16), at in any::<prop::sample::Index>()) {
            let form = parts.concat();
            let at = at.index(form.len() + 1);
            let (whole, cut) = (read(&[form.as_bytes()]), read(&[&form.as_bytes()[..at], &form.as_bytes()[at..]]));
            prop_assert_eq!(whole.is_ok(), cut.is_ok());
            if let (Ok(whole), Ok(cut)) = (whole, cut) {
                prop_assert_eq!(whole, cut);
            }
        }

        #[test]
        fn arbitrary_octets_never_panic(input in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Multipart::new("xx").feed(&input);
            let _ = disposition_parameters(&input);
        }
    }

    const PARTS: &[&str] = &[
        "--xx",
        "\r\n",
        "--",
        "\r",
        "\n",
        "x",
        " ",
        "Content-Disposition: form-data; name=\"a\"",
        "; filename=\"b\"",
        "\r\n\r\n",
        "--xx\r\nContent-Disposition: form-data; name=a\r\n\r\n",
        "\r\n--xx",
        "\r\n--xx--",
    ];
}
