//! Entries of the attestation log, by what they are about: the exact bytes, before and after they are logged.

use std::collections::BTreeMap;

use super::database::{Database, Transaction, lacks};
use super::record::{ManyRows, Row, Statement, count, statement};
use super::{JobId, StoreError};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number here; later ones are larger.
    pub number: u64,
    /// The signed note.
    pub note: Vec<u8>,
    /// Its place in the log, once it has one. It stands there, or will.
    pub log_index: Option<u64>,
}

/// An entry that goes into the ledger in one step with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The log of ours in which it is to stand: a party may have begun another one after it lost the first.
    pub log: String,
    /// What it is about.
    pub subject: String,
    /// Its kind.
    pub kind: String,
    /// The signed note.
    pub note: Vec<u8>,
}

/// Entries of the attestation log.
#[derive(Clone, Copy)]
pub struct EntryTable<'s>(pub(super) &'s Database);

impl EntryTable<'_> {
    /// Notes an entry that waits for its place in the log. What it is about may have several; the last one counts.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn put(self, new: NewEntry) -> Result<StoredEntry, StoreError> {
        let mut write = self.0.begin().await?;
        let stored = put_entry(&mut write, new).await?;
        write.commit().await?;
        Ok(stored)
    }

    /// Gives every entry that waits its place in a log of `size` entries, in the order in which they were put down: behind
    /// what stands there, and behind the places that were given before. Either all have one afterwards or none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a size beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn place(self, log: &str, size: u64) -> Result<(), StoreError> {
        let mut write = self.0.begin().await?;
        place_waiting(&mut write, log, size).await?;
        write.commit().await
    }

    /// Notes where entries that wait for a place stand already: the index of each, by its number.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if another entry has the place; [`StoreError::Invalid`] for an index beyond reason;
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn record_places(self, places: &[(u64, u64)]) -> Result<(), StoreError> {
        let mut write = self.0.begin().await?;
        for (number, index) in places {
            let sql = "UPDATE entries SET log_index = $2 WHERE number = $1 AND log_index IS NULL";
            let query = statement(sql)
                .bind(count("the number of an entry", *number)?)
                .bind(count("the index of an entry", *index)?);
            if !write.insert(query).await? {
                return Err(StoreError::already_exists("entry at a place", index));
            }
        }
        write.commit().await
    }

    /// Takes back the places from `index` on, which nothing in the log has taken. Their entries wait again.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an index beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn take_places_back(self, log: &str, index: u64) -> Result<(), StoreError> {
        let mut write = self.0.begin().await?;
        let sql = "UPDATE entries SET log_index = NULL WHERE log = $1 AND log_index >= $2";
        write.run(statement(sql).bind(log.to_owned()).bind(count("the index of an entry", index)?)).await?;
        write.commit().await
    }

    /// Where an entry has its place, if it has one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn place_of(self, number: u64) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT log_index FROM entries WHERE number = $1";
        let row = self.0.row(statement(sql).bind(count("the number of an entry", number)?)).await?;
        row.ok_or_else(|| StoreError::not_found("entry", number))?.count_optional("log_index")
    }

    /// At most `limit` entries that wait for their place in a log, with numbers above `after`, in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn waiting(self, log: &str, after: u64, limit: u32) -> Result<Vec<StoredEntry>, StoreError> {
        let sql = "SELECT number, note, log_index FROM entries
                   WHERE log = $1 AND log_index IS NULL AND number > $2 ORDER BY number LIMIT $3";
        let query = statement(sql).bind(log.to_owned()).bind(count("the number of an entry", after)?).bind(limit);
        self.0.rows(query).await?.iter().map(read).collect()
    }

    /// At most `limit` entries with places in a log from `index` on, in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn placed(self, log: &str, index: u64, limit: u32) -> Result<Vec<StoredEntry>, StoreError> {
        let sql = "SELECT number, note, log_index FROM entries
                   WHERE log = $1 AND log_index >= $2 ORDER BY log_index LIMIT $3";
        let query = statement(sql).bind(log.to_owned()).bind(count("the index of an entry", index)?).bind(limit);
        self.0.rows(query).await?.iter().map(read).collect()
    }

    /// How many places in a log were given from `index` on, and how many entries it has if all are taken.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an index beyond reason; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn places_from(self, log: &str, index: u64) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(*) AS given, coalesce(max(log_index) + 1, 0) AS size FROM entries
                   WHERE log = $1 AND log_index >= $2";
        let row = self.0.row(statement(sql).bind(log.to_owned()).bind(count("the index of an entry", index)?)).await?;
        row.map_or(Ok((0, 0)), |row| Ok((row.count("given")?, row.count("size")?)))
    }

    /// The entry with the last place in a log below `index`.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an index beyond reason; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn last_placed_below(self, log: &str, index: u64) -> Result<Option<StoredEntry>, StoreError> {
        let sql = "SELECT number, note, log_index FROM entries
                   WHERE log = $1 AND log_index < $2 ORDER BY log_index DESC LIMIT 1";
        let query = statement(sql).bind(log.to_owned()).bind(count("the index of an entry", index)?);
        self.0.row(query).await?.as_ref().map(read).transpose()
    }

    /// What has an entry of one kind for a log and none of the other.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn without(self, log: &str, kind: &str, other: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT subject FROM entries WHERE log = $1 AND kind = $2
                   AND subject NOT IN (SELECT subject FROM entries WHERE log = $1 AND kind = $3)";
        let query = statement(sql).bind(log.to_owned()).bind(kind.to_owned()).bind(other.to_owned());
        self.0.rows(query).await?.iter().map(|row| row.get("subject")).collect()
    }

    /// The jobs in a state whose last entry of a kind for a log does not hold these bytes; those without one are not among
    /// them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn jobs_whose_last_entry_lacks(
        self,
        log: &str,
        state: &str,
        kind: &str,
        bytes: &[u8],
    ) -> Result<Vec<JobId>, StoreError> {
        let sql = lacks!(
            "SELECT id FROM jobs WHERE state = $1 AND ",
            "(SELECT note FROM entries WHERE log = $4 AND subject = 'job:' || jobs.id AND kind = $2
              ORDER BY number DESC LIMIT 1)",
            "$3",
            " ORDER BY id"
        );
        let query =
            statement(sql).bind(state.to_owned()).bind(kind.to_owned()).bind(bytes.to_vec()).bind(log.to_owned());
        self.0.rows(query).await?.iter().map(|row| row.parse("id")).collect()
    }

    /// Every entry of a kind about something in this log, the last one first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self, subject: &str, kind: &str, log: &str) -> Result<Vec<StoredEntry>, StoreError> {
        self.0.rows(about(subject, kind, log)).await?.iter().map(read).collect()
    }

    /// The last entry of a kind about something in this log.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn last(self, subject: &str, kind: &str, log: &str) -> Result<Option<StoredEntry>, StoreError> {
        self.0.row(about(subject, kind, log)).await?.as_ref().map(read).transpose()
    }
}

/// Notes an entry together with what it is about.
pub(crate) async fn put_entry(write: &mut Transaction, new: NewEntry) -> Result<StoredEntry, StoreError> {
    let NewEntry { log, subject, kind, note } = new;
    let sql = "INSERT INTO entries (log, subject, kind, note) VALUES ($1, $2, $3, $4) RETURNING number";
    let query = statement(sql).bind(log).bind(subject).bind(kind).bind(note.clone());
    let number = write.row(query).await?.map_or(Ok(0), |row| row.count("number"))?;
    Ok(StoredEntry { number, note, log_index: None })
}

/// Gives every entry that waits its place in a log of `size` entries.
pub(super) async fn place_waiting(write: &mut Transaction, log: &str, size: u64) -> Result<(), StoreError> {
    let sql = "UPDATE entries SET log_index = placed.place FROM (
            SELECT number, row_number() OVER (ORDER BY number) - 1
                + (SELECT CASE WHEN max(log_index) >= $2 THEN max(log_index) + 1 ELSE $2 END
                   FROM entries WHERE log = $1) AS place
            FROM entries WHERE log = $1 AND log_index IS NULL
        ) AS placed WHERE entries.number = placed.number";
    write.run(statement(sql).bind(log.to_owned()).bind(count("the size of a log", size)?)).await?;
    Ok(())
}

/// Notes several of them.
pub(crate) async fn put_entries(write: &mut Transaction, new: Vec<NewEntry>) -> Result<Vec<StoredEntry>, StoreError> {
    let mut stored = Vec::new();
    for new in new {
        stored.push(put_entry(write, new).await?);
    }
    Ok(stored)
}

/// Notes entries with the places that they get from this one on, in order.
pub(super) async fn put_placed(
    write: &mut Transaction,
    new: Vec<NewEntry>,
    first: u64,
) -> Result<Vec<StoredEntry>, StoreError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let places = count("the index of an entry", first)?..;
    let mut sql = ManyRows::new("INSERT INTO entries (log, subject, kind, note, log_index) ");
    sql.push_values(new.iter().zip(places), |mut row, (new, place)| {
        let NewEntry { log, subject, kind, note } = new.clone();
        row.push_bind(log).push_bind(subject).push_bind(kind).push_bind(note).push_bind(place);
    });
    sql.push(" RETURNING number, log_index");
    let mut numbers = BTreeMap::new();
    for row in write.rows_of_many(sql).await? {
        numbers.insert(row.count("log_index")?, row.count("number")?);
    }
    let stored = |(new, place): (NewEntry, u64)| {
        let number = numbers.get(&place).copied().ok_or_else(|| StoreError::not_found("entry at a place", place))?;
        Ok(StoredEntry { number, note: new.note, log_index: Some(place) })
    };
    new.into_iter().zip(first..).map(stored).collect()
}

/// The entries of a kind about something for a log, the last one first.
fn about(subject: &str, kind: &str, log: &str) -> Statement {
    let sql = "SELECT number, note, log_index FROM entries
        WHERE log = $1 AND subject = $2 AND kind = $3 ORDER BY number DESC";
    statement(sql).bind(log.to_owned()).bind(subject.to_owned()).bind(kind.to_owned())
}

fn read(row: &Row) -> Result<StoredEntry, StoreError> {
    let (number, log_index) = (row.count("number")?, row.count_optional("log_index")?);
    Ok(StoredEntry { number, note: row.get("note")?, log_index })
}
