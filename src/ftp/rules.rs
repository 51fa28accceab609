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
//! paths; what the file tree says is for `conversation.rs` to find out.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    command::{Command, Epsv, ListOf, Protection, Representation},
    explain,
    listing::{FactSet, Form, is_pattern, may_remove},
    reply::{Purpose, Reply, quoted, refusal},
};
use crate::{
    net::dial::Gate,
    store::{Account, Secret, StoreError, VirtualPath, tree::Receive},
};

/// Wrong passwords on one connection before it is closed (RFC 2577, 5: against guessing).
const MAX_FAILURES: u32 = 5;

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

/// What to do about a command.
#[derive(Debug)]
pub(crate) enum Step {
    Say(Reply),
    /// Say it and close.
    Close(Reply),
    /// Say it and hand over to the handshake.
    StartTls(Reply),
    /// Forget everything but the connection.
    Reinitialise,
    /// Check the password, then tell [`Session::logged_in`].
    LogIn(String, Secret),
    /// Go there if it is a directory, then tell [`Session::enter`].
    Enter(VirtualPath),
    /// Check that it is there, then tell [`Session::rename_from`].
    RenameFrom(VirtualPath),
    Change(Change),
    Ask(Question),
    /// Await the data connection.
    Listen(Passive),
    /// Make the next data connection to there, and say so.
    Aim(SocketAddr, Reply),
    Transfer(Transfer),
    /// Tell how things stand.
    Status,
}

/// Something done to the file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    MakeFolder(VirtualPath),
    RemoveFolder(VirtualPath),
    RemoveFile(VirtualPath),
    Rename { from: VirtualPath, to: VirtualPath },
    SetModified { path: VirtualPath, unix_secs: i64 },
}

/// Something asked about the file tree, and answered on the control connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Size(VirtualPath, Representation),
    Modified(VirtualPath),
    /// MLST.
    Facts(VirtualPath, FactSet),
    /// STAT with a path.
    Status(VirtualPath),
}

/// How the reply to a passive command is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passive {
    /// 227 with address and port.
    Pasv,
    /// 229 with the port.
    Epsv,
}

/// Something that goes over a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Retrieve {
        path: VirtualPath,
        /// The restart marker: octets of the representation that are left out.
        from: u64,
        representation: Representation,
    },
    Store {
        path: VirtualPath,
        how: Receive,
        representation: Representation,
    },
    /// STOU, into this directory.
    StoreUnique {
        folder: VirtualPath,
        representation: Representation,
    },
    List {
        path: VirtualPath,
        form: Form,
        /// Names with a leading dot too.
        hidden: bool,
        /// Only names that match.
        pattern: Option<String>,
        /// Put before names in NLST.
        prefix: String,
    },
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

    /// The answer of the accounts to [`Step::LogIn`]. `home` is where the account's home is a
    /// directory.
    pub(crate) fn logged_in(&mut self, account: Option<(Arc<Account>, Option<VirtualPath>)>) -> Step {
        let Some((account, home)) = account else {
            self.login = Login::Nobody;
            self.failures += 1;
            return match self.failures < MAX_FAILURES {
                true => Step::Say(Reply::new(530, "Login incorrect")),
                false => Step::Close(Reply::new(421, "Login incorrect, and too often: closing the control connection")),
            };
        };
        self.folder = home.unwrap_or_else(VirtualPath::root);
        let reply = Reply::new(230, format!("{}: user successfully logged on", account.name));
        self.login = Login::In(account);
        Step::Say(reply)
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

    fn user(&mut self, name: String) -> Decision {
        // A new USER flushes what was there (RFC 959, 4.1.1), before anything can go wrong.
        self.login = Login::Nobody;
        self.restart = 0;
        let guest = self.is_guest(&name);
        if !guest && !self.at.passwords {
            let way_out = if self.at.offers_tls { ": say AUTH TLS first" } else { "" };
            return Err(Reply::new(530, format!("Passwords are not taken on a plain connection{way_out}")));
        }
        self.login = Login::Named(name);
        match guest {
            true => say(331, "Guests are welcome: any password will do"),
            false => say(331, "Username OK, password required"),
        }
    }

    fn password(&mut self, password: Secret) -> Decision {
        match std::mem::replace(&mut self.login, Login::Nobody) {
            Login::Named(name) if self.is_guest(&name) => {
                let guest = Account { name: "anonymous".into(), home: VirtualPath::root(), write: Vec::new() };
                Ok(self.logged_in(Some((Arc::new(guest), None))))
            }
            Login::Named(name) => Ok(Step::LogIn(name, password)),
            other => {
                self.login = other;
                Err(Reply::new(503, "Say USER first"))
            }
        }
    }

    /// `anonymous` and its customary short form (RFC 1635).
    fn is_guest(&self, name: &str) -> bool {
        self.at.anonymous && (name.eq_ignore_ascii_case("anonymous") || name.eq_ignore_ascii_case("ftp"))
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

    fn auth(&mut self) -> Decision {
        match (self.at.secured, self.at.offers_tls) {
            (true, _) => Err(Reply::new(534, "The control connection is protected already")),
            (false, false) => Err(Reply::new(502, "TLS is not offered here")),
            (false, true) => Ok(Step::StartTls(Reply::new(234, "Proceed with the TLS handshake"))),
        }
    }

    fn buffer_size(&mut self) -> Decision {
        if !self.at.secured {
            return Err(Reply::new(503, "Say AUTH TLS first"));
        }
        self.buffer_agreed = true;
        say(200, "PBSZ=0")
    }

    fn protect(&mut self, protection: Protection) -> Decision {
        if !self.buffer_agreed {
            return Err(Reply::new(503, "Say PBSZ 0 first"));
        }
        self.protection = protection;
        say(200, if protection == Protection::Private { "Data connections go through TLS" } else { "Data connections go in the clear" })
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

    fn pasv(&mut self) -> Decision {
        self.refuse_after_epsv_all()?;
        match self.at.local.to_canonical() {
            IpAddr::V4(_) => Ok(Step::Listen(Passive::Pasv)),
            IpAddr::V6(_) => Err(Reply::new(501, "PASV can't tell an IPv6 address: say EPSV")),
        }
    }

    fn epsv(&mut self, epsv: Epsv) -> Decision {
        let is_v4 = self.at.local.to_canonical().is_ipv4();
        match (epsv, is_v4) {
            (Epsv::All, _) => {
                self.epsv_all = true;
                say(200, "EPSV ALL: no other command opens data connections from now on")
            }
            (Epsv::V4, false) => Err(Reply::new(522, "Network protocol not supported on this connection, use (2)")),
            (Epsv::V6, true) => Err(Reply::new(522, "Network protocol not supported on this connection, use (1)")),
            _ => Ok(Step::Listen(Passive::Epsv)),
        }
    }

    /// Active data connections go to the peer itself and to no port where another service may
    /// listen: against the bounce attack (RFC 2577, 3).
    fn port(&mut self, address: SocketAddr) -> Decision {
        self.refuse_after_epsv_all()?;
        // "Any address of mine" (`::`), as lftp says it, can only be the one we know.
        let ip = if address.ip().is_unspecified() { self.at.peer } else { address.ip() };
        let address = SocketAddr::new(ip, address.port());
        if !Gate::Peer(self.at.peer).allows(address) {
            return Err(Reply::new(504, "Data connections go to your own address and to ports from 1024 on"));
        }
        Ok(Step::Aim(address, Reply::new(200, "Data port noted")))
    }

    /// RFC 2428, 4.
    fn refuse_after_epsv_all(&self) -> Result<(), Reply> {
        if self.epsv_all { Err(Reply::new(501, "After EPSV ALL only EPSV is taken")) } else { Ok(()) }
    }

    fn mark_restart(&mut self, octets: u64) -> Decision {
        self.restart = octets;
        say(350, format!("Restarting at {octets}: send RETR or STOR"))
    }

    fn retrieve(&mut self, path: &str) -> Decision {
        let from = std::mem::take(&mut self.restart);
        Ok(Step::Transfer(Transfer::Retrieve { path: self.find(path)?, from, representation: self.representation }))
    }

    fn store(&mut self, path: &str) -> Decision {
        let restart = std::mem::take(&mut self.restart);
        let path = self.writable(path, Purpose::Place)?;
        let how = match (restart, self.representation) {
            (0, _) => Receive::Replace,
            (octets, Representation::Image) => Receive::ResumeAt(octets),
            // A place in the text as sent is none in the file that we could cut at.
            (_, Representation::Ascii) => return Err(Reply::new(554, "An upload is restarted in TYPE I only")),
        };
        Ok(Step::Transfer(Transfer::Store { path, how, representation: self.representation }))
    }

    /// A restart marker means nothing to APPE: the end of the file is where it goes on.
    fn append(&mut self, path: &str) -> Decision {
        self.restart = 0;
        let path = self.writable(path, Purpose::Place)?;
        Ok(Step::Transfer(Transfer::Store { path, how: Receive::Append, representation: self.representation }))
    }

    fn store_unique(&mut self) -> Decision {
        self.restart = 0;
        let folder = self.writable(".", Purpose::Place)?;
        Ok(Step::Transfer(Transfer::StoreUnique { folder, representation: self.representation }))
    }

    fn list(&mut self, list: ListOf, form: Form) -> Decision {
        self.restart = 0;
        let text = list.path.unwrap_or_default();
        let (folder, name) = text.rsplit_once('/').map_or(("", text.as_str()), |(folder, name)| (&text[..=folder.len()], name));
        let (directory, pattern, prefix) = match is_pattern(name) {
            true => (if folder.is_empty() { "." } else { folder }, Some(name.to_owned()), folder.to_owned()),
            false if text.is_empty() || text.ends_with('/') => (text.as_str(), None, text.clone()),
            false => (text.as_str(), None, format!("{text}/")),
        };
        let path = self.path(directory, Purpose::List)?;
        Ok(Step::Transfer(Transfer::List { path, form, hidden: list.all, pattern, prefix }))
    }

    /// MLSD shows everything, hidden or not: it is for programs.
    fn list_facts(&mut self, path: &str) -> Decision {
        self.restart = 0;
        let (path, form) = (self.find(path)?, Form::Facts(self.facts));
        Ok(Step::Transfer(Transfer::List { path, form, hidden: true, pattern: None, prefix: String::new() }))
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
#[path = "rules_tests.rs"]
mod tests;
