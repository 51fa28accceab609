//! What goes wrong in FTP, and with capital letters.

use super::layer::{Seen, line};

pub(super) fn wrong_pasv_address(_seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    if reply.starts_with(b"227") { line("227 Entering Passive Mode (127,0,0,1,0,1)") } else { reply.to_vec() }
}

pub(super) fn done_before_data(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    match reply {
        [b'1', b'2' | b'5', ..] => {
            seen.skipped += 1;
            [reply, &line("226 Done")].concat()
        }
        [b'2' | b'4' | b'5', ..] if seen.skipped > 0 => {
            seen.skipped -= 1;
            Vec::new()
        }
        reply => reply.to_vec(),
    }
}

pub(super) fn text_mode(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_asked("TYPE") { line("TYPE A") } else { said.to_vec() }
}

pub(super) fn clear_data(seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    if seen.is_asked("PROT") { line("PROT C") } else { said.to_vec() }
}

pub(super) fn rename_without_from(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    if seen.is_asked("RNTO") && reply.starts_with(b"503") { line("250 Renamed") } else { reply.to_vec() }
}

pub(super) fn bounces(seen: &mut Seen, reply: &[u8]) -> Vec<u8> {
    if seen.is_asked("PORT") && reply.starts_with(b"5") { line("200 Wherever you like") } else { reply.to_vec() }
}

pub(super) fn small_letters(_seen: &mut Seen, said: &[u8]) -> Vec<u8> {
    said.to_ascii_lowercase()
}
