//! A body on its way into the cache: one writes it as it comes, any number read it along.
//!
//! Each reader goes at its own pace, over what is kept. Where the body is too large to be kept,
//! it only passes through: then the writer waits for the slowest reader, since nobody else holds
//! what that one has not read.
//!
//! ```text
//! Keeping --too large, no room--> Passing (nothing will be stored)
//! either  --finish--> whole;  either --drop of the writer--> cut
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, watch};

use super::{
    body::Body,
    room::{Room, Taken},
};

/// Small pieces are gathered into blocks of this size, in octets: a body of one-octet chunks must
/// not take a hundred times its size.
const BLOCK_OCTETS: usize = 32 * 1024;
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

/// The writing end; a body whose writer goes before it is finished is cut.
pub(crate) struct Writer {
    growing: Arc<Growing>,
    /// The most that is kept, in octets.
    limit: u64,
}

/// One of the reading ends.
pub(crate) struct Reader {
    growing: Arc<Growing>,
    moved: watch::Receiver<()>,
    id: u64,
    at: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Piece(Bytes),
    /// That was all of it.
    Whole,
    /// It broke off: what was read must not look complete.
    Cut,
}

impl Growing {
    /// A body of which nothing has come. It is kept up to `limit` octets, and for as long as there
    /// is room.
    pub(crate) fn begin(length: Option<u64>, limit: u64, room: &Room) -> Writer {
        let state = State {
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
        Writer { growing: Arc::new(growing), limit }
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

    /// Whether somebody waits for it, or so little is missing that the cache may have it.
    fn is_worthwhile(&self, state: &State) -> bool {
        let missing = self.length.map(|length| length.saturating_sub(state.octets));
        let is_nearly_whole = missing.is_some_and(|missing| missing <= WORTHWHILE_OCTETS || missing <= state.octets / 8);
        !state.readers.is_empty() || (is_nearly_whole && !state.is_passing)
    }
}

impl State {
    /// The first octet that is kept.
    fn kept_from(&self) -> u64 {
        self.blocks.front().map_or(self.octets - self.open.len() as u64, |(at, _)| *at)
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
        {
            let mut state = self.growing.lock();
            let fits = state.octets + piece.len() as u64 <= self.limit && state.room.grow(piece.len());
            state.is_passing |= !fits;
            state.push(piece);
        }
        self.growing.moved.send_replace(());
        self.catch_up().await
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
    pub(crate) fn body(&self) -> Option<Body> {
        let mut state = self.growing.lock();
        state.close_block();
        let is_whole = self.growing.length.is_none_or(|length| length == state.octets);
        (is_whole && !state.is_passing).then(|| Body::Whole(join(&state.blocks, state.octets)))
    }

    /// Tells the readers that this was all. To be called when the store has it: a client that has
    /// read the end and asks again is to find it there.
    pub(crate) fn finish(self) {
        let mut state = self.growing.lock();
        let is_whole = self.growing.length.is_none_or(|length| length == state.octets);
        state.end = Some(if is_whole { End::Whole } else { End::Cut });
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
        if let Some(piece) = state.piece(self.at) {
            self.at += piece.len() as u64;
            let (id, at) = (self.id, self.at);
            state.readers.insert(id, at);
            if state.is_passing {
                self.growing.read.notify_one();
            }
            return Some(Next::Piece(piece));
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
mod tests {
    use super::*;

    fn begin(length: Option<u64>, limit: u64) -> Writer {
        Growing::begin(length, limit, &Room::new(1 << 24))
    }

    async fn read(mut reader: Reader) -> (Vec<u8>, Next) {
        let mut all = Vec::new();
        loop {
            match reader.next().await {
                Next::Piece(piece) => all.extend_from_slice(&piece),
                end => return (all, end),
            }
        }
    }

    #[tokio::test]
    async fn readers_get_all_wherever_they_begin() {
        let mut writer = begin(None, 1 << 24);
        let growing = writer.growing().clone();
        let early = tokio::spawn(read(growing.join(0).unwrap()));
        let mut sent = Vec::new();
        for number in 0..200_usize {
            let piece = vec![u8::try_from(number).unwrap(); number * number];
            sent.extend_from_slice(&piece);
            writer.push(piece.into()).await.unwrap();
        }
        let late = growing.join(1000).unwrap();
        assert_eq!(growing.octets(), None);
        assert_eq!(writer.body().unwrap().whole().unwrap(), &sent);
        writer.finish();
        assert_eq!(growing.octets(), Some(sent.len() as u64));
        assert_eq!(early.await.unwrap(), (sent.clone(), Next::Whole));
        assert_eq!(read(late).await, (sent[1000..].to_vec(), Next::Whole));
    }

    #[tokio::test]
    async fn a_body_is_cut_where_its_writer_goes_or_it_is_too_short() {
        let mut writer = begin(Some(10), 1 << 20);
        let reader = writer.growing().join(0).unwrap();
        writer.push(Bytes::from_static(b"abc")).await.unwrap();
        drop(writer);
        assert_eq!(read(reader).await, (b"abc".to_vec(), Next::Cut));
        let writer = begin(Some(10), 1 << 20);
        let reader = writer.growing().join(0).unwrap();
        assert!(writer.body().is_none());
        writer.finish();
        assert_eq!(read(reader).await, (Vec::new(), Next::Cut));
    }

    #[tokio::test(start_paused = true)]
    async fn too_large_a_body_waits_for_its_slowest_reader_and_holds_little() {
        let mut writer = begin(None, 1000);
        let growing = writer.growing().clone();
        let (mut slow, fast) = (growing.join(0).unwrap(), tokio::spawn(read(growing.join(0).unwrap())));
        let piece = || Bytes::from(vec![7; 50_000]);
        for _ in 0..2 {
            writer.push(piece()).await.unwrap();
        }
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), writer.push(piece())).await;
        assert!(waiting.is_err(), "it waits for the slow one");
        for _ in 0..2 {
            assert!(matches!(slow.next().await, Next::Piece(_)));
        }
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), writer.push(piece())).await.is_ok_and(|pushed| pushed.is_ok()));
        assert!(writer.body().is_none(), "nothing to be stored");
        assert!(growing.join(0).is_none(), "the beginning is gone");
        let rest = tokio::spawn(read(slow));
        writer.push(piece()).await.unwrap();
        writer.finish();
        assert_eq!(fast.await.unwrap().0.len(), 250_000);
        assert_eq!(rest.await.unwrap(), (vec![7; 150_000], Next::Whole));
    }

    #[tokio::test]
    async fn a_fetch_is_given_up_when_nobody_reads_unless_it_is_nearly_whole() {
        for (length, is_given_up) in [(Some(10_000_000), true), (None, true), (Some(1_000_000), false)] {
            let mut writer = begin(length, 1 << 30);
            drop(writer.growing().join(0));
            assert_eq!(writer.push(Bytes::from_static(b"abc")).await.is_err(), is_given_up, "{length:?}");
        }
    }
}
