//! Messages from many sessions at once: what came while the last ones were made durable is taken
//! together, by one thread that blocks for all of them.
//!
//! Nobody waits for company: a message that comes alone is taken alone.

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    StoreError, blocking,
    mail::{MailStore, Parcel},
};

/// Larger messages take a thread of their own, in octets: the small ones should not wait while
/// they are written.
const SMALL_OCTETS: u64 = 256 << 10;

/// The way to [`MailStore::accept`] for conversations. Clones share one line.
#[derive(Clone)]
pub(crate) struct Intake {
    store: Arc<dyn MailStore>,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    is_led: bool,
}

struct Waiting {
    parcel: Parcel,
    told: oneshot::Sender<Result<(), StoreError>>,
}

impl Intake {
    pub(crate) fn new(store: Arc<dyn MailStore>) -> Intake {
        Intake { store, line: Arc::default() }
    }

    /// Everything is safe in all its places when this answers `Ok`, and nowhere when it fails.
    pub(crate) async fn accept(&self, parcel: Parcel) -> Result<(), StoreError> {
        if parcel.message.octets() > SMALL_OCTETS {
            let store = self.store.clone();
            return blocking(move || store.accept(parcel)).await;
        }
        let (told, outcome) = oneshot::channel();
        let leads = {
            let mut line = lock(&self.line);
            line.waiting.push(Waiting { parcel, told });
            !mem::replace(&mut line.is_led, true)
        };
        if leads {
            let (store, lead) = (self.store.clone(), Lead(self.line.clone()));
            spawn_blocking(move || while lead.take_batch(&*store) {});
        }
        // Only a panic while it was taken leaves it without an answer.
        outcome.await.unwrap_or_else(|_| Err(StoreError::Broken(io::Error::other("taking the message was broken off"))))
    }
}

/// Held by the one who takes the messages.
struct Lead(Arc<Mutex<Line>>);

impl Lead {
    /// Takes all that wait and tells each what became of it; `false` once nobody waits.
    fn take_batch(&self, store: &dyn MailStore) -> bool {
        let batch = {
            let mut line = lock(&self.0);
            line.is_led = !line.waiting.is_empty();
            mem::take(&mut line.waiting)
        };
        if batch.is_empty() {
            return false;
        }
        let (parcels, told): (Vec<_>, Vec<_>) = batch.into_iter().map(|waiting| (waiting.parcel, waiting.told)).unzip();
        for (told, outcome) in told.into_iter().zip(store.accept_all(parcels)) {
            // Whoever has gone does not want to know; the message is safe all the same.
            let _gone = told.send(outcome);
        }
        true
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The next one leads; those who wait hear that it failed.
            *lock(&self.0) = Line::default();
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::{
        mail::{LocalDelivery, Maildrop, Spool},
        memory::MemoryMail,
    };

    /// Waits for a word before each batch, and notes how large it was.
    struct Slow {
        mail: MemoryMail,
        go: Mutex<mpsc::Receiver<bool>>,
        batches: Mutex<Vec<usize>>,
    }

    impl MailStore for Slow {
        fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
            self.mail.spool()
        }
        fn accept(&self, parcel: Parcel) -> Result<(), StoreError> {
            self.mail.accept(parcel)
        }
        fn accept_all(&self, parcels: Vec<Parcel>) -> Vec<Result<(), StoreError>> {
            self.batches.lock().unwrap().push(parcels.len());
            assert!(self.go.lock().unwrap().recv().unwrap(), "broken off");
            parcels.into_iter().map(|parcel| self.mail.accept(parcel)).collect()
        }
        fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
            self.mail.open_maildrop(account)
        }
    }

    fn slow() -> (Arc<Slow>, Intake, mpsc::Sender<bool>) {
        let (go, waits) = mpsc::channel();
        let slow = Arc::new(Slow { mail: MemoryMail::new(), go: waits.into(), batches: Mutex::default() });
        (slow.clone(), Intake::new(slow), go)
    }

    async fn send(intake: Intake, account: &'static str) -> Result<(), StoreError> {
        let mut message = intake.store.spool()?;
        message.write(b"Subject: x\r\n\r\n")?;
        let local = vec![LocalDelivery { account: account.into(), prefix: Vec::new() }];
        intake.accept(Parcel { message, local, relay: None, forwards: Vec::new() }).await
    }

    async fn until_begun(slow: &Slow, batches: usize) {
        while slow.batches.lock().unwrap().len() < batches {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_comes_meanwhile_is_the_next_batch() {
        let (slow, intake, go) = slow();
        let first = tokio::spawn(send(intake.clone(), "alice"));
        until_begun(&slow, 1).await;
        let others: Vec<_> = (0..5).map(|_| tokio::spawn(send(intake.clone(), "bob"))).collect();
        while lock(&intake.line).waiting.len() < 5 {
            tokio::task::yield_now().await;
        }
        go.send(true).unwrap();
        go.send(true).unwrap();
        first.await.unwrap().unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(*slow.batches.lock().unwrap(), [1, 5]);
        assert_eq!(slow.mail.open_maildrop("bob").unwrap().messages().len(), 5);
    }

    #[tokio::test]
    async fn a_panic_leaves_nobody_waiting_and_the_next_is_taken() {
        let (slow, intake, go) = slow();
        let first = tokio::spawn(send(intake.clone(), "alice"));
        until_begun(&slow, 1).await;
        let second = tokio::spawn(send(intake.clone(), "alice"));
        while lock(&intake.line).waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        go.send(false).unwrap();
        assert!(first.await.unwrap().is_err() && second.await.unwrap().is_err());
        go.send(true).unwrap();
        // The lock that the panic poisoned is the test's own.
        slow.go.clear_poison();
        send(intake, "alice").await.unwrap();
    }
}
