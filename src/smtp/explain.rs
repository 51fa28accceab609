//! What each verb and each reply code means, for `portico explain smtp`.

use crate::explain::{Explained, row};

pub(crate) const TABLE: &[Explained] = &[
    row("HELO", "The client says its name; the oldest greeting, without extensions.", "RFC 5321, 4.1.1.1"),
    row("EHLO", "The client says its name and asks which extensions there are.", "RFC 5321, 4.1.1.1"),
    row("MAIL", "Begins an envelope with its sender, to whom bounces go; `<>` for a bounce itself.", "RFC 5321, 4.1.1.2"),
    row("RCPT", "Adds one recipient to the envelope.", "RFC 5321, 4.1.1.3"),
    row("DATA", "The message follows, ended by a dot on a line by itself.", "RFC 5321, 4.1.1.4"),
    row("BDAT", "So many octets of the message follow at once; with LAST they are the end of it.", "RFC 3030, 2"),
    row("RSET", "Forgets the envelope and keeps the connection.", "RFC 5321, 4.1.1.5"),
    row(
        "VRFY",
        "Asks whether a user exists; unless the settings say otherwise the answer is `perhaps`, so that nobody can collect addresses.",
        "RFC 5321, 4.1.1.6",
    ),
    row("EXPN", "Asks for the members of a list; answered only where the settings say so.", "RFC 5321, 4.1.1.7"),
    row("HELP", "Asks for the verbs, or for the syntax of one.", "RFC 5321, 4.1.1.8"),
    row("NOOP", "Does nothing and is answered.", "RFC 5321, 4.1.1.9"),
    row("QUIT", "Says goodbye.", "RFC 5321, 4.1.1.10"),
    row("STARTTLS", "Turns the connection into a TLS one; everything said before is forgotten.", "RFC 3207, 4"),
    row("AUTH", "Logs in with a name and a password.", "RFC 4954, 4"),
    row("TURN", "Would have client and server change places; insecure, and not implemented.", "RFC 5321, F.1"),
    row("ETRN", "Asks a server to deliver what it holds for a domain; not implemented.", "RFC 1985"),
    row("ATRN", "Changes places for the domains of an account; not implemented.", "RFC 2645"),
    row("SEND", "Would show the message on a terminal; of historic interest.", "RFC 5321, F.6"),
    row("SOML", "Send or mail, see SEND.", "RFC 5321, F.6"),
    row("SAML", "Send and mail, see SEND.", "RFC 5321, F.6"),
    row("BURL", "Takes the message from an IMAP server; not implemented.", "RFC 4468"),
    row("PIPELINING", "Several commands may be sent at once, before their replies.", "RFC 2920"),
    row("SIZE", "The largest message that is taken; the client may say the size of its own with MAIL.", "RFC 1870"),
    row("8BITMIME", "The message may hold octets beyond ASCII.", "RFC 6152"),
    row("SMTPUTF8", "Addresses and header fields may hold UTF-8, where MAIL says SMTPUTF8.", "RFC 6531"),
    row("CHUNKING", "The message may come by BDAT.", "RFC 3030"),
    row("DSN", "The sender may say of what it wants reports: RET and ENVID with MAIL, NOTIFY and ORCPT with RCPT.", "RFC 3461"),
    row("MT-PRIORITY", "MAIL may give the message a priority from -9 to 9.", "RFC 6710"),
    row("LIMITS", "How many messages a session and how many recipients a message may have.", "RFC 9422"),
    row("ENHANCEDSTATUSCODES", "Replies carry a second, finer code such as 5.1.1.", "RFC 2034"),
    row("214", "Help follows.", "RFC 5321, 4.2.3"),
    row("220", "The server greets, or is ready for the TLS handshake.", "RFC 5321, 4.2.3"),
    row("221", "The server closes the connection, as it was asked to.", "RFC 5321, 4.2.3"),
    row("235", "Logged in.", "RFC 4954, 6"),
    row("250", "Done. After the final dot: the message is safe, and the server's responsibility from now on.", "RFC 5321, 4.2.3"),
    row("251", "The user is elsewhere, and mail is sent on.", "RFC 5321, 3.4"),
    row("252", "The user can't be verified, but mail would be tried.", "RFC 5321, 3.5.3"),
    row("334", "The next part of the credentials is wanted; the text is base64.", "RFC 4954, 4"),
    row("354", "The message may come now.", "RFC 5321, 4.2.3"),
    row("421", "The server must close the connection: it stops, is too busy, or has waited too long.", "RFC 5321, 3.8"),
    row("451", "A fault of the server; try again later.", "RFC 5321, 4.2.3"),
    row("452", "No room, or too many recipients at once; try again later.", "RFC 5321, 4.2.3"),
    row("500", "The command is not known, or the line is too long.", "RFC 5321, 4.2.4"),
    row("501", "The command is known, what follows it is not understood.", "RFC 5321, 4.2.4"),
    row("502", "The command exists in SMTP, but not here.", "RFC 5321, 4.2.4"),
    row("503", "The command may not come now.", "RFC 5321, 4.2.4"),
    row("504", "The login mechanism is not known.", "RFC 4954, 4"),
    row("521", "No mail is taken by this host at all.", "RFC 7504, 3"),
    row("530", "Log in first.", "RFC 4954, 6"),
    row("535", "Name or password are wrong.", "RFC 4954, 6"),
    row("538", "Logging in by this mechanism wants TLS first.", "RFC 4954, 6"),
    row("550", "The mailbox does not exist, mail is not relayed there, or the message is refused for what it holds.", "RFC 5321, 4.2.3"),
    row("551", "The user is elsewhere; the client is to send there itself.", "RFC 5321, 3.4"),
    row("552", "The message is too big.", "RFC 1870, 6.1"),
    row("553", "The address is not allowed: it does not belong to the account, or holds UTF-8 without SMTPUTF8.", "RFC 6409, 6.1"),
    row("554", "The transaction failed: no valid recipient, a mail loop, or no mail client at all.", "RFC 5321, 4.2.3"),
    row("555", "A parameter of MAIL or RCPT is not known.", "RFC 5321, 4.1.1.11"),
    row("556", "The domain takes no mail.", "RFC 7504, 4"),
    row("2.0.0", "Done.", "RFC 3463, 3.1"),
    row("2.1.0", "The sender's address is fine.", "RFC 3463, 3.2"),
    row("2.1.5", "The recipient's address is fine.", "RFC 3463, 3.2"),
    row("2.3.6", "Accepted with a lower priority than was asked for.", "RFC 6710, 9"),
    row("2.7.0", "Logged in.", "RFC 4954, 6"),
    row("4.2.0", "Something is wrong with the mailbox; its server has to mend it.", "RFC 3463, 3.3"),
    row("4.2.2", "The mailbox is full; its owner may make room.", "RFC 3463, 3.3"),
    row("4.3.0", "The mail system has a fault of its own.", "RFC 3463, 3.4"),
    row("4.3.1", "The mail system is full.", "RFC 3463, 3.4"),
    row("4.3.2", "The system takes no messages now: it stops, or is too busy.", "RFC 3463, 3.4"),
    row("4.4.2", "The connection was idle or too slow.", "RFC 3463, 3.5"),
    row("4.5.3", "Too many recipients at once.", "RFC 3463, 3.6"),
    row("4.7.0", "Hung up on for what the client did.", "RFC 3463, 3.8"),
    row("5.0.0", "Refused, for no reason that has a code.", "RFC 3463, 3.1"),
    row("5.1.1", "There is no such user.", "RFC 3463, 3.2"),
    row("5.1.2", "There is no such host, or no route to it.", "RFC 3463, 3.2"),
    row("5.1.3", "The recipient's address can't be read.", "RFC 3463, 3.2"),
    row("5.1.6", "The user has moved, or never was here.", "RFC 3463, 3.2"),
    row("5.1.7", "The sender's address can't be read.", "RFC 3463, 3.2"),
    row("5.1.10", "The recipient's domain takes no mail.", "RFC 7505, 4.1"),
    row("5.2.2", "The message is larger than the whole mailbox may be.", "RFC 3463, 3.3"),
    row("5.3.4", "The message is too big.", "RFC 3463, 3.4"),
    row("5.4.6", "The message goes in circles.", "RFC 3463, 3.5"),
    row("5.5.1", "This command is not known, or may not come now.", "RFC 3463, 3.6"),
    row("5.5.2", "The command could not be read.", "RFC 3463, 3.6"),
    row("5.5.4", "A parameter could not be read.", "RFC 3463, 3.6"),
    row("5.5.6", "A line of the login is too long.", "RFC 4954, 6"),
    row("5.6.7", "The address holds UTF-8 and the client did not say SMTPUTF8.", "RFC 6531, 3.5"),
    row("5.6.8", "The answer would hold UTF-8 and the client did not say SMTPUTF8.", "RFC 6531, 3.7.4.2"),
    row("5.7.0", "Refused for reasons of security: log in first.", "RFC 3463, 3.8"),
    row("5.7.8", "Name or password are wrong.", "RFC 4954, 6"),
    row("5.7.11", "Logging in by this mechanism wants TLS.", "RFC 4954, 6"),
    row("5.7.27", "The sender's domain takes no mail, so nobody could answer.", "RFC 7505, 4.2"),
    row("5.6.0", "The message has a CR or LF that is no line end: the next server could see another message in it.", "RFC 5321, 2.3.8"),
    row("5.7.1", "Relaying denied: the mailbox is elsewhere and the client has not logged in.", "RFC 3463, 3.8"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::{NOT_IMPLEMENTED, VERBS};

    fn is_explained(term: &str) -> bool {
        TABLE.iter().any(|row| row.term == term)
    }

    /// The arguments of every reply that is made in `reply.rs` and `reply/farewell.rs`.
    fn replies(made_by: &str) -> Vec<Vec<&'static str>> {
        let (source, _tests) = include_str!("reply.rs").split_once("#[cfg(test)]").expect("it has tests");
        let sources = [source, include_str!("reply/farewell.rs")].into_iter();
        let calls =
            sources.flat_map(|source| source.split(made_by).skip(1)).map(|call| call.split(',').map(str::trim).take(3).collect::<Vec<_>>());
        calls.filter(|call| call[0].parse::<u16>().is_ok()).collect()
    }

    #[test]
    fn every_verb_and_every_code_is_explained() {
        for verb in VERBS.iter().map(|row| row.word).chain(NOT_IMPLEMENTED.iter().copied()) {
            assert!(is_explained(verb), "{verb}");
        }
        for reply in replies("Reply::new(") {
            let [code, subject, detail] = reply[..] else { panic!("{reply:?}") };
            assert!(is_explained(code), "{code}");
            let enhanced = format!("{}.{subject}.{detail}", &code[..1]);
            assert!(is_explained(&enhanced), "{enhanced}");
        }
    }

    /// RFC 2034, 4: all replies have an enhanced code but the greeting and the one to HELO or EHLO;
    /// and those that are neither success nor failure have none.
    #[test]
    fn only_greetings_and_goings_on_have_no_enhanced_code() {
        let codes: Vec<_> = replies("Reply::plain(").iter().map(|reply| reply[0]).collect();
        let greetings = ["220", "250", "250", "521", "554"];
        let goings_on = ["334", "354"];
        for code in &codes {
            assert!(is_explained(code), "{code}");
            assert!(greetings.contains(code) || goings_on.contains(code), "{code}");
        }
        assert_eq!(codes.len(), greetings.len() + goings_on.len(), "{codes:?}");
        assert!(replies("Reply::new(").len() > 50);
    }
}
