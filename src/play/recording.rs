//! Makes a script of a recording.
//!
//! What was recorded holds dates, identifiers and ports that differ each time, so of replies only
//! the codes count, of HTTP heads the status and the names of the fields.

use crate::transcript::{
    record::Side,
    script::{Destination, Handshake, Script, Step},
    text::{Part, Text},
};

/// What a recording shows in place of a password.
const HIDDEN: &[u8] = b"****";

/// The script that plays a recording again.
pub(super) fn loosen(mut script: Script) -> Script {
    let mut in_head = false;
    let is_tls_noted = script
        .items
        .iter()
        .skip(1)
        .find(|item| !matches!(item.step, Step::Note(_) | Step::Data(_)))
        .is_some_and(|item| matches!(item.step, Step::Tls { .. }));
    // The recording says itself when TLS began, also where it came first.
    let handshake = if is_tls_noted { Handshake::Plain } else { Handshake::Usual };
    for item in &mut script.items {
        item.step = match std::mem::replace(&mut item.step, Step::Blank) {
            Step::Recorded(heading) => Step::Connect { to: Destination::Service(heading.service), name: "main".into(), handshake },
            Step::Said { side: Side::Client, text } => Step::Said { side: Side::Client, text: open_secret(&text) },
            // A line with placeholders was put in on purpose.
            Step::Said { side: Side::Server, text } if text.as_plain().is_none() => Step::Said { side: Side::Server, text },
            Step::Said { side: Side::Server, text } => Step::Said { side: Side::Server, text: loosen_line(text, &mut in_head) },
            step => step,
        };
    }
    script
}

/// A secret that the recording hides is asked for by its name.
fn open_secret(text: &Text) -> Text {
    let line = text.as_plain().unwrap_or_default();
    let Some(at) = memchr::memmem::find(line, HIDDEN) else { return text.clone() };
    let mut open = Text::plain(&line[..at]);
    open.append(Text(vec![Part::Name("secret".into())]));
    open.append(Text::plain(&line[at + HIDDEN.len()..]));
    open
}

fn loosen_line(text: Text, in_head: &mut bool) -> Text {
    let line = text.start().to_vec();
    if line.starts_with(b"HTTP/") {
        *in_head = true;
        return up_to(&line, line.iter().enumerate().filter(|(_, octet)| **octet == b' ').nth(1).map_or(line.len(), |(at, _)| at));
    }
    if *in_head {
        *in_head = !line.is_empty();
        return if line.is_empty() {
            text
        } else {
            up_to(&line, line.iter().position(|octet| *octet == b':').map_or(line.len(), |at| at + 1))
        };
    }
    let is_code = line.get(..3).is_some_and(|code| code.iter().all(u8::is_ascii_digit));
    match &line[..] {
        // Which of the two it is depends on who was faster, the data connection or the command.
        [b'1', b'2', b'5', b' ', ..] | [b'1', b'5', b'0', b' ', ..] => {
            Text(vec![Part::Choice(vec!["125".into(), "150".into()]), Part::Literal(b" ".to_vec()), Part::Any])
        }
        [_, _, _, b' ' | b'-', ..] if is_code => up_to(&line, 4),
        [b'+', b'O', b'K', ..] => up_to(&line, 3),
        [b'-', b'E', b'R', b'R', ..] => up_to(&line, 4),
        b"." => text,
        _ => Text(vec![Part::Any]),
    }
}

fn up_to(line: &[u8], at: usize) -> Text {
    let mut text = Text::plain(&line[..at]);
    text.append(Text(vec![Part::Any]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_recording_only_the_codes_count() {
        let recorded = "# http 127.0.0.1:1 -> 127.0.0.1:2 (3)\nC: GET / HTTP/1.0\nC:\nS: HTTP/1.1 200 OK\nS: Date: now\nS:\n";
        let script = loosen(Script::parse(recorded).unwrap());
        assert_eq!(script.to_string(), "-- connect http\nC: GET / HTTP/1.0\nC:\nS: HTTP/1.1 200{any}\nS: Date:{any}\nS:\n");
        assert_eq!(loosen(Script::parse("S: 150 go\n").unwrap()).to_string(), "S: {125|150} {any}\n");
        let script = loosen(Script::parse("S: 250-a\nS: 250 b\nS: +OK 3\nS: .\nS: body\nC: PASS ****\n").unwrap());
        assert_eq!(script.to_string(), "S: 250-{any}\nS: 250 {any}\nS: +OK{any}\nS: .\nS: {any}\nC: PASS {secret}\n");
    }
}
