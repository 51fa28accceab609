//! The web site's visitors: the back-end database of the textbook's page on cookies.
//!
//! A visitor is known by a token in the browser's cookie file. The database keeps a digest of the
//! token, so that whoever reads the database can't pose as a visitor. A first visit and a choice
//! are durable at once; visit counts are synced at most once a second, so a crash may lose the
//! last second of counting and nothing else.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use redb::{Database, Durability, ReadableTable, TableDefinition, WriteTransaction, backends::InMemoryBackend};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;

/// The textbook's first visitor is number 1678, and so is ours.
const FIRST_NUMBER: u64 = 1678;
/// How much of a visitor's own words is kept per choice, in characters.
const CHOICE_CHARACTERS: usize = 100;
/// Counts are synced at most this often.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Digest of the token -> the visitor as JSON.
const VISITORS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("visitors");
/// `next` -> the number of the next new visitor.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// One row of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Visitor {
    pub number: u64,
    pub visits: u64,
    pub first: SystemTime,
    pub last: SystemTime,
    /// What the visitor chose: `name`, `colour` and the like.
    pub choices: BTreeMap<String, String>,
}

/// The visitors of a site.
pub(crate) trait Visitors: Send + Sync + 'static {
    /// Counts a visit of the one who holds `token`; `None` where nobody does.
    fn visit(&self, token: &str, now: SystemTime) -> Result<Option<Visitor>, StoreError>;
    /// Enters a first visit under a fresh `token`.
    fn welcome(&self, token: &str, now: SystemTime) -> Result<Visitor, StoreError>;
    /// Notes choices, overlong ones cut; `None` where nobody holds `token`. Durable when it returns.
    fn choose(&self, token: &str, choices: &[(&str, &str)]) -> Result<Option<Visitor>, StoreError>;
}

/// Visitors in a redb database, on disk or in memory.
pub(crate) struct VisitorBook {
    database: Database,
    synced: Mutex<Instant>,
}

impl VisitorBook {
    /// Opens or creates the database.
    pub(crate) fn open(path: &Path) -> Result<VisitorBook, StoreError> {
        VisitorBook::new(Database::create(path).map_err(broken)?)
    }

    /// The double: the same database without a disk.
    pub(crate) fn in_memory() -> Result<VisitorBook, StoreError> {
        VisitorBook::new(Database::builder().create_with_backend(InMemoryBackend::new()).map_err(broken)?)
    }

    fn new(database: Database) -> Result<VisitorBook, StoreError> {
        let book = VisitorBook { database, synced: Mutex::new(Instant::now()) };
        book.write(Durability::Immediate, |transaction| {
            transaction.open_table(VISITORS).map_err(broken)?;
            transaction.open_table(NUMBERS).map_err(broken)?;
            Ok(())
        })?;
        Ok(book)
    }

    fn write<T>(&self, durability: Durability, change: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut transaction = self.database.begin_write().map_err(broken)?;
        transaction.set_durability(durability).map_err(broken)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(broken)?;
        Ok(value)
    }

    /// Durable if the last sync is long enough ago.
    fn now_and_then(&self) -> Durability {
        let mut synced = self.synced.lock().expect("no code panics while it looks at the time");
        if synced.elapsed() < SYNC_EVERY {
            return Durability::None;
        }
        *synced = Instant::now();
        Durability::Immediate
    }
}

impl Visitors for VisitorBook {
    fn visit(&self, token: &str, now: SystemTime) -> Result<Option<Visitor>, StoreError> {
        let count = |visitor: &mut Visitor| {
            visitor.visits += 1;
            visitor.last = now;
        };
        self.write(self.now_and_then(), |transaction| update(transaction, token, count))
    }

    fn welcome(&self, token: &str, now: SystemTime) -> Result<Visitor, StoreError> {
        self.write(Durability::Immediate, |transaction| {
            let mut numbers = transaction.open_table(NUMBERS).map_err(broken)?;
            let number = numbers.get("next").map_err(broken)?.map_or(FIRST_NUMBER, |next| next.value());
            numbers.insert("next", number + 1).map_err(broken)?;
            let visitor = Visitor { number, visits: 1, first: now, last: now, choices: BTreeMap::new() };
            insert(transaction, token, &visitor)?;
            Ok(visitor)
        })
    }

    fn choose(&self, token: &str, choices: &[(&str, &str)]) -> Result<Option<Visitor>, StoreError> {
        let note = |visitor: &mut Visitor| {
            for (name, value) in choices {
                visitor.choices.insert((*name).to_owned(), value.chars().take(CHOICE_CHARACTERS).collect());
            }
        };
        self.write(Durability::Immediate, |transaction| update(transaction, token, note))
    }
}

impl Drop for VisitorBook {
    /// Counts since the last sync are written out at an ordinary end.
    fn drop(&mut self) {
        let _nothing_left_to_tell = self.write(Durability::Immediate, |_| Ok(()));
    }
}

fn update(transaction: &WriteTransaction, token: &str, change: impl FnOnce(&mut Visitor)) -> Result<Option<Visitor>, StoreError> {
    let found = {
        let table = transaction.open_table(VISITORS).map_err(broken)?;
        let row = table.get(&digest(token)[..]).map_err(broken)?;
        row.map(|row| read(row.value())).transpose()?
    };
    let Some(mut visitor) = found else { return Ok(None) };
    change(&mut visitor);
    insert(transaction, token, &visitor)?;
    Ok(Some(visitor))
}

fn insert(transaction: &WriteTransaction, token: &str, visitor: &Visitor) -> Result<(), StoreError> {
    let row = serde_json::to_vec(visitor).map_err(broken)?;
    transaction.open_table(VISITORS).map_err(broken)?.insert(&digest(token)[..], &row[..]).map_err(broken)?;
    Ok(())
}

fn read(row: &[u8]) -> Result<Visitor, StoreError> {
    serde_json::from_slice(row).map_err(broken)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Broken(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn contract(book: &dyn Visitors) {
        assert_eq!(book.visit("nobody", NOW).unwrap(), None);
        assert_eq!(book.choose("nobody", &[("name", "x")]).unwrap(), None);
        let first = book.welcome("first", NOW).unwrap();
        assert_eq!((first.number, first.visits), (1678, 1));
        assert_eq!(book.welcome("second", NOW).unwrap().number, 1679);
        assert_eq!(book.visit("first", NOW + Duration::from_secs(9)).unwrap().unwrap().visits, 2);
        let chosen = book.choose("first", &[("name", &"å".repeat(CHOICE_CHARACTERS + 1))]).unwrap().unwrap();
        assert_eq!(chosen.choices["name"], "å".repeat(CHOICE_CHARACTERS), "cut at the limit");
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
        assert_eq!(again.visit("first", NOW).unwrap().unwrap().visits, 3);
        assert_eq!(again.welcome("third", NOW).unwrap().number, 1680);
    }
}
