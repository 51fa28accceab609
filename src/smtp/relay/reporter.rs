//! Tells senders what they are to hear: writes the reports that are due for an entry, and takes them
//! off its list in the same commit. So a crash neither forgets one nor sends it twice.

use std::{collections::BTreeSet, io::Read, net::Ipv4Addr, time::SystemTime};

use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::{
    Shared,
    report::{self, Kind, Report},
};
use crate::{
    mail::address::{Mailbox, Path},
    smtp::{
        delivery,
        directory::{Found, Target},
        parcel::{Consignment, Copy},
    },
    store::{
        self, StoreError,
        envelope::{Envelope, MailParameters, Recipient, Return},
        mail::Parcel,
    },
};

/// Writes what is due. Answers when to try again, where that failed.
pub(super) async fn report(shared: &std::sync::Arc<Shared>, id: &str) -> Option<SystemTime> {
    let (own, entry) = (shared.clone(), id.to_owned());
    match store::blocking(move || write(&own, &entry)).await {
        Ok(goes_elsewhere) => {
            if goes_elsewhere {
                shared.wake.wake();
            }
            None
        }
        Err(StoreError::NotFound) => None,
        Err(error) => {
            tracing::error!(id, "a report could not be stored: {error}");
            // The entry keeps its list: it is due again at once, and must not be tried at once.
            sleep(shared.retry.first.0).await;
            Some(shared.clock.now())
        }
    }
}

fn write(shared: &Shared, id: &str) -> Result<bool, StoreError> {
    let envelope = shared.queue.envelope(id)?;
    let due: Vec<&Recipient> = envelope.recipients.iter().filter(|recipient| recipient.report.is_some()).collect();
    let kinds: BTreeSet<Kind> = due.iter().filter_map(|recipient| recipient.report.map(Kind::of)).collect();
    let targets = targets(shared, &envelope);
    let mut parcels = Vec::new();
    for kind in kinds.into_iter().filter(|_| !targets.is_empty()) {
        let about = due.iter().copied().filter(|recipient| recipient.report.map(Kind::of) == Some(kind)).collect();
        parcels.push(parcel(shared, &envelope, kind, about, targets.clone())?);
    }
    if targets.is_empty() {
        tracing::warn!(id, to = envelope.sender, "a report has nowhere to go; it is dropped");
    }
    let goes_elsewhere = parcels.iter().any(|parcel| parcel.relay.is_some() || !parcel.forwards.is_empty());
    let told: Vec<_> = due.iter().map(|recipient| (recipient.address.clone(), recipient.report)).collect();
    let mut clear = |entry: &mut Envelope| {
        // Only what was told: something else may have become due meanwhile.
        let told =
            |recipient: &&mut Recipient| told.iter().any(|(address, report)| *address == recipient.address && *report == recipient.report);
        entry.recipients.iter_mut().filter(told).for_each(|recipient| recipient.report = None);
    };
    match shared.queue.settle(id, &mut clear, parcels) {
        // A crash came between the report and our note of it.
        Err(StoreError::Exists) => shared.queue.change(id, &mut clear)?,
        settled => settled?,
    };
    Ok(goes_elsewhere)
}

/// Where reports to the sender go.
fn targets(shared: &Shared, envelope: &Envelope) -> Vec<Target> {
    let Ok(sender) = Mailbox::parse(&envelope.sender) else { return Vec::new() };
    match shared.directory.find(&Path::Mailbox(sender), Ipv4Addr::LOCALHOST.into()) {
        Found::Here(targets) => targets,
        Found::Elsewhere(mailbox) if shared.directory.routes.next(mailbox.host()).is_some() => vec![Target::Remote(mailbox)],
        Found::Unknown | Found::Elsewhere(_) => Vec::new(),
    }
}

fn parcel(shared: &Shared, envelope: &Envelope, kind: Kind, about: Vec<&Recipient>, targets: Vec<Target>) -> Result<Parcel, StoreError> {
    let now = shared.clock.now();
    let (text, octets) = shared.queue.message(&envelope.id)?;
    let whole = kind == Kind::Failed && envelope.parameters.ret == Some(Return::Full) && octets <= report::WHOLE_OCTETS;
    let mut original = Vec::new();
    text.take(if whole { report::WHOLE_OCTETS } else { report::HEADER_OCTETS }).read_to_end(&mut original)?;
    let id = report_id(&envelope.id, kind, &about);
    let give_up = envelope.arrived + shared.retry.give_up.0;
    let report = Report { name: shared.directory.name(), id: &id, envelope, kind, about: &about, now, give_up, original: &original, whole };
    let (message, smtputf8) = (report.message(), report.is_utf8());
    let mut consignment = Consignment {
        id,
        sender: Path::Null,
        parameters: MailParameters { smtputf8, ..MailParameters::default() },
        copies: targets.into_iter().map(Copy::from).collect(),
        reports: Vec::new(),
        eight_bit: !message.is_ascii(),
        arrived: now,
    };
    let mut spool = shared.mail.spool()?;
    spool.write(&message)?;
    let forwards = delivery::forward(&shared.directory, &mut consignment, &mut *spool, Ipv4Addr::LOCALHOST.into())?;
    Ok(Parcel { forwards, ..consignment.parcel(spool) })
}

/// The same report has the same name, however often it is written.
fn report_id(id: &str, kind: Kind, about: &[&Recipient]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{kind:?}"));
    for recipient in about {
        hash.update(format!("\0{}\0{}", recipient.address, recipient.progress.attempts));
    }
    let digest: String = hash.finalize().iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    format!("{id}-{digest}")
}
