//! Conversations as they happen, for `portico watch`.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io, mem,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::broadcast::error::RecvError,
};

use crate::transcript::{
    record::{Event, LOGIN, Noted, Recorder, steps},
    script::{Heading, Item},
};

/// Lines of a conversation that are kept until it is known whose it is.
const WAITING_LINES: usize = 100;

/// Which conversations to show. What belongs to one that is shown (FTP's data connections, the
/// proxy's connections to origins) is shown with it.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Wanted {
    /// Those of these services; all where it is empty.
    pub services: Vec<String>,
    /// Those in which this account logs in, from their beginning.
    #[serde(default)]
    pub account: Option<String>,
    /// Those of this client.
    #[serde(default)]
    pub peer: Option<IpAddr>,
}

impl Wanted {
    fn wants(&self, heading: &Heading) -> bool {
        let service = self.services.is_empty() || self.services.contains(&heading.service);
        service && self.peer.is_none_or(|peer| heading.client.ip().to_canonical() == peer.to_canonical())
    }
}

/// The conversations that are being shown, by the numbers of their connections.
#[derive(Default)]
pub(crate) struct Shown(HashMap<u64, Conversation>);

struct Conversation {
    service: String,
    /// When it began, after the beginning of the conversation that it belongs to.
    after: Duration,
    began: Instant,
    /// Lines that wait for the login that decides whether anybody wants to see them.
    waiting: Option<Vec<String>>,
}

/// Streams until the asker goes. One that reads slowly misses lines, is told so, and slows no
/// conversation down.
pub(super) async fn stream(to: &mut UnixStream, wanted: &Wanted, recorder: &Recorder) -> io::Result<()> {
    let mut listener = recorder.listen();
    let mut shown = Shown::default();
    let (mut asker, mut to) = to.split();
    loop {
        let mut word = [0; 64];
        let noted = tokio::select! {
            noted = listener.recv() => noted,
            // The asker has nothing to say; whatever comes is its end.
            _ = asker.read(&mut word) => return Ok(()),
        };
        let text = match noted {
            Ok(noted) => shown.lines(&noted, wanted),
            Err(RecvError::Lagged(missed)) => format!("-- {missed} events missed: too slow\n"),
            Err(RecvError::Closed) => return Ok(()),
        };
        to.write_all(text.as_bytes()).await?;
    }
}

impl Shown {
    /// An event as lines that begin with its service and connection. Times count from the
    /// beginning of the conversation that a connection belongs to.
    pub(crate) fn lines(&mut self, noted: &Noted, wanted: &Wanted) -> String {
        if let Event::Opened(heading) = &noted.event {
            self.open(noted.conn, heading, wanted);
        }
        let Some(conversation) = self.0.get_mut(&noted.conn) else { return String::new() };
        let mut text = String::new();
        for step in steps(&noted.event) {
            let item = Item { line: 0, at: Some(conversation.after + noted.at), step };
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{}#{} {item}", conversation.service, noted.conn);
        }
        let text = conversation.hold_back(text, &noted.event, wanted);
        if matches!(noted.event, Event::Closed(_)) {
            self.0.remove(&noted.conn);
        }
        text
    }

    fn open(&mut self, conn: u64, heading: &Heading, wanted: &Wanted) {
        let parent = heading.parent.and_then(|parent| self.0.get(&parent)).filter(|parent| parent.waiting.is_none());
        if parent.is_none() && !wanted.wants(heading) {
            return;
        }
        let (after, waits) = match parent {
            Some(parent) => (parent.after + parent.began.elapsed(), false),
            None => (Duration::ZERO, wanted.account.is_some()),
        };
        let conversation = Conversation { service: heading.service.clone(), after, began: Instant::now(), waiting: waits.then(Vec::new) };
        self.0.insert(conn, conversation);
    }
}

impl Conversation {
    /// What may be shown now.
    fn hold_back(&mut self, text: String, event: &Event, wanted: &Wanted) -> String {
        let Some(waiting) = &mut self.waiting else { return text };
        let is_wanted = match (event, &wanted.account) {
            (Event::Happened(what), Some(account)) => what.strip_prefix(LOGIN).is_some_and(|name| name.eq_ignore_ascii_case(account)),
            _ => false,
        };
        if waiting.len() == WAITING_LINES {
            waiting.remove(0);
        }
        waiting.push(text);
        if is_wanted { mem::take(&mut self.waiting).unwrap_or_default().concat() } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::transcript::record::Side;

    fn opened(service: &str, id: u64, parent: Option<u64>) -> Noted {
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        noted(id, Event::Opened(Heading { service: service.into(), client: at, server: at, id, parent }))
    }

    fn noted(conn: u64, event: Event) -> Noted {
        Noted { conn, at: Duration::from_millis(12), event }
    }

    fn line(conn: u64) -> Noted {
        noted(conn, Event::Line { side: Side::Client, line: b"NOOP \x1b[2J".to_vec() })
    }

    #[test]
    fn lines_name_their_conversation_and_others_are_left_out() {
        let wanted = Wanted { services: vec!["smtp".into()], ..Wanted::default() };
        let mut shown = Shown::default();
        let first = shown.lines(&opened("smtp", 7, None), &wanted);
        assert!(first.starts_with("smtp#7 ") && first.contains("# smtp 127.0.0.1:1"), "{first}");
        assert_eq!(shown.lines(&opened("pop3", 8, None), &wanted), "");
        assert_eq!(shown.lines(&line(7), &wanted), "smtp#7     0.012 C: NOOP \\x1b[2J\n");
        assert_eq!(shown.lines(&line(8), &wanted), "");
        assert!(shown.lines(&noted(7, Event::Closed("done".into())), &wanted).contains("ended: done"));
        assert_eq!(shown.lines(&line(7), &wanted), "", "nothing is kept of what is over");
    }

    #[test]
    fn what_belongs_to_a_conversation_is_shown_with_it() {
        let wanted = Wanted { services: vec!["ftp".into()], ..Wanted::default() };
        let mut shown = Shown::default();
        shown.lines(&opened("ftp", 1, None), &wanted);
        assert!(shown.lines(&opened("ftp-data", 2, Some(1)), &wanted).starts_with("ftp-data#2 "));
        assert_eq!(shown.lines(&opened("ftp-data", 3, Some(9)), &wanted), "");
    }

    #[test]
    fn an_account_is_seen_from_the_beginning_of_its_conversations() {
        let wanted = Wanted { account: Some("bob".into()), ..Wanted::default() };
        let mut shown = Shown::default();
        for conn in [1, 2] {
            assert_eq!(shown.lines(&opened("pop3", conn, None), &wanted), "");
            assert_eq!(shown.lines(&line(conn), &wanted), "");
        }
        let all = shown.lines(&noted(1, Event::Happened("login bob".into())), &wanted);
        assert_eq!(all.lines().count(), 3, "{all}");
        assert_eq!(shown.lines(&noted(2, Event::Happened("login alice".into())), &wanted), "");
        assert_ne!(shown.lines(&line(1), &wanted), "");
    }

    #[test]
    fn a_client_is_told_from_others() {
        let wanted = Wanted { peer: Some([127, 0, 0, 2].into()), ..Wanted::default() };
        assert_eq!(Shown::default().lines(&opened("pop3", 1, None), &wanted), "");
        let wanted = Wanted { peer: Some([127, 0, 0, 1].into()), ..Wanted::default() };
        assert_ne!(Shown::default().lines(&opened("pop3", 1, None), &wanted), "");
    }
}
