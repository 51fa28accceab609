//! The rules of data connections and of what goes over them.

use std::net::{IpAddr, SocketAddr};

use super::{Decision, Passive, Question, Session, Step, Transfer, say};
use crate::{
    ftp::{
        command::{ByteRange, Epsv, ListOf, Protection, Representation},
        directory::{Order, Wanted},
        listing::{Form, is_pattern},
        reply::{Purpose, Reply},
    },
    net::dial::Gate,
    store::{VirtualPath, tree::Receive},
};

impl Session {
    pub(super) fn pasv(&mut self) -> Decision {
        self.refuse_after_epsv_all()?;
        match self.at.local.to_canonical() {
            IpAddr::V4(_) => Ok(Step::Listen(Passive::Pasv)),
            IpAddr::V6(_) => Err(Reply::new(501, "PASV can't tell an IPv6 address: say EPSV")),
        }
    }

    pub(super) fn epsv(&mut self, epsv: Epsv) -> Decision {
        let is_v4 = self.at.local.to_canonical().is_ipv4();
        match (epsv, is_v4) {
            (Epsv::All, _) => {
                self.epsv_all = true;
                say(200, "EPSV ALL: no other command opens data connections from now on")
            }
            (Epsv::V4, false) | (Epsv::V6, true) => Err(other_network(is_v4)),
            _ => Ok(Step::Listen(Passive::Epsv)),
        }
    }

    /// Active data connections go to the peer itself and to no port where another service may
    /// listen: against the bounce attack (RFC 2577, 3).
    pub(super) fn port(&mut self, address: SocketAddr) -> Decision {
        self.refuse_after_epsv_all()?;
        // "Any address of mine" (`::`), as lftp says it, can only be the one we know.
        let ip = if address.ip().is_unspecified() { self.at.peer } else { address.ip() };
        let address = SocketAddr::new(ip, address.port());
        if !Gate::Peer(self.at.peer).allows(address) {
            return Err(Reply::new(504, "Data connections go to your own address and to ports from 1024 on"));
        }
        Ok(Step::Aim(address, Reply::new(200, "Data port noted")))
    }

    /// EPRT tells what PORT can't: that the network protocol is the wrong one (RFC 2428, 2).
    pub(super) fn extended_port(&mut self, address: SocketAddr) -> Decision {
        let is_v4 = self.at.local.to_canonical().is_ipv4();
        if address.ip().is_unspecified() || address.ip().to_canonical().is_ipv4() == is_v4 {
            return self.port(address);
        }
        self.refuse_after_epsv_all()?;
        Err(other_network(is_v4))
    }

    /// RFC 2428, 4.
    fn refuse_after_epsv_all(&self) -> Result<(), Reply> {
        if self.epsv_all { Err(Reply::new(501, "After EPSV ALL only EPSV is taken")) } else { Ok(()) }
    }

    /// Storage is found as it is needed; but whether there is enough can be told now. Who may write
    /// nowhere need not know.
    pub(super) fn allocate(&self, octets: u64) -> Decision {
        match self.account().is_some_and(|account| !account.write.is_empty()) {
            true => Ok(Step::Ask(Question::Room { folder: self.folder.clone(), octets })),
            false => say(202, "No storage allocation necessary"),
        }
    }

    pub(super) fn mark_restart(&mut self, octets: u64) -> Decision {
        self.range = ByteRange { from: octets, until: None };
        say(350, format!("Restarting at {octets}: send RETR or STOR"))
    }

    /// RANG (draft-bryan-ftp-range, 3), in place of REST.
    pub(super) fn mark_range(&mut self, range: ByteRange) -> Decision {
        self.range = range;
        match range.until {
            None => say(350, "No range: files are sent whole"),
            Some(until) => say(350, format!("Octets {} to {}: send RETR or HASH", range.from, until - 1)),
        }
    }

    /// Where data must be protected it is not sent in the clear (RFC 4217, 12).
    fn refuse_clear_data(&self) -> Result<(), Reply> {
        match self.at.settings.require_tls_data && self.protection == Protection::Clear {
            true => Err(Reply::new(521, "Data connections are protected here: say PROT P first")),
            false => Ok(()),
        }
    }

    pub(super) fn retrieve(&mut self, path: &str) -> Decision {
        let range = std::mem::take(&mut self.range);
        self.refuse_clear_data()?;
        if range.until.is_some() && self.representation == Representation::Ascii {
            return Err(Reply::new(554, "A range is sent in TYPE I only"));
        }
        Ok(Step::Transfer(Transfer::Retrieve { path: self.file(path, Purpose::Find)?, range, representation: self.representation }))
    }

    pub(super) fn store(&mut self, path: &str) -> Decision {
        let range = std::mem::take(&mut self.range);
        self.refuse_clear_data()?;
        let path = self.place(path)?;
        if range.until.is_some() {
            return Err(Reply::new(554, "A range is for RETR and HASH"));
        }
        let how = match (range.from, self.representation) {
            _ if self.adds_only() => Receive::Create,
            (0, _) => Receive::Replace,
            (octets, Representation::Image) => Receive::ResumeAt(octets),
            // A place in the text as sent is none in the file that we could cut at.
            (_, Representation::Ascii) => return Err(Reply::new(554, "An upload is restarted in TYPE I only")),
        };
        Ok(Step::Transfer(Transfer::Store { path, how, representation: self.representation }))
    }

    /// A restart marker means nothing to APPE: the end of the file is where it goes on.
    pub(super) fn append(&mut self, path: &str) -> Decision {
        self.range = ByteRange::default();
        self.refuse_clear_data()?;
        let path = self.place(path)?;
        let how = if self.adds_only() { Receive::Create } else { Receive::Append };
        Ok(Step::Transfer(Transfer::Store { path, how, representation: self.representation }))
    }

    pub(super) fn store_unique(&mut self) -> Decision {
        self.range = ByteRange::default();
        self.refuse_clear_data()?;
        let folder = self.writable(".", Purpose::Place)?;
        Ok(Step::Transfer(Transfer::StoreUnique { folder, representation: self.representation }))
    }

    /// Guests: a file that is there they neither replace nor go on with.
    fn adds_only(&self) -> bool {
        self.account().is_some_and(|account| account.adds_only)
    }

    /// Where an upload goes.
    fn place(&self, text: &str) -> Result<VirtualPath, Reply> {
        self.refuse_slash(text, Purpose::Place)?;
        self.writable(text, Purpose::Place)
    }

    pub(super) fn list(&mut self, list: ListOf, form: Form) -> Decision {
        self.range = ByteRange::default();
        self.refuse_clear_data()?;
        let text = list.path.unwrap_or_default();
        let split = split_pattern(&text);
        let path = self.path(split.folder, Purpose::Find)?;
        let (hidden, prefix) = (list.all && self.shows_dotfiles(), split.prefix());
        let (folders, pattern) = (split.folders, split.pattern);
        let ListOf { recursive, itself, order, .. } = list;
        Ok(Step::Transfer(Transfer::List(Wanted { path, form, hidden, recursive, itself, order, folders, pattern, prefix })))
    }

    /// MLSD shows everything, hidden or not: it is for programs.
    pub(super) fn list_facts(&mut self, path: &str) -> Decision {
        self.range = ByteRange::default();
        self.refuse_clear_data()?;
        let (path, form) = (self.path(path, Purpose::Enumerate)?, Form::Facts(self.facts));
        let hidden = self.shows_dotfiles();
        let (recursive, itself, order) = (false, false, Order::default());
        let (folders, pattern, prefix) = (Vec::new(), None, String::new());
        Ok(Step::Transfer(Transfer::List(Wanted { path, form, hidden, recursive, itself, order, folders, pattern, prefix })))
    }

    /// STAT with a path (RFC 959, 4.1.3).
    pub(super) fn show_status(&mut self, list: ListOf) -> Decision {
        let path = self.path(list.path.as_deref().unwrap_or("."), Purpose::Find)?;
        Ok(Step::Ask(Question::Status { path, hidden: list.all && self.shows_dotfiles() }))
    }
}

/// Data connections use the network protocol of the control connection.
fn other_network(is_v4: bool) -> Reply {
    let own = if is_v4 { 1 } else { 2 };
    Reply::new(522, format!("Network protocol not supported on this connection, use ({own})"))
}

/// The longest name there is, in octets; no pattern is longer.
const NAME_OCTETS: usize = 255;

/// The parameter of a listing, cut before its first pattern.
struct Split<'t> {
    folder: &'t str,
    folders: Vec<String>,
    pattern: Option<String>,
}

fn split_pattern(text: &str) -> Split<'_> {
    let names = text.split('/');
    let can_be = names.clone().all(|name| name.len() <= NAME_OCTETS);
    let Some(at) = names.clone().position(is_pattern).filter(|_| can_be) else {
        return Split { folder: text, folders: Vec::new(), pattern: None };
    };
    let length: usize = names.clone().take(at).map(|name| name.len() + 1).sum();
    let mut folders: Vec<String> = names.skip(at).map(str::to_owned).collect();
    // After a slash at the end there is no name, and so no pattern: all that is there.
    let pattern = folders.pop().filter(|name| !name.is_empty());
    folders.retain(|name| !name.is_empty());
    Split { folder: text.get(..length).unwrap_or_default(), folders, pattern }
}

impl Split<'_> {
    /// What goes before the names in NLST, so that they can be sent back as they are.
    fn prefix(&self) -> String {
        let is_ended = self.folder.is_empty() || self.folder.ends_with('/');
        if is_ended { self.folder.to_owned() } else { format!("{}/", self.folder) }
    }
}
