//! The audit trail: what was done, when and by whom. Lines are added, never changed.

use jiff::Timestamp;
use serde_json::Value;

use super::database::Write;
use super::record::{Row, moment, statement, text_optional};
use super::{JobId, Store, StoreError};

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

impl Store {
    /// Adds a line about something that changes nothing here, such as a decision of the policy.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn append_event(&self, event: NewEvent) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        write.append(event).await?;
        write.commit().await
    }

    /// The number of the line that tells of the last restore, if this store ever was a backup.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn last_restore(&self) -> Result<Option<u64>, StoreError> {
        let query = statement("SELECT max(seq) AS seq FROM events WHERE kind = 'store-restored'");
        Ok(self.row(query).await?.map(|row| row.count_optional("seq")).transpose()?.flatten())
    }

    /// Lists lines, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        let after = i64::try_from(filter.after.unwrap_or(0)).unwrap_or(i64::MAX);
        let limit = i64::from(filter.limit.unwrap_or(PAGE));
        let query = match filter.job {
            Some(job) => statement(
                "SELECT seq, at, job, actor, kind, detail FROM events WHERE job = $3 AND seq > $1
                 ORDER BY seq LIMIT $2",
            )
            .bind(after)
            .bind(limit)
            .bind(job.to_string()),
            None => {
                statement("SELECT seq, at, job, actor, kind, detail FROM events WHERE seq > $1 ORDER BY seq LIMIT $2")
                    .bind(after)
                    .bind(limit)
            }
        };
        self.rows(query).await?.iter().map(event).collect()
    }
}

impl Write {
    pub(crate) async fn append(&mut self, event: NewEvent) -> Result<(), StoreError> {
        let query = statement("INSERT INTO events (at, job, actor, kind, detail) VALUES ($1, $2, $3, $4, $5)")
            .bind(moment(self.now))
            .bind(text_optional(event.job))
            .bind(event.actor)
            .bind(event.kind)
            .bind(event.detail.to_string());
        self.run(query).await?;
        Ok(())
    }

    /// Adds a line that is about no job.
    pub(crate) async fn note(&mut self, actor: &str, kind: &str, detail: Value) -> Result<(), StoreError> {
        self.append(NewEvent { job: None, actor: actor.to_owned(), kind: kind.to_owned(), detail }).await
    }
}

fn event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        seq: row.count("seq")?,
        at: row.parse("at")?,
        job: row.parse_optional("job")?,
        actor: row.get("actor")?,
        kind: row.get("kind")?,
        detail: row.json("detail")?,
    })
}
