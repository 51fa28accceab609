//! What each POP3 command and reply means, for `portico explain`.

use crate::explain::{Explained, row};

pub(crate) const TABLE: &[Explained] = &[
    row("USER", "Names the account; the password follows with PASS.", "RFC 1939, 7"),
    row("PASS", "The password, spaces and all; a right one opens and locks the maildrop.", "RFC 1939, 7"),
    row("AUTH", "Logs in by a SASL mechanism; `*` cancels the exchange.", "RFC 5034, 4"),
    row("APOP", "Logs in by a digest of the banner's stamp and the password: for teaching.", "RFC 1939, 7"),
    row("UTF8", "The client reads UTF-8 in headers.", "RFC 6856, 2"),
    row("LANG", "Lists the languages of the replies, or chooses one.", "RFC 6856, 3"),
    row("STLS", "Goes over to TLS; everything said before is forgotten.", "RFC 2595, 4"),
    row("CAPA", "Lists what the server can do beyond the minimum.", "RFC 2449, 5"),
    row("STAT", "How many messages there are and how many octets they have together.", "RFC 1939, 5"),
    row("LIST", "The size of each message, or of one.", "RFC 1939, 5"),
    row("UIDL", "An identifier for each message that stays the same between sessions, or for one.", "RFC 1939, 7"),
    row("RETR", "Sends a message; a line with a dot alone ends it, lines that begin with a dot get another.", "RFC 1939, 5"),
    row("TOP", "Sends the header of a message and some lines of its body.", "RFC 1939, 7"),
    row("DELE", "Marks a message as deleted; it goes at QUIT.", "RFC 1939, 5"),
    row("RSET", "Takes all deletion marks back.", "RFC 1939, 5"),
    row("NOOP", "Does nothing; keeps the session from being idle.", "RFC 1939, 5"),
    row("QUIT", "Removes the messages marked as deleted and ends the session.", "RFC 1939, 6"),
    row("+OK", "The command was carried out.", "RFC 1939, 3"),
    row("-ERR", "The command was refused; the text says why.", "RFC 1939, 3"),
    row("+", "The server waits for a SASL response in base64.", "RFC 5034, 4"),
    row("[IN-USE]", "Another session has the maildrop locked.", "RFC 2449, 8.1.2"),
    row("[LOGIN-DELAY]", "The account was logged on to a moment ago.", "RFC 2449, 8.1.1"),
    row("[AUTH]", "The credentials are wrong; trying again won't help.", "RFC 3206, 4"),
    row("[SYS/TEMP]", "Trouble at the server that may pass.", "RFC 3206, 5"),
    row("[SYS/PERM]", "Trouble at the server that a person must mend.", "RFC 3206, 5"),
];

#[cfg(test)]
mod tests {
    use super::{
        super::{
            command::{Command, Fault},
            reply::Code,
        },
        *,
    };

    #[test]
    fn every_command_and_every_response_code_is_explained_and_no_other() {
        let codes = [Code::InUse, Code::LoginDelay, Code::Auth, Code::SysTemp, Code::SysPerm].map(|code| code.to_string());
        for term in TABLE.iter().map(|row| row.term).filter(|term| !term.starts_with(['+', '-'])) {
            let is_known = Command::parse(term.as_bytes()).map_or_else(|fault| fault != Fault::Unknown, |_| true);
            assert!(is_known || codes.iter().any(|code| code == term), "{term}");
        }
        let verbs = [
            "USER", "PASS", "APOP", "AUTH", "UTF8", "LANG", "STLS", "CAPA", "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP",
            "QUIT",
        ];
        for term in codes.iter().map(String::as_str).chain(verbs) {
            assert!(TABLE.iter().any(|row| row.term == term), "{term}");
        }
    }
}
