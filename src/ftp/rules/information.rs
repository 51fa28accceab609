//! What the server tells about itself (HELP, FEAT, STAT, LANG, HOST) and the choices among it (OPTS).

use super::{Decision, Login, Session, Step, say};
use crate::ftp::{
    command::{self, Digest, Mode, Protection, Representation, TABLE, UNIMPLEMENTED},
    explain,
    listing::FactSet,
    reply::Reply,
};
use crate::net::escape::escape;

/// See [`short`].
const NOTED_CHARS: usize = 100;
/// Verbs on a line of HELP.
const VERBS_A_LINE: usize = 8;

impl Session {
    /// What is said first (RFC 959, 5.4); `[ftp] banner` may have lines of its own.
    pub(crate) fn greeting(&self) -> Reply {
        let ready = format!("{} FTP server ready", self.host);
        let mut banner = self.at.settings.banner.lines();
        match banner.next() {
            None => Reply::new(220, ready),
            Some(first) => Reply::lines(220, first, banner.map(String::from).collect(), ready),
        }
    }

    /// HOST (RFC 7151, 3): all names here are one server. A name that is not the one of the TLS
    /// handshake would mean that its certificate was checked for another server.
    pub(super) fn choose_host(&mut self, name: &str) -> Decision {
        if !matches!(self.login, Login::Nobody) {
            return Err(Reply::new(503, "HOST comes before USER"));
        }
        let is_address = name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip == self.at.local.to_canonical());
        let is_name = self.at.hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        let is_other = self.at.server_name.as_ref().is_some_and(|asked| !asked.eq_ignore_ascii_case(name));
        if !(is_address || is_name && !is_other) {
            return Err(Reply::new(504, format!("{name} is not a name of this server")));
        }
        self.host = name.to_owned();
        Ok(Step::Say(self.greeting()))
    }

    /// The reply to STAT (RFC 959, 4.1.3); `transfer` names the one under way.
    pub(crate) fn status(&self, transfer: Option<&str>) -> Reply {
        let user = self.account().map_or("nobody is logged in".to_owned(), |account| format!("{} is logged in", account.name));
        let representation = if self.representation == Representation::Ascii { "A N" } else { "I" };
        let mode = if self.mode == Mode::Stream { "S" } else { "Z" };
        let protection = if self.protection == Protection::Private { "P" } else { "C" };
        let lines = vec![
            format!("connected from {}{}", self.at.peer, if self.at.secured { ", through TLS" } else { "" }),
            user,
            format!("TYPE {representation}, STRU F, MODE {mode}, PROT {protection}"),
            transfer.map_or("no transfer under way".to_owned(), |transfer| format!("under way: {transfer}")),
        ];
        Reply::lines(211, "FTP server status:", lines, "End of status")
    }

    /// FEAT (RFC 2389, 3): what goes beyond RFC 959. RFC 1123, 4.1.2 made the rest known.
    pub(super) fn features(&self) -> Reply {
        let tls: &[&str] = if self.at.offers_tls { &["AUTH TLS", "PBSZ", "PROT"] } else { &[] };
        let digests: String =
            Digest::ALL.map(|digest| format!("{}{};", digest.name(), if digest == self.digest { "*" } else { "" })).concat();
        let mut lines: Vec<String> = tls.iter().map(|feature| (*feature).to_owned()).collect();
        lines.extend(["AVBL", "CLNT", "CSID", "EPRT", "EPSV"].map(String::from));
        lines.push(format!("HASH {digests}"));
        lines.extend(["HOST", "LANG EN*", "MDTM", "MFF Modify;UNIX.mode;", "MFMT"].map(String::from));
        lines.push(format!("MLST {}", self.facts.print_starred()));
        lines.extend(
            ["MODE Z", "RANG STREAM", "REST STREAM", "SITE CHMOD", "SITE IDLE", "SITE UTIME", "SIZE", "TVFS", "UTF8"].map(String::from),
        );
        lines.extend(["XCRC", "XMD5", "XSHA1", "XSHA256", "XSHA512"].map(String::from));
        let denied = |line: &str| self.at.settings.deny_commands.0.iter().any(|verb| line.split(' ').next() == Some(verb));
        lines.retain(|line| !denied(line));
        Reply::lines(211, "Features:", lines, "End")
    }

    /// CLNT: for the log, where it helps to know who doesn't understand us.
    pub(super) fn note_client(&self, name: &str) -> Decision {
        tracing::info!(peer = %self.at.peer, "ftp: the client calls itself {}", escape(short(name)));
        say(200, "Noted")
    }

    /// CSID: what a client may want to know of the server before it lists anything.
    pub(super) fn swap_facts(&self, facts: &str) -> Decision {
        tracing::info!(peer = %self.at.peer, "ftp: the client says of itself {}", escape(short(facts)));
        say(200, "Name=Portico; CaseSensitive=1; DirSep=/;")
    }

    pub(super) fn choose_facts(&mut self, facts: FactSet) -> Decision {
        self.facts = facts;
        say(200, format!("MLST OPTS {}", facts.print()).trim_end())
    }

    /// OPTS HASH (draft-bryan-ftpext-hash, 4).
    pub(super) fn choose_digest(&mut self, digest: Option<Digest>) -> Decision {
        self.digest = digest.unwrap_or(self.digest);
        say(200, self.digest.name())
    }

    pub(super) fn choose_level(&mut self, level: u32) -> Decision {
        self.level = level;
        say(200, format!("MODE Z LEVEL is {level}"))
    }
}

/// What a client says of itself, as much of it as the log takes: it says so as often as it likes.
pub(super) fn short(text: &str) -> &str {
    let end = text.char_indices().nth(NOTED_CHARS).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// HELP (RFC 959, 4.1.3).
pub(super) fn help(about: Option<&str>) -> Decision {
    let Some(about) = about else {
        let mut verbs: Vec<String> =
            TABLE.iter().map(|row| row.verb.to_owned()).chain(UNIMPLEMENTED.iter().map(|verb| format!("{verb}*"))).collect();
        verbs.sort_unstable();
        let lines = verbs
            .chunks(VERBS_A_LINE)
            .map(|verbs| verbs.iter().map(|verb| format!("{verb:<8}")).collect::<String>().trim_end().to_owned())
            .collect();
        return Ok(Step::Say(Reply::lines(
            214,
            "These commands are understood (*: and not carried out):",
            lines,
            "HELP with one of them says more",
        )));
    };
    let row = command::find(about);
    let told = row.and_then(|row| explain::TABLE.iter().find(|told| told.term == row.verb));
    match (told, row) {
        (Some(told), Some(row)) => say(214, format!("{}: {} ({})", row.usage(), told.sentence, told.source)),
        _ if about.starts_with("SITE ") => site_help(),
        _ => Err(Reply::new(502, "No such command; HELP lists them")),
    }
}

pub(super) fn site_help() -> Decision {
    let lines = vec![
        "CHMOD mode path: sets permissions, in octal".to_owned(),
        "IDLE [seconds]: tells or sets how long the session may say nothing".to_owned(),
        "UTIME YYYYMMDDhhmmss path: sets the time of modification".to_owned(),
    ];
    Ok(Step::Say(Reply::lines(214, "SITE commands:", lines, "SITE HELP shows this")))
}

/// LANG (RFC 2640, 4.1): English is spoken. Alone it goes back to the default, which is that.
pub(super) fn language(tag: Option<&str>) -> Decision {
    let primary = tag.map(|tag| tag.split('-').next().unwrap_or_default());
    match primary {
        None => say(200, "Replies are in English"),
        Some(primary) if primary.eq_ignore_ascii_case("en") => say(200, "Replies are in English"),
        Some(_) => Err(Reply::new(504, "Replies are in English only")),
    }
}
