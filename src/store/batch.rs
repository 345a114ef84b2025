//! What came together goes into the ledger together: one transaction, one synchronisation, and each entry in it has its
//! place in the log.

use super::database::{Database, Transaction};
use super::entries::place_waiting;
use super::queries::{NewAnswer, NewQuery, NewServe, Put, put_answer, put_query, put_serve};
use super::record::{count, statement};
use super::{NewEntry, Sealer, StoreError, StoredEntry};

/// Something that goes into the ledger together with others.
pub enum Change {
    /// An entry of the attestation log.
    Entry(NewEntry),
    /// A question of ours, with its entry.
    Query(Box<NewQuery>),
    /// What came back to one.
    Answer(NewAnswer),
    /// Our answer to a question, with its entry.
    Serve(Box<NewServe>),
}

/// What became of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It stands in the ledger, and its entry has its place.
    Done(Option<StoredEntry>),
    /// There is such a question already: nothing has changed.
    Before,
    /// This limit has no room for it: nothing has changed.
    OverQuota(String),
}

/// Makes all changes. See [`Store::commit_together`](super::Store::commit_together).
pub(super) async fn commit_together(
    database: &Database,
    log: &str,
    size: u64,
    changes: Vec<Change>,
) -> Result<Vec<Changed>, StoreError> {
    let sealer = database.sealer.read().await;
    let mut write = database.begin().await?;
    place_waiting(&mut write, log, size).await?;
    let mut next = end_of(&mut write, log).await?.max(size);
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        let changed = make(&mut write, &sealer, change, next).await?;
        next += u64::from(matches!(changed, Changed::Done(Some(_))));
        done.push(changed);
    }
    write.commit().await?;
    Ok(done)
}

/// Makes a change, whose entry gets this place.
async fn make(write: &mut Transaction, sealer: &Sealer, change: Change, place: u64) -> Result<Changed, StoreError> {
    match change {
        Change::Entry(new) => Ok(Changed::Done(Some(put_entry_at(write, new, place).await?))),
        Change::Query(new) => Ok(put_query(write, sealer, *new, place).await?.into()),
        Change::Answer(new) => {
            put_answer(write, sealer, new).await?;
            Ok(Changed::Done(None))
        }
        Change::Serve(new) => Ok(put_serve(write, sealer, *new, place).await?.into()),
    }
}

/// How many entries a log has if all places are taken that were given.
async fn end_of(write: &mut Transaction, log: &str) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(log_index) + 1, 0) AS size FROM entries WHERE log = $1";
    let row = write.row(statement(sql).bind(log.to_owned())).await?;
    row.map_or(Ok(0), |row| row.count("size"))
}

async fn put_entry_at(write: &mut Transaction, new: NewEntry, place: u64) -> Result<StoredEntry, StoreError> {
    let sql = "INSERT INTO entries (log, subject, kind, note, log_index) VALUES ($1, $2, $3, $4, $5) RETURNING number";
    let NewEntry { log, subject, kind, note } = new;
    let index = count("the index of an entry", place)?;
    let query = statement(sql).bind(log).bind(subject).bind(kind).bind(note.clone()).bind(index);
    let number = write.row(query).await?.map_or(Ok(0), |row| row.count("number"))?;
    Ok(StoredEntry { number, note, log_index: Some(place) })
}

impl From<Put> for Changed {
    fn from(put: Put) -> Self {
        match put {
            Put::Done(entry) => Self::Done(Some(entry)),
            Put::Before => Self::Before,
            Put::OverQuota(limit) => Self::OverQuota(limit),
        }
    }
}
