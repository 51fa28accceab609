//! An SMTP envelope as the queue keeps it: who sent it, who is still to get it, and what the
//! sender asked of all servers on the way.
//!
//! Envelopes outlive the version that wrote them: what later versions added has a default, so an
//! old file reads as an envelope whose sender asked for nothing.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// An SMTP envelope in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// Unique in this queue; also in the Received field and the reply (`250 ... (id ID)`).
    pub id: String,
    /// The reverse path; empty for `<>`.
    pub sender: String,
    pub recipients: Vec<Recipient>,
    /// The message holds octets above 127.
    pub eight_bit: bool,
    pub arrived: SystemTime,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before.
    pub next_attempt: SystemTime,
    /// Held by the administrator: no attempts.
    pub held: bool,
    #[serde(default)]
    pub parameters: MailParameters,
}

impl Envelope {
    /// Not before this is a recipient tried.
    pub(crate) fn due(&self, recipient: &Recipient) -> SystemTime {
        recipient.progress.next_attempt.unwrap_or(self.next_attempt)
    }

    /// Nobody waits and no report is due: the entry can go.
    pub(crate) fn is_settled(&self) -> bool {
        self.recipients.iter().all(|recipient| !recipient.is_waiting() && recipient.report.is_none())
    }

    /// The envelope's own count and time follow its recipients'.
    pub(crate) fn sum_up(&mut self) {
        let waiting = self.recipients.iter().filter(|recipient| recipient.is_waiting());
        let next = waiting.map(|recipient| self.due(recipient)).min();
        self.attempts = self.recipients.iter().map(|recipient| recipient.progress.attempts).max().unwrap_or(0).max(self.attempts);
        // Those without a time of their own keep the one that they had.
        if self.recipients.iter().all(|recipient| !recipient.is_waiting() || recipient.progress.next_attempt.is_some()) {
            self.next_attempt = next.unwrap_or(self.next_attempt);
        }
    }
}

impl Recipient {
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, RecipientState::Waiting { .. })
    }

    /// What stands behind the at-sign, in small letters.
    pub(crate) fn domain(&self) -> String {
        self.address.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()).unwrap_or_default()
    }
}

/// The parameters of MAIL that go on to the next server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MailParameters {
    /// BODY as it was declared (RFC 6152).
    pub body: Option<Body>,
    /// SMTPUTF8: addresses or header may hold UTF-8, only a server that knows it may get them
    /// (RFC 6531, 3.4).
    pub smtputf8: bool,
    /// RET: how much of the message comes back with a report of failure (RFC 3461, 4.3).
    pub ret: Option<Return>,
    /// ENVID without its xtext encoding: printable ASCII (RFC 3461, 4.4).
    pub envid: Option<String>,
    /// MT-PRIORITY, -9 to 9 (RFC 6710); higher goes first. Nothing counts as 0.
    pub priority: Option<i8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Body {
    #[serde(rename = "7BIT")]
    SevenBit,
    #[serde(rename = "8BITMIME")]
    EightBitMime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Return {
    Full,
    Hdrs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipient {
    pub address: String,
    pub state: RecipientState,
    #[serde(default)]
    pub parameters: RcptParameters,
    /// What the sender is still to be told of this recipient. An entry stays in the queue until
    /// nobody waits and no report is due, so that a crash forgets none.
    #[serde(default)]
    pub report: Option<Report>,
    #[serde(default)]
    pub progress: Progress,
}

/// What has been tried for one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub attempts: u32,
    /// Not before; without it the envelope's own time counts.
    pub next_attempt: Option<SystemTime>,
    /// When it was tried last, and what the other server called itself.
    pub last_attempt: Option<SystemTime>,
    pub remote: Option<String>,
    /// The sender has been told that it is late.
    pub warned: bool,
}

/// The parameters of RCPT that go on to the next server (RFC 3461, 4.1 and 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RcptParameters {
    /// `None`: the sender left it to us, and hears of failures.
    pub notify: Option<Notify>,
    pub orcpt: Option<OriginalRecipient>,
}

/// NOTIFY: of what the sender is to hear. Nothing at all is `NOTIFY=NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// ORCPT: whom the sender named, before aliases and forwarding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginalRecipient {
    /// `rfc822`, or `utf-8` (RFC 6533, 3).
    pub kind: String,
    /// Without its xtext encoding. Beyond ASCII only where the kind is `utf-8`.
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RecipientState {
    Waiting {
        last_reply: Option<String>,
    },
    Delivered,
    /// For good; the reply or reason.
    Failed(String),
}

/// The kinds of report (the `Action` of RFC 3464, 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// In a mailbox here.
    Delivered,
    /// Passed on to a server that will send no report of success.
    Relayed,
    /// A list here, which has sent it on to its members.
    Expanded,
    Delayed,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_of_the_first_format_is_still_read() {
        let old = r#"{ "id": "1", "sender": "alice@one.example", "eight_bit": false, "attempts": 2, "held": false,
            "arrived": { "secs_since_epoch": 784111777, "nanos_since_epoch": 0 },
            "next_attempt": { "secs_since_epoch": 784111777, "nanos_since_epoch": 0 },
            "recipients": [{ "address": "bob@two.example", "state": { "Waiting": { "last_reply": "450 later" } } }],
            "parameters": {} }"#;
        let envelope: Envelope = serde_json::from_str(old).unwrap();
        assert_eq!(envelope.parameters, MailParameters::default());
        assert_eq!(envelope.recipients[0].parameters, RcptParameters::default());
        let again: Envelope = serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
        assert_eq!(again, envelope);
        assert!(serde_json::from_str::<Envelope>(&old.replace(",\n            \"parameters\": {}", "")).is_ok());
    }
}
