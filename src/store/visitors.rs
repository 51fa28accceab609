//! The web site's visitors: the back-end database of the textbook's page on cookies; and those
//! whom the lab's tracker follows.
//!
//! A visitor is known by a token in the browser's cookie file. The database keeps a digest of the
//! token, so that whoever reads the database can't pose as a visitor. Whatever is told to a
//! visitor is on disk first: a number that was given stays given, a visit that was counted stays
//! counted, also after `kill -9`.
//!
//! Every stranger may become a visitor, so the book has a bound: those who have not been here for
//! a year go, and when it is full, those who came once and never again, oldest first.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
    backends::InMemoryBackend,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;

/// The textbook's first visitor is number 1678, and so is ours.
const FIRST_NUMBER: u64 = 1678;
/// How much of a visitor's own words is kept per choice, in characters.
const CHOICE_CHARACTERS: usize = 100;
/// Of one thing nobody needs more in a basket.
const MAX_PIECES: u32 = 99;
/// How many sightings a profile keeps, the latest ones.
const MAX_SIGHTINGS: usize = 50;
/// How much of a site's name or a page's is kept, in characters.
const SIGHTING_CHARACTERS: usize = 200;
/// Who has not been here for so long is forgotten, as the browser has forgotten the cookie.
const FORGET_AFTER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Rows in the book, at some 300 octets each: 30 MB.
const MAX_VISITORS: u64 = 100_000;

/// Digest of realm and token -> the visitor as JSON.
const VISITORS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("visitors");
/// Realm -> the number of the next new visitor.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// Who knows a visitor: the site itself, or the tracker. Neither knows the other's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm {
    Site,
    Tracker,
}

/// One row of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visitor {
    pub number: u64,
    pub visits: u64,
    pub first: SystemTime,
    pub last: SystemTime,
    /// What the visitor chose: `name`, `colour` and the like.
    pub choices: BTreeMap<String, String>,
    /// What lies in the basket, and how many pieces of it.
    #[serde(default)]
    pub basket: BTreeMap<String, u32>,
    /// Where the tracker has seen the visitor, oldest first.
    #[serde(default)]
    pub sightings: Vec<Sighting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub at: SystemTime,
    pub site: String,
    pub page: String,
}

impl Visitor {
    fn new(number: u64, now: SystemTime) -> Visitor {
        Visitor { number, visits: 0, first: now, last: now, choices: BTreeMap::new(), basket: BTreeMap::new(), sightings: Vec::new() }
    }

    pub(crate) fn count_visit(&mut self) {
        self.visits += 1;
    }

    /// Notes a choice; what is overlong is cut.
    pub(crate) fn choose(&mut self, name: &str, value: &str) {
        self.choices.insert(name.to_owned(), value.chars().take(CHOICE_CHARACTERS).collect());
    }

    /// Puts a piece of something into the basket.
    pub(crate) fn put(&mut self, item: &str) {
        let pieces = self.basket.entry(item.to_owned()).or_default();
        *pieces = (*pieces + 1).min(MAX_PIECES);
    }

    /// Takes a piece of something out of it.
    pub(crate) fn take(&mut self, item: &str) {
        if let Some(pieces) = self.basket.get_mut(item) {
            *pieces = pieces.saturating_sub(1);
        }
        self.basket.retain(|_, pieces| *pieces > 0);
    }

    pub(crate) fn sight(&mut self, at: SystemTime, site: &str, page: &str) {
        let cut = |text: &str| text.chars().take(SIGHTING_CHARACTERS).collect();
        self.sightings.push(Sighting { at, site: cut(site), page: cut(page) });
        let excess = self.sightings.len().saturating_sub(MAX_SIGHTINGS);
        self.sightings.drain(..excess);
    }

    /// Whether anything would be lost with this row but a number.
    fn came_back(&self) -> bool {
        self.visits > 1 || !self.choices.is_empty() || !self.basket.is_empty()
    }
}

/// Who came, after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    pub visitor: Visitor,
    /// Nobody held the token that was shown, if any: the fresh one is theirs now.
    pub is_new: bool,
}

/// The visitors of a site.
pub(crate) trait Visitors: Send + Sync + 'static {
    /// Changes the row of the one who holds the token `shown`, or of a new visitor who is to hold
    /// the token `fresh`. Durable when it returns.
    fn meet(
        &self,
        realm: Realm,
        shown: Option<&str>,
        fresh: &str,
        now: SystemTime,
        change: &mut dyn FnMut(&mut Visitor),
    ) -> Result<Met, StoreError>;
    /// The row of the one who holds the token.
    fn look(&self, realm: Realm, token: &str) -> Result<Option<Visitor>, StoreError>;
}

/// Visitors in a redb database, on disk or in memory.
pub(crate) struct VisitorBook {
    /// `None` after a failure, a full disk for one: redb refuses everything from then on and wants
    /// to be opened afresh, which the next one who needs it does.
    database: RwLock<Option<Database>>,
    open: Open,
    max_visitors: u64,
}

type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

impl VisitorBook {
    /// Opens or creates the database.
    pub(crate) fn open(path: &Path) -> Result<VisitorBook, StoreError> {
        let path = path.to_owned();
        VisitorBook::new(Box::new(move || Database::create(&path)))
    }

    /// The double: the same database without a disk.
    pub(crate) fn in_memory() -> Result<VisitorBook, StoreError> {
        VisitorBook::new(Box::new(|| Database::builder().create_with_backend(InMemoryBackend::new())))
    }

    fn new(open: Open) -> Result<VisitorBook, StoreError> {
        let book = VisitorBook { database: RwLock::default(), open, max_visitors: MAX_VISITORS };
        book.write(|transaction| {
            transaction.open_table(VISITORS).map_err(broken)?;
            transaction.open_table(NUMBERS).map_err(broken)?;
            Ok(())
        })?;
        Ok(book)
    }

    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let changed = self.change(change);
        if let Err(StoreError::Full | StoreError::Broken(_)) = changed {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        changed
    }

    fn change<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut transaction = self.begin(|database| database.begin_write().map_err(broken))?;
        transaction.set_durability(Durability::Immediate).map_err(broken)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(broken)?;
        Ok(value)
    }

    fn begin<T>(&self, begin: impl Fn(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            return begin(database);
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => begin(database),
            None => begin(database.insert((self.open)().map_err(broken)?)),
        }
    }
}

impl Visitors for VisitorBook {
    fn meet(
        &self,
        realm: Realm,
        shown: Option<&str>,
        fresh: &str,
        now: SystemTime,
        change: &mut dyn FnMut(&mut Visitor),
    ) -> Result<Met, StoreError> {
        self.write(|transaction| {
            let shown = shown.map(|token| digest(realm, token));
            let known = match &shown {
                Some(key) => row(&transaction.open_table(VISITORS).map_err(broken)?, key)?,
                None => None,
            };
            let is_new = known.is_none();
            if is_new {
                make_room(transaction, self.max_visitors, now)?;
            }
            let mut visitor = match known {
                Some(visitor) => visitor,
                None => Visitor::new(next_number(transaction, realm)?, now),
            };
            visitor.last = now;
            change(&mut visitor);
            let key = shown.filter(|_| !is_new).unwrap_or_else(|| digest(realm, fresh));
            let text = serde_json::to_vec(&visitor).map_err(std::io::Error::from)?;
            transaction.open_table(VISITORS).map_err(broken)?.insert(&key[..], &text[..]).map_err(broken)?;
            Ok(Met { visitor, is_new })
        })
    }

    fn look(&self, realm: Realm, token: &str) -> Result<Option<Visitor>, StoreError> {
        let reading = self.begin(|database| database.begin_read().map_err(broken))?;
        row(&reading.open_table(VISITORS).map_err(broken)?, &digest(realm, token))
    }
}

fn row(visitors: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &[u8]) -> Result<Option<Visitor>, StoreError> {
    let found = visitors.get(key).map_err(broken)?;
    found.map(|row| read(row.value())).transpose()
}

fn next_number(transaction: &WriteTransaction, realm: Realm) -> Result<u64, StoreError> {
    let name = match realm {
        Realm::Site => "next",
        Realm::Tracker => "next-tracked",
    };
    let mut numbers = transaction.open_table(NUMBERS).map_err(broken)?;
    let number = numbers.get(name).map_err(broken)?.map_or(FIRST_NUMBER, |next| next.value());
    numbers.insert(name, number + 1).map_err(broken)?;
    Ok(number)
}

/// Sees to it that one more row fits. A full book loses a twentieth at once, so that the search is
/// made seldom.
fn make_room(transaction: &WriteTransaction, max_visitors: u64, now: SystemTime) -> Result<(), StoreError> {
    let mut table = transaction.open_table(VISITORS).map_err(broken)?;
    if table.len().map_err(broken)? < max_visitors {
        return Ok(());
    }
    let mut rows = Vec::new();
    for entry in table.iter().map_err(broken)? {
        let (key, value) = entry.map_err(broken)?;
        let visitor = read(value.value())?;
        let is_expired = now.duration_since(visitor.last).is_ok_and(|age| age > FORGET_AFTER);
        rows.push((!is_expired, visitor.came_back(), visitor.last, key.value().to_vec()));
    }
    rows.sort_unstable();
    let expired = rows.iter().filter(|(is_current, ..)| !is_current).count();
    for (.., key) in rows.iter().take(expired.max(rows.len() / 20).max(1)) {
        table.remove(&key[..]).map_err(broken)?;
    }
    Ok(())
}

fn read(row: &[u8]) -> Result<Visitor, StoreError> {
    serde_json::from_slice(row).map_err(|error| StoreError::Broken(error.into()))
}

fn digest(realm: Realm, token: &str) -> [u8; 32] {
    let digest = Sha256::new();
    match realm {
        Realm::Site => digest,
        Realm::Tracker => digest.chain_update("tracker "),
    }
    .chain_update(token)
    .finalize()
    .into()
}

fn broken(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        other => StoreError::Broken(std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn visit(book: &dyn Visitors, shown: Option<&str>, fresh: &str, at_secs: u64) -> Met {
        book.meet(Realm::Site, shown, fresh, NOW + Duration::from_secs(at_secs), &mut Visitor::count_visit).unwrap()
    }

    fn contract(book: &dyn Visitors) {
        let first = visit(book, None, "first", 0);
        assert_eq!((first.visitor.number, first.visitor.visits, first.is_new), (1678, 1, true));
        let second = visit(book, Some("guessed"), "second", 0);
        assert_eq!((second.visitor.number, second.is_new), (1679, true), "a token that nobody holds opens nothing");
        let again = visit(book, Some("first"), "unused", 9);
        assert_eq!((again.visitor.number, again.visitor.visits, again.is_new), (1678, 2, false));
        assert_eq!(book.look(Realm::Site, "unused").unwrap(), None);
        assert_eq!(book.look(Realm::Tracker, "first").unwrap(), None, "the tracker has its own book");
        let followed = book.meet(Realm::Tracker, None, "t", NOW, &mut |visitor| visitor.sight(NOW, "shop", "/shoes")).unwrap();
        assert_eq!((followed.visitor.number, followed.visitor.sightings.len()), (1678, 1));
    }

    #[test]
    fn visitors_in_memory() {
        contract(&VisitorBook::in_memory().unwrap());
    }

    #[test]
    fn visitors_on_disk_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("visitors.redb");
        contract(&VisitorBook::open(&path).unwrap());
        let again = VisitorBook::open(&path).unwrap();
        assert_eq!(visit(&again, Some("first"), "", 10).visitor.visits, 3);
        assert_eq!(visit(&again, None, "third", 10).visitor.number, 1680);
    }

    /// A disk that can be full.
    #[derive(Clone, Debug, Default)]
    struct Disk(Arc<(InMemoryBackend, AtomicBool)>);

    impl redb::StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.0.read(offset, out)
        }
        fn set_len(&self, octets: u64) -> io::Result<()> {
            self.0.0.set_len(octets)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.0.sync_data()
        }
        fn write(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
            match self.0.1.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => self.0.0.write(offset, octets),
            }
        }
    }

    #[test]
    fn once_there_is_room_again_visitors_are_met_again() {
        let disk = Disk::default();
        let backend = disk.clone();
        let book = VisitorBook::new(Box::new(move || Database::builder().create_with_backend(backend.clone()))).unwrap();
        visit(&book, None, "first", 0);
        disk.0.1.store(true, Ordering::Relaxed);
        let refused = book.meet(Realm::Site, None, "second", NOW, &mut Visitor::count_visit);
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        disk.0.1.store(false, Ordering::Relaxed);
        assert_eq!(visit(&book, Some("first"), "", 1).visitor.visits, 2);
        assert_eq!(visit(&book, None, "second", 1).visitor.number, 1679, "no number was lost");
    }

    #[test]
    fn a_full_book_forgets_those_who_never_came_back() {
        let book = VisitorBook { max_visitors: 3, ..VisitorBook::in_memory().unwrap() };
        visit(&book, None, "faithful", 0);
        visit(&book, Some("faithful"), "", 1);
        visit(&book, None, "old", 2);
        visit(&book, None, "young", 3);
        visit(&book, None, "newest", 4);
        let is_known = |token| book.look(Realm::Site, token).unwrap().is_some();
        assert_eq!(["faithful", "old", "young", "newest"].map(is_known), [true, false, true, true]);
        let in_a_year = FORGET_AFTER.as_secs() + 4;
        visit(&book, None, "later", in_a_year);
        assert_eq!(["faithful", "young", "newest", "later"].map(is_known), [false, false, true, true], "those of a year ago are forgotten");
    }

    #[test]
    fn nothing_in_a_row_grows_without_bound() {
        let mut visitor = Visitor::new(1, NOW);
        visitor.choose("name", &"å".repeat(CHOICE_CHARACTERS + 1));
        assert_eq!(visitor.choices["name"], "å".repeat(CHOICE_CHARACTERS));
        for _ in 0..=MAX_PIECES.max(MAX_SIGHTINGS as u32) {
            visitor.put("ketchup");
            visitor.sight(NOW, &"s".repeat(SIGHTING_CHARACTERS + 1), "/");
        }
        assert_eq!((visitor.basket["ketchup"], visitor.sightings.len()), (MAX_PIECES, MAX_SIGHTINGS));
        assert_eq!(visitor.sightings[0].site.len(), SIGHTING_CHARACTERS);
        visitor.put("pickles");
        visitor.take("pickles");
        visitor.take("nothing");
        assert_eq!(visitor.basket.len(), 1);
    }
}
