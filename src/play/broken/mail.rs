//! What goes wrong in SMTP, POP3 and FTP dialogues.

use super::layer::{Seen, line, text};

/// The reply in place of another one: the last line of it counts, those before are left out.
fn instead(reply: &[u8], other: &str) -> Vec<u8> {
    if reply.get(3) == Some(&b'-') { Vec::new() } else { line(other) }
}

pub(super) fn no_order_check(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    let is_wanted = !seen.is_asked("AUTH") && reply.starts_with(b"503");
    if is_wanted { instead(reply, "250 as you like") } else { reply.to_vec() }
}

pub(super) fn open_relay(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    if seen.is_asked("RCPT") && reply.starts_with(b"55") { instead(reply, "250 for anybody") } else { reply.to_vec() }
}

pub(super) fn wrong_continuation(_seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    match reply {
        [a, b, c, b'-', rest @ ..] => [&[*a, *b, *c, b' '], rest].concat(),
        reply => reply.to_vec(),
    }
}

pub(super) fn yes_to_everything(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    match reply {
        _ if seen.is_server_content => reply.to_vec(),
        [b'-', b'E', b'R', b'R', ..] => line("+OK fine"),
        [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] => instead(reply, "250 fine"),
        reply => reply.to_vec(),
    }
}

pub(super) fn any_dot_ends(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    let is_end = seen.is_client_content && said.starts_with(b".");
    seen.is_client_content &= !is_end;
    if is_end { line(".") } else { said.to_vec() }
}

pub(super) fn no_reset(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_asked("RSET") && !seen.is_client_content { line("NOOP") } else { said.to_vec() }
}

pub(super) fn case_sensitive(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    let verb = text(said).split(' ').next().unwrap_or_default().to_owned();
    let is_command = !seen.is_client_content && said.ends_with(b"\n");
    if is_command && verb.contains(|c: char| c.is_ascii_lowercase()) { line("UNKNOWN") } else { said.to_vec() }
}

pub(super) fn loses_dots(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    match said {
        [b'.', b'.', rest @ ..] if seen.is_client_content && text(rest).len() > 1 => [b".", rest].concat(),
        said => said.to_vec(),
    }
}

pub(super) fn loses_mail(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    let is_for_elsewhere = seen.is_asked("RCPT") && seen.asked.contains("@remote.example>");
    if is_for_elsewhere && !seen.is_client_content { line("RCPT TO:<alice@portico.test>") } else { said.to_vec() }
}

pub(super) fn any_password(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    match reply {
        [b'5', b'3', b'5', ..] => instead(reply, "235 come in"),
        [b'-', b'E', b'R', b'R', ..] if seen.is_asked("PASS") => line("+OK come in"),
        reply => reply.to_vec(),
    }
}

pub(super) fn no_dot_stuffing(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    match said {
        [b'.', rest @ ..] if seen.is_server_content => rest.to_vec(),
        said => said.to_vec(),
    }
}

/// Sizes of lists are one octet short for each line end, as if a line ended with LF alone.
pub(super) fn wrong_octet_counts(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if !seen.is_asked("LIST") {
        return said.to_vec();
    }
    let text = text(said);
    match text.rsplit_once(' ').and_then(|(before, size)| Some((before, size.parse::<u64>().ok()?))) {
        Some((before, size)) if text.trim_start_matches("+OK ").split(' ').count() == 2 => {
            line(format!("{before} {}", size.saturating_sub(5)))
        }
        _ => said.to_vec(),
    }
}

pub(super) fn deletes_nothing(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_asked("DELE") { line("NOOP") } else { said.to_vec() }
}
