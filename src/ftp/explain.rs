//! The commands and replies of FTP, explained. HELP answers from here too.

use crate::explain::{Explained, row};

/// The verbs of the table.
pub(crate) fn verbs() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.term).filter(|term| !term.starts_with(|c: char| c.is_ascii_digit()))
}

pub(crate) const TABLE: &[Explained] = &[
    row("ABOR", "Ends the transfer under way and closes its data connection.", "RFC 959, 4.1.3"),
    row("ACCT", "Names an account; superfluous here.", "RFC 959, 4.1.1"),
    row("ALLO", "Reserves storage for an upload; superfluous here.", "RFC 959, 4.1.3"),
    row("APPE", "Stores a file at the end of one that stands there.", "RFC 959, 4.1.3"),
    row("AUTH", "AUTH TLS protects the control connection.", "RFC 4217, 4"),
    row("CCC", "Would end the protection of the control connection; refused.", "RFC 2228, 3"),
    row("CDUP", "Goes to the parent directory.", "RFC 959, 4.1.1"),
    row("CWD", "Changes the current directory.", "RFC 959, 4.1.1"),
    row("DELE", "Removes a file.", "RFC 959, 4.1.3"),
    row("EPRT", "Tells where the client awaits the data connection, over IPv4 or IPv6.", "RFC 2428, 2"),
    row("EPSV", "Asks the server to await the data connection; EPSV ALL rules out all other ways.", "RFC 2428, 3"),
    row("FEAT", "Lists the extensions that the server knows.", "RFC 2389, 3"),
    row("HELP", "Lists the commands, or explains one.", "RFC 959, 4.1.3"),
    row("LIST", "Lists a directory or a file as ls -l does, over the data connection.", "RFC 959, 4.1.3"),
    row("MDTM", "Tells when a file was modified last.", "RFC 3659, 3"),
    row("MFMT", "Sets the time of modification of a file.", "draft-somers-ftp-mfxx, 3"),
    row("MKD", "Makes a directory.", "RFC 959, 4.1.3"),
    row("MLSD", "Lists a directory in a form for programs, over the data connection.", "RFC 3659, 7"),
    row("MLST", "Tells the facts about one file over the control connection.", "RFC 3659, 7"),
    row("MODE", "Sets the transfer mode: S, stream.", "RFC 959, 3.4"),
    row("NLST", "Lists the names in a directory over the data connection.", "RFC 959, 4.1.3"),
    row("NOOP", "Does nothing, successfully.", "RFC 959, 4.1.3"),
    row("OPTS", "Sets options: UTF8 ON, or the facts that MLST shows.", "RFC 2389, 4"),
    row("PASS", "Gives the password that goes with USER.", "RFC 959, 4.1.1"),
    row("PASV", "Asks the server to await the data connection; IPv4 only.", "RFC 959, 4.1.2"),
    row("PBSZ", "Agrees on the protection buffer size: 0 under TLS.", "RFC 4217, 8"),
    row("PORT", "Tells where the client awaits the data connection; IPv4 only.", "RFC 959, 4.1.2"),
    row("PROT", "Protects data connections (P) or leaves them in the clear (C).", "RFC 4217, 9"),
    row("PWD", "Tells the current directory.", "RFC 959, 4.1.3"),
    row("QUIT", "Says goodbye.", "RFC 959, 4.1.1"),
    row("REIN", "Logs out and starts afresh on the same connection.", "RFC 959, 4.1.1"),
    row("REST", "Sets where the next transfer starts, in octets.", "RFC 3659, 5"),
    row("RETR", "Fetches a file over the data connection.", "RFC 959, 4.1.3"),
    row("RMD", "Removes an empty directory.", "RFC 959, 4.1.3"),
    row("RNFR", "Names what is to be renamed; RNTO must follow at once.", "RFC 959, 4.1.3"),
    row("RNTO", "Gives the new name.", "RFC 959, 4.1.3"),
    row("SITE", "Commands of this server alone: SITE HELP.", "RFC 959, 4.1.3"),
    row("SIZE", "Tells how many octets a file has as it would be transferred.", "RFC 3659, 4"),
    row("STAT", "Tells how things stand, also during a transfer; with a path, lists it.", "RFC 959, 4.1.3"),
    row("STOR", "Stores a file that is sent over the data connection.", "RFC 959, 4.1.3"),
    row("STOU", "Stores a file under a name that the server makes up.", "RFC 959, 4.1.3"),
    row("STRU", "Sets the file structure: F, file.", "RFC 959, 3.1.2"),
    row("SYST", "Tells the kind of operating system, so that clients can read LIST.", "RFC 959, 4.1.3"),
    row("TYPE", "Sets the representation: A (text lines end with CR LF) or I (octets as they are).", "RFC 959, 3.1.1"),
    row("USER", "Names the user.", "RFC 959, 4.1.1"),
    row("125", "The data connection stands already; the transfer starts.", "RFC 959, 4.2"),
    row("150", "File status okay; the data connection is about to be opened.", "RFC 959, 4.2"),
    row("200", "Command okay.", "RFC 959, 4.2"),
    row("202", "Command superfluous at this site.", "RFC 959, 4.2"),
    row("211", "System status or features.", "RFC 959, 4.2"),
    row("212", "Directory status.", "RFC 959, 4.2"),
    row("213", "File status: a size, a time.", "RFC 959, 4.2"),
    row("214", "Help for people.", "RFC 959, 4.2"),
    row("215", "The kind of system.", "RFC 959, 4.2"),
    row("220", "Service ready for a new user.", "RFC 959, 4.2"),
    row("221", "Goodbye; the control connection is closed.", "RFC 959, 4.2"),
    row("226", "The transfer is complete, the file safe, the data connection closed.", "RFC 959, 4.2"),
    row("227", "Entering passive mode at this address and port.", "RFC 959, 4.2"),
    row("229", "Entering extended passive mode at this port.", "RFC 2428, 3"),
    row("230", "User logged in.", "RFC 959, 4.2"),
    row("234", "Go ahead with the TLS handshake.", "RFC 2228, 4.5"),
    row("250", "Requested file action okay, completed.", "RFC 959, 4.2"),
    row("257", "A path name; created.", "RFC 959, 4.2"),
    row("331", "User name okay, need password.", "RFC 959, 4.2"),
    row("350", "Pending further information: the command that belongs to this one.", "RFC 959, 4.2"),
    row("421", "Service not available; the control connection is closed.", "RFC 959, 4.2"),
    row("425", "Can't open the data connection.", "RFC 959, 4.2"),
    row("426", "Connection closed; transfer aborted.", "RFC 959, 4.2"),
    row("450", "File unavailable for now.", "RFC 959, 4.2"),
    row("451", "Local error in processing.", "RFC 959, 4.2"),
    row("452", "Insufficient storage space.", "RFC 959, 4.2"),
    row("500", "Syntax error, command unrecognized.", "RFC 959, 4.2"),
    row("501", "Syntax error in parameters.", "RFC 959, 4.2"),
    row("502", "Command not implemented.", "RFC 959, 4.2"),
    row("503", "Bad sequence of commands.", "RFC 959, 4.2"),
    row("504", "Command not implemented for that parameter.", "RFC 959, 4.2"),
    row("522", "Network protocol not supported.", "RFC 2428, 2"),
    row("530", "Not logged in.", "RFC 959, 4.2"),
    row("533", "Protection level denied.", "RFC 2228, 4.5"),
    row("534", "Request denied for policy reasons.", "RFC 2228, 4.5"),
    row("536", "Protection level not supported by the mechanism.", "RFC 2228, 4.5"),
    row("550", "File unavailable: not found, or no right.", "RFC 959, 4.2"),
    row("553", "File name not allowed.", "RFC 959, 4.2"),
    row("554", "The restart marker is invalid.", "RFC 3659, 5"),
];

#[cfg(test)]
mod tests {
    use super::{super::command::VERBS, *};

    #[test]
    fn every_verb_is_explained_and_no_other() {
        assert!(verbs().eq(VERBS.iter().map(|(verb, _)| *verb)));
    }
}
