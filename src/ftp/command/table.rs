//! THE table of commands: RFC 959, 4.1 and 5.4, with what later RFCs add.

use super::{
    Command, Digest, Fault,
    parameter::{self, Read, bare, list_of, number, path, required, word},
};
use crate::{ftp::address, store::Secret};

/// What there is to know about a verb.
#[derive(Debug)]
pub(crate) struct Row {
    pub verb: &'static str,
    /// The parameter as HELP shows it; empty where there is none.
    pub syntax: &'static str,
    pub when: When,
    /// Reads the parameter; an empty one is none.
    pub read: fn(Option<&str>) -> Read,
    /// The replies that it may get, beside 421 (service closing), 500, 501 and 502, which all may get.
    ///
    /// They are those of RFC 959, 5.4, and of the RFC that the command is from. Beyond them: 425
    /// where no passive port is free, 450 for a file in use, 451 and 452 where the disk fails or is
    /// full, 504 for a port that is nobody's to connect to (RFC 2577, 3), 521 where data must be
    /// protected (RFC 4217), 550 for a listing of what isn't there (RFC 959 has but 450, and clients
    /// such as lftp do as that says: they try again, without end), 554 for a marker beyond the end of the file (RFC 3659, 5).
    pub codes: &'static [u16],
}

/// When a command may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Before that it gets 530.
    LoggedIn,
}

/// All verbs that are carried out, in alphabetical order.
///
/// ABOR, NOOP, QUIT, STOU and SYST take a parameter and don't look at it: RFC 959 has none there, some
/// clients send one, and it has no 501 for NOOP and QUIT.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    Row { verb: "ABOR", syntax: "", when: When::Always, read: |_| Ok(Command::Abor), codes: &[226] },
    Row { verb: "ACCT", syntax: "account", when: When::LoggedIn, read: |text| required(text).map(|_| Command::Acct), codes: &[202, 530] },
    Row { verb: "ADAT", syntax: "data", when: When::Always, read: |text| required(text).map(|_| Command::Adat), codes: &[503] },
    Row { verb: "ALLO", syntax: "octets [R octets]", when: When::LoggedIn, read: parameter::allo, codes: &[200, 202, 450, 451, 530, 550, 552] },
    Row { verb: "APPE", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Appe), codes: &[125, 150, 226, 425, 426, 450, 451, 452, 521, 530, 550, 552, 553] },
    Row { verb: "AUTH", syntax: "TLS", when: When::Always, read: parameter::auth, codes: &[234, 502, 504, 534] },
    Row { verb: "AVBL", syntax: "[path]", when: When::LoggedIn, read: |text| Ok(Command::Avbl(text.map(str::to_owned))), codes: &[213, 450, 451, 530, 550] },
    Row { verb: "CCC", syntax: "", when: When::Always, read: |text| bare(text, Command::Ccc), codes: &[533, 534] },
    Row { verb: "CDUP", syntax: "", when: When::LoggedIn, read: |text| bare(text, Command::Cdup), codes: &[250, 450, 451, 530, 550] },
    Row { verb: "CLNT", syntax: "name", when: When::Always, read: |text| path(text).map(Command::Clnt), codes: &[200] },
    Row { verb: "CSID", syntax: "fact=value;", when: When::Always, read: |text| path(text).map(Command::Csid), codes: &[200] },
    Row { verb: "CWD", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Cwd), codes: &[250, 450, 451, 530, 550] },
    Row { verb: "DELE", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Dele), codes: &[250, 450, 451, 452, 530, 550] },
    Row { verb: "EPRT", syntax: "|1 or 2|address|port|", when: When::LoggedIn, read: |text| address::parse_eprt(word(text)?).map(Command::Eprt), codes: &[200, 504, 522, 530] },
    Row { verb: "EPSV", syntax: "[1 or 2 or ALL]", when: When::LoggedIn, read: parameter::epsv, codes: &[200, 229, 425, 522, 530] },
    Row { verb: "FEAT", syntax: "", when: When::Always, read: |text| bare(text, Command::Feat), codes: &[211] },
    Row { verb: "HASH", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Hash), codes: &[213, 450, 451, 530, 550] },
    Row { verb: "HELP", syntax: "[command]", when: When::Always, read: |text| Ok(Command::Help(text.map(str::to_ascii_uppercase))), codes: &[211, 214, 502] },
    Row { verb: "HOST", syntax: "name", when: When::Always, read: parameter::host, codes: &[220, 503, 504] },
    Row { verb: "LANG", syntax: "[tag]", when: When::Always, read: |text| Ok(Command::Lang(text.map(str::to_owned))), codes: &[200, 504] },
    Row { verb: "LIST", syntax: "[-adrtRS] [path]", when: When::LoggedIn, read: |text| Ok(Command::List(list_of(text))), codes: &[125, 150, 226, 425, 426, 450, 451, 521, 530, 550] },
    Row { verb: "MDTM", syntax: "path", when: When::LoggedIn, read: parameter::mdtm, codes: &[213, 450, 451, 452, 530, 550] },
    Row { verb: "MFF", syntax: "fact=value; path", when: When::LoggedIn, read: parameter::mff, codes: &[213, 450, 451, 452, 504, 530, 550] },
    Row { verb: "MFMT", syntax: "YYYYMMDDhhmmss path", when: When::LoggedIn, read: parameter::mfmt, codes: &[213, 450, 451, 452, 530, 550] },
    Row { verb: "MKD", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Mkd), codes: &[257, 450, 451, 452, 530, 550] },
    Row { verb: "MLSD", syntax: "[path]", when: When::LoggedIn, read: |text| Ok(Command::Mlsd(text.map(str::to_owned))), codes: &[125, 150, 226, 425, 426, 450, 451, 521, 530, 550] },
    Row { verb: "MLST", syntax: "[path]", when: When::LoggedIn, read: |text| Ok(Command::Mlst(text.map(str::to_owned))), codes: &[250, 450, 451, 530, 550] },
    Row { verb: "MODE", syntax: "S or Z", when: When::LoggedIn, read: parameter::mode, codes: &[200, 504, 530] },
    Row { verb: "NLST", syntax: "[-adrtRS] [path]", when: When::LoggedIn, read: |text| Ok(Command::Nlst(list_of(text))), codes: &[125, 150, 226, 425, 426, 450, 451, 521, 530, 550] },
    Row { verb: "NOOP", syntax: "", when: When::Always, read: |_| Ok(Command::Noop), codes: &[200] },
    Row { verb: "OPTS", syntax: "command [options]", when: When::Always, read: parameter::opts, codes: &[200] },
    Row { verb: "PASS", syntax: "password", when: When::Always, read: |text| Ok(Command::Pass(Secret(text.unwrap_or_default().to_owned()))), codes: &[202, 230, 503, 530] },
    Row { verb: "PASV", syntax: "", when: When::LoggedIn, read: |text| bare(text, Command::Pasv), codes: &[227, 425, 530] },
    Row { verb: "PBSZ", syntax: "0", when: When::Always, read: |text| number::<u32>(word(text)?).map(|_| Command::Pbsz), codes: &[200, 503] },
    Row { verb: "PORT", syntax: "h1,h2,h3,h4,p1,p2", when: When::LoggedIn, read: |text| address::parse_port(word(text)?).map(Command::Port), codes: &[200, 504, 530] },
    Row { verb: "PRET", syntax: "command [parameter]", when: When::LoggedIn, read: |text| required(text).map(|_| Command::Pret), codes: &[200, 530] },
    Row { verb: "PROT", syntax: "C or P", when: When::Always, read: parameter::prot, codes: &[200, 503, 504, 534, 536] },
    Row { verb: "PWD", syntax: "", when: When::LoggedIn, read: |text| bare(text, Command::Pwd), codes: &[257, 530] },
    Row { verb: "QUIT", syntax: "", when: When::Always, read: |_| Ok(Command::Quit), codes: &[221] },
    Row { verb: "RANG", syntax: "first last", when: When::LoggedIn, read: parameter::range, codes: &[350, 530] },
    Row { verb: "REIN", syntax: "", when: When::Always, read: |text| bare(text, Command::Rein), codes: &[220, 502] },
    Row { verb: "REST", syntax: "octets", when: When::LoggedIn, read: |text| number(word(text)?).map(Command::Rest), codes: &[350, 530] },
    Row { verb: "RETR", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Retr), codes: &[125, 150, 226, 425, 426, 450, 451, 521, 530, 550, 554] },
    Row { verb: "RMD", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Rmd), codes: &[250, 450, 451, 452, 530, 550] },
    Row { verb: "RNFR", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Rnfr), codes: &[350, 450, 451, 530, 550] },
    Row { verb: "RNTO", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Rnto), codes: &[250, 450, 451, 452, 503, 530, 553] },
    Row { verb: "SITE", syntax: "HELP or CHMOD mode path or IDLE [seconds] or UTIME time path", when: When::LoggedIn, read: parameter::site, codes: &[200, 214, 450, 451, 452, 530, 550] },
    Row { verb: "SIZE", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Size), codes: &[213, 450, 451, 530, 550] },
    Row { verb: "STAT", syntax: "[path]", when: When::LoggedIn, read: |text| Ok(Command::Stat(text.map(|text| list_of(Some(text))))), codes: &[211, 212, 213, 450, 451, 530, 550] },
    Row { verb: "STOR", syntax: "path", when: When::LoggedIn, read: |text| path(text).map(Command::Stor), codes: &[125, 150, 226, 425, 426, 450, 451, 452, 521, 530, 552, 553, 554] },
    Row { verb: "STOU", syntax: "", when: When::LoggedIn, read: |_| Ok(Command::Stou), codes: &[125, 150, 226, 425, 426, 450, 451, 452, 521, 530, 552, 553] },
    Row { verb: "STRU", syntax: "F", when: When::LoggedIn, read: parameter::structure, codes: &[200, 504, 530] },
    Row { verb: "SYST", syntax: "", when: When::Always, read: |_| Ok(Command::Syst), codes: &[215] },
    Row { verb: "TYPE", syntax: "A or I or L 8", when: When::LoggedIn, read: parameter::representation, codes: &[200, 504, 530] },
    Row { verb: "USER", syntax: "name", when: When::Always, read: |text| path(text).map(Command::User), codes: &[230, 331, 530] },
    Row { verb: "XCRC", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Crc32), codes: &[250, 450, 451, 504, 530, 550] },
    Row { verb: "XMD5", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Md5), codes: &[250, 450, 451, 504, 530, 550] },
    Row { verb: "XSHA", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Sha1), codes: &[250, 450, 451, 504, 530, 550] },
    Row { verb: "XSHA1", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Sha1), codes: &[250, 450, 451, 504, 530, 550] },
    Row { verb: "XSHA256", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Sha256), codes: &[250, 450, 451, 504, 530, 550] },
    Row { verb: "XSHA512", syntax: "path", when: When::LoggedIn, read: |text| parameter::digest_of(text, Digest::Sha512), codes: &[250, 450, 451, 504, 530, 550] },
];

/// Stands for all lines that are no command.
pub(super) static NO_COMMAND: Row = Row { verb: "", syntax: "", when: When::Always, read: |_| Err(Fault::Unknown), codes: &[502] };

/// Old names for the same commands (RFC 1123, 4.1.3.1).
const ALIASES: &[(&str, &str)] = &[("XCUP", "CDUP"), ("XCWD", "CWD"), ("XMKD", "MKD"), ("XPWD", "PWD"), ("XRMD", "RMD")];

/// Verbs of RFC 959, 1639 and 2228 that are known and not carried out.
pub(crate) const UNIMPLEMENTED: &[&str] = &["CONF", "ENC", "LPRT", "LPSV", "MIC", "SMNT"];

pub(crate) fn find(verb: &str) -> Option<&'static Row> {
    let verb = ALIASES.iter().find(|(alias, _)| *alias == verb).map_or(verb, |(_, verb)| verb);
    TABLE.iter().find(|row| row.verb == verb)
}

pub(super) fn missing(verb: &str) -> Fault {
    if UNIMPLEMENTED.contains(&verb) { Fault::Unimplemented } else { Fault::Unknown }
}

impl Row {
    /// Whether the command may be answered with `code`.
    pub(crate) fn allows(&self, code: u16) -> bool {
        matches!(code, 421 | 500..=502) || self.codes.contains(&code)
    }

    /// `TYPE A or I or L 8`
    pub(crate) fn usage(&self) -> String {
        format!("{} {}", self.verb, self.syntax).trim_end().to_owned()
    }
}
