//! Entries of the attestation log, by what they are about: the exact bytes, before and after they are logged.

use super::database::Write;
use super::record::{Row, count, statement};
use super::{JobId, Store, StoreError};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number here; later ones are larger.
    pub number: u64,
    /// The signed note.
    pub note: Vec<u8>,
    /// Where it stands in the log, once it does.
    pub log_index: Option<u64>,
}

/// An entry that goes into the ledger in one step with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// What it is about.
    pub subject: String,
    /// Its kind.
    pub kind: String,
    /// The signed note.
    pub note: Vec<u8>,
}

/// A party may have begun another log after it lost one: entries of that one say so, and count for nothing here.
const SELECT: &str = "SELECT number, note, log_index FROM entries
    WHERE subject = $1 AND kind = $2 AND instr(note, $3) > 0 ORDER BY number DESC";

/// What stands in every entry of this log.
fn of_log(origin: &str) -> Vec<u8> {
    format!("\"log\":\"{origin}\"").into_bytes()
}

impl Store {
    /// Notes an entry that is about to be logged. What it is about may have several; the last one counts.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn put_entry(&self, new: NewEntry) -> Result<StoredEntry, StoreError> {
        let mut write = self.begin().await?;
        let stored = write.put_entry(new).await?;
        write.commit().await?;
        Ok(stored)
    }

    /// Notes where an entry stands in the log.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an index beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn place_entry(&self, number: u64, log_index: u64) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        let query = statement("UPDATE entries SET log_index = $2, lost = 0 WHERE number = $1")
            .bind(count("the number of an entry", number)?)
            .bind(count("the index of an entry", log_index)?);
        write.run(query).await?;
        write.commit().await
    }

    /// What has an entry of one kind and none of the other.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn entries_without(&self, kind: &str, other: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT subject FROM entries WHERE kind = $1
                   AND subject NOT IN (SELECT subject FROM entries WHERE kind = $2)";
        let rows = self.rows(statement(sql).bind(kind.to_owned()).bind(other.to_owned())).await?;
        rows.iter().map(|row| row.get("subject")).collect()
    }

    /// The jobs in a state whose last entry of a kind does not hold these bytes; those without one are not among them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn jobs_whose_last_entry_lacks(
        &self,
        state: &str,
        kind: &str,
        bytes: &[u8],
    ) -> Result<Vec<JobId>, StoreError> {
        let sql = "SELECT id FROM jobs WHERE state = $1 AND instr((SELECT note FROM entries
                   WHERE subject = 'job:' || jobs.id AND kind = $2 ORDER BY number DESC LIMIT 1), $3) = 0 ORDER BY id";
        let query = statement(sql).bind(state.to_owned()).bind(kind.to_owned()).bind(bytes.to_vec());
        self.rows(query).await?.iter().map(|row| row.parse("id")).collect()
    }

    /// The entries of a kind and a log that are not known to stand in it, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn entries_to_log(&self, kind: &str, log: &str) -> Result<Vec<StoredEntry>, StoreError> {
        let sql = "SELECT number, note, log_index FROM entries
                   WHERE kind = $1 AND log_index IS NULL AND instr(note, $2) > 0 ORDER BY number";
        self.rows(statement(sql).bind(kind.to_owned()).bind(of_log(log))).await?.iter().map(read).collect()
    }

    /// The entry of a log that was noted to stand in it last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn last_placed_entry(&self, log: &str) -> Result<Option<StoredEntry>, StoreError> {
        let sql = "SELECT number, note, log_index FROM entries
                   WHERE log_index IS NOT NULL AND instr(note, $1) > 0 ORDER BY log_index DESC LIMIT 1";
        self.row(statement(sql).bind(of_log(log))).await?.as_ref().map(read).transpose()
    }

    /// Notes that what stood in a log from this index on does so no more, and where it stood (one more than its index, as 0
    /// says that nothing is lost).
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an index beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn lose_entries(&self, from: u64, log: &str) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        let sql =
            "UPDATE entries SET lost = log_index + 1, log_index = NULL WHERE log_index >= $1 AND instr(note, $2) > 0";
        write.run(statement(sql).bind(count("the index of an entry", from)?).bind(of_log(log))).await?;
        write.commit().await
    }

    /// The entries of a log that stood in it and do so no more, each with the index at which it stood, in this order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn lost_entries(&self, log: &str) -> Result<Vec<(u64, StoredEntry)>, StoreError> {
        let sql = "SELECT number, note, log_index, lost - 1 AS stood_at FROM entries
                   WHERE lost > 0 AND instr(note, $1) > 0 ORDER BY lost, number";
        let rows = self.rows(statement(sql).bind(of_log(log))).await?;
        rows.iter().map(|row| Ok((row.count("stood_at")?, read(row)?))).collect()
    }

    /// Every entry of a kind about something in this log, the last one first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn entries(&self, subject: &str, kind: &str, log: &str) -> Result<Vec<StoredEntry>, StoreError> {
        let query = statement(SELECT).bind(subject.to_owned()).bind(kind.to_owned()).bind(of_log(log));
        self.rows(query).await?.iter().map(read).collect()
    }

    /// The last entry of a kind about something in this log.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn entry(&self, subject: &str, kind: &str, log: &str) -> Result<Option<StoredEntry>, StoreError> {
        let query = statement(SELECT).bind(subject.to_owned()).bind(kind.to_owned()).bind(of_log(log));
        self.row(query).await?.as_ref().map(read).transpose()
    }
}

impl Write {
    /// Notes an entry together with what it is about.
    pub(crate) async fn put_entry(&mut self, new: NewEntry) -> Result<StoredEntry, StoreError> {
        let NewEntry { subject, kind, note } = new;
        let sql = "INSERT INTO entries (subject, kind, note) VALUES ($1, $2, $3) RETURNING number";
        let query = statement(sql).bind(subject).bind(kind).bind(note.clone());
        let number = self.row(query).await?.map_or(Ok(0), |row| row.count("number"))?;
        Ok(StoredEntry { number, note, log_index: None })
    }

    /// Notes several of them.
    pub(crate) async fn put_entries(&mut self, new: Vec<NewEntry>) -> Result<Vec<StoredEntry>, StoreError> {
        let mut stored = Vec::new();
        for new in new {
            stored.push(self.put_entry(new).await?);
        }
        Ok(stored)
    }
}

fn read(row: &Row) -> Result<StoredEntry, StoreError> {
    let (number, log_index) = (row.count("number")?, row.count_optional("log_index")?);
    Ok(StoredEntry { number, note: row.get("note")?, log_index })
}
