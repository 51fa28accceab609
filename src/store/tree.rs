//! The one file tree, which HTTP and FTP share.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{Account, StoreError, VirtualPath};

/// What is known about a file or folder without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub kind: FileKind,
    /// In octets; 0 for folders.
    pub octets: u64,
    pub modified: SystemTime,
    /// Changes whenever the file's inode changes; see `ctime` of stat(2).
    pub changed: SystemTime,
    /// Unique among the files that exist at a time.
    pub inode: u64,
    /// Permission bits as `ls -l` shows them, lowest nine.
    pub mode: u32,
}

/// Longer than any tick of the clock that file systems take their times from (1 to 10 ms).
pub(crate) const TICK: Duration = Duration::from_millis(100);

impl FileFacts {
    /// Whether its permissions keep everybody from writing to it. A new content would not open it
    /// but take its place, so the file system itself doesn't object.
    pub(crate) fn is_sealed(&self) -> bool {
        self.mode & 0o200 == 0
    }

    /// Whether these facts tell this state of the file or folder from every later one. What has
    /// changed within the last tick may change once more without a trace in its times.
    pub(crate) fn have_settled(&self, now: SystemTime) -> bool {
        now.duration_since(self.modified.max(self.changed)).is_ok_and(|age| age >= TICK)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Folder,
}

/// What a process may do with a file or folder, as the system has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// Writing into a file itself; making and removing names in a folder.
    Write,
    /// Going through a folder.
    Enter,
}

/// One entry of a folder.
#[derive(Clone, Debug)]
pub(crate) struct TreeEntry {
    pub name: String,
    pub facts: FileFacts,
}

/// A file opened for reading. The facts are those of the open file, not of its name.
pub(crate) struct OpenFile {
    pub facts: FileFacts,
    pub content: Content,
}

impl OpenFile {
    /// All of it, as long as its facts say: what is being added to it is not there yet.
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(octets) => Ok(octets.slice(..octets.len().min(usize::try_from(self.facts.octets).unwrap_or(usize::MAX)))),
            Content::Disk(file) => {
                let mut octets = vec![0; usize::try_from(self.facts.octets).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut octets, 0)?;
                Ok(octets.into())
            }
        }
    }
}

/// Where the octets of an open file are. An open file may be shared: read it at offsets, never
/// from where it stands.
#[derive(Clone)]
pub(crate) enum Content {
    Disk(Arc<File>),
    Memory(Bytes),
}

/// How received octets meet what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    /// A whole new content, which appears under its name at commit and not before.
    Replace,
    /// Like `Replace`, refused with [`StoreError::Exists`] where the name is taken at commit.
    Create,
    /// Added at the end of what is there (APPE); a file that isn't there is created.
    Append,
    /// What is there is kept up to this octet and continued from it (REST, then STOR), so that the
    /// file ends where the upload ends; [`StoreError::Denied`] where there is less.
    ResumeAt(u64),
}

/// On whose behalf a file is received.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// Its quota counts.
    pub account: Arc<Account>,
    /// What comes of an upload under a new name is kept for the account if the upload breaks off,
    /// and `Append` and `ResumeAt` go on from there while no file stands.
    pub resumes: bool,
}

/// Looks at what stands at a path while nobody else can change it through the tree, and says
/// whether to go on: [`StoreError::Changed`] if it is not what the change was made for. It may
/// read the tree and must not change it.
pub(crate) type Condition<'a> = dyn Fn() -> Result<(), StoreError> + 'a;

/// A sandboxed file tree.
///
/// Symbolic links are followed inside the tree only; FIFOs, sockets and devices are
/// [`StoreError::Denied`]. Names that are not UTF-8, and reserved ones, are not listed.
pub(crate) trait Tree: Send + Sync + 'static {
    fn facts(&self, path: &VirtualPath) -> Result<FileFacts, StoreError>;
    /// Whether the very file with these facts still stands at `path`, where it was found before.
    fn is_still(&self, path: &VirtualPath, facts: &FileFacts) -> bool {
        self.facts(path).is_ok_and(|now| now == *facts)
    }
    /// Whether the system would let us, whoever asks us to. `facts` are what is at `path`.
    fn may(&self, _path: &VirtualPath, _facts: &FileFacts, _access: Access) -> bool {
        true
    }
    /// The entries of a folder, sorted by name.
    fn list(&self, path: &VirtualPath) -> Result<Vec<TreeEntry>, StoreError>;
    /// The entries of a folder piece by piece, for folders of any size.
    fn walk(&self, path: &VirtualPath) -> Result<Box<dyn Walk>, StoreError> {
        Ok(Box::new(self.list(path)?.into_iter()))
    }
    /// Octets that an account may still store at `path`: by its quota and by the space that the file
    /// system has left.
    fn available(&self, path: &VirtualPath, account: &Account) -> Result<u64, StoreError>;
    /// Opens a regular file for reading; [`StoreError::IsFolder`] for a folder.
    fn open(&self, path: &VirtualPath) -> Result<OpenFile, StoreError>;
    /// Begins to receive a file. Nothing shows under its name before [`Upload::commit`], and who
    /// reads a file that is being added to sees it as it was. [`StoreError::Busy`] for a file that
    /// somebody else is adding to.
    fn receive_for(&self, path: &VirtualPath, how: Receive, author: Option<&Author>) -> Result<Box<dyn Upload>, StoreError>;
    /// Begins to receive a file on nobody's behalf.
    fn receive(&self, path: &VirtualPath, how: Receive) -> Result<Box<dyn Upload>, StoreError> {
        self.receive_for(path, how, None)
    }
    /// What an account's upload that broke off has left of what was to stand at `path`.
    fn partial(&self, account: &str, path: &VirtualPath) -> Result<OpenFile, StoreError>;
    /// Durable when it returns, like all that follow.
    fn remove_file(&self, path: &VirtualPath) -> Result<(), StoreError>;
    /// Removes a file or an empty folder if the condition holds.
    fn remove_if(&self, path: &VirtualPath, condition: &Condition<'_>) -> Result<(), StoreError>;
    fn make_folder(&self, path: &VirtualPath) -> Result<(), StoreError>;
    /// Removes an empty folder.
    fn remove_folder(&self, path: &VirtualPath) -> Result<(), StoreError>;
    /// Atomic; replaces a file that stands at `to`.
    fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError>;
    fn set_modified(&self, path: &VirtualPath, modified: SystemTime) -> Result<(), StoreError>;
    /// Sets the permission bits, lowest nine.
    fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), StoreError>;
}

/// A folder that is read piece by piece. Small ones come sorted by name, large ones as they are.
pub(crate) trait Walk: Send {
    /// The next entries, at most so many; none at the end.
    fn next(&mut self, most: usize) -> Result<Vec<TreeEntry>, StoreError>;
}

impl Walk for std::vec::IntoIter<TreeEntry> {
    fn next(&mut self, most: usize) -> Result<Vec<TreeEntry>, StoreError> {
        Ok(self.by_ref().take(most).collect())
    }
}

/// A file being received. Dropping it leaves what was there as it was.
pub(crate) trait Upload: Send {
    /// [`StoreError::OverQuota`] and [`StoreError::Full`] take back nothing that was written before.
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError>;
    /// All is written. What the commit would wait for may begin, before it is sure that there will be
    /// one.
    fn sync_ahead(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    /// The rest will not come. Keeps what has come, durably, if it is of a new name and its
    /// [`Author`] resumes; answers how many octets are kept. Where the disk or the quota was full,
    /// no more is kept than was before.
    fn break_off(self: Box<Self>) -> Result<u64, StoreError>;
    /// Makes it durable under its name if the condition holds, then tells what stands there and
    /// whether the name is new.
    fn commit_if(self: Box<Self>, condition: &Condition<'_>) -> Result<(FileFacts, Placed), StoreError>;

    /// Makes it durable under its name whatever stands there.
    fn commit(self: Box<Self>) -> Result<(FileFacts, Placed), StoreError> {
        self.commit_if(&|| Ok(()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    Created,
    Replaced,
}
