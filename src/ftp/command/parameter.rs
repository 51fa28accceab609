//! Readers of parameters.

use super::{ByteRange, Command, Digest, Epsv, Fault, ListOf, Mode, Protection, Representation, SetBy, SetFacts};
use crate::ftp::{directory::Key, listing::FactSet, stamp};

pub(super) type Read = Result<Command, Fault>;

/// No parameter is to be there.
pub(super) fn bare(text: Option<&str>, command: Command) -> Read {
    if text.is_none() { Ok(command) } else { Err(Fault::Parameter) }
}

pub(super) fn required(text: Option<&str>) -> Result<&str, Fault> {
    text.ok_or(Fault::Parameter)
}

/// A parameter that is neither a name nor a password: blanks around it mean nothing.
pub(super) fn word(text: Option<&str>) -> Result<&str, Fault> {
    Some(required(text)?.trim_matches(' ')).filter(|word| !word.is_empty()).ok_or(Fault::Parameter)
}

/// A path or a name, with all its blanks.
pub(super) fn path(text: Option<&str>) -> Result<String, Fault> {
    required(text).map(str::to_owned)
}

/// Digits only: no sign, no blank.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Result<N, Fault> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::Parameter);
    }
    text.parse().map_err(|_| Fault::Parameter)
}

/// RANG (draft-bryan-ftp-range, 3): the first octet and the last one; `1 0` takes it back.
pub(super) fn range(text: Option<&str>) -> Read {
    let (first, last) = word(text)?.split_once(' ').ok_or(Fault::Parameter)?;
    match (number::<u64>(first)?, number::<u64>(last)?) {
        (1, 0) => Ok(Command::Rang(ByteRange::default())),
        (from, last) if from <= last => Ok(Command::Rang(ByteRange { from, until: Some(last.saturating_add(1)) })),
        _ => Err(Fault::Parameter),
    }
}

/// STRU (RFC 959, 3.1.2): F is done.
pub(super) fn structure(text: Option<&str>) -> Read {
    match word(text)?.to_ascii_uppercase().as_str() {
        "F" => Ok(Command::Stru),
        "R" | "P" => Err(Fault::UnimplementedParameter),
        _ => Err(Fault::Parameter),
    }
}

/// MODE (RFC 959, 3.4): S is done, and Z of draft-preston-ftpext-deflate.
pub(super) fn mode(text: Option<&str>) -> Read {
    match word(text)?.to_ascii_uppercase().as_str() {
        "S" => Ok(Command::Mode(Mode::Stream)),
        "Z" => Ok(Command::Mode(Mode::Deflate)),
        "B" | "C" => Err(Fault::UnimplementedParameter),
        _ => Err(Fault::Parameter),
    }
}

/// TYPE (RFC 959, 3.1.1): `A`, `A N`, `I`, `L 8` are done.
pub(super) fn representation(text: Option<&str>) -> Read {
    let text = word(text)?.to_ascii_uppercase();
    match text.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["A"] | ["A", "N"] => Ok(Command::Type(Representation::Ascii)),
        ["I"] | ["L", "8"] => Ok(Command::Type(Representation::Image)),
        ["A", "T" | "C"] | ["E"] | ["E", "N" | "T" | "C"] => Err(Fault::UnimplementedParameter),
        ["L", octets] if number::<u8>(octets).is_ok() => Err(Fault::UnimplementedParameter),
        _ => Err(Fault::Parameter),
    }
}

/// ALLO (RFC 959, 4.1.3): `octets [R octets]`.
pub(super) fn allo(text: Option<&str>) -> Read {
    match word(text)?.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        [octets] => number(octets).map(Command::Allo),
        [octets, "R" | "r", record] => number::<u64>(record).and(number(octets)).map(Command::Allo),
        _ => Err(Fault::Parameter),
    }
}

pub(super) fn auth(text: Option<&str>) -> Read {
    match word(text)?.to_ascii_uppercase().as_str() {
        "TLS" | "TLS-C" => Ok(Command::AuthTls),
        // "SSL" and "TLS-P" imply protected data connections; RFC 4217, 17 deprecates both.
        _ => Err(Fault::UnimplementedParameter),
    }
}

pub(super) fn prot(text: Option<&str>) -> Read {
    match word(text)?.to_ascii_uppercase().as_str() {
        "C" => Ok(Command::Prot(Protection::Clear)),
        "P" => Ok(Command::Prot(Protection::Private)),
        "S" | "E" => Err(Fault::ProtectionLevel),
        _ => Err(Fault::UnimplementedParameter),
    }
}

pub(super) fn epsv(text: Option<&str>) -> Read {
    match text.map(|text| text.trim_matches(' ').to_ascii_uppercase()).as_deref() {
        None | Some("") => Ok(Command::Epsv(Epsv::Same)),
        Some("1") => Ok(Command::Epsv(Epsv::V4)),
        Some("2") => Ok(Command::Epsv(Epsv::V6)),
        Some("ALL") => Ok(Command::Epsv(Epsv::All)),
        Some(text) => number::<u32>(text).and(Err(Fault::Network)),
    }
}

/// HOST (RFC 7151, 3): a name, or an address as in a URL.
pub(super) fn host(text: Option<&str>) -> Read {
    let name = word(text)?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    if name.chars().all(is_name) { Ok(Command::Host(name.to_owned())) } else { Err(Fault::Parameter) }
}

/// OPTS (RFC 2389, 4). UTF8 can't be switched off: all names here are UTF-8.
pub(super) fn opts(text: Option<&str>) -> Read {
    let text = word(text)?;
    let (option, value) = text.split_once(' ').unwrap_or((text, ""));
    let value = value.to_ascii_uppercase();
    match (option.to_ascii_uppercase().as_str(), value.as_str()) {
        ("UTF8" | "UTF-8", "" | "ON") => Ok(Command::OptsUtf8),
        ("MLST", _) => Ok(Command::OptsMlst(FactSet::parse(&value))),
        ("HASH", "") => Ok(Command::OptsHash(None)),
        ("HASH", name) => {
            let digest = Digest::ALL.into_iter().find(|digest| digest.name() == name);
            digest.map(|digest| Command::OptsHash(Some(digest))).ok_or(Fault::Parameter)
        }
        ("MODE", value) => level(value),
        _ => Err(Fault::Parameter),
    }
}

/// `Z [ENGINE ZLIB] LEVEL 6` (draft-preston-ftpext-deflate, 3).
fn level(value: &str) -> Read {
    match value.split(' ').collect::<Vec<_>>()[..] {
        ["Z", "LEVEL", level] | ["Z", "ENGINE", "ZLIB", "LEVEL", level] => match number(level)? {
            level @ 1..=9 => Ok(Command::OptsLevel(level)),
            _ => Err(Fault::Parameter),
        },
        _ => Err(Fault::Parameter),
    }
}

pub(super) fn site(text: Option<&str>) -> Read {
    let text = required(text)?;
    let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
    match command.to_ascii_uppercase().as_str() {
        "HELP" => Ok(Command::SiteHelp),
        "IDLE" if rest.is_empty() => Ok(Command::SiteIdle(None)),
        "IDLE" => number(rest).map(|secs| Command::SiteIdle(Some(secs))),
        "CHMOD" => chmod(rest),
        "UTIME" => utime(rest),
        // RFC 959, 5.4 has no 504 for SITE.
        _ => Err(Fault::Unknown),
    }
}

/// `644 path`
fn chmod(text: &str) -> Read {
    let (mode, path) = text.split_once(' ').ok_or(Fault::Parameter)?;
    let facts = SetFacts { path: path.to_owned(), modified_unix_secs: None, mode: Some(permissions(mode)?), by: SetBy::Site };
    if path.is_empty() { Err(Fault::Parameter) } else { Ok(Command::SetFacts(facts)) }
}

/// Three octal digits, or four that begin with a 0: no set-uid and the like.
fn permissions(text: &str) -> Result<u32, Fault> {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    if digits.len() != 3 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
        return Err(Fault::Parameter);
    }
    u32::from_str_radix(digits, 8).map_err(|_| Fault::Parameter)
}

/// `19941106084937 path` or `path accessed modified created UTC`, as clients send it. The seconds
/// of the first form may be missing.
fn utime(text: &str) -> Read {
    let modified = |path: &str, secs| {
        let facts = SetFacts { path: path.to_owned(), modified_unix_secs: Some(secs), mode: None, by: SetBy::Site };
        if path.is_empty() { Err(Fault::Parameter) } else { Ok(Command::SetFacts(facts)) }
    };
    let backwards: Vec<&str> = text.rsplitn(5, ' ').collect();
    if let ["UTC", created, time, accessed, path] = backwards[..]
        && let (Some(_), Some(secs), Some(_)) = (stamp::parse(created), stamp::parse(time), stamp::parse(accessed))
    {
        return modified(path, secs);
    }
    let (time, path) = text.split_once(' ').ok_or(Fault::Parameter)?;
    let secs = stamp::parse(time).or_else(|| stamp::parse(&format!("{time}00"))).ok_or(Fault::Parameter)?;
    modified(path, secs)
}

/// `MDTM path`, or `MDTM 19941106084937 path` as many clients set the time.
pub(super) fn mdtm(text: Option<&str>) -> Read {
    let text = required(text)?;
    Ok(stamped(text).unwrap_or_else(|| Command::Mdtm(text.to_owned())))
}

pub(super) fn mfmt(text: Option<&str>) -> Read {
    stamped(required(text)?).ok_or(Fault::Parameter)
}

fn stamped(text: &str) -> Option<Command> {
    let (time, path) = text.split_once(' ')?;
    let secs = stamp::parse(time)?;
    let facts = SetFacts { path: path.to_owned(), modified_unix_secs: Some(secs), mode: None, by: SetBy::Facts };
    (!path.is_empty()).then_some(Command::SetFacts(facts))
}

/// `Modify=19941106084937;UNIX.mode=0644; path` (draft-somers-ftp-mfxx, 6). NcFTP leaves out the last
/// semicolon.
pub(super) fn mff(text: Option<&str>) -> Read {
    let (facts, path) = required(text)?.split_once(' ').ok_or(Fault::Parameter)?;
    let mut set = SetFacts { path: path.to_owned(), modified_unix_secs: None, mode: None, by: SetBy::Facts };
    for fact in facts.strip_suffix(';').unwrap_or(facts).split(';') {
        let (name, value) = fact.split_once('=').ok_or(Fault::Parameter)?;
        match name.to_ascii_lowercase().as_str() {
            "modify" => set.modified_unix_secs = Some(stamp::parse(value).ok_or(Fault::Parameter)?),
            "unix.mode" => set.mode = Some(permissions(value)?),
            _ => return Err(Fault::UnimplementedParameter),
        }
    }
    if path.is_empty() { Err(Fault::Parameter) } else { Ok(Command::SetFacts(set)) }
}

/// XCRC and its kin: a path that may be in quotes. Parts of a file (`"path" from to`) are not done.
pub(super) fn digest_of(text: Option<&str>, digest: Digest) -> Read {
    let text = required(text)?;
    let path = match text.strip_prefix('"') {
        None => text,
        Some(rest) => match rest.split_once('"').ok_or(Fault::Parameter)? {
            (path, "") => path,
            _ => return Err(Fault::UnimplementedParameter),
        },
    };
    if path.is_empty() { Err(Fault::Parameter) } else { Ok(Command::DigestOf { digest, path: path.to_owned() }) }
}

/// Takes options off the front as `ls` would; `--` ends them.
pub(super) fn list_of(text: Option<&str>) -> ListOf {
    let mut list = ListOf::default();
    let mut rest = text.unwrap_or_default();
    while rest.starts_with('-') {
        let (option, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        if option == "--" {
            break;
        }
        if option.starts_with("--") {
            continue;
        }
        list.all |= option.contains(['a', 'A']);
        list.recursive |= option.contains('R');
        list.itself |= option.contains('d');
        list.order.reversed |= option.contains('r');
        // As with ls, the one said last counts.
        list.order.key = match option.chars().rfind(|option| "tS".contains(*option)) {
            Some('t') => Key::Modified,
            Some(_) => Key::Octets,
            None => list.order.key,
        };
    }
    list.path = Some(rest.to_owned()).filter(|path| !path.is_empty());
    list
}
