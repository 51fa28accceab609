//! Conversations as they happen, for `portico watch`.

use std::{collections::HashMap, fmt::Write as _, io};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::broadcast::error::RecvError,
};

use crate::transcript::{
    record::{Event, Noted, Recorder, steps},
    script::Item,
};

/// Which conversations to show.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Wanted {
    /// Those of these services; all where it is empty.
    pub services: Vec<String>,
}

/// The conversations that are being shown: a connection's number to its service.
#[derive(Default)]
struct Shown(HashMap<u64, String>);

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
    /// An event as lines that begin with its service and connection.
    fn lines(&mut self, noted: &Noted, wanted: &Wanted) -> String {
        if let Event::Opened(heading) = &noted.event
            && (wanted.services.is_empty() || wanted.services.contains(&heading.service))
        {
            self.0.insert(noted.conn, heading.service.clone());
        }
        let mut text = String::new();
        if let Some(service) = self.0.get(&noted.conn) {
            for step in steps(&noted.event) {
                let item = Item { line: 0, at: Some(noted.at), step };
                // Writing to a string cannot fail.
                let _written = writeln!(text, "{service}#{} {item}", noted.conn);
            }
        }
        if matches!(noted.event, Event::Closed(_)) {
            self.0.remove(&noted.conn);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::transcript::{record::Side, script::Heading};

    #[test]
    fn lines_name_their_conversation_and_others_are_left_out() {
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        let heading = |service: &str, id| Heading { service: service.into(), client: at, server: at, id, parent: None };
        let noted = |conn, event| Noted { conn, at: Duration::from_millis(12), event };
        let line = || Event::Line { side: Side::Client, line: b"NOOP \x1b[2J".to_vec() };
        let wanted = Wanted { services: vec!["smtp".into()] };
        let mut shown = Shown::default();
        let opened = shown.lines(&noted(7, Event::Opened(heading("smtp", 7))), &wanted);
        assert!(opened.starts_with("smtp#7 ") && opened.contains("# smtp 127.0.0.1:1"), "{opened}");
        assert_eq!(shown.lines(&noted(8, Event::Opened(heading("pop3", 8))), &wanted), "");
        assert_eq!(shown.lines(&noted(7, line()), &wanted), "smtp#7     0.012 C: NOOP \\x1b[2J\n");
        assert_eq!(shown.lines(&noted(8, line()), &wanted), "");
        assert!(shown.lines(&noted(7, Event::Closed("done".into())), &wanted).contains("ended: done"));
        assert_eq!(shown.lines(&noted(7, line()), &wanted), "", "nothing is kept of what is over");
    }
}
