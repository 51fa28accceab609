//! One message to one server, at once and without the queue: for `portico mail send`.

use std::{collections::BTreeMap, io::Cursor, sync::Arc, time::SystemTime};

use super::{
    caller::Caller,
    letter::Letter,
    session::{Sent, Session},
    verdict::{Reason, Verdict},
};
use crate::{
    net::{dial::Dialer, tls::ClientTls},
    smtp::route::{Destination, Hop, SMTP_PORT},
    store::envelope::{Envelope, MailParameters, Progress, RcptParameters, Recipient, RecipientState},
};

pub(crate) struct Errand {
    pub hop: Hop,
    /// What we call ourselves.
    pub name: String,
    pub sender: String,
    pub recipients: Vec<String>,
    /// With CR LF line ends.
    pub message: Vec<u8>,
}

/// Why a recipient does not get the message: the server's words, or ours.
pub(crate) type Refused = String;

impl Errand {
    /// What became of each recipient.
    ///
    /// # Errors
    /// Why there was no conversation, or none with a login.
    pub(crate) async fn run(self, dialer: Dialer, tls: ClientTls) -> Result<Vec<(String, Option<Refused>)>, Refused> {
        let caller = Caller {
            dialer,
            tls: Some(tls),
            name: self.name.clone(),
            own_names: Vec::new(),
            names: None,
            records: BTreeMap::new(),
            mx_port: SMTP_PORT,
            mx_private: false,
        };
        let to = Destination::Hop(Arc::new(self.hop.clone()));
        let mut session = caller.open(&to).await.map_err(|verdict| refusal(verdict).unwrap_or_default())?;
        let outcomes = self.send(&mut session).await;
        session.quit().await;
        Ok(outcomes)
    }

    async fn send(&self, session: &mut Session) -> Vec<(String, Option<Refused>)> {
        let envelope = self.envelope();
        let mut left = envelope.recipients.clone();
        let mut outcomes = Vec::new();
        // A server may want them in several transactions.
        while !left.is_empty() {
            let these: Vec<Recipient> = left.drain(..left.len().min(session.recipients().max(1))).collect();
            let text = Box::new(Cursor::new(self.message.clone()));
            let verdicts = match session.transact(Letter::new(&envelope, &these, (text, self.message.len() as u64))).await {
                Sent::Verdicts(verdicts) => verdicts,
                Sent::Stale => vec![Some(Verdict::Later(Reason::here("the server has hung up".into()))); these.len()],
            };
            for (recipient, verdict) in these.into_iter().zip(verdicts) {
                match verdict {
                    Some(verdict) => outcomes.push((recipient.address, refusal(verdict))),
                    None => left.push(recipient),
                }
            }
        }
        outcomes
    }

    fn envelope(&self) -> Envelope {
        let recipient = |address: &String| Recipient {
            address: address.clone(),
            state: RecipientState::Waiting { last_reply: None },
            parameters: RcptParameters::default(),
            report: None,
            progress: Progress::default(),
        };
        let now = SystemTime::UNIX_EPOCH;
        let smtputf8 = !self.sender.is_ascii() || self.recipients.iter().any(|address| !address.is_ascii());
        Envelope {
            id: String::new(),
            sender: self.sender.clone(),
            recipients: self.recipients.iter().map(recipient).collect(),
            eight_bit: !self.message.is_ascii(),
            arrived: now,
            attempts: 0,
            next_attempt: now,
            held: false,
            parameters: MailParameters { smtputf8, ..MailParameters::default() },
        }
    }
}

fn refusal(verdict: Verdict) -> Option<Refused> {
    match verdict {
        Verdict::Delivered { .. } => None,
        Verdict::Later(reason) | Verdict::Failed(reason) => Some(reason.text),
    }
}
