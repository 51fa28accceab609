//! A file tree in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;

use crate::{
    clock::Clock,
    store::{
        Account, StoreError, VirtualPath,
        partials::KEPT_FOR,
        places::{Claim, Places},
        tree::{Author, Condition, Content, FileFacts, FileKind, OpenFile, Placed, Receive, Tree, TreeEntry, Upload},
    },
};

/// Everything in one ordered map, folders included.
#[derive(Clone)]
pub(crate) struct MemoryTree {
    nodes: Arc<Mutex<Nodes>>,
    /// Held by whoever changes what stands at a path, before the nodes; with the name of an
    /// account, whoever writes its partial.
    places: Arc<Places<(String, VirtualPath)>>,
    clock: Clock,
}

struct Nodes {
    by_path: BTreeMap<VirtualPath, Node>,
    next_inode: u64,
    /// Octets that all files together may have.
    capacity: u64,
    /// What is left of uploads that broke off, by account and path; none of one under way.
    partials: BTreeMap<(String, VirtualPath), Option<Node>>,
}

#[derive(Clone)]
struct Node {
    facts: FileFacts,
    content: Bytes,
}

impl MemoryTree {
    /// An empty tree whose files are dated by `clock`.
    pub(crate) fn new(clock: Clock) -> MemoryTree {
        let mut nodes = Nodes { by_path: BTreeMap::new(), next_inode: 1, capacity: u64::MAX, partials: BTreeMap::new() };
        nodes.insert(&VirtualPath::root(), FileKind::Folder, Bytes::new(), clock.now());
        MemoryTree { nodes: Arc::new(Mutex::new(nodes)), places: Arc::default(), clock }
    }

    /// Puts a file there, with the folders that it needs.
    ///
    /// # Panics
    /// Where `path` is none: this is for tests.
    #[cfg(test)]
    pub(crate) fn with(self, path: &str, content: impl Into<Bytes>) -> MemoryTree {
        let path = VirtualPath::parse(path).expect("a path that can exist");
        let now = self.clock.now();
        let mut missing = Vec::new();
        let mut folder = path.parent();
        let mut nodes = self.lock();
        while !nodes.by_path.contains_key(&folder) {
            missing.push(folder.clone());
            folder = folder.parent();
        }
        for folder in missing.iter().rev() {
            nodes.insert(folder, FileKind::Folder, Bytes::new(), now);
        }
        nodes.insert(&path, FileKind::File, content.into(), now);
        drop(nodes);
        self
    }

    /// From now on all files together may have this many octets: more is [`StoreError::Full`].
    #[cfg(test)]
    pub(crate) fn limit(&self, octets: u64) {
        self.lock().capacity = octets;
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a path is after a rename, if it goes with what is renamed.
fn moved(path: &VirtualPath, from: &VirtualPath, to: &VirtualPath) -> Result<Option<VirtualPath>, StoreError> {
    let rest = path.as_str().get(from.as_str().len()..).unwrap_or_default();
    path.is_within(from).then(|| VirtualPath::parse(&format!("{to}{rest}"))).transpose()
}

/// The key of what stands at a path for everybody.
fn standing_at(path: &VirtualPath) -> (String, VirtualPath) {
    (String::new(), path.clone())
}

impl Nodes {
    fn insert(&mut self, path: &VirtualPath, kind: FileKind, content: Bytes, now: SystemTime) -> FileFacts {
        let node = self.node_of(kind, content, now);
        let facts = node.facts.clone();
        self.by_path.insert(path.clone(), node);
        self.touch(&path.parent(), now);
        facts
    }

    fn node_of(&mut self, kind: FileKind, content: Bytes, now: SystemTime) -> Node {
        let inode = self.next_inode;
        self.next_inode += 1;
        let mode = if kind == FileKind::Folder { 0o755 } else { 0o644 };
        Node { facts: FileFacts { kind, octets: content.len() as u64, modified: now, changed: now, inode, mode }, content }
    }

    fn partial(&self, account: &str, path: &VirtualPath, now: SystemTime) -> Option<&Node> {
        let node = self.partials.get(&(account.to_owned(), path.clone()))?.as_ref()?;
        now.duration_since(node.facts.modified).is_ok_and(|age| age <= KEPT_FOR).then_some(node)
    }

    /// What an account has used of its quota.
    fn used(&self, account: &Account) -> u64 {
        let covered = |path: &VirtualPath| account.write.iter().any(|folder| path.is_within(folder));
        let files = self.by_path.iter().filter(|(path, _)| covered(path)).map(|(_, node)| node.facts.octets);
        let partials =
            self.partials.iter().filter(|((name, _), _)| *name == account.name).filter_map(|(_, node)| Some(node.as_ref()?.facts.octets));
        files.chain(partials).sum()
    }

    /// What was kept of a name is of no use once something has stood under it.
    fn forget_partials(&mut self, path: &VirtualPath) {
        self.partials.retain(|(_, place), _| !place.is_within(path));
    }

    fn remove(&mut self, path: &VirtualPath, now: SystemTime) {
        self.by_path.remove(path);
        self.forget_partials(path);
        self.touch(&path.parent(), now);
    }

    /// A folder has changed when an entry has come or gone.
    fn touch(&mut self, folder: &VirtualPath, now: SystemTime) {
        if let Some(node) = self.by_path.get_mut(folder) {
            (node.facts.modified, node.facts.changed) = (now, now);
        }
    }

    fn node(&self, path: &VirtualPath) -> Result<&Node, StoreError> {
        if let Some(node) = self.by_path.get(path) {
            return Ok(node);
        }
        self.folder(&path.parent())?;
        Err(StoreError::NotFound)
    }

    /// Says what stands in the way of `path` being a folder, from the root down as a file system does.
    fn folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        match self.by_path.get(path) {
            Some(node) if node.facts.kind == FileKind::Folder => Ok(()),
            Some(_) => Err(StoreError::NotFolder),
            None => {
                self.folder(&path.parent())?;
                Err(StoreError::NotFound)
            }
        }
    }

    fn file(&self, path: &VirtualPath) -> Result<&Node, StoreError> {
        let node = self.node(path)?;
        if node.facts.kind == FileKind::File { Ok(node) } else { Err(StoreError::IsFolder) }
    }

    /// The file that a new content would replace, if any.
    fn place(&self, path: &VirtualPath, how: Receive) -> Result<Option<&Node>, StoreError> {
        match self.file(path) {
            Ok(_) if how == Receive::Create => Err(StoreError::Exists),
            Err(StoreError::IsFolder) if how == Receive::Create => Err(StoreError::Exists),
            Ok(node) if node.facts.is_sealed() => Err(StoreError::Denied),
            Ok(node) => Ok(Some(node)),
            Err(StoreError::NotFound) => self.folder(&path.parent()).map(|()| None),
            Err(error) => Err(error),
        }
    }

    fn children<'a>(&'a self, folder: &'a VirtualPath) -> impl Iterator<Item = (&'a VirtualPath, &'a Node)> {
        self.by_path.iter().filter(move |(path, _)| !path.is_root() && path.parent() == *folder)
    }

    fn octets(&self) -> u64 {
        self.by_path.values().map(|node| node.facts.octets).sum()
    }

    fn remove_file(&mut self, path: &VirtualPath, now: SystemTime) -> Result<(), StoreError> {
        self.file(path)?;
        self.remove(path, now);
        Ok(())
    }

    fn remove_folder(&mut self, path: &VirtualPath, now: SystemTime) -> Result<(), StoreError> {
        self.folder(path)?;
        if path.is_root() {
            return Err(StoreError::Denied);
        }
        if self.children(path).next().is_some() {
            return Err(StoreError::NotEmpty);
        }
        self.remove(path, now);
        Ok(())
    }

    /// Those in a folder go with it.
    fn move_partials(&mut self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        self.forget_partials(to);
        for ((account, old), node) in std::mem::take(&mut self.partials) {
            match moved(&old, from, to)? {
                Some(_) if old == *from => {}
                Some(new) => drop(self.partials.insert((account, new), node)),
                None => drop(self.partials.insert((account, old), node)),
            }
        }
        Ok(())
    }

    /// What `rename(2)` checks about the place to go to.
    fn may_move(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        if from != to && to.is_within(from) {
            return Err(StoreError::Denied);
        }
        let moved = self.node(from)?.facts.kind;
        if from.is_root() || to.is_root() {
            return Err(StoreError::Denied);
        }
        self.folder(&to.parent())?;
        if from != to && from.is_within(to) {
            return Err(StoreError::NotEmpty);
        }
        match (moved, self.by_path.get(to).map(|node| node.facts.kind)) {
            (FileKind::File, Some(FileKind::Folder)) => Err(StoreError::IsFolder),
            (FileKind::Folder, Some(FileKind::File)) => Err(StoreError::NotFolder),
            (FileKind::Folder, Some(FileKind::Folder)) if from != to && self.children(to).next().is_some() => Err(StoreError::NotEmpty),
            _ => Ok(()),
        }
    }
}

impl Tree for MemoryTree {
    fn facts(&self, path: &VirtualPath) -> Result<FileFacts, StoreError> {
        self.lock().node(path).map(|node| node.facts.clone())
    }

    fn list(&self, path: &VirtualPath) -> Result<Vec<TreeEntry>, StoreError> {
        let nodes = self.lock();
        nodes.folder(path)?;
        Ok(nodes.children(path).map(|(path, node)| TreeEntry { name: path.name().to_owned(), facts: node.facts.clone() }).collect())
    }

    fn available(&self, path: &VirtualPath, account: &Account) -> Result<u64, StoreError> {
        let nodes = self.lock();
        nodes.node(path)?;
        let left = account.www_quota.map_or(u64::MAX, |quota| quota.saturating_sub(nodes.used(account)));
        Ok(left.min(nodes.capacity.saturating_sub(nodes.octets())))
    }

    fn open(&self, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        let nodes = self.lock();
        let node = nodes.file(path)?;
        Ok(OpenFile { facts: node.facts.clone(), content: Content::Memory(node.content.clone()) })
    }

    fn receive_for(&self, path: &VirtualPath, how: Receive, author: Option<&Author>) -> Result<Box<dyn Upload>, StoreError> {
        self.places.check(&standing_at(path))?;
        let mut nodes = self.lock();
        let standing = nodes.place(path, how)?.map(|node| node.content.clone());
        let partial = author.filter(|author| author.resumes && standing.is_none() && how != Receive::Create);
        let old = match (&standing, partial) {
            (None, Some(author)) => nodes.partial(&author.account.name, path, self.clock.now()).map(|node| node.content.clone()),
            _ => standing.clone(),
        };
        let old = old.unwrap_or_default();
        let content = match how {
            Receive::Replace | Receive::Create => Vec::new(),
            Receive::Append => old.to_vec(),
            Receive::ResumeAt(at) => usize::try_from(at).ok().and_then(|at| old.get(..at)).ok_or(StoreError::Denied)?.to_vec(),
        };
        let adds = standing.as_ref().is_some_and(|old| how == Receive::Append || how == Receive::ResumeAt(old.len() as u64));
        let key = partial.map(|author| (author.account.name.clone(), path.clone()));
        let claimed = key.clone().or_else(|| adds.then(|| standing_at(path)));
        let claim = claimed.map(|key| self.places.claim(key)).transpose()?;
        if let Some(key) = key {
            nodes.partials.insert(key, None);
        }
        Ok(Box::new(MemoryUpload {
            tree: self.clone(),
            path: path.clone(),
            how,
            resumed_at: content.len(),
            content,
            keeps: partial.is_some(),
            account: author.map(|author| author.account.clone()),
            replaced: standing.map_or(0, |old| old.len() as u64),
            is_full: false,
            claim,
        }))
    }

    fn partial(&self, account: &str, path: &VirtualPath) -> Result<OpenFile, StoreError> {
        let nodes = self.lock();
        nodes.folder(&path.parent())?;
        let node = nodes.partial(account, path, self.clock.now()).ok_or(StoreError::NotFound)?;
        Ok(OpenFile { facts: node.facts.clone(), content: Content::Memory(node.content.clone()) })
    }

    fn remove_if(&self, path: &VirtualPath, condition: &Condition<'_>) -> Result<(), StoreError> {
        let _alone = self.places.hold([standing_at(path)])?;
        let kind = self.facts(path)?.kind;
        condition()?;
        let mut nodes = self.lock();
        match kind {
            FileKind::File => nodes.remove_file(path, self.clock.now()),
            FileKind::Folder => nodes.remove_folder(path, self.clock.now()),
        }
    }

    fn remove_file(&self, path: &VirtualPath) -> Result<(), StoreError> {
        let _alone = self.places.hold([standing_at(path)])?;
        self.lock().remove_file(path, self.clock.now())
    }

    fn make_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        let mut nodes = self.lock();
        match nodes.node(path) {
            Ok(_) => Err(StoreError::Exists),
            Err(StoreError::NotFound) => {
                nodes.folder(&path.parent())?;
                nodes.forget_partials(path);
                nodes.insert(path, FileKind::Folder, Bytes::new(), self.clock.now());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn remove_folder(&self, path: &VirtualPath) -> Result<(), StoreError> {
        let _alone = self.places.hold([standing_at(path)])?;
        self.lock().remove_folder(path, self.clock.now())
    }

    fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), StoreError> {
        let _alone = self.places.hold([standing_at(from), standing_at(to)])?;
        let mut nodes = self.lock();
        nodes.may_move(from, to)?;
        if from != to {
            nodes.move_partials(from, to)?;
        }
        let below: Vec<VirtualPath> = nodes.by_path.keys().filter(|path| path.is_within(from)).cloned().collect();
        for old in below {
            if let (Some(new), Some(node)) = (moved(&old, from, to)?, nodes.by_path.remove(&old)) {
                nodes.by_path.insert(new, node);
            }
        }
        let now = self.clock.now();
        nodes.touch(&from.parent(), now);
        nodes.touch(&to.parent(), now);
        Ok(())
    }

    fn set_modified(&self, path: &VirtualPath, modified: SystemTime) -> Result<(), StoreError> {
        let now = self.clock.now();
        let _alone = self.places.hold([standing_at(path)])?;
        let mut nodes = self.lock();
        nodes.node(path)?;
        if let Some(node) = nodes.by_path.get_mut(path) {
            (node.facts.modified, node.facts.changed) = (modified, now);
        }
        Ok(())
    }

    fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), StoreError> {
        let now = self.clock.now();
        let _alone = self.places.hold([standing_at(path)])?;
        let mut nodes = self.lock();
        nodes.node(path)?;
        if let Some(node) = nodes.by_path.get_mut(path) {
            (node.facts.mode, node.facts.changed) = (mode & 0o777, now);
        }
        Ok(())
    }
}

struct MemoryUpload {
    tree: MemoryTree,
    path: VirtualPath,
    how: Receive,
    content: Vec<u8>,
    /// So much of the content was there before.
    resumed_at: usize,
    /// What has come is kept where the rest does not.
    keeps: bool,
    account: Option<Arc<Account>>,
    /// Octets of the file that this replaces.
    replaced: u64,
    is_full: bool,
    /// Nobody else writes there.
    claim: Option<Claim<(String, VirtualPath)>>,
}

impl MemoryUpload {
    fn check_room(&self, octets: usize) -> Result<(), StoreError> {
        let nodes = self.tree.lock();
        let whole = (self.content.len() + octets) as u64;
        if nodes.octets() + whole > nodes.capacity {
            return Err(StoreError::Full);
        }
        match self.account.as_ref().and_then(|account| Some((account, account.www_quota?))) {
            Some((account, quota)) if nodes.used(account) + whole > quota + self.replaced => Err(StoreError::OverQuota),
            _ => Ok(()),
        }
    }
}

impl Upload for MemoryUpload {
    fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        let room = self.check_room(octets.len());
        self.is_full |= room.is_err();
        room?;
        self.content.extend_from_slice(octets);
        Ok(())
    }

    fn break_off(mut self: Box<Self>) -> Result<u64, StoreError> {
        if self.is_full {
            self.content.truncate(self.resumed_at);
        }
        let octets = self.content.len() as u64;
        let Some(account) = self.account.as_ref().filter(|_| self.keeps) else { return Ok(0) };
        let key = (account.name.clone(), self.path.clone());
        let mut nodes = self.tree.lock();
        // Gone where something has come to stand under the name meanwhile.
        if nodes.partials.remove(&key).is_none() || octets == 0 {
            return Ok(0);
        }
        let node = nodes.node_of(FileKind::File, std::mem::take(&mut self.content).into(), self.tree.clock.now());
        nodes.partials.insert(key, Some(node));
        Ok(octets)
    }

    fn commit_if(mut self: Box<Self>, condition: &Condition<'_>) -> Result<(FileFacts, Placed), StoreError> {
        drop(self.claim.take());
        let _alone = self.tree.places.hold([standing_at(&self.path)])?;
        condition()?;
        let mut nodes = self.tree.lock();
        let placed = if nodes.place(&self.path, self.how)?.is_some() { Placed::Replaced } else { Placed::Created };
        nodes.forget_partials(&self.path);
        let content = std::mem::take(&mut self.content).into();
        let facts = nodes.insert(&self.path, FileKind::File, content, self.tree.clock.now());
        Ok((facts, placed))
    }
}
