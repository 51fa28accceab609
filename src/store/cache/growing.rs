//! A body on its way into the cache: one writes it as it comes, any number read it along.
//!
//! What has come is kept in memory, and once it gets long, in a file. Each reader goes at its own
//! pace over what is kept. Where a body can't be kept, it only passes through: then the writer
//! waits for the slowest reader, since nobody else holds what that one has not read.
//!
//! ```text
//! in memory --long, or no room--> in a file --too large, disk full--> passing (not stored)
//! any of them --finish--> whole;  any of them --drop of the writer--> cut
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    fs::File,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, watch};

use super::{
    body::Body,
    filed::{Spool, Spooler},
    room::{Room, Taken},
};
use crate::store::blocking;

/// Small pieces are gathered into blocks of this size, in octets: a body of one-octet chunks must
/// not take a hundred times its size.
const BLOCK_OCTETS: usize = 32 * 1024;
/// A body in a file is written in pieces of about this size, in octets.
const SPOOL_OCTETS: u64 = 128 * 1024;
/// How far the writer may be ahead of the slowest reader of a body that only passes through, in
/// octets.
const AHEAD_OCTETS: u64 = 128 * 1024;
/// A fetch that nobody waits for any more goes on if no more than this is missing, in octets.
const WORTHWHILE_OCTETS: u64 = 1024 * 1024;

/// A body on its way.
pub(crate) struct Growing {
    /// What the origin announced.
    length: Option<u64>,
    state: Mutex<State>,
    /// Wakes readers: there is more, or it is over.
    moved: watch::Sender<()>,
    /// Wakes the writer: a reader has moved on or gone.
    read: Notify,
}

struct State {
    /// The file and how much of the body is in it: all before the first block.
    filed: Option<(Arc<File>, u64)>,
    /// Where the body begins in the file.
    file_offset: u64,
    /// What is in memory, each block with its offset; then the open block.
    blocks: VecDeque<(u64, Bytes)>,
    open: BytesMut,
    /// How much has come.
    octets: u64,
    room: Taken,
    is_passing: bool,
    end: Option<End>,
    /// Where each reader stands.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
}

/// Nobody waits for the body any more, and too much of it is missing to go on for the cache.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

/// How much of a body is kept, in octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub whole: u64,
    /// The longest that is kept in memory.
    pub memory: u64,
}

/// The writing end; a body whose writer goes before it is finished is cut.
pub(crate) struct Writer {
    growing: Arc<Growing>,
    bounds: Bounds,
    spooler: Option<Spooler>,
    spool: Option<Spool>,
}

/// One of the reading ends.
pub(crate) struct Reader {
    growing: Arc<Growing>,
    moved: watch::Receiver<()>,
    id: u64,
    at: u64,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(Bytes),
    /// This part of a file.
    File(Arc<File>, Range<u64>),
    /// That was all of it.
    Whole,
    /// It broke off: what was read must not look complete.
    Cut,
}

impl Growing {
    /// A body of which nothing has come. It is kept within `bounds`, and for as long as there is
    /// room.
    pub(super) fn begin(length: Option<u64>, bounds: Bounds, room: &Room, spooler: Option<Spooler>) -> Writer {
        let state = State {
            filed: None,
            file_offset: 0,
            blocks: VecDeque::new(),
            open: BytesMut::new(),
            octets: 0,
            room: room.enter(),
            is_passing: false,
            end: None,
            readers: BTreeMap::new(),
            next_reader: 0,
        };
        let growing = Growing { length, state: Mutex::new(state), moved: watch::Sender::new(()), read: Notify::new() };
        Writer { growing: Arc::new(growing), bounds, spooler, spool: None }
    }

    /// Its length, where that is known by now.
    pub(crate) fn octets(&self) -> Option<u64> {
        let state = self.lock();
        self.length.or((state.end == Some(End::Whole)).then_some(state.octets))
    }

    /// How much has come.
    pub(crate) fn arrived(&self) -> u64 {
        self.lock().octets
    }

    /// Reads along from `at`; `None` where that is not kept any more, or has broken off.
    pub(crate) fn join(self: &Arc<Self>, at: u64) -> Option<Reader> {
        let mut state = self.lock();
        let is_kept = at >= state.kept_from();
        if !is_kept || state.end == Some(End::Cut) {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, at);
        Some(Reader { growing: self.clone(), moved: self.moved.subscribe(), id, at })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether as much has come as was announced.
    fn has_all(&self, state: &State) -> bool {
        self.length.is_none_or(|length| length == state.octets)
    }

    /// Whether somebody waits for it, or so little is missing that the cache may have it.
    fn is_worthwhile(&self, state: &State) -> bool {
        let missing = self.length.map(|length| length.saturating_sub(state.octets));
        let is_nearly_whole = missing.is_some_and(|missing| missing <= WORTHWHILE_OCTETS || missing <= state.octets / 8);
        !state.readers.is_empty() || (is_nearly_whole && !state.is_passing)
    }
}

impl State {
    /// The first octet in memory.
    fn in_memory_from(&self) -> u64 {
        self.blocks.front().map_or(self.octets - self.open.len() as u64, |(at, _)| *at)
    }

    /// The first octet that is kept.
    fn kept_from(&self) -> u64 {
        match &self.filed {
            Some((_, filed)) if *filed == self.in_memory_from() => 0,
            _ => self.in_memory_from(),
        }
    }

    /// What is in the file from `at` on, as a part of that file.
    fn part(&self, at: u64) -> Option<(Arc<File>, Range<u64>)> {
        let (file, filed) = self.filed.as_ref()?;
        (at < *filed).then(|| (file.clone(), self.file_offset + at..self.file_offset + filed))
    }

    /// The blocks up to `until` are in the file now.
    fn settle(&mut self, file: Arc<File>, offset: u64, until: u64) {
        (self.filed, self.file_offset) = (Some((file, until)), offset);
        while self.blocks.front().is_some_and(|(at, _)| *at < until) {
            if let Some((_, block)) = self.blocks.pop_front() {
                self.room.shrink(block.len());
            }
        }
    }

    fn push(&mut self, piece: Bytes) {
        let octets = piece.len() as u64;
        if piece.len() >= BLOCK_OCTETS / 2 {
            self.close_block();
            self.blocks.push_back((self.octets, piece));
        } else {
            self.open.extend_from_slice(&piece);
        }
        self.octets += octets;
        if self.open.len() >= BLOCK_OCTETS {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        if !self.open.is_empty() {
            let block = self.open.split().freeze();
            self.blocks.push_back((self.octets - block.len() as u64, block));
        }
    }

    /// What is kept from `at` on, as far as it lies together.
    fn piece(&self, at: u64) -> Option<Bytes> {
        let past = self.blocks.partition_point(|(from, _)| *from <= at);
        let block = past.checked_sub(1).and_then(|index| self.blocks.get(index));
        if let Some((from, block)) = block
            && let Some(rest) = usize::try_from(at - from).ok().filter(|skip| *skip < block.len())
        {
            return Some(block.slice(rest..));
        }
        let skip = usize::try_from(at.checked_sub(self.octets - self.open.len() as u64)?).ok()?;
        self.open.get(skip..).filter(|rest| !rest.is_empty()).map(Bytes::copy_from_slice)
    }

    /// Forgets what all readers have read.
    fn forget_read(&mut self) {
        let slowest = self.readers.values().copied().min().unwrap_or(self.octets);
        while self.blocks.front().is_some_and(|(at, block)| at + block.len() as u64 <= slowest) {
            if let Some((_, block)) = self.blocks.pop_front() {
                self.room.shrink(block.len());
            }
        }
        if self.blocks.is_empty() && slowest >= self.octets {
            self.room.shrink(self.open.len());
            self.open.clear();
        }
    }

    fn is_ahead(&self) -> bool {
        self.readers.values().any(|at| self.octets.saturating_sub(*at) > AHEAD_OCTETS)
    }
}

impl Writer {
    /// What is being written, for readers.
    pub(crate) fn growing(&self) -> &Arc<Growing> {
        &self.growing
    }

    /// Adds a piece; waits where the body only passes through and readers lag behind.
    ///
    /// # Errors
    /// [`Abandoned`]: stop fetching.
    pub(crate) async fn push(&mut self, piece: Bytes) -> Result<(), Abandoned> {
        let must_spool = {
            let mut state = self.growing.lock();
            let has_room = state.room.grow(piece.len());
            state.push(piece);
            state.is_passing |= state.octets > self.bounds.whole || (!has_room && self.spooler.is_none());
            let threshold = if self.is_long(state.octets) || !has_room { SPOOL_OCTETS } else { u64::MAX };
            !state.is_passing && (state.octets - state.in_memory_from() >= threshold || (!has_room && self.spool.is_none()))
        };
        if must_spool {
            self.spool().await;
        }
        self.growing.moved.send_replace(());
        self.catch_up().await
    }

    /// Whether it will be too long to be held in memory.
    fn is_long(&self, octets: u64) -> bool {
        self.spooler.is_some() && self.growing.length.unwrap_or(octets) > self.bounds.memory
    }

    /// Moves what is in memory to the file. Where that fails, the body only passes through.
    async fn spool(&mut self) {
        let Some(spooler) = self.spooler.clone() else { return };
        let blocks: Vec<Bytes> = {
            let mut state = self.growing.lock();
            state.close_block();
            state.blocks.iter().map(|(_, block)| block.clone()).collect()
        };
        let spool = self.spool.take();
        let written = blocking(move || -> io::Result<Spool> {
            let mut spool = spool.map_or_else(|| spooler.begin(), Ok)?;
            blocks.iter().try_for_each(|block| spool.append(block))?;
            Ok(spool)
        });
        match written.await {
            Ok(spool) => {
                let mut state = self.growing.lock();
                let until = state.octets;
                state.settle(spool.file.clone(), spool.position(0), until);
                self.spool = Some(spool);
            }
            Err(error) => {
                tracing::warn!("cannot write a body to the cache: {error}; it is not stored");
                self.growing.lock().is_passing = true;
            }
        }
    }

    /// Waits for readers that lag behind, where nothing is kept for them.
    async fn catch_up(&self) -> Result<(), Abandoned> {
        loop {
            let read = self.growing.read.notified();
            {
                let mut state = self.growing.lock();
                if !self.growing.is_worthwhile(&state) {
                    return Err(Abandoned);
                }
                if !state.is_passing {
                    return Ok(());
                }
                state.forget_read();
                if !state.is_ahead() {
                    return Ok(());
                }
            }
            read.await;
        }
    }

    /// Waits until nobody wants the body any more. Cancel-safe.
    pub(crate) async fn abandoned(&self) {
        loop {
            let read = self.growing.read.notified();
            if !self.growing.is_worthwhile(&self.growing.lock()) {
                return;
            }
            read.await;
        }
    }

    /// The body, which has come completely, where it was kept; `None` also where it is not as long
    /// as announced.
    pub(crate) async fn body(&mut self) -> Option<Body> {
        if self.spool.is_some() {
            self.spool().await;
        }
        let mut state = self.growing.lock();
        state.close_block();
        if !self.growing.has_all(&state) || state.is_passing {
            return None;
        }
        Some(match &mut self.spool {
            Some(spool) => Body::File(Arc::new(spool.seal())),
            None => Body::Whole(join(&state.blocks, state.octets)),
        })
    }

    /// Tells the readers that this was all. To be called when the store has it: a client that has
    /// read the end and asks again is to find it there.
    pub(crate) fn finish(self) {
        let mut state = self.growing.lock();
        state.end = Some(if self.growing.has_all(&state) { End::Whole } else { End::Cut });
    }
}

/// All blocks as one.
fn join(blocks: &VecDeque<(u64, Bytes)>, octets: u64) -> Bytes {
    if let (Some((_, only)), 1) = (blocks.front(), blocks.len()) {
        // A copy, so that a block which is part of a larger buffer does not keep that alive.
        return Bytes::copy_from_slice(only);
    }
    let mut whole = Vec::with_capacity(usize::try_from(octets).unwrap_or(0));
    blocks.iter().for_each(|(_, block)| whole.extend_from_slice(block));
    whole.into()
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.growing.lock().end.get_or_insert(End::Cut);
        self.growing.moved.send_replace(());
    }
}

impl Reader {
    /// The next piece, as soon as there is one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            self.moved.borrow_and_update();
            if let Some(next) = self.look() {
                return next;
            }
            // The sender lives as long as the body that we hold.
            let _moved = self.moved.changed().await;
        }
    }

    /// The next piece, if it is there already.
    pub(crate) fn look(&mut self) -> Option<Next> {
        let mut state = self.growing.lock();
        let next = match state.part(self.at) {
            Some((file, range)) => Some((range.end - range.start, Next::File(file, range))),
            None => state.piece(self.at).map(|piece| (piece.len() as u64, Next::Piece(piece))),
        };
        if let Some((octets, next)) = next {
            self.at += octets;
            let (id, at) = (self.id, self.at);
            state.readers.insert(id, at);
            if state.is_passing {
                self.growing.read.notify_one();
            }
            return Some(next);
        }
        match state.end? {
            End::Whole => Some(Next::Whole),
            End::Cut => Some(Next::Cut),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.growing.lock().readers.remove(&self.id);
        self.growing.read.notify_one();
    }
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Growing({} of {:?})", self.arrived(), self.length)
    }
}

#[cfg(test)]
mod tests;
