//! Commands as they come in: a table of verbs and a parser for the parameter of each. Pure.
//!
//! A parameter is UTF-8 (RFC 2640) without control characters, so that no file name that reaches
//! the rules can split a reply. What a parser can tell is wrong it tells as a [`Fault`]; whether a
//! command may come now is for the rules.

use std::net::SocketAddr;

use super::{address, listing::FactSet, stamp};
use crate::store::Secret;

/// A command with its parameter, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    User(String),
    Pass(Secret),
    Acct,
    Rein,
    Quit,
    Noop,
    Help(Option<String>),
    Syst,
    Feat,
    OptsUtf8,
    OptsMlst(FactSet),
    Type(Representation),
    /// STRU F, the only structure there is.
    Stru,
    /// MODE S, the only mode there is.
    Mode,
    Pwd,
    Cwd(String),
    Cdup,
    Mkd(String),
    Rmd(String),
    List(ListOf),
    Nlst(ListOf),
    Mlsd(Option<String>),
    Mlst(Option<String>),
    Stat(Option<String>),
    Size(String),
    Mdtm(String),
    /// MFMT, and the form of MDTM that sets (not in the RFC, but in many clients).
    SetModified {
        unix_secs: i64,
        path: String,
    },
    Retr(String),
    Stor(String),
    Stou,
    Appe(String),
    Rest(u64),
    Rnfr(String),
    Rnto(String),
    Dele(String),
    Abor,
    Allo,
    Pasv,
    Epsv(Epsv),
    /// PORT and EPRT.
    Port(SocketAddr),
    AuthTls,
    Pbsz,
    Prot(Protection),
    Ccc,
    SiteHelp,
}

/// How files are represented on the data connection (TYPE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// Lines end with CR LF on the wire and with LF in the tree.
    Ascii,
    /// Octets as they are: TYPE I, and TYPE L 8, which is the same here.
    Image,
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

/// The parameter of LIST and NLST: options as of `ls`, which RFC 959 doesn't know but clients
/// send, and a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOf {
    /// `-a`: names that begin with a dot too.
    pub all: bool,
    pub path: Option<String>,
}

/// Why a line is no command that could be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500: no such verb.
    Unknown,
    /// 502: a verb of some RFC, but not done here.
    Unimplemented,
    /// 501: the parameter is wrong, missing, or not to be there.
    Parameter,
    /// 504: a parameter of some RFC, but not done here.
    UnimplementedParameter,
    /// 522: a network protocol that EPRT and EPSV don't know (RFC 2428, 2).
    Network,
    /// 536: a protection level that TLS doesn't have (RFC 2228, 3).
    ProtectionLevel,
}

/// A line, sorted: the verb as the tables have it, and what follows from the whole.
pub(crate) struct Parsed {
    pub verb: &'static str,
    pub command: Result<Command, Fault>,
}

type Parser = fn(Option<&str>) -> Result<Command, Fault>;

/// All verbs that are carried out.
pub(crate) const VERBS: &[(&str, Parser)] = &[
    ("ABOR", |_| Ok(Command::Abor)),
    ("ACCT", |text| required(text).map(|_| Command::Acct)),
    ("ALLO", allo),
    ("APPE", |text| path(text).map(Command::Appe)),
    ("AUTH", auth),
    ("CCC", |text| bare(text, Command::Ccc)),
    ("CDUP", |text| bare(text, Command::Cdup)),
    ("CWD", |text| path(text).map(Command::Cwd)),
    ("DELE", |text| path(text).map(Command::Dele)),
    ("EPRT", |text| address::parse_eprt(required(text)?).map(Command::Port)),
    ("EPSV", epsv),
    ("FEAT", |text| bare(text, Command::Feat)),
    ("HELP", |text| Ok(Command::Help(text.map(str::to_ascii_uppercase)))),
    ("LIST", |text| Ok(Command::List(list_of(text)))),
    ("MDTM", mdtm),
    ("MFMT", mfmt),
    ("MKD", |text| path(text).map(Command::Mkd)),
    ("MLSD", |text| Ok(Command::Mlsd(text.map(str::to_owned)))),
    ("MLST", |text| Ok(Command::Mlst(text.map(str::to_owned)))),
    ("MODE", |text| only("S", &["B", "C", "Z"], text, Command::Mode)),
    ("NLST", |text| Ok(Command::Nlst(list_of(text)))),
    ("NOOP", |text| bare(text, Command::Noop)),
    ("OPTS", opts),
    ("PASS", |text| Ok(Command::Pass(Secret(text.unwrap_or_default().to_owned())))),
    ("PASV", |text| bare(text, Command::Pasv)),
    ("PBSZ", |text| number::<u32>(required(text)?).map(|_| Command::Pbsz)),
    ("PORT", |text| address::parse_port(required(text)?).map(Command::Port)),
    ("PROT", prot),
    ("PWD", |text| bare(text, Command::Pwd)),
    ("QUIT", |text| bare(text, Command::Quit)),
    ("REIN", |text| bare(text, Command::Rein)),
    ("REST", |text| number(required(text)?).map(Command::Rest)),
    ("RETR", |text| path(text).map(Command::Retr)),
    ("RMD", |text| path(text).map(Command::Rmd)),
    ("RNFR", |text| path(text).map(Command::Rnfr)),
    ("RNTO", |text| path(text).map(Command::Rnto)),
    ("SITE", site),
    ("SIZE", |text| path(text).map(Command::Size)),
    ("STAT", |text| Ok(Command::Stat(text.map(str::to_owned)))),
    ("STOR", |text| path(text).map(Command::Stor)),
    // A name is taken and not used: RFC 959 has none here, some clients send one.
    ("STOU", |_| Ok(Command::Stou)),
    ("STRU", |text| only("F", &["R", "P"], text, Command::Stru)),
    ("SYST", |text| bare(text, Command::Syst)),
    ("TYPE", |text| representation(required(text)?).map(Command::Type)),
    ("USER", |text| required(text).map(|name| Command::User(name.to_owned()))),
];

/// Old names for the same commands (RFC 1123, 4.1.3.1).
const ALIASES: &[(&str, &str)] = &[("XCUP", "CDUP"), ("XCWD", "CWD"), ("XMKD", "MKD"), ("XPWD", "PWD"), ("XRMD", "RMD")];

/// Verbs of RFC 959, 1639, 2228, 2640 and 7151 that are known and not carried out.
const UNIMPLEMENTED: &[&str] = &["SMNT", "ADAT", "MIC", "CONF", "ENC", "LANG", "LPRT", "LPSV", "HOST"];

/// Sorts one line.
pub(crate) fn parse(line: &[u8]) -> Parsed {
    let (verb, parameter) = match line.iter().position(|octet| *octet == b' ') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
    let verb = ALIASES.iter().find(|(alias, _)| *alias == verb).map_or(verb.as_str(), |(_, verb)| verb);
    let Some((verb, parser)) = VERBS.iter().find(|(known, _)| *known == verb) else {
        return Parsed { verb: "", command: Err(unknown(verb)) };
    };
    let command = match parameter.map(std::str::from_utf8) {
        None => parser(None),
        Some(Ok(text)) if !text.contains(|c: char| c.is_control()) => parser(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(Fault::Parameter),
    };
    Parsed { verb, command }
}

fn unknown(verb: &str) -> Fault {
    if UNIMPLEMENTED.contains(&verb) { Fault::Unimplemented } else { Fault::Unknown }
}

/// Which part of a line is a password.
pub(crate) fn mask(line: &[u8]) -> Option<std::ops::Range<usize>> {
    let verb = line.get(..5)?;
    verb.eq_ignore_ascii_case(b"PASS ").then_some(5..line.len())
}

fn bare(text: Option<&str>, command: Command) -> Result<Command, Fault> {
    if text.is_none() { Ok(command) } else { Err(Fault::Parameter) }
}

fn required(text: Option<&str>) -> Result<&str, Fault> {
    text.ok_or(Fault::Parameter)
}

fn path(text: Option<&str>) -> Result<String, Fault> {
    required(text).map(str::to_owned)
}

/// Digits only: no sign, no blank.
fn number<N: std::str::FromStr>(text: &str) -> Result<N, Fault> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Fault::Parameter);
    }
    text.parse().map_err(|_| Fault::Parameter)
}

/// A parameter of which only one value is done here.
fn only(done: &str, others: &[&str], text: Option<&str>, command: Command) -> Result<Command, Fault> {
    let text = required(text)?.to_ascii_uppercase();
    if text == done {
        Ok(command)
    } else if others.contains(&text.as_str()) {
        Err(Fault::UnimplementedParameter)
    } else {
        Err(Fault::Parameter)
    }
}

/// TYPE (RFC 959, 3.1.1): `A`, `A N`, `I`, `L 8` are done.
fn representation(text: &str) -> Result<Representation, Fault> {
    let text = text.to_ascii_uppercase();
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["A"] | ["A", "N"] => Ok(Representation::Ascii),
        ["I"] | ["L", "8"] => Ok(Representation::Image),
        ["A", "T" | "C"] | ["E"] | ["E", "N" | "T" | "C"] => Err(Fault::UnimplementedParameter),
        ["L", octets] if number::<u8>(octets).is_ok() => Err(Fault::UnimplementedParameter),
        _ => Err(Fault::Parameter),
    }
}

/// ALLO (RFC 959, 4.1.3): `octets [R octets]`.
fn allo(text: Option<&str>) -> Result<Command, Fault> {
    match required(text)?.split(' ').collect::<Vec<_>>()[..] {
        [octets] => number::<u64>(octets)?,
        [octets, "R" | "r", record] => number::<u64>(record).and(number(octets))?,
        _ => return Err(Fault::Parameter),
    };
    Ok(Command::Allo)
}

fn auth(text: Option<&str>) -> Result<Command, Fault> {
    match required(text)?.to_ascii_uppercase().as_str() {
        "TLS" | "TLS-C" => Ok(Command::AuthTls),
        // "SSL" and "TLS-P" imply protected data connections; RFC 4217, 13 advises against both.
        _ => Err(Fault::UnimplementedParameter),
    }
}

fn prot(text: Option<&str>) -> Result<Command, Fault> {
    match required(text)?.to_ascii_uppercase().as_str() {
        "C" => Ok(Command::Prot(Protection::Clear)),
        "P" => Ok(Command::Prot(Protection::Private)),
        "S" | "E" => Err(Fault::ProtectionLevel),
        _ => Err(Fault::UnimplementedParameter),
    }
}

fn epsv(text: Option<&str>) -> Result<Command, Fault> {
    match text.map(str::to_ascii_uppercase).as_deref() {
        None => Ok(Command::Epsv(Epsv::Same)),
        Some("1") => Ok(Command::Epsv(Epsv::V4)),
        Some("2") => Ok(Command::Epsv(Epsv::V6)),
        Some("ALL") => Ok(Command::Epsv(Epsv::All)),
        Some(text) => number::<u32>(text).and(Err(Fault::Network)),
    }
}

fn opts(text: Option<&str>) -> Result<Command, Fault> {
    let (option, value) = required(text)?.split_once(' ').unwrap_or((text.unwrap_or_default(), ""));
    match (option.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
        ("UTF8", "" | "ON") => Ok(Command::OptsUtf8),
        ("MLST", _) => Ok(Command::OptsMlst(FactSet::parse(value))),
        _ => Err(Fault::Parameter),
    }
}

fn site(text: Option<&str>) -> Result<Command, Fault> {
    if required(text)?.eq_ignore_ascii_case("HELP") { Ok(Command::SiteHelp) } else { Err(Fault::UnimplementedParameter) }
}

/// `MDTM path`, or `MDTM 19941106084937 path` as many clients set the time.
fn mdtm(text: Option<&str>) -> Result<Command, Fault> {
    let text = required(text)?;
    Ok(stamped(text).unwrap_or_else(|| Command::Mdtm(text.to_owned())))
}

fn mfmt(text: Option<&str>) -> Result<Command, Fault> {
    stamped(required(text)?).ok_or(Fault::Parameter)
}

fn stamped(text: &str) -> Option<Command> {
    let (time, path) = text.split_once(' ')?;
    let unix_secs = stamp::parse(time)?;
    (!path.is_empty()).then(|| Command::SetModified { unix_secs, path: path.to_owned() })
}

/// Takes options off the front as `ls` would; `--` ends them.
fn list_of(text: Option<&str>) -> ListOf {
    let mut list = ListOf::default();
    let mut rest = text.unwrap_or_default();
    while rest.starts_with('-') {
        let (option, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        if option == "--" {
            break;
        }
        list.all |= option.contains(['a', 'A']);
    }
    list.path = Some(rest.to_owned()).filter(|path| !path.is_empty());
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command(line: &str) -> Result<Command, Fault> {
        parse(line.as_bytes()).command
    }

    #[test]
    fn good_lines() {
        for (line, expected) in [
            ("user Alice", Command::User("Alice".into())),
            ("PASS", Command::Pass(Secret(String::new()))),
            ("PASS  two words ", Command::Pass(Secret(" two words ".into()))),
            ("xpwd", Command::Pwd),
            ("CWD  a b ", Command::Cwd(" a b ".into())),
            ("TYPE a n", Command::Type(Representation::Ascii)),
            ("TYPE L 8", Command::Type(Representation::Image)),
            ("STRU F", Command::Stru),
            ("REST 4294967296000", Command::Rest(4_294_967_296_000)),
            ("ALLO 10 R 5", Command::Allo),
            ("LIST", Command::List(ListOf::default())),
            ("LIST -al /x y", Command::List(ListOf { all: true, path: Some("/x y".into()) })),
            ("NLST -- -x", Command::Nlst(ListOf { all: false, path: Some("-x".into()) })),
            ("MDTM 19941106084937 a b", Command::SetModified { unix_secs: 784_111_777, path: "a b".into() }),
            ("MDTM 19941106084937", Command::Mdtm("19941106084937".into())),
            ("EPSV all", Command::Epsv(Epsv::All)),
            ("OPTS utf8 on", Command::OptsUtf8),
            ("ABOR whatever", Command::Abor),
            ("RETR blåbær", Command::Retr("blåbær".into())),
        ] {
            assert_eq!(command(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn bad_lines() {
        use Fault::*;
        for (line, fault) in [
            ("", Unknown),
            ("FOO", Unknown),
            (" NOOP", Unknown),
            ("SMNT x", Unimplemented),
            ("get hello.txt", Unknown),
            ("USER", Parameter),
            ("NOOP x", Parameter),
            ("RETR", Parameter),
            ("RETR ", Parameter),
            ("RETR a\rb", Parameter),
            ("RETR a\0b", Parameter),
            ("TYPE E", UnimplementedParameter),
            ("TYPE L 7", UnimplementedParameter),
            ("TYPE X", Parameter),
            ("STRU R", UnimplementedParameter),
            ("MODE B", UnimplementedParameter),
            ("MODE Q", Parameter),
            ("REST -1", Parameter),
            ("REST 99999999999999999999", Parameter),
            ("ALLO x", Parameter),
            ("AUTH SSL", UnimplementedParameter),
            ("PROT S", ProtectionLevel),
            ("PROT X", UnimplementedParameter),
            ("EPSV 3", Network),
            ("EPSV x", Parameter),
            ("MFMT 19941306084937 a", Parameter),
            ("SITE EXEC ls", UnimplementedParameter),
            ("OPTS UTF8 OFF", Parameter),
        ] {
            assert_eq!(command(line), Err(fault), "{line}");
        }
        assert_eq!(parse(b"RETR \xe4").command, Err(Parameter), "names are UTF-8");
    }

    #[test]
    fn passwords_are_masked() {
        assert_eq!(mask(b"pass hungry"), Some(5..11));
        assert_eq!(mask(b"PASV"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_do_not_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _parsed = parse(&line);
            let _masked = mask(&line);
        }

        #[test]
        fn arbitrary_parameters_do_not_panic(verb in 0..VERBS.len(), text in ".{0,40}") {
            let _parsed = parse(format!("{} {text}", VERBS[verb].0).as_bytes());
        }
    }
}
