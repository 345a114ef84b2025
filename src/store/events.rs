//! The audit trail: what was done, when and by whom. Lines are added, never changed.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::database::{Database, Transaction};
use super::integrity::Integrity;
use super::record::{Row, moment, statement, text_optional};
use super::{JobId, StoreError};

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place; later lines have larger numbers.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The job it is about, if any.
    pub job: Option<JobId>,
    /// Who did it.
    pub actor: String,
    /// What was done, such as `job-state` or `peer-added`.
    pub kind: String,
    /// The circumstances.
    pub detail: Value,
    /// Whether it is not as it was written, or not in its place: somebody else has changed the file.
    pub is_altered: bool,
}

/// A line to add. Whoever writes it keeps identifiers and cells out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The job it is about, if any.
    pub job: Option<JobId>,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub kind: String,
    /// The circumstances.
    pub detail: Value,
}

/// The most lines listed at once when the caller names no limit.
const PAGE: u32 = 1000;

/// Which lines to list; the first thousand by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those about this job.
    pub job: Option<JobId>,
    /// Only those after this number.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// The audit trail.
#[derive(Clone, Copy)]
pub struct EventTable<'s>(pub(super) &'s Database);

impl EventTable<'_> {
    /// Adds a line about something that changes nothing here, such as a decision of the policy.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn append(self, event: NewEvent) -> Result<(), StoreError> {
        let mut write = self.0.begin().await?;
        append(&mut write, event).await?;
        write.commit().await
    }

    /// The number of the line that tells of the last restore, if this store ever was a backup, or was found to have lost
    /// its newest changes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn last_restore(self) -> Result<Option<u64>, StoreError> {
        let query = statement("SELECT max(seq) AS seq FROM events WHERE kind IN ('store-restored', 'store-behind')");
        Ok(self.0.row(query).await?.map(|row| row.count_optional("seq")).transpose()?.flatten())
    }

    /// Notes that the log has entries which this store does not know, up to this size: its newest changes were lost. The
    /// same size is noted once.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn note_behind(self, size: u64) -> Result<bool, StoreError> {
        let detail = json!({ "log": size });
        let known = statement("SELECT seq FROM events WHERE kind = 'store-behind' AND detail = $1");
        if self.0.row(known.bind(detail.to_string())).await?.is_some() {
            return Ok(false);
        }
        let event = NewEvent { job: None, actor: "daemon".to_owned(), kind: "store-behind".to_owned(), detail };
        self.append(event).await?;
        Ok(true)
    }

    /// Lists lines, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn list(self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        let after = i64::try_from(filter.after.unwrap_or(0)).unwrap_or(i64::MAX);
        let limit = i64::from(filter.limit.unwrap_or(PAGE));
        macro_rules! lines {
            ($which:literal) => {
                concat!(
                    "SELECT seq, at, job, actor, kind, detail, seal, (SELECT seal FROM events AS earlier
                        WHERE earlier.seq < events.seq ORDER BY earlier.seq DESC LIMIT 1) AS before
                     FROM events WHERE ",
                    $which,
                    " ORDER BY seq LIMIT $2"
                )
            };
        }
        let query = match filter.job {
            Some(job) => statement(lines!("job = $3 AND seq > $1")).bind(after).bind(limit).bind(job.to_string()),
            None => statement(lines!("seq > $1")).bind(after).bind(limit),
        };
        self.0.rows(query).await?.iter().map(|row| event(row, &self.0.integrity)).collect()
    }
}

pub(crate) async fn append(write: &mut Transaction, event: NewEvent) -> Result<(), StoreError> {
    let (at, job, detail) = (moment(write.now), text_optional(event.job), event.detail.to_string());
    let before = write.row(statement("SELECT seal FROM events ORDER BY seq DESC LIMIT 1")).await?;
    let before: Option<Vec<u8>> = before.map(|row| row.get("seal")).transpose()?;
    let line = [&at, job.as_deref().unwrap_or_default(), &event.actor, &event.kind, &detail];
    let seal = write.integrity.seal_event(before.as_deref(), line)?;
    let query = statement("INSERT INTO events (at, job, actor, kind, detail, seal) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(at)
        .bind(job)
        .bind(event.actor)
        .bind(event.kind)
        .bind(detail)
        .bind(seal);
    write.run(query).await?;
    Ok(())
}

/// Adds a line that is about no job.
pub(crate) async fn note(write: &mut Transaction, actor: &str, kind: &str, detail: Value) -> Result<(), StoreError> {
    append(write, NewEvent { job: None, actor: actor.to_owned(), kind: kind.to_owned(), detail }).await
}

fn event(row: &Row, integrity: &Integrity) -> Result<Event, StoreError> {
    let text = |column| row.get::<Option<String>>(column).map(Option::unwrap_or_default);
    let (at, job, actor, kind, detail) = (text("at")?, text("job")?, text("actor")?, text("kind")?, text("detail")?);
    let (before, seal): (Option<Vec<u8>>, Vec<u8>) = (row.get("before")?, row.get("seal")?);
    Ok(Event {
        is_altered: !integrity.is_event(before.as_deref(), [&at, &job, &actor, &kind, &detail], &seal),
        seq: row.count("seq")?,
        at: row.parse("at")?,
        job: row.parse_optional("job")?,
        actor: row.get("actor")?,
        kind: row.get("kind")?,
        detail: row.json("detail")?,
    })
}
