//! POP3 replies (RFC 1939, 3) and their response codes (RFC 2449, 8; RFC 3206).

use std::{borrow::Cow, fmt};

use crate::store::StoreError;

/// One line that begins with `+OK` or `-ERR`. It can't hold CR or LF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply(String);

/// The response codes: a `-ERR` that a program can act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The maildrop is locked by another session (RFC 2449, 8.1.2).
    InUse,
    /// Logged on a moment ago: wait (RFC 2449, 8.1.1).
    LoginDelay,
    /// The credentials are wrong: ask the user, don't try the same again (RFC 3206, 4).
    Auth,
    /// Trouble at the server that may pass (RFC 3206, 5).
    SysTemp,
    /// Trouble at the server that a person must mend (RFC 3206, 5).
    SysPerm,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::InUse => "[IN-USE]",
            Code::LoginDelay => "[LOGIN-DELAY]",
            Code::Auth => "[AUTH]",
            Code::SysTemp => "[SYS/TEMP]",
            Code::SysPerm => "[SYS/PERM]",
        })
    }
}

impl Reply {
    pub(crate) fn ok(text: impl fmt::Display) -> Reply {
        Reply::line(format_args!("+OK {text}"))
    }

    pub(crate) fn err(text: impl fmt::Display) -> Reply {
        Reply::line(format_args!("-ERR {text}"))
    }

    pub(crate) fn err_code(code: Code, text: impl fmt::Display) -> Reply {
        Reply::line(format_args!("-ERR {code} {text}"))
    }

    /// Asks for a SASL response; `challenge` is in base64 (RFC 5034, 4).
    pub(crate) fn challenge(challenge: impl fmt::Display) -> Reply {
        Reply::line(format_args!("+ {challenge}"))
    }

    fn line(text: fmt::Arguments<'_>) -> Reply {
        let mut line = text.to_string().replace(['\r', '\n'], " ");
        line.push_str("\r\n");
        Reply(line)
    }

    /// As last words to a peer.
    pub(crate) fn into_farewell(self) -> Cow<'static, [u8]> {
        Cow::Owned(self.0.into_bytes())
    }
}

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What was attempted when the storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Open,
    Read,
    Remove,
}

/// THE mapping of storage errors to replies.
pub(crate) fn refusal(attempt: Attempt, error: &StoreError) -> Reply {
    if attempt == Attempt::Remove {
        // RFC 1939, 6: the one thing that the client has to know.
        return Reply::err_code(code_of(error), "some deleted messages not removed");
    }
    match (error, attempt) {
        (StoreError::Busy, _) => Reply::err_code(Code::InUse, "the maildrop is in use by another session"),
        (StoreError::NotFound, Attempt::Read) => Reply::err("the message has been removed by another program"),
        (_, Attempt::Read) => Reply::err_code(code_of(error), "the message can't be read"),
        _ => Reply::err_code(code_of(error), "the maildrop can't be opened"),
    }
}

fn code_of(error: &StoreError) -> Code {
    match error {
        StoreError::Busy | StoreError::Changed => Code::InUse,
        StoreError::Full | StoreError::OverQuota | StoreError::Broken(_) => Code::SysTemp,
        StoreError::NotFound
        | StoreError::Denied
        | StoreError::Exists
        | StoreError::IsFolder
        | StoreError::NotFolder
        | StoreError::NotEmpty => Code::SysPerm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> &str {
        std::str::from_utf8(reply.as_ref()).unwrap()
    }

    #[test]
    fn a_reply_is_one_line_whatever_it_is_made_of() {
        assert_eq!(text(&Reply::ok("a\r\n+OK b")), "+OK a  +OK b\r\n");
        assert_eq!(text(&Reply::err_code(Code::Auth, "no")), "-ERR [AUTH] no\r\n");
        assert_eq!(text(&Reply::challenge("")), "+ \r\n");
    }

    #[test]
    fn temporary_and_permanent_troubles_are_told_apart() {
        let broken = || StoreError::Broken(std::io::Error::other("disk"));
        for (attempt, error, start) in [
            (Attempt::Open, StoreError::Busy, "-ERR [IN-USE] "),
            (Attempt::Open, broken(), "-ERR [SYS/TEMP] "),
            (Attempt::Open, StoreError::Denied, "-ERR [SYS/PERM] "),
            (Attempt::Read, StoreError::NotFound, "-ERR the message has been removed"),
            (Attempt::Read, broken(), "-ERR [SYS/TEMP] "),
            (Attempt::Remove, StoreError::Denied, "-ERR [SYS/PERM] some deleted messages not removed"),
            (Attempt::Remove, broken(), "-ERR [SYS/TEMP] some deleted messages not removed"),
        ] {
            let reply = refusal(attempt, &error);
            assert!(text(&reply).starts_with(start), "{attempt:?} {error}: {}", text(&reply));
        }
    }
}
