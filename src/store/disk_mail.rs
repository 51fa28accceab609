//! Mail on disk: Maildirs and the queue behind one commit, so that a message with any number of
//! recipients is in all its places or in none, and costs one share of one batch.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    StoreError,
    commit::{Change, Committer, RealDisk, RealFolder, Spot, Temporary, sweep},
    free_space::FreeSpace,
    mail::{Envelope, Facts, MailStore, Maildrop, Parcel, Queue, Spool},
    maildir::{self, DiskMaildrop, FOLDER_MODE, Folders, deliver},
    maildir_listing::Listings,
    maildir_usage::Usage,
    queue::DiskQueue,
    spool::DiskSpool,
};

/// Below the folder for what changes, `var/`.
const QUEUE: &str = "queue";

/// The Maildirs of a batch by their accounts, each opened once.
type OpenMaildirs = HashMap<String, Folders<RealDisk>>;

pub(crate) struct DiskMail {
    maildir: PathBuf,
    /// Kept open: new accounts' folders are made in it.
    maildir_folder: RealFolder,
    queue_folder: RealFolder,
    queue: DiskQueue,
    commits: Arc<Committer<RealDisk>>,
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
        let (maildir_folder, queue_folder) = (RealFolder::open(maildir)?, RealFolder::open(&queue_path)?);
        let commits = Arc::new(Committer::new(RealDisk, maildir_folder.clone()));
        let queue = DiskQueue::open(queue_folder.clone(), commits.clone())?;
        sweep_deliveries(&maildir_folder)?;
        Ok(DiskMail {
            maildir: maildir.to_owned(),
            maildir_folder,
            queue_folder,
            queue,
            commits,
            listings: Listings::new(),
            usage: Usage::default(),
            free: FreeSpace::default(),
        })
    }

    /// The folder of an account, whose name must not lead anywhere else.
    fn home(&self, account: &str) -> Result<RealFolder, StoreError> {
        let account = account.to_ascii_lowercase();
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-+".contains(&c);
        if account.is_empty() || account.starts_with('.') || account.len() > 64 || !account.bytes().all(allowed) {
            return Err(StoreError::NotFound);
        }
        let path = self.maildir.join(&account);
        match RealFolder::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_missing(&self.maildir_folder, &account)?;
                Ok(RealFolder::open(&path)?)
            }
            result => Ok(result?),
        }
    }

    /// The folders of a Maildir, made where missing.
    fn folders(&self, home: &RealFolder) -> Result<Folders<RealDisk>, StoreError> {
        let open = |name: &str| match home.folder(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_missing(home, name)?;
                Ok::<_, StoreError>(home.folder(name)?)
            }
            result => Ok(result?),
        };
        Ok(Folders { tmp: open("tmp")?, new: open("new")?, cur: open("cur")? })
    }

    /// Writes a parcel to all its places; it is there once the changes are committed.
    fn prepare(&self, parcel: &mut Parcel, open: &mut OpenMaildirs) -> Result<Vec<Change<RealDisk>>, StoreError> {
        let mut changes = Vec::with_capacity(parcel.local.len() + 2);
        for delivery in &parcel.local {
            let folders = match open.entry(delivery.account.clone()) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(first) => first.insert(self.folders(&self.home(&delivery.account)?)?),
            };
            let message = &mut parcel.message.reader()?;
            changes.push(deliver(&RealDisk, folders, &delivery.prefix, message, SystemTime::now())?);
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

    fn make_missing(&self, parent: &RealFolder, name: &str) -> Result<(), StoreError> {
        match self.commits.commit(vec![Change::MakeFolder(Spot::new(parent, name), FOLDER_MODE)]) {
            // Another delivery was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Only in `tmp`: the rest of a Maildir is other programs' too, and may be large.
fn sweep_deliveries(maildir: &RealFolder) -> io::Result<()> {
    for account in maildir.names()? {
        if let Ok(tmp) = maildir.folder(&account).and_then(|home| home.folder("tmp")) {
            sweep(&tmp)?;
        }
    }
    Ok(())
}

impl MailStore for DiskMail {
    fn spool(&self) -> Result<Box<dyn Spool>, StoreError> {
        Ok(Box::new(DiskSpool::new(self.queue_folder.clone())))
    }

    fn free_octets(&self) -> Result<u64, StoreError> {
        Ok(self.free.at(&self.queue_folder, Instant::now())?)
    }

    fn probe(&self, account: &str) -> Result<(), StoreError> {
        let folders = self.folders(&self.home(account)?)?;
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
        for mut parcel in parcels {
            let changes = self.prepare(&mut parcel, &mut open);
            prepared.push(changes.map(|changes| {
                jobs.push(changes);
                parcel
            }));
        }
        let mut committed = self.commits.commit_all(jobs).into_iter();
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
        let home = self.home(account)?;
        let folders = self.folders(&home)?;
        let lock = maildir::lock(&home)?;
        Ok(Box::new(DiskMaildrop::open((account, &home), folders, self.commits.clone(), &self.listings, Some(lock))?))
    }

    fn browse(&self, account: &str) -> Result<Box<dyn Maildrop>, StoreError> {
        let home = self.home(account)?;
        let folders = self.folders(&home)?;
        Ok(Box::new(DiskMaildrop::open((account, &home), folders, self.commits.clone(), &self.listings, None)?))
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
            more.extend(self.prepare(report, &mut open)?);
        }
        let envelope = self.queue.settle(id, change, more)?;
        reports.iter().for_each(|report| self.taken(report));
        Ok(envelope)
    }

    fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.queue.remove(id)
    }
}
