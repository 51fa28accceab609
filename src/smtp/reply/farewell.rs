//! Replies after which the connection is closed, the greeting's place among them.

use super::Reply;

pub(crate) fn too_many_mistakes(name: &str) -> Reply {
    Reply::new(421, 7, 0, format_args!("{name} Too many mistakes, closing connection"))
}

pub(crate) fn too_many_failed_logins(name: &str) -> Reply {
    Reply::new(421, 7, 0, format_args!("{name} Too many failed logins, closing connection"))
}

pub(crate) fn too_many_transactions(name: &str) -> Reply {
    Reply::new(421, 7, 0, format_args!("{name} Too many messages in one session, connect again"))
}

/// In place of the greeting.
pub(crate) fn talks_too_early(name: &str) -> Reply {
    Reply::plain(554, format_args!("{name} Protocol error: wait for the greeting before you talk"))
}

pub(crate) fn no_web_server() -> Reply {
    Reply::new(554, 5, 1, "This is a mail server, closing connection")
}

pub(crate) fn shutting_down(name: &str) -> Reply {
    Reply::new(421, 3, 2, format_args!("{name} Service closing down, try again later"))
}

pub(crate) fn too_busy(name: &str) -> Reply {
    Reply::new(421, 3, 2, format_args!("{name} Too many connections, try again later"))
}

pub(crate) fn too_slow(name: &str) -> Reply {
    Reply::new(421, 4, 2, format_args!("{name} Timeout, closing connection"))
}

pub(crate) fn abuse(name: &str, what: &str) -> Reply {
    Reply::new(421, 7, 0, format_args!("{name} Closing connection: {what}"))
}

pub(crate) fn own_fault(name: &str) -> Reply {
    Reply::new(421, 3, 0, format_args!("{name} Internal error, closing connection"))
}
