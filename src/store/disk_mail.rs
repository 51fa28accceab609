//! Mail on disk: Maildirs and the queue behind one commit, so that a message with any number of
//! recipients is in all its places or in none, and costs one share of one batch.

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    fs, io,
    io::Read,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    StoreError,
    commit::{Change, RealDisk, RealFolder, Temporary},
    free_space::FreeSpace,
    mail::{Envelope, Facts, LocalDelivery, MailStore, Maildrop, Parcel, Queue, Spool},
    maildir::{self, DiskMaildrop, Entrance, FOLDER_MODE, deliver},
    maildir_listing::Listings,
    maildir_usage::Usage,
    maildirs::Maildirs,
    queue::DiskQueue,
    spool::DiskSpool,
};

/// Below the folder for what changes, `var/`.
const QUEUE: &str = "queue";

/// The Maildirs of a batch by their accounts, each opened once.
type OpenMaildirs = HashMap<String, Entrance<RealDisk>>;

pub(crate) struct DiskMail {
    maildirs: Arc<Maildirs>,
    queue: Arc<DiskQueue>,
    listings: Listings,
    usage: Usage,
    free: FreeSpace,
}

impl DiskMail {
    /// Opens, and makes where missing, `maildir` with a Maildir per account and `var/queue`;
    /// clears away what a crash left half done.
    pub(crate) fn open(maildir: &Path, var: &Path) -> Result<DiskMail, StoreError> {
        let queue_path = var.join(QUEUE);
        make_private(maildir)?;
        make_private(&queue_path)?;
        let maildirs = Maildirs::open(maildir)?;
        let queue = DiskQueue::open(RealFolder::open(&queue_path)?, maildirs.commits.clone())?;
        maildirs.sweep()?;
        let (listings, usage, free) = (Listings::new(), Usage::default(), FreeSpace::default());
        Ok(DiskMail { maildirs: Arc::new(maildirs), queue: Arc::new(queue), listings, usage, free })
    }

    /// Writes a parcel to all its places, where it is not there yet; it is delivered once the
    /// changes are committed. `open` are the Maildirs that are open already, for so many `parcels`.
    fn prepare(&self, parcel: &mut Parcel, open: &mut OpenMaildirs, parcels: usize) -> Result<Vec<Change<RealDisk>>, StoreError> {
        if let Some(written) = written_already(parcel) {
            return Ok(vec![written?]);
        }
        let mut changes = Vec::with_capacity(parcel.local.len() + 2);
        for delivery in &parcel.local {
            let entrance = match open.entry(delivery.account.clone()) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(first) => first.insert(self.maildirs.entrance(&delivery.account, parcels)?),
            };
            let message = &mut parcel.message.reader()?;
            changes.push(deliver(&RealDisk, entrance, &delivery.prefix, message, SystemTime::now())?);
        }
        if let Some(envelope) = &parcel.relay {
            changes.extend(self.queue.prepare(envelope, &mut parcel.message.reader()?)?);
        }
        for forward in &parcel.forwards {
            let message = &mut forward.prefix.chain(parcel.message.reader()?);
            changes.extend(self.queue.prepare(&forward.envelope, message)?);
        }
        Ok(changes)
    }

    /// Takes note of a parcel that is safe in all its places.
    fn taken(&self, parcel: &Parcel) {
        let octets = parcel.message.octets();
        parcel.local.iter().for_each(|local| self.usage.delivered(&local.account, octets + local.prefix.len() as u64));
        let forwarded = parcel.forwards.iter().map(|forward| &forward.envelope);
        parcel.relay.iter().chain(forwarded).for_each(|envelope| self.queue.entered(envelope));
    }
}

/// A message that goes into one mailbox only and was written there while it came.
fn written_already(parcel: &mut Parcel) -> Option<io::Result<Change<RealDisk>>> {
    let [delivery] = &parcel.local[..] else { return None };
    if parcel.relay.is_some() || !parcel.forwards.is_empty() {
        return None;
    }
    let spool: &mut dyn Any = &mut *parcel.message;
    spool.downcast_mut::<DiskSpool>()?.written_for(delivery, SystemTime::now())
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

impl MailStore for DiskMail {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        Ok(Box::new(DiskSpool::new(self.maildirs.clone(), self.queue.clone(), None)))
    }

    fn spool_for(&self, delivery: LocalDelivery) -> Result<Box<dyn Spool>, StoreError> {
        Ok(Box::new(DiskSpool::new(self.maildirs.clone(), self.queue.clone(), Some(delivery))))
    }

    fn free_octets(&self) -> Result<u64, StoreError> {
        Ok(self.free.at(self.queue.folder(), Instant::now())?)
    }

    fn probe(&self, account: &str) -> Result<(), StoreError> {
        let folders = self.maildirs.folders(&self.maildirs.home(account)?)?;
        for folder in [&folders.tmp, &folders.new] {
            drop(Temporary::beside(&RealDisk, folder, maildir::FILE_MODE)?);
        }
        Ok(())
    }

    fn accept(&self, parcel: Parcel) -> Result<(), StoreError> {
        self.accept_all(vec![parcel]).pop().unwrap_or(Ok(()))
    }

    fn accept_all(&self, parcels: Vec<Parcel>) -> Vec<Result<(), StoreError>> {
        let mut open = OpenMaildirs::default();
        let (mut jobs, mut prepared) = (Vec::with_capacity(parcels.len()), Vec::with_capacity(parcels.len()));
        let count = parcels.len();
        for mut parcel in parcels {
            let changes = self.prepare(&mut parcel, &mut open, count);
            prepared.push(changes.map(|changes| {
                jobs.push(changes);
                parcel
            }));
        }
        let mut committed = self.maildirs.commits.commit_all(jobs).into_iter();
        let finish = |prepared: Result<Parcel, StoreError>| {
            let parcel = prepared?;
            committed.next().transpose()?;
            self.taken(&parcel);
            Ok(())
        };
        prepared.into_iter().map(finish).collect()
    }

    fn has_room(&self, account: &str, octets: u64, quota: u64) -> Result<bool, StoreError> {
        let count = || Ok(self.browse(account)?.messages().iter().map(|facts| facts.octets).sum());
        self.usage.has_room(account, octets, quota, Instant::now(), count)
    }

    fn open_maildrop(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        let home = self.maildirs.home(account)?;
        let folders = self.maildirs.folders(&home)?;
        let lock = maildir::lock(&home)?;
        Ok(Box::new(DiskMaildrop::open((account, &home), folders, self.maildirs.commits.clone(), &self.listings, Some(lock))?))
    }

    fn browse(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        let home = self.maildirs.home(account)?;
        let folders = self.maildirs.folders(&home)?;
        Ok(Box::new(DiskMaildrop::open((account, &home), folders, self.maildirs.commits.clone(), &self.listings, None)?))
    }
}

impl Queue for DiskMail {
    fn scan(&self, visit: &mut dyn FnMut(&Facts)) {
        self.queue.scan(visit);
    }

    fn list(&self) -> Result<Vec<Envelope>, StoreError> {
        self.queue.list()
    }

    fn envelope(&self, id: &str) -> Result<Envelope, StoreError> {
        self.queue.envelope(id)
    }

    fn message(&self, id: &str) -> Result<(Box<dyn Read + Send>, u64), StoreError> {
        self.queue.message(id)
    }

    fn settle(&self, id: &str, change: &mut dyn FnMut(&mut Envelope), mut reports: Vec<Parcel>) -> Result<Envelope, StoreError> {
        let (mut more, mut open) = (Vec::new(), OpenMaildirs::default());
        for report in &mut reports {
            more.extend(self.prepare(report, &mut open, 1)?);
        }
        let envelope = self.queue.settle(id, change, more)?;
        reports.iter().for_each(|report| self.taken(report));
        Ok(envelope)
    }

    fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.queue.remove(id)
    }
}
