//! How the tree on disk receives a file. One of three ways:
//!
//! * a whole new content goes into a temporary beside its place, and takes the place at the end;
//! * under a new name, for an author who resumes, it goes into that account's partial, which
//!   takes the place at the end and is kept where there is no end;
//! * what is added to a file goes to its end in place, behind an undo record.
//!
//! Going on from the middle of a file (REST with less than its length) is the first way with a
//! copy of the beginning, which most file systems make without moving an octet: in place, an abort
//! would have to bring back what was written over.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::AtFlags;

use super::{
    DiskTree, FILE_MODE,
    extending::Mask,
    facts,
    writing::{Writing, key},
};
use crate::store::{
    StoreError, VirtualPath,
    commit::{Change, Disk, Extension, Identity, RealDisk, Spot, Standing, Taken, Temporary},
    partials::{From, Growing, Turn},
    places::Claim,
    tree::{Author, Condition, FileFacts, FileKind, Placed, Receive, Upload},
    usage::Reservation,
};

pub(super) struct DiskUpload {
    way: Way,
    path: VirtualPath,
    to: Spot<RealDisk>,
    how: Receive,
    account: Option<String>,
    quota: Option<Reservation>,
    /// There was no room for some of it.
    is_full: bool,
    /// A sync has failed: what of it is on the disk, no later sync would tell.
    is_doubtful: bool,
    writing: Arc<Writing>,
}

enum Way {
    Whole(Temporary<RealDisk>),
    Partial(Growing),
    InPlace(InPlace),
}

/// A file that is added to. Dropping it takes back what was added.
struct InPlace {
    claim: Option<Claim<(Identity, std::ffi::OsString)>>,
    mask: Option<Mask>,
    before: Standing,
    /// Once there is something to add.
    extension: Option<Extension<RealDisk>>,
    writing: Arc<Writing>,
}

impl DiskTree {
    pub(super) fn begin_upload(&self, path: &VirtualPath, how: Receive, author: Option<&Author>) -> Result<DiskUpload, StoreError> {
        let old = self.place(path, how)?;
        let to = self.spot(path)?;
        self.writing.places.check(&key(&to))?;
        let way = match (&old, author) {
            (None, Some(author)) if author.resumes && how != Receive::Create => self.partial_way(&to, how, author)?,
            (Some(old), _) if adds_at_the_end(how, old) => match self.in_place(&to, old)? {
                Some(in_place) => Way::InPlace(in_place),
                None => self.whole_way(path, how, Some(old), &to)?,
            },
            _ => self.whole_way(path, how, old.as_ref(), &to)?,
        };
        let _swept_when_it_was_time = self.writing.partials.sweep();
        let replaced = old.filter(|_| matches!(way, Way::Whole(_))).map_or(0, |old| old.octets);
        let quota = author.and_then(|author| self.writing.usage.reservation(&author.account, replaced));
        let account = author.map(|author| author.account.name.clone());
        let (path, writing) = (path.clone(), self.writing.clone());
        let mut upload = DiskUpload { way, path, to, how, account, quota, is_full: false, is_doubtful: false, writing };
        upload.take_room_for_what_is_kept()?;
        Ok(upload)
    }

    /// What a new content would replace: nothing, or a regular file.
    fn place(&self, path: &VirtualPath, how: Receive) -> Result<Option<FileFacts>, StoreError> {
        use super::Tree;
        match self.facts(path) {
            Ok(_) if how == Receive::Create => Err(StoreError::Exists),
            Ok(facts) if facts.kind == FileKind::Folder => Err(StoreError::IsFolder),
            Ok(facts) if facts.is_sealed() => Err(StoreError::Denied),
            Ok(facts) => Ok(Some(facts)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn whole_way(&self, path: &VirtualPath, how: Receive, old: Option<&FileFacts>, to: &Spot<RealDisk>) -> Result<Way, StoreError> {
        let mut temporary = Temporary::beside(&RealDisk, &to.folder, FILE_MODE)?;
        if let Some(old) = old {
            temporary.file().set_permissions(std::fs::Permissions::from_mode(old.mode))?;
        }
        if matches!(how, Receive::Append | Receive::ResumeAt(_)) {
            self.keep_old(path, how, &mut temporary)?;
        }
        Ok(Way::Whole(temporary))
    }

    /// Copies what a resumed upload keeps; on file systems that can, no octet is moved.
    fn keep_old(&self, path: &VirtualPath, how: Receive, upload: &mut Temporary<RealDisk>) -> Result<(), StoreError> {
        let (old, octets) = match (self.open_file(path), how) {
            (Ok((facts, old)), Receive::ResumeAt(at)) if at <= facts.octets => (old, at),
            (Ok((facts, old)), Receive::Append) => (old, facts.octets),
            (Err(StoreError::NotFound), Receive::Append | Receive::ResumeAt(0)) => return Ok(()),
            (Err(error), _) if !matches!(error, StoreError::NotFound) => return Err(error),
            _ => return Err(StoreError::Denied),
        };
        let copied = upload.fill_from(&mut old.take(octets))?;
        if copied == octets { Ok(()) } else { Err(StoreError::Denied) }
    }

    fn partial_way(&self, to: &Spot<RealDisk>, how: Receive, author: &Author) -> Result<Way, StoreError> {
        let from = match how {
            Receive::Replace | Receive::Create => From::Nothing,
            Receive::Append => From::End,
            Receive::ResumeAt(octets) => From::Octet(octets),
        };
        let account = &author.account.name;
        let kept = self.writing.partials.find(account, to)?.map_or(0, |kept| kept.metadata.len());
        let growing = self.writing.partials.begin(account, to, from, FILE_MODE)?;
        self.writing.usage.kept(account, kept, 0);
        Ok(Way::Partial(growing))
    }

    /// Claims the file at `to` to be added to. `None` where that has to be done to a copy: what
    /// stands there is a link, or has other names whose owners expect nothing, or lies on a file
    /// system of its own, where no record can be.
    fn in_place(&self, to: &Spot<RealDisk>, old: &FileFacts) -> Result<Option<InPlace>, StoreError> {
        let claim = self.writing.places.claim(key(to))?;
        let Ok(found) = to.folder.read(&to.name).and_then(|file| file.metadata()) else { return Ok(None) };
        let records = RealDisk.identity(&self.writing.records()?);
        let is_ours = rustix::fs::accessat(to.folder.file(), to.name.as_os_str(), rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        if !is_ours || found.nlink() != 1 || found.dev() != records.device || found.ino() != old.inode || found.len() != old.octets {
            return Ok(None);
        }
        Ok(Some(InPlace {
            claim: Some(claim),
            mask: Some(self.writing.extending.mask((found.dev(), found.ino()), old.clone())),
            before: Standing { octets: old.octets, modified: old.modified },
            extension: None,
            writing: self.writing.clone(),
        }))
    }
}

fn adds_at_the_end(how: Receive, old: &FileFacts) -> bool {
    how == Receive::Append || how == Receive::ResumeAt(old.octets)
}

impl DiskUpload {
    fn take_room_for_what_is_kept(&mut self) -> Result<(), StoreError> {
        let kept = match &self.way {
            Way::Whole(temporary) => temporary.octets(),
            Way::Partial(growing) => growing.resumed_at,
            Way::InPlace(_) => 0,
        };
        self.take_room(kept)
    }

    fn take_room(&mut self, octets: u64) -> Result<(), StoreError> {
        let (Some(quota), Some(account)) = (&mut self.quota, &self.account) else { return Ok(()) };
        let writing = &self.writing;
        quota.take(octets, &|folders| writing.count(account, folders))
    }

    /// Notes how a sync went.
    pub(super) fn synced(&mut self, result: io::Result<()>) -> Result<(), StoreError> {
        self.is_doubtful |= result.is_err();
        Ok(result?)
    }

    /// Brings what was written in a temporary to its place.
    fn place(
        mut temporary: Temporary<RealDisk>,
        turn: Option<&Turn>,
        (path, to, how): (&VirtualPath, &Spot<RealDisk>, Receive),
        writing: &Writing,
        condition: &Condition<'_>,
    ) -> Result<(FileFacts, Placed), StoreError> {
        let file: File = temporary.file().try_clone()?;
        let _alone = writing.hold([to])?;
        condition()?;
        writing.forget_partials(to, turn)?;
        if let Some(turn) = turn {
            temporary.follow_rename(turn.name());
        }
        let stood = rustix::fs::statat(to.folder.file(), to.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW);
        let placed = if stood.is_ok() { Placed::Replaced } else { Placed::Created };
        let taken = if how == Receive::Create { Taken::Refuse } else { Taken::Replace };
        writing.commits.commit(vec![Change::Place { temporary, to: to.clone(), taken }])?;
        let facts = facts(&cap_std::fs::Metadata::from_file(&file)?)?;
        writing.usage.changed(path, stood.map_or(0, |stood| stood.st_size.unsigned_abs()), facts.octets);
        Ok((facts, placed))
    }
}

impl Upload for DiskUpload {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        let written = self.take_room(octets.len() as u64).and_then(|()| match &mut self.way {
            Way::Whole(temporary) => Ok(temporary.write_batch(octets)?),
            Way::Partial(growing) => Ok(growing.temporary.write_batch(octets)?),
            Way::InPlace(in_place) => in_place.write(octets, &self.to),
        });
        self.is_full |= matches!(written, Err(StoreError::Full | StoreError::OverQuota));
        written
    }

    fn sync_ahead(&mut self) -> Result<(), StoreError> {
        let commits = &self.writing.commits;
        let result = match &mut self.way {
            Way::Whole(temporary) => commits.sync_ahead(temporary),
            Way::Partial(growing) => commits.sync_ahead(&mut growing.temporary),
            Way::InPlace(_) => Ok(()),
        };
        self.synced(result)
    }

    fn break_off(self: Box<Self>) -> Result<u64, StoreError> {
        let DiskUpload { way, account, quota, is_full, is_doubtful, writing, .. } = *self;
        let (Way::Partial(mut growing), Some(account), false) = (way, account, is_doubtful) else { return Ok(0) };
        if is_full {
            growing.temporary.cut(growing.resumed_at, SystemTime::now())?;
        }
        drop(quota);
        let kept = writing.partials.keep(growing, &writing.commits)?;
        writing.usage.kept(&account, 0, kept);
        Ok(kept)
    }

    fn commit_if(self: Box<Self>, condition: &Condition<'_>) -> Result<(FileFacts, Placed), StoreError> {
        let DiskUpload { way, path, to, how, writing, .. } = *self;
        match way {
            Way::Whole(temporary) => DiskUpload::place(temporary, None, (&path, &to, how), &writing, condition),
            Way::Partial(Growing { temporary, turn, .. }) => {
                DiskUpload::place(temporary, Some(&turn), (&path, &to, how), &writing, condition)
            }
            Way::InPlace(in_place) => {
                condition()?;
                let before = in_place.before.octets;
                let facts = in_place.settle(&to)?;
                writing.usage.changed(&path, before, facts.octets);
                Ok((facts, Placed::Replaced))
            }
        }
    }
}

impl InPlace {
    fn write(&mut self, octets: &[u8], to: &Spot<RealDisk>) -> Result<(), StoreError> {
        if octets.is_empty() {
            return Ok(());
        }
        if self.extension.is_none() {
            let extension = self.writing.commits.extend(to, &self.writing.records()?, self.before).inspect_err(|error| {
                if error.kind() == io::ErrorKind::Other {
                    self.lock_for_good();
                }
            })?;
            self.extension = Some(extension);
        }
        match &mut self.extension {
            Some(extension) => Ok(extension.write_all(octets)?),
            None => Ok(()),
        }
    }

    fn settle(mut self, to: &Spot<RealDisk>) -> Result<FileFacts, StoreError> {
        let file = match &self.extension {
            Some(extension) => extension.file().try_clone()?,
            None => to.folder.read(&to.name)?,
        };
        if let Some(extension) = &self.extension {
            self.writing.commits.settle(extension)?;
        }
        self.extension = None;
        self.mask = None;
        facts(&cap_std::fs::Metadata::from_file(&file)?)
    }

    /// What others would add to the file now, the next start would cut off.
    fn lock_for_good(&mut self) {
        tracing::error!("an addition to a file can be neither settled nor taken back: the file is locked until the next start");
        if let Some(claim) = self.claim.take() {
            claim.never_free();
        }
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        if let Some(extension) = self.extension.take()
            && self.writing.commits.cut_back(&extension).is_err()
        {
            self.lock_for_good();
        }
    }
}
