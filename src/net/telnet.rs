//! The telnet control sequences that people's telnet clients put between the commands.

/// Removes telnet commands (RFC 854: IAC and what follows) from a command line.
///
/// Option negotiations are dropped without an answer, which refuses them well enough; a doubled
/// IAC is the octet 255 itself; a CR NUL is the CR that NVT asks for.
pub(crate) fn strip(line: &mut Vec<u8>) {
    const IAC: u8 = 255;
    if !line.contains(&IAC) {
        return;
    }
    let mut kept = Vec::with_capacity(line.len());
    let mut rest = line.iter().copied();
    while let Some(octet) = rest.next() {
        if octet != IAC {
            kept.push(octet);
            continue;
        }
        match rest.next() {
            Some(IAC) => kept.push(IAC),
            Some(251..=254) => drop(rest.next()), // WILL, WONT, DO, DONT and their option
            Some(250) => skip_subnegotiation(&mut rest),
            // No command: what follows an IAC that lost its own on the way is text.
            Some(text @ ..240) => kept.push(text),
            _ => {} // a two-octet command: IP, DM, AYT, ...
        }
    }
    *line = kept;
}

fn skip_subnegotiation(rest: &mut impl Iterator<Item = u8>) {
    let mut previous = 0;
    for octet in rest {
        if previous == 255 && octet == 240 {
            return;
        }
        previous = octet;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_vanish_and_text_stays() {
        for (sent, left) in [
            (&b"\xff\xf4\xff\xf2ABOR"[..], &b"ABOR"[..]),
            (b"\xff\xfd\x06NOOP", b"NOOP"),
            (b"a\xff\xffb", b"a\xffb"),
            (b"\xff\xfa\x18\x00vt\xff\xf0QUIT", b"QUIT"),
            (b"plain", b"plain"),
            (b"cut\xff", b"cut"),
            (b"\xf4\xffABOR", b"\xf4ABOR"),
        ] {
            let mut line = sent.to_vec();
            strip(&mut line);
            assert_eq!(line, left);
        }
    }
}
