//! What a command means in the state that the session is in: command in, step out. Pure.
//!
//! ```text
//! Nobody --USER--> Named --PASS, right--> In --USER, REIN--> ...
//!                    ^---PASS, wrong---> Nobody
//! ```
//!
//! Beside the log-in the session holds what commands leave for those that follow: the current
//! directory, TYPE, PROT, OPTS MLST, EPSV ALL, a restart marker (REST) for the next transfer, and
//! the old name (RNFR) for an RNTO that follows at once. Rights are decided here, on normalised
//! paths; what the file tree says is for the conversation to find out. Logging in and TLS are in
//! [`access`], data connections in [`transfers`].

mod access;
mod step;
mod transfers;

use std::{net::IpAddr, sync::Arc};

pub(crate) use step::{Change, Passive, Question, Step, Transfer};

use super::{
    command::{Command, Protection, Representation},
    explain,
    listing::{FactSet, Form, may_remove},
    reply::{Purpose, Reply, quoted, refusal},
};
use crate::store::{Account, StoreError, VirtualPath};

/// What the session is told about its connection; nothing of it changes.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub local: IpAddr,
    pub peer: IpAddr,
    /// The control connection goes through TLS.
    pub secured: bool,
    /// TLS can be had.
    pub offers_tls: bool,
    /// Passwords may be sent on this connection.
    pub passwords: bool,
    pub anonymous: bool,
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
    login: Login,
    failures: u32,
    folder: VirtualPath,
    representation: Representation,
    protection: Protection,
    /// PBSZ has been said, so PROT may be.
    buffer_agreed: bool,
    facts: FactSet,
    epsv_all: bool,
    restart: u64,
    renaming: Option<VirtualPath>,
}

/// A step, or the reply of a refusal.
type Decision = Result<Step, Reply>;

fn say(code: u16, text: impl AsRef<str>) -> Decision {
    Ok(Step::Say(Reply::new(code, text)))
}

impl Session {
    pub(crate) fn new(at: Circumstances) -> Session {
        Session {
            at,
            login: Login::Nobody,
            failures: 0,
            folder: VirtualPath::root(),
            representation: Representation::Ascii,
            protection: Protection::Clear,
            buffer_agreed: false,
            facts: FactSet::all(),
            epsv_all: false,
            restart: 0,
            renaming: None,
        }
    }

    pub(crate) fn step(&mut self, command: Command) -> Step {
        let renaming = self.renaming.take();
        if self.account().is_none() && !is_for_everybody(&command) {
            return Step::Say(Reply::new(530, "Not logged in"));
        }
        self.decide(command, renaming).unwrap_or_else(Step::Say)
    }

    fn decide(&mut self, command: Command, renaming: Option<VirtualPath>) -> Decision {
        match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => self.password(password),
            Command::Acct => say(202, "ACCT is superfluous here"),
            Command::Rein if self.at.secured => Err(Reply::new(502, "REIN is not done under TLS")),
            Command::Rein => Ok(Step::Reinitialise),
            Command::Quit => Ok(Step::Close(Reply::new(221, "Goodbye"))),
            Command::Noop => say(200, "OK"),
            Command::Help(about) => help(about.as_deref()),
            Command::SiteHelp => say(214, "SITE commands: HELP"),
            Command::Syst => say(215, "UNIX Type: L8"),
            Command::Feat => Ok(Step::Say(self.features())),
            Command::OptsUtf8 => say(200, "UTF8 is always on"),
            Command::OptsMlst(facts) => self.options(facts),
            Command::AuthTls => self.auth(),
            Command::Pbsz => self.buffer_size(),
            Command::Prot(protection) => self.protect(protection),
            Command::Ccc if self.at.secured => Err(Reply::new(534, "The control connection stays protected")),
            Command::Ccc => Err(Reply::new(533, "The control connection is not protected")),
            Command::Type(representation) => self.represent(representation),
            Command::Stru => say(200, "Structure is file"),
            Command::Mode => say(200, "Mode is stream"),
            Command::Allo => say(202, "No storage allocation necessary"),
            Command::Pwd => say(257, format!("{} is the current directory", quoted(&self.folder))),
            Command::Cwd(path) => Ok(Step::Enter(self.find(&path)?)),
            Command::Cdup => Ok(Step::Enter(self.folder.parent())),
            Command::Mkd(path) => Ok(Step::Change(Change::MakeFolder(self.writable(&path, Purpose::Make)?))),
            Command::Rmd(path) => Ok(Step::Change(Change::RemoveFolder(self.removable(&path)?))),
            Command::Dele(path) => Ok(Step::Change(Change::RemoveFile(self.removable(&path)?))),
            Command::Rnfr(path) => Ok(Step::RenameFrom(self.removable(&path)?)),
            Command::Rnto(path) => self.rename(renaming, &path),
            Command::SetModified { unix_secs, path } => {
                Ok(Step::Change(Change::SetModified { path: self.writable(&path, Purpose::Find)?, unix_secs }))
            }
            Command::Size(path) => Ok(Step::Ask(Question::Size(self.find(&path)?, self.representation))),
            Command::Mdtm(path) => Ok(Step::Ask(Question::Modified(self.find(&path)?))),
            Command::Mlst(path) => Ok(Step::Ask(Question::Facts(self.find(path.as_deref().unwrap_or("."))?, self.facts))),
            Command::Stat(None) => Ok(Step::Status),
            Command::Stat(Some(path)) => Ok(Step::Ask(Question::Status(self.path(&path, Purpose::List)?))),
            Command::Abor => say(226, "No transfer is under way now"),
            Command::Pasv => self.pasv(),
            Command::Epsv(epsv) => self.epsv(epsv),
            Command::Port(address) => self.port(address),
            Command::Rest(octets) => self.mark_restart(octets),
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

    /// A line that was no command came between RNFR and RNTO.
    pub(crate) fn forget_rename(&mut self) {
        self.renaming = None;
    }

    pub(crate) fn protection(&self) -> Protection {
        self.protection
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

    /// The reply to STAT (RFC 959, 4.1.3); `transfer` names the one under way.
    pub(crate) fn status(&self, transfer: Option<&str>) -> Reply {
        let user = self.account().map_or("nobody is logged in".to_owned(), |account| format!("{} is logged in", account.name));
        let representation = match self.representation {
            Representation::Ascii => "TYPE A N",
            Representation::Image => "TYPE I",
        };
        let lines = vec![
            format!("connected from {}{}", self.at.peer, if self.at.secured { ", through TLS" } else { "" }),
            user,
            format!("{representation}, STRU F, MODE S, PROT {}", if self.protection == Protection::Private { "P" } else { "C" }),
            transfer.map_or("no transfer under way".to_owned(), |transfer| format!("under way: {transfer}")),
        ];
        Reply::lines(211, "FTP server status:", lines, "End of status")
    }

    /// RFC 2389, 3.
    fn features(&self) -> Reply {
        let mut lines: Vec<String> = ["EPRT", "EPSV", "MDTM", "MFMT"].map(String::from).into();
        if self.at.offers_tls {
            lines.insert(0, "AUTH TLS".into());
            lines.extend(["PBSZ", "PROT"].map(String::from));
        }
        lines.push(format!("MLST {}", self.facts.print_starred()));
        lines.extend(["REST STREAM", "SIZE", "TVFS", "UTF8"].map(String::from));
        Reply::lines(211, "Features:", lines, "End")
    }

    fn options(&mut self, facts: FactSet) -> Decision {
        self.facts = facts;
        say(200, format!("MLST OPTS {}", facts.print()).trim_end())
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

    fn path(&self, text: &str, purpose: Purpose) -> Result<VirtualPath, Reply> {
        self.folder.join(text).map_err(|error| refusal(&error, purpose, text))
    }

    fn find(&self, text: &str) -> Result<VirtualPath, Reply> {
        self.path(text, Purpose::Find)
    }

    fn writable(&self, text: &str, purpose: Purpose) -> Result<VirtualPath, Reply> {
        let path = self.path(text, purpose)?;
        let may = self.account().is_some_and(|account| account.may_write(&path));
        if may { Ok(path) } else { Err(refusal(&StoreError::Denied, purpose, text)) }
    }

    fn removable(&self, text: &str) -> Result<VirtualPath, Reply> {
        let path = self.find(text)?;
        let may = self.account().is_some_and(|account| may_remove(account, &path));
        if may { Ok(path) } else { Err(refusal(&StoreError::Denied, Purpose::Find, text)) }
    }
}

/// Whether a command is taken from somebody who has not logged in.
fn is_for_everybody(command: &Command) -> bool {
    use Command::*;
    matches!(
        command,
        User(_) | Pass(_) | Rein | Quit | Noop | Help(_) | Syst | Feat | OptsUtf8 | OptsMlst(_) | AuthTls | Pbsz | Prot(_) | Ccc | Abor
    )
}

/// RFC 959, 4.1.3.
fn help(about: Option<&str>) -> Decision {
    let Some(about) = about else {
        let verbs: Vec<&str> = explain::verbs().collect();
        let lines = verbs.chunks(8).map(|verbs| verbs.join(" ")).collect();
        return Ok(Step::Say(Reply::lines(214, "These commands are understood:", lines, "HELP with one of them says more")));
    };
    match explain::TABLE.iter().find(|row| row.term == about) {
        Some(row) => say(214, format!("{}: {} ({})", row.term, row.sentence, row.source)),
        None => Err(Reply::new(502, "No such command; HELP lists them")),
    }
}

#[cfg(test)]
mod tests;
