//! Commands as they come in: what they may be, and how a line becomes one. Pure.
//!
//! [`table`] has a row for each verb: its syntax, when it may come, the replies it may get, and the
//! reader of its parameter, of which [`parameter`] has those that are more than a word.
//!
//! A parameter is UTF-8 (RFC 2640) without control characters but for a CR, so that no file name
//! that reaches the rules can split a reply. What a reader can tell is wrong it tells as a
//! [`Fault`]; whether a command may come now is for the rules.

mod parameter;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub(crate) use table::{Row, TABLE, UNIMPLEMENTED, When, find};

use super::{directory::Order, listing::FactSet};
use crate::store::Secret;

/// A command with its parameter, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    User(String),
    Pass(Secret),
    Acct,
    Host(String),
    Rein,
    Quit,
    /// CSID: the same as facts, answered with ours.
    Csid(String),
    /// CLNT, which no RFC has: what the client calls itself.
    Clnt(String),
    /// PRET, which no RFC has either: what will be said after PASV. Of use to servers of many machines.
    Pret,
    Noop,
    Help(Option<String>),
    Syst,
    Feat,
    Lang(Option<String>),
    OptsUtf8,
    OptsMlst(FactSet),
    /// OPTS HASH; without a name it asks which one is used.
    OptsHash(Option<Digest>),
    /// OPTS MODE Z LEVEL.
    OptsLevel(u32),
    Type(Representation),
    /// STRU F, the only structure there is.
    Stru,
    Mode(Mode),
    Pwd,
    Cwd(String),
    Cdup,
    Mkd(String),
    Rmd(String),
    List(ListOf),
    Nlst(ListOf),
    Mlsd(Option<String>),
    Mlst(Option<String>),
    Stat(Option<ListOf>),
    Size(String),
    Mdtm(String),
    /// Octets that may still be stored (AVBL).
    Avbl(Option<String>),
    /// HASH, with the digest that OPTS HASH chose.
    Hash(String),
    /// XCRC, XMD5 and so on: the digest is in the verb.
    DigestOf {
        digest: Digest,
        path: String,
    },
    /// MFMT, MFF, SITE CHMOD, SITE UTIME, and the form of MDTM that sets.
    SetFacts(SetFacts),
    Retr(String),
    Stor(String),
    Stou,
    Appe(String),
    Rest(u64),
    Rang(ByteRange),
    Rnfr(String),
    Rnto(String),
    Dele(String),
    Abor,
    Allo(u64),
    Pasv,
    Epsv(Epsv),
    Port(SocketAddr),
    Eprt(SocketAddr),
    AuthTls,
    /// ADAT: TLS needs none (RFC 4217, 10).
    Adat,
    Pbsz,
    Prot(Protection),
    Ccc,
    SiteHelp,
    /// SITE IDLE: so many seconds; without them it asks.
    SiteIdle(Option<u64>),
}

/// How files are represented on the data connection (TYPE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// Lines end with CR LF on the wire and with LF in the tree.
    Ascii,
    /// Octets as they are: TYPE I, and TYPE L 8, which is the same here.
    Image,
}

/// How a representation goes over the data connection (MODE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Stream,
    /// MODE Z: one zlib stream (RFC 1950) for each transfer (draft-preston-ftpext-deflate).
    Deflate,
}

/// Which octets of a file the next transfer is about (REST; RANG).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub from: u64,
    /// The octet after the last one; else to the end.
    pub until: Option<u64>,
}

impl ByteRange {
    /// Where it ends in a file of so many octets.
    pub(crate) fn end(self, octets: u64) -> u64 {
        self.until.map_or(octets, |until| until.min(octets))
    }
}

/// What EPSV asks for (RFC 2428, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epsv {
    /// The network protocol of the control connection.
    Same,
    V4,
    V6,
    All,
}

/// Whether data connections go through TLS (PROT; RFC 4217, 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Clear,
    Private,
}

/// What a file can be told apart by (draft-bryan-ftpext-hash), the preferred one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Digest {
    #[default]
    Sha256,
    Sha512,
    Sha1,
    Md5,
    Crc32,
}

impl Digest {
    pub(crate) const ALL: [Digest; 5] = [Digest::Sha256, Digest::Sha512, Digest::Sha1, Digest::Md5, Digest::Crc32];

    /// The name in the registry of hash function names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Digest::Sha256 => "SHA-256",
            Digest::Sha512 => "SHA-512",
            Digest::Sha1 => "SHA-1",
            Digest::Md5 => "MD5",
            Digest::Crc32 => "CRC32",
        }
    }
}

/// The parameter of LIST, NLST and STAT: options as of `ls`, which RFC 959 doesn't know but
/// clients send, and a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOf {
    /// `-a`: names that begin with a dot too.
    pub all: bool,
    /// `-R`: what is below, too.
    pub recursive: bool,
    /// `-d`: a directory itself, not what is in it.
    pub itself: bool,
    /// `-t`, `-S`, `-r`.
    pub order: Order,
    pub path: Option<String>,
}

/// Facts about a file that are to be from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetFacts {
    pub path: String,
    pub modified_unix_secs: Option<i64>,
    /// Permission bits, lowest nine.
    pub mode: Option<u32>,
    pub by: SetBy,
}

/// Which command sets facts: the replies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// MFMT, MFF, MDTM: 213 with the facts.
    Facts,
    /// SITE: 200.
    Site,
}

/// Why a line is no command that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500: no such verb.
    Unknown,
    /// 500: more than a line may have.
    TooLong,
    /// 502: a verb of some RFC, but not done here.
    Unimplemented,
    /// 501: the parameter is wrong, missing, or not to be there.
    Parameter,
    /// 501: not UTF-8, or with control characters.
    Encoding,
    /// 504: a parameter of some RFC, but not done here.
    UnimplementedParameter,
    /// 522: a network protocol that EPRT and EPSV don't know (RFC 2428, 2).
    Network,
    /// 536: a protection level that TLS doesn't have (RFC 2228, 3).
    ProtectionLevel,
}

/// A line, sorted: the row of its verb, and what follows from the whole.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub row: &'static Row,
    pub command: Result<Command, Fault>,
}

/// Sorts one line.
pub(crate) fn parse(line: &[u8]) -> Parsed {
    let line = line.get(remnant(line)..).unwrap_or_default();
    let (verb, text) = match line.iter().position(|octet| *octet == b' ') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
    let Some(row) = table::find(&verb) else {
        return Parsed { row: &table::NO_COMMAND, command: Err(table::missing(&verb)) };
    };
    let command = match text.map(readable).transpose() {
        Ok(text) => (row.read)(text.as_deref().filter(|text| !text.is_empty())),
        Err(fault) => Err(fault),
    };
    Parsed { row, command }
}

/// A line that was too long to be looked at.
pub(crate) fn too_long() -> Parsed {
    Parsed { row: &table::NO_COMMAND, command: Err(Fault::TooLong) }
}

/// A CR in a name comes as CR NUL (RFC 2640, 3.1); every other control character is nobody's name.
fn readable(text: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Encoding)?;
    let plain = text.replace("\r\0", "");
    if plain.contains(|c: char| c.is_control()) {
        return Err(Fault::Encoding);
    }
    Ok(text.replace("\r\0", "\r"))
}

/// Which part of a line is a password.
pub(crate) fn mask(line: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = remnant(line);
    let verb = line.get(start..start + 5)?;
    verb.eq_ignore_ascii_case(b"PASS ").then_some(start + 5..line.len())
}

/// How many octets at the front are left of a telnet sequence (the Synch before ABOR) whose IAC
/// got lost on the way, as one that is sent as urgent data does.
fn remnant(line: &[u8]) -> usize {
    line.iter().take_while(|octet| **octet >= 0xf0).count()
}
