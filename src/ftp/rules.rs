//! What a command means in the state that the session is in: command in, step out. Pure.
//!
//! ```text
//! Nobody --USER--> Named --PASS, right--> In --USER, REIN--> ...
//!                    ^---PASS, wrong---> Nobody
//! ```
//!
//! Beside the log-in the session holds what commands leave for those that follow: the current
//! directory, TYPE, MODE, PROT, OPTS, EPSV ALL, a restart marker (REST) for the next transfer, and
//! the old name (RNFR) for an RNTO that follows at once. Rights are decided here, on normalised
//! paths; what the file tree says is for the conversation to find out. Logging in and TLS are in
//! [`access`], what is told in [`information`], data connections in [`transfers`].

mod access;
mod information;
mod step;
mod transfers;

use std::{net::IpAddr, sync::Arc};

pub(crate) use step::{Change, Passive, Question, Step, Transfer};

use super::{
    command::{ByteRange, Command, Digest, Mode, Parsed, Protection, Representation, SetFacts, When},
    listing::{FactSet, Form, may_remove},
    reply::{Purpose, Reply, fault, quoted, refusal},
    settings::Settings,
};
use crate::store::{Account, StoreError, VirtualPath};

/// What the session is told about its connection; nothing of it changes.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub local: IpAddr,
    pub peer: IpAddr,
    /// The control connection goes through TLS.
    pub secured: bool,
    /// The name that the client asked for in the TLS handshake.
    pub server_name: Option<String>,
    /// TLS can be had.
    pub offers_tls: bool,
    /// Passwords may be sent on this connection.
    pub passwords: bool,
    /// The server's names, the first of which it greets with.
    pub hosts: Arc<[String]>,
    pub settings: Arc<Settings>,
}

/// Who is on the other side.
#[derive(Debug)]
enum Login {
    Nobody,
    Named(String),
    In(Arc<Account>),
}

/// One control connection's state.
#[derive(Debug)]
pub(crate) struct Session {
    at: Circumstances,
    /// The name that HOST chose, until then the first.
    host: String,
    login: Login,
    failures: u32,
    bad_commands: u32,
    folder: VirtualPath,
    representation: Representation,
    mode: Mode,
    /// How hard MODE Z tries, 1 to 9.
    level: u32,
    digest: Digest,
    protection: Protection,
    /// PBSZ has been said, so PROT may be.
    buffer_agreed: bool,
    facts: FactSet,
    epsv_all: bool,
    /// What the next transfer is about.
    range: ByteRange,
    renaming: Option<VirtualPath>,
}

/// The level of MODE Z unless OPTS says otherwise: twice as fast as zlib's own 6, and not a tenth worse.
const LEVEL: u32 = 4;

/// A step, or the reply of a refusal.
type Decision = Result<Step, Reply>;

fn say(code: u16, text: impl AsRef<str>) -> Decision {
    Ok(Step::Say(Reply::new(code, text)))
}

impl Session {
    pub(crate) fn new(at: Circumstances) -> Session {
        Session {
            host: at.hosts.first().cloned().unwrap_or_default(),
            at,
            login: Login::Nobody,
            failures: 0,
            bad_commands: 0,
            folder: VirtualPath::root(),
            representation: Representation::Ascii,
            mode: Mode::Stream,
            level: LEVEL,
            digest: Digest::default(),
            protection: Protection::Clear,
            buffer_agreed: false,
            facts: FactSet::all(),
            epsv_all: false,
            range: ByteRange::default(),
            renaming: None,
        }
    }

    /// What to do about one line.
    pub(crate) fn step(&mut self, parsed: Parsed) -> Step {
        // RNFR counts only when RNTO follows at once (RFC 959, 4.1.3).
        let renaming = self.renaming.take();
        // Who is a stranger is told no more than that, whatever is wrong beside it.
        let is_barred = parsed.row.when == When::LoggedIn && self.account().is_none();
        let barred = is_barred.then(|| Reply::new(530, "Not logged in"));
        match (parsed.command, barred) {
            (Err(wrong), barred) => self.count_bad(barred.unwrap_or_else(|| fault(wrong, parsed.row))),
            (Ok(_), Some(barred)) => Step::Say(barred),
            (Ok(_), None) if self.at.settings.deny_commands.0.iter().any(|verb| verb == parsed.row.verb) => {
                Step::Say(Reply::new(502, "Command not carried out here"))
            }
            (Ok(command), None) => {
                if self.account().is_some() {
                    self.bad_commands = 0;
                }
                self.decide(command, renaming).unwrap_or_else(Step::Say)
            }
        }
    }

    /// Ends the session at one bad line too many: whoever sends them speaks something else. After the
    /// login only those in a row count, for some clients try what we haven't got with every file.
    fn count_bad(&mut self, reply: Reply) -> Step {
        self.bad_commands += 1;
        match self.bad_commands < self.at.settings.max_bad_commands {
            true => Step::Say(reply),
            false => Step::Close(Reply::new(421, "Too many bad commands: closing the control connection")),
        }
    }

    fn decide(&mut self, command: Command, renaming: Option<VirtualPath>) -> Decision {
        match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => self.password(password),
            Command::Acct => say(202, "ACCT is superfluous here"),
            Command::Host(name) => self.choose_host(&name),
            Command::Rein if self.at.secured => Err(Reply::new(502, "REIN is not done under TLS")),
            Command::Rein => Ok(Step::Reinitialise),
            Command::Quit => Ok(Step::Close(Reply::new(221, "Goodbye"))),
            Command::Noop => say(200, "OK"),
            Command::Clnt(name) => self.note_client(&name),
            Command::Csid(facts) => self.swap_facts(&facts),
            Command::Pret => say(200, "OK"),
            Command::Help(about) => information::help(about.as_deref()),
            Command::SiteHelp => information::site_help(),
            Command::SiteIdle(secs) => Ok(Step::Idle(secs)),
            Command::Syst => say(215, "UNIX Type: L8"),
            Command::Feat => Ok(Step::Say(self.features())),
            Command::Lang(tag) => information::language(tag.as_deref()),
            Command::OptsUtf8 => say(200, "UTF8 is always on"),
            Command::OptsMlst(facts) => self.choose_facts(facts),
            Command::OptsHash(digest) => self.choose_digest(digest),
            Command::OptsLevel(level) => self.choose_level(level),
            Command::AuthTls => self.auth(),
            Command::Adat => Err(Reply::new(503, "TLS takes no security data: say AUTH TLS")),
            Command::Pbsz => self.buffer_size(),
            Command::Prot(protection) => self.protect(protection),
            Command::Ccc if self.at.secured => Err(Reply::new(534, "The control connection stays protected")),
            Command::Ccc => Err(Reply::new(533, "The control connection is not protected")),
            Command::Type(representation) => self.represent(representation),
            Command::Stru => say(200, "Structure is file"),
            Command::Mode(mode) => self.transmit(mode),
            Command::Allo(octets) => self.allocate(octets),
            Command::Pwd => say(257, format!("{} is the current directory", quoted(&self.folder))),
            Command::Cwd(path) => Ok(Step::Enter(self.find(&path)?)),
            Command::Cdup => Ok(Step::Enter(self.folder.parent())),
            Command::Mkd(path) => Ok(Step::Change(Change::MakeFolder(self.writable(&path, Purpose::Make)?))),
            Command::Rmd(path) => Ok(Step::Change(Change::RemoveFolder(self.removable(&path)?))),
            Command::Dele(path) => {
                self.refuse_slash(&path, Purpose::Find)?;
                Ok(Step::Change(Change::RemoveFile(self.removable(&path)?)))
            }
            Command::Rnfr(path) => Ok(Step::RenameFrom { is_folder: path.ends_with('/'), path: self.removable(&path)? }),
            Command::Rnto(path) => self.rename(renaming, &path),
            Command::SetFacts(facts) => self.set_facts(facts),
            Command::Size(path) => Ok(Step::Ask(Question::Size(self.file(&path, Purpose::Find)?, self.representation))),
            Command::Mdtm(path) => Ok(Step::Ask(Question::Modified(self.file(&path, Purpose::Find)?))),
            Command::Mlst(path) => Ok(Step::Ask(Question::Facts(self.find(path.as_deref().unwrap_or("."))?, self.facts))),
            Command::Avbl(path) => Ok(Step::Ask(Question::Available(self.find(path.as_deref().unwrap_or("."))?))),
            Command::Hash(path) => self.digest_of(&path, None),
            Command::DigestOf { digest, path } => self.digest_of(&path, Some(digest)),
            Command::Stat(None) => Ok(Step::Status),
            Command::Stat(Some(list)) => self.show_status(list),
            Command::Abor => Ok(Step::HangUp(Reply::new(226, "ABOR command successful, the data connection is closed"))),
            Command::Pasv => self.pasv(),
            Command::Epsv(epsv) => self.epsv(epsv),
            Command::Port(address) => self.port(address),
            Command::Eprt(address) => self.extended_port(address),
            Command::Rest(octets) => self.mark_restart(octets),
            Command::Rang(range) => self.mark_range(range),
            Command::Retr(path) => self.retrieve(&path),
            Command::Stor(path) => self.store(&path),
            Command::Appe(path) => self.append(&path),
            Command::Stou => self.store_unique(),
            Command::List(list) => self.list(list, Form::Long),
            Command::Nlst(list) => self.list(list, Form::Names),
            Command::Mlsd(path) => self.list_facts(path.as_deref().unwrap_or(".")),
        }
    }

    /// Who is logged in.
    pub(crate) fn account(&self) -> Option<&Arc<Account>> {
        match &self.login {
            Login::In(account) => Some(account),
            _ => None,
        }
    }

    pub(crate) fn protection(&self) -> Protection {
        self.protection
    }

    /// The level of MODE Z, where that is the mode.
    pub(crate) fn deflate_level(&self) -> Option<u32> {
        (self.mode == Mode::Deflate).then_some(self.level)
    }

    /// Whether names with a leading dot are shown at all.
    pub(crate) fn shows_dotfiles(&self) -> bool {
        self.at.settings.dotfiles
    }

    /// The answer of the tree to [`Step::Enter`]: it is a directory.
    pub(crate) fn enter(&mut self, folder: VirtualPath) -> Reply {
        self.folder = folder;
        Reply::new(250, format!("{} is the current directory", quoted(&self.folder)))
    }

    /// The answer of the tree to [`Step::RenameFrom`]: it is there.
    pub(crate) fn rename_from(&mut self, path: VirtualPath) -> Reply {
        self.renaming = Some(path);
        Reply::new(350, "Ready for the new name")
    }

    fn represent(&mut self, representation: Representation) -> Decision {
        self.representation = representation;
        say(200, if representation == Representation::Ascii { "Type is ASCII" } else { "Type is image" })
    }

    fn rename(&mut self, from: Option<VirtualPath>, to: &str) -> Decision {
        let from = from.ok_or_else(|| Reply::new(503, "Say RNFR first"))?;
        let to = self.writable(to, Purpose::Place)?;
        Ok(Step::Change(Change::Rename { from, to }))
    }

    fn set_facts(&mut self, facts: SetFacts) -> Decision {
        let path = self.writable(&facts.path, Purpose::Find)?;
        let SetFacts { modified_unix_secs, mode, by, .. } = facts;
        Ok(Step::Change(Change::SetFacts { path, modified_unix_secs, mode, by }))
    }

    fn transmit(&mut self, mode: Mode) -> Decision {
        self.mode = mode;
        say(200, if mode == Mode::Stream { "Mode is stream" } else { "Mode is Z: transfers are deflated" })
    }

    /// HASH uses what OPTS and RANG have chosen; the older commands know neither.
    fn digest_of(&mut self, path: &str, named: Option<Digest>) -> Decision {
        let chosen = (self.digest, std::mem::take(&mut self.range));
        let (digest, range) = named.map_or(chosen, |digest| (digest, ByteRange::default()));
        Ok(Step::Hash { path: self.file(path, Purpose::Find)?, digest, range, named: named.is_none() })
    }

    fn path(&self, text: &str, purpose: Purpose) -> Result<VirtualPath, Reply> {
        let path = self.folder.join(text).map_err(|error| refusal(&error, purpose, text))?;
        match path.is_hidden() && !self.shows_dotfiles() {
            true => Err(refusal(&StoreError::Denied, purpose, text)),
            false => Ok(path),
        }
    }

    fn find(&self, text: &str) -> Result<VirtualPath, Reply> {
        self.path(text, Purpose::Find)
    }

    /// The path of something that is to be a file.
    fn file(&self, text: &str, purpose: Purpose) -> Result<VirtualPath, Reply> {
        self.refuse_slash(text, purpose)?;
        self.path(text, purpose)
    }

    /// `name/` is a directory, whatever stands there.
    fn refuse_slash(&self, text: &str, purpose: Purpose) -> Result<(), Reply> {
        if text.ends_with('/') { Err(refusal(&StoreError::IsFolder, purpose, text)) } else { Ok(()) }
    }

    /// A new name with a control character would be one that no reply and no listing can show.
    fn writable(&self, text: &str, purpose: Purpose) -> Result<VirtualPath, Reply> {
        let path = self.path(text, purpose)?;
        let is_shown = purpose == Purpose::Find || !text.contains(|c: char| c.is_control());
        let changes = purpose == Purpose::Find;
        let may = self.account().is_some_and(|account| account.may_write(&path) && !(changes && account.adds_only));
        if may && is_shown && (changes || !self.at.settings.denies_name(path.name())) {
            Ok(path)
        } else {
            Err(refusal(&StoreError::Denied, purpose, text))
        }
    }

    fn removable(&self, text: &str) -> Result<VirtualPath, Reply> {
        let path = self.find(text)?;
        let may = self.account().is_some_and(|account| may_remove(account, &path));
        if may { Ok(path) } else { Err(refusal(&StoreError::Denied, Purpose::Find, text)) }
    }
}

#[cfg(test)]
mod tests;
