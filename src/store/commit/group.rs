//! Group commit: callers block, and whoever finds nobody leading takes everything that waits.
//!
//! While a batch syncs, the next one gathers by itself; nobody ever waits for company. A batch
//! goes through three phases: sync the files (one `syncfs` where it is cheaper), bring them to
//! their places, sync each folder once. A failed sync is an error to everybody in the batch whom it
//! may concern; it is never tried again, since the kernel forgets what it could not write.

use std::{
    collections::BTreeMap,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{Change, Disk, Identity, Spot, Taken, Temporary};

/// From this many unsynced files on one file system, one `syncfs` is cheaper than a sync each.
const SYNCFS_FILES: usize = 3;
/// Larger files are synced by their own caller beforehand, so that small ones don't wait for them.
const LARGE_OCTETS: u64 = 1 << 20;

/// Makes changes durable. One per store; cheap to keep.
pub(crate) struct Committer<D: Disk> {
    disk: D,
    line: Mutex<Line<D>>,
    /// A folder of each file system, opened before any file was written: `syncfs` reports the
    /// write errors since its descriptor was opened.
    anchors: Mutex<BTreeMap<u64, D::Folder>>,
}

struct Line<D: Disk> {
    waiting: Vec<Job<D>>,
    is_led: bool,
}

/// What one caller wants: all of it, or an error and (but for replacing, moving and removing)
/// nothing of it.
struct Job<D: Disk> {
    changes: Vec<Change<D>>,
    /// How many of the changes were made, or found nothing to do.
    made: usize,
    missing: Vec<usize>,
    failure: Option<io::Error>,
    ticket: Arc<Ticket>,
}

#[derive(Default)]
struct Ticket {
    state: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
enum Progress {
    #[default]
    Waiting,
    /// The last leader has finished; this caller leads the next batch.
    Lead,
    Done(io::Result<Vec<usize>>),
}

impl<D: Disk> Committer<D> {
    /// `anchor` is a folder on the file system that most changes will be on.
    pub(crate) fn new(disk: D, anchor: D::Folder) -> Committer<D> {
        let device = disk.identity(&anchor).device;
        let line = Mutex::new(Line { waiting: Vec::new(), is_led: false });
        Committer { disk, line, anchors: Mutex::new(BTreeMap::from([(device, anchor)])) }
    }

    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    /// Makes the changes in their order, durable when it returns; tells which [`Change::Remove`]
    /// (by index) found nothing. Blocks.
    pub(crate) fn commit(&self, changes: Vec<Change<D>>) -> io::Result<Vec<usize>> {
        self.commit_all(vec![changes]).pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The same for changes of several callers, which share a batch: each caller's are made
    /// whole or not at all, whatever becomes of the others'.
    pub(crate) fn commit_all(&self, jobs: Vec<Vec<Change<D>>>) -> Vec<io::Result<Vec<usize>>> {
        let mut tickets = Vec::with_capacity(jobs.len());
        let jobs: Vec<_> = jobs.into_iter().map(|changes| self.prepare(changes, &mut tickets)).collect();
        let leads = {
            let mut line = lock(&self.line);
            line.waiting.extend(jobs);
            !mem::replace(&mut line.is_led, true)
        };
        if leads {
            self.lead();
        }
        tickets.iter().map(|ticket| self.outcome(ticket)).collect()
    }

    /// Syncs a file before it is committed, while its caller has something else to wait for; but not
    /// where others are committing, and one sync may do for all.
    pub(crate) fn sync_ahead(&self, temporary: &mut Temporary<D>) -> io::Result<()> {
        if temporary.octets < LARGE_OCTETS && lock(&self.line).is_led {
            return Ok(());
        }
        self.disk.sync_file(&temporary.file)?;
        temporary.is_synced = true;
        Ok(())
    }

    /// Makes a job of the changes; what is large in it is synced here and now.
    fn prepare(&self, mut changes: Vec<Change<D>>, tickets: &mut Vec<Arc<Ticket>>) -> Job<D> {
        let mut failure = None;
        for temporary in changes.iter_mut().filter_map(Change::temporary) {
            self.anchor(&temporary.spot.folder);
            if failure.is_none() && !temporary.is_synced && temporary.octets >= LARGE_OCTETS {
                failure = self.disk.sync_file(&temporary.file).err();
                temporary.is_synced = true;
            }
        }
        let ticket = Arc::new(Ticket::default());
        tickets.push(ticket.clone());
        Job { changes, made: 0, missing: Vec::new(), failure, ticket }
    }

    fn outcome(&self, ticket: &Ticket) -> io::Result<Vec<usize>> {
        loop {
            match ticket.wait() {
                Progress::Done(outcome) => return outcome,
                _ => self.lead(),
            }
        }
    }

    fn lead(&self) {
        let _baton = Baton(self);
        let batch = mem::take(&mut lock(&self.line).waiting);
        self.run(batch);
    }

    fn run(&self, mut batch: Vec<Job<D>>) {
        self.sync_files(&mut batch);
        for job in batch.iter_mut().filter(|job| job.failure.is_none()) {
            job.make(&self.disk);
        }
        self.sync_folders(&mut batch);
        for job in batch.iter_mut().filter(|job| job.failure.is_some()) {
            job.undo(&self.disk);
        }
        // Dropping a job tells its caller.
    }

    fn sync_files(&self, batch: &mut [Job<D>]) {
        let mut devices: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, job) in batch.iter_mut().enumerate() {
            for temporary in job.changes.iter_mut().filter_map(Change::temporary).filter(|temporary| !temporary.is_synced) {
                devices.entry(self.disk.identity(&temporary.spot.folder).device).or_default().push(index);
            }
        }
        for (device, jobs) in devices {
            let result = match lock(&self.anchors).get(&device).cloned() {
                Some(anchor) if jobs.len() >= SYNCFS_FILES => self.disk.sync_file_system(&anchor),
                _ => self.sync_each(batch, device),
            };
            fail(batch, &jobs, result);
        }
    }

    fn sync_each(&self, batch: &mut [Job<D>], device: u64) -> io::Result<()> {
        let temporaries = batch.iter_mut().flat_map(|job| job.changes.iter_mut()).filter_map(Change::temporary);
        for temporary in temporaries.filter(|temporary| !temporary.is_synced) {
            if self.disk.identity(&temporary.spot.folder).device == device {
                self.disk.sync_file(&temporary.file)?;
            }
        }
        Ok(())
    }

    /// Syncs every folder in which a job changed names, once. Also after a failure, so that what
    /// could be made of the others is durable.
    fn sync_folders(&self, batch: &mut [Job<D>]) {
        let mut folders: BTreeMap<Identity, (D::Folder, Vec<usize>)> = BTreeMap::new();
        for (index, job) in batch.iter().enumerate() {
            for folder in job.changes.iter().take(job.made).flat_map(Change::folders) {
                folders.entry(self.disk.identity(folder)).or_insert_with(|| (folder.clone(), Vec::new())).1.push(index);
            }
        }
        for (folder, jobs) in folders.values() {
            fail(batch, jobs, self.disk.sync_folder(folder));
        }
    }

    fn anchor(&self, folder: &D::Folder) {
        lock(&self.anchors).entry(self.disk.identity(folder).device).or_insert_with(|| folder.clone());
    }
}

/// Notes a failed sync with every job that it concerns.
fn fail<D: Disk>(batch: &mut [Job<D>], jobs: &[usize], result: io::Result<()>) {
    let Err(error) = result else { return };
    for &index in jobs {
        if let Some(job) = batch.get_mut(index) {
            job.failure.get_or_insert_with(|| copy(&error));
        }
    }
}

/// The same error for one more waiter.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

impl<D: Disk> Job<D> {
    fn make(&mut self, disk: &D) {
        for (index, change) in self.changes.iter_mut().enumerate() {
            match change.make(disk) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && matches!(change, Change::Remove(_)) => self.missing.push(index),
                Err(error) => {
                    self.failure = Some(error);
                    return self.undo(disk);
                }
                Ok(()) => {}
            }
            self.made = index + 1;
        }
    }

    /// Takes new names away again: what was not acknowledged should not be there.
    fn undo(&mut self, disk: &D) {
        let (undone, _) = self.changes.split_at_mut(self.made);
        for change in undone {
            if let Change::Place { to, taken: taken @ Taken::Refuse, .. } = change {
                let _ = disk.remove(to);
                // Once only: somebody else may take the name next.
                *taken = Taken::Replace;
            }
        }
    }
}

impl<D: Disk> Drop for Job<D> {
    fn drop(&mut self) {
        // Also on a panic in the middle of a batch: the caller must not wait for ever.
        let outcome = match self.failure.take() {
            Some(error) => Err(error),
            None if self.made == self.changes.len() => Ok(mem::take(&mut self.missing)),
            None => Err(io::Error::other("the commit was broken off")),
        };
        // Temporaries go before the caller looks.
        self.changes.clear();
        self.ticket.tell(Progress::Done(outcome));
    }
}

impl<D: Disk> Change<D> {
    fn temporary(&mut self) -> Option<&mut Temporary<D>> {
        match self {
            Change::Place { temporary, .. } => Some(temporary),
            _ => None,
        }
    }

    fn make(&mut self, disk: &D) -> io::Result<()> {
        match self {
            Change::Place { temporary, to, taken } => {
                disk.rename(&temporary.spot, to, *taken)?;
                temporary.is_placed = true;
                Ok(())
            }
            Change::Move { from, to } => disk.rename(from, to, Taken::Replace),
            Change::Link { from, to } => disk.link(from, to),
            Change::Remove(spot) => disk.remove(spot),
            Change::MakeFolder(spot, mode) => disk.make_folder(spot, *mode),
            Change::RemoveFolder(spot) => disk.remove_folder(spot),
        }
    }

    /// The folders to sync. That of a temporary needs none: if its name comes back, it is swept.
    fn folders(&self) -> impl Iterator<Item = &D::Folder> {
        let (first, second): (&Spot<D>, Option<&Spot<D>>) = match self {
            Change::Place { to, .. } | Change::Link { to, .. } => (to, None),
            Change::Move { from, to } => (from, Some(to)),
            Change::Remove(spot) | Change::MakeFolder(spot, _) | Change::RemoveFolder(spot) => (spot, None),
        };
        std::iter::once(first).chain(second).map(|spot| &spot.folder)
    }
}

impl Ticket {
    fn tell(&self, progress: Progress) {
        *lock(&self.state) = progress;
        self.changed.notify_one();
    }

    /// Waits until there is something to do or an outcome.
    fn wait(&self) -> Progress {
        let mut state = lock(&self.state);
        loop {
            match mem::take(&mut *state) {
                Progress::Waiting => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                progress => return progress,
            }
        }
    }
}

/// Held by the leader; passes to the first who waits, however the batch ended.
struct Baton<'a, D: Disk>(&'a Committer<D>);

impl<D: Disk> Drop for Baton<'_, D> {
    fn drop(&mut self) {
        let mut line = lock(&self.0.line);
        match line.waiting.first() {
            Some(job) => job.ticket.tell(Progress::Lead),
            None => line.is_led = false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::commit::PowerCutDisk;

    /// Jobs of as many callers, each with a file of its own.
    fn batch(disk: &PowerCutDisk, callers: usize) -> (Vec<Job<PowerCutDisk>>, Vec<Arc<Ticket>>) {
        let jobs = (0..callers).map(|caller| {
            let mut temporary = Temporary::beside(disk, &1, 0o600).unwrap();
            temporary.write_all(b"content").unwrap();
            let changes = vec![Change::Place { temporary, to: Spot::new(&2, format!("file{caller}")), taken: Taken::Refuse }];
            let ticket = Arc::new(Ticket::default());
            (Job { changes, made: 0, missing: Vec::new(), failure: None, ticket: ticket.clone() }, ticket)
        });
        jobs.unzip()
    }

    fn outcome(ticket: &Ticket) -> bool {
        matches!(ticket.wait(), Progress::Done(Ok(_)))
    }

    #[test]
    fn a_batch_shares_its_syncs() {
        let disk = PowerCutDisk::default();
        let commits = Committer::new(disk.clone(), 1);
        let (jobs, tickets) = batch(&disk, 20);
        let before = disk.steps();
        commits.run(jobs);
        assert!(tickets.iter().all(|ticket| outcome(ticket)));
        let steps = disk.steps_after(before);
        assert_eq!((steps[0], steps[21], steps.len()), ("sync file system", "sync folder", 22));
    }

    #[test]
    fn a_file_synced_ahead_is_not_synced_again_unless_it_grew() {
        for grows in [false, true] {
            let disk = PowerCutDisk::default();
            let commits = Committer::new(disk.clone(), 1);
            let mut temporary = Temporary::beside(&disk, &1, 0o600).unwrap();
            temporary.write_all(b"content").unwrap();
            commits.sync_ahead(&mut temporary).unwrap();
            if grows {
                temporary.write_all(b" and more").unwrap();
            }
            let before = disk.steps();
            let to = Spot::new(&2, "file");
            commits.commit(vec![Change::Place { temporary, to, taken: Taken::Refuse }]).unwrap();
            let syncs = disk.steps_after(before).iter().filter(|step| step.starts_with("sync file")).count();
            assert_eq!(syncs, usize::from(grows));
        }
    }

    #[test]
    fn a_failed_sync_is_an_error_to_everybody_in_the_batch() {
        // Two files: sync, sync, rename, rename, sync of the folder. Five: sync, renames, sync.
        for (callers, sync) in [(2, 0), (2, 1), (2, 4), (5, 0), (5, 6)] {
            let disk = PowerCutDisk::default();
            let commits = Committer::new(disk.clone(), 1);
            let (jobs, tickets) = batch(&disk, callers);
            let before = disk.steps();
            disk.break_sync(before + sync);
            commits.run(jobs);
            assert!(tickets.iter().all(|ticket| !outcome(ticket)), "{callers} callers, {:?}", disk.steps_after(before));
            assert!(disk.files().is_empty(), "{callers} callers: {:?}", disk.files());
        }
    }

    #[test]
    fn a_batch_that_is_broken_off_leaves_nobody_waiting() {
        let disk = PowerCutDisk::default();
        let (jobs, tickets) = batch(&disk, 3);
        drop(jobs);
        assert!(tickets.iter().all(|ticket| !outcome(ticket)));
    }
}
