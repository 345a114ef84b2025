//! What came together goes into the ledger together: one transaction, one synchronisation, and each entry in it has its
//! place in the log.

use super::database::Write;
use super::queries::{NewAnswer, NewQuery, NewServe, Put};
use super::record::{count, statement};
use super::{NewEntry, Sealer, Store, StoreError, StoredEntry};

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

impl Store {
    /// Makes all these changes, and gives their entries their places in a log of `size` entries, in this order: behind what
    /// stands there, and behind all that had a place or waited for one. Either all are made or none; each tells what became
    /// of it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a size beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn commit_together(
        &self,
        log: &str,
        size: u64,
        changes: Vec<Change>,
    ) -> Result<Vec<Changed>, StoreError> {
        let sealer = self.sealer.read().await;
        let mut write = self.begin().await?;
        write.place_entries(log, size).await?;
        let mut next = write.end_of(log).await?.max(size);
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            let changed = write.make(&sealer, change, next).await?;
            next += u64::from(matches!(changed, Changed::Done(Some(_))));
            done.push(changed);
        }
        write.commit().await?;
        Ok(done)
    }
}

impl Write {
    /// Makes a change, whose entry gets this place.
    async fn make(&mut self, sealer: &Sealer, change: Change, place: u64) -> Result<Changed, StoreError> {
        match change {
            Change::Entry(new) => Ok(Changed::Done(Some(self.put_entry_at(new, place).await?))),
            Change::Query(new) => Ok(self.put_query(sealer, *new, place).await?.into()),
            Change::Answer(new) => {
                self.put_answer(sealer, new).await?;
                Ok(Changed::Done(None))
            }
            Change::Serve(new) => Ok(self.put_serve(sealer, *new, place).await?.into()),
        }
    }

    /// How many entries a log has if all places are taken that were given.
    async fn end_of(&mut self, log: &str) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(log_index) + 1, 0) AS size FROM entries WHERE log = $1";
        let row = self.row(statement(sql).bind(log.to_owned())).await?;
        row.map_or(Ok(0), |row| row.count("size"))
    }

    async fn put_entry_at(&mut self, new: NewEntry, place: u64) -> Result<StoredEntry, StoreError> {
        let sql = "INSERT INTO entries (log, subject, kind, note, log_index) VALUES ($1, $2, $3, $4, $5)
                   RETURNING number";
        let NewEntry { log, subject, kind, note } = new;
        let place_here = count("the index of an entry", place)?;
        let query = statement(sql).bind(log).bind(subject).bind(kind).bind(note.clone()).bind(place_here);
        let number = self.row(query).await?.map_or(Ok(0), |row| row.count("number"))?;
        Ok(StoredEntry { number, note, log_index: Some(place) })
    }
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
