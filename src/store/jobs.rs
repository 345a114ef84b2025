//! The job ledger: every job there ever was, and the transactions that move it on.

use jiff::Timestamp;
use serde_json::{Value, json};
use tacitly_core::{PartyId, Terms, TermsHash};

use super::database::{Database, Transaction};
use super::datasets::require_dataset;
use super::entries::put_entries;
use super::events::append;
use super::material::wipe_material;
use super::record::{Row, Statement, count_optional, moment, statement, text_optional};
use super::sealed::{Purpose, put_checkpoint, put_seed, release_parts, wipe};
use super::{
    Consent, Created, Decision, Failure, Job, JobChange, JobFilter, JobId, JobParty, JobResult, NewEntry, NewEvent,
    NewJob, Sealer, StoreError, StoredEntry,
};

/// The most jobs listed at once when the caller names no limit.
const PAGE: u32 = 1000;

/// The job ledger.
#[derive(Clone, Copy)]
pub struct JobTable<'s>(pub(super) &'s Database);

impl JobTable<'_> {
    /// Notes a job. The same request come again (same request key or same id, with the same terms and leader) is
    /// answered with the job it made the first time.
    ///
    /// # Errors
    /// [`StoreError::RequestKeyReused`] for a known request key with other terms, [`StoreError::AlreadyExists`] for a
    /// known id with others; [`StoreError::NotFound`] if there is no such peer or dataset; [`StoreError::Invalid`] for
    /// counts beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn create(self, job: NewJob) -> Result<Created, StoreError> {
        let mut write = self.0.begin().await?;
        let same = |found: &Job| (found.terms_hash, found.leader) == (job.terms.hash(), job.leader);
        if let Some(key) = &job.request_key {
            let query = statement("SELECT * FROM jobs WHERE request_key = $1").bind(key.clone());
            if let Some(found) = job_of(&mut write, query).await? {
                return if same(&found) {
                    Ok(Created::Existing(found))
                } else {
                    Err(StoreError::RequestKeyReused { job: found.id })
                };
            }
        }
        if let Some(found) = job_of(&mut write, by_id(job.id)).await? {
            let again = same(&found) && found.request_key == job.request_key;
            return if again { Ok(Created::Existing(found)) } else { Err(StoreError::already_exists("job", job.id)) };
        }
        if let Some(dataset) = &job.dataset {
            require_dataset(&mut write, dataset).await?;
        }
        let by = job.by.clone();
        let job = noted(job, &write);
        // What never changes goes in here, the rest by the one statement that every change goes through.
        let query = statement(
            "INSERT INTO jobs (id, kind, leader, dataset, terms, terms_hash, request_key, created_at, state, attempt,
                updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, $8)",
        )
        .bind(job.id.to_string())
        .bind(job.kind.clone())
        .bind(job.leader.to_string())
        .bind(job.dataset.clone())
        .bind(job.terms.canonical())
        .bind(hash_text(job.terms_hash))
        .bind(job.request_key.clone())
        .bind(moment(job.created_at));
        write.run(query).await?;
        update_job(&mut write, &job, "").await?;
        for party in &job.parties {
            put_party(&mut write, job.id, party).await?;
        }
        let parties: Vec<PartyId> = job.parties.iter().map(|party| party.party).collect();
        let detail = json!({
            "kind": job.kind, "leader": job.leader, "parties": parties, "dataset": job.dataset,
            "state": job.state, "terms": hash_text(job.terms_hash),
        });
        append(&mut write, NewEvent { job: Some(job.id), actor: by, kind: "job-created".to_owned(), detail }).await?;
        write.commit().await?;
        Ok(Created::New(job))
    }

    /// The job of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, id: JobId) -> Result<Job, StoreError> {
        let row = self.0.row(by_id(id)).await?.ok_or_else(|| StoreError::not_found("job", id))?;
        self.with_parties(&row).await
    }

    /// The newest jobs, two at the most, whose numbers begin or end like this, in capitals; all of them for an empty text.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn like(self, part: &str) -> Result<Vec<JobId>, StoreError> {
        let sql = "SELECT id FROM jobs WHERE substr(id, 1, length($1)) = $1 OR substr(id, -length($1)) = $1
                   ORDER BY id DESC LIMIT 2";
        let rows = self.0.rows(statement(sql).bind(part.to_owned())).await?;
        rows.iter().map(|row| row.parse("id")).collect()
    }

    async fn with_parties(self, row: &Row) -> Result<Job, StoreError> {
        let mut job = read(row)?;
        job.parties = self.0.rows(parties_of(job.id)).await?.iter().map(read_party).collect::<Result<_, _>>()?;
        Ok(job)
    }

    async fn all_with_parties(self, query: Statement) -> Result<Vec<Job>, StoreError> {
        let mut jobs = Vec::new();
        for row in self.0.rows(query).await? {
            jobs.push(self.with_parties(&row).await?);
        }
        Ok(jobs)
    }

    /// The job that a request key made, if any: asked before a request whose terms hold anything fresh is made anew.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn by_request_key(self, key: &str) -> Result<Option<Job>, StoreError> {
        let query = statement("SELECT * FROM jobs WHERE request_key = $1").bind(key.to_owned());
        Ok(self.all_with_parties(query).await?.pop())
    }

    /// Lists jobs, newest first; a thousand of them if the filter has no limit.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn list(self, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
        let sql = "SELECT * FROM jobs WHERE ($1 IS NULL OR state = $1)
            AND ($2 IS NULL OR id IN (SELECT job FROM job_parties WHERE party = $2)) AND ($3 IS NULL OR dataset = $3) AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5";
        let query = statement(sql)
            .bind(filter.state.clone())
            .bind(text_optional(filter.peer))
            .bind(filter.dataset.clone())
            .bind(text_optional(filter.before))
            .bind(i64::from(filter.limit.unwrap_or(PAGE)));
        self.all_with_parties(query).await
    }

    /// All jobs that have not ended, oldest first: what a daemon takes up again when it starts.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn unfinished(self) -> Result<Vec<Job>, StoreError> {
        let sql = "SELECT * FROM jobs WHERE finished_at IS NULL ORDER BY id";
        self.all_with_parties(statement(sql)).await
    }

    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn counts(self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.0.rows(statement("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")).await?;
        rows.iter().map(|row| Ok((row.get("state")?, row.count("jobs")?))).collect()
    }

    /// How many jobs with `party` were written down since a moment: those of one dataset of ours, or those that it leads.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn count_since(
        self,
        since: Timestamp,
        party: PartyId,
        dataset: Option<&str>,
        led: bool,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS jobs FROM jobs WHERE created_at > $2
            AND id IN (SELECT job FROM job_parties WHERE party = $1)
            AND ($3 IS NULL OR dataset = $3) AND (NOT $4 OR leader = $1)";
        let query =
            statement(sql).bind(party.to_string()).bind(moment(since)).bind(dataset.map(str::to_owned)).bind(led);
        match self.0.rows(query).await?.first() {
            Some(row) => row.count("jobs"),
            None => Ok(0),
        }
    }

    /// Moves a job that has not ended from one of the states `from` to the state `to`, with all that `change` holds
    /// and the line in the audit trail, in one transaction. Of two that race for a state, one wins.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the job is in another state, or has ended; [`StoreError::NotFound`] for an unknown job;
    /// [`StoreError::SeedExists`] for a second seed; [`StoreError::Invalid`] for a checkpoint label or
    /// count beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn advance(self, id: JobId, from: &[&str], to: &str, change: JobChange) -> Result<Job, StoreError> {
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        let mut job = require_state(&mut write, id, from).await?;
        let found = job.state.clone();
        let wipes = change.wipes_secrets;
        change_job(&mut write, &sealer, &mut job, to, change).await?;
        if wipes {
            wipe(&mut write, id, Purpose::Seed).await?;
            wipe(&mut write, id, Purpose::Checkpoint).await?;
        }
        update_job(&mut write, &job, &found).await?;
        write.commit().await?;
        if wipes {
            drop(sealer);
            self.0.cut_log().await;
        }
        Ok(job)
    }

    /// Ends a job: [`JobTable::advance`] to a last state, and in the same transaction its result is sealed and its seed
    /// and checkpoints are wiped (so `change` brings neither). Nothing but [`JobTable::purge`] changes it after that.
    ///
    /// # Errors
    /// As [`JobTable::advance`]; [`StoreError::Invalid`] also if `change` brings a seed or a checkpoint, or if the parts
    /// of the result are not those announced.
    pub async fn finish(
        self,
        id: JobId,
        from: &[&str],
        to: &str,
        change: JobChange,
        result: JobResult,
    ) -> Result<Job, StoreError> {
        if change.seed.is_some() || change.checkpoint.is_some() {
            return Err(StoreError::invalid("the end of a job", "it takes no seed and no checkpoint"));
        }
        let sealer = self.0.sealer.read().await;
        let mut write = self.0.begin().await?;
        let mut job = require_state(&mut write, id, from).await?;
        let found = job.state.clone();
        change_job(&mut write, &sealer, &mut job, to, change).await?;
        job.finished_at = Some(write.now);
        job.result_items = match result {
            JobResult::Nothing => {
                wipe(&mut write, id, Purpose::ResultPart).await?;
                None
            }
            JobResult::Parts { parts, items } => {
                release_parts(&mut write, &sealer, id, parts).await?;
                Some(items)
            }
        };
        wipe(&mut write, id, Purpose::Seed).await?;
        wipe(&mut write, id, Purpose::Checkpoint).await?;
        wipe_material(&mut write, id).await?;
        update_job(&mut write, &job, &found).await?;
        write.commit().await?;
        drop(sealer);
        self.0.cut_log().await;
        Ok(job)
    }

    /// Erases the result of a job that has ended, and puts down the entries that say so. Its line in the ledger and its
    /// audit trail stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the job has not ended; [`StoreError::DiskFull`],
    /// [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn purge(
        self,
        id: JobId,
        by: &str,
        entries: Vec<NewEntry>,
    ) -> Result<(Job, Vec<StoredEntry>), StoreError> {
        let mut write = self.0.begin().await?;
        let mut job = job_of(&mut write, by_id(id)).await?.ok_or_else(|| StoreError::not_found("job", id))?;
        if job.finished_at.is_none() {
            return Err(StoreError::Conflict { job: id, found: job.state });
        }
        for purpose in [Purpose::ResultParts, Purpose::ResultPart, Purpose::Salt, Purpose::Artefact] {
            wipe(&mut write, id, purpose).await?;
        }
        job.purged_at = Some(write.now);
        job.updated_at = write.now;
        update_job(&mut write, &job, &job.state).await?;
        let event =
            NewEvent { job: Some(id), actor: by.to_owned(), kind: "job-purged".to_owned(), detail: Value::Null };
        append(&mut write, event).await?;
        let stored = put_entries(&mut write, entries).await?;
        write.commit().await?;
        self.0.cut_log().await;
        Ok((job, stored))
    }
}

/// The job that a query finds.
async fn job_of(write: &mut Transaction, query: Statement) -> Result<Option<Job>, StoreError> {
    let Some(row) = write.row(query).await? else { return Ok(None) };
    let mut job = read(&row)?;
    job.parties = write.rows(parties_of(job.id)).await?.iter().map(read_party).collect::<Result<_, _>>()?;
    Ok(Some(job))
}

/// Writes a party of a job, in place of what was there of it.
async fn put_party(write: &mut Transaction, job: JobId, party: &JobParty) -> Result<(), StoreError> {
    let sql = "INSERT INTO job_parties (job, party, dataset, receives, decision, contribution, signature, left_out,
            receipt, entry)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (job, party) DO UPDATE SET decision = excluded.decision, contribution = excluded.contribution,
            signature = excluded.signature, left_out = excluded.left_out, receipt = excluded.receipt,
            entry = excluded.entry";
    let consent = match &party.decision {
        Decision::Signed(consent) => Some(consent),
        Decision::Open | Decision::Refused => None,
    };
    let query = statement(sql)
        .bind(job.to_string())
        .bind(party.party.to_string())
        .bind(party.dataset.clone())
        .bind(party.receives)
        .bind(party.decision.name())
        .bind(consent.map(|consent| consent.contribution.clone()))
        .bind(consent.map(|consent| consent.signature.to_string()))
        .bind(party.left_out)
        .bind(text_optional(party.receipt))
        .bind(party.entry.clone());
    write.run(query).await?;
    Ok(())
}

/// The job, if it has not ended.
pub(crate) async fn require_open(write: &mut Transaction, id: JobId) -> Result<Job, StoreError> {
    let job = job_of(write, by_id(id)).await?.ok_or_else(|| StoreError::not_found("job", id))?;
    if job.finished_at.is_some() { Err(StoreError::Conflict { job: id, found: job.state }) } else { Ok(job) }
}

/// The job, if it has not ended and is in one of these states.
async fn require_state(write: &mut Transaction, id: JobId, from: &[&str]) -> Result<Job, StoreError> {
    let job = require_open(write, id).await?;
    let expected = from.contains(&job.state.as_str());
    if expected { Ok(job) } else { Err(StoreError::Conflict { job: id, found: job.state }) }
}

/// Puts a change into `job`, its secrets into their table and the line into the audit trail.
async fn change_job(
    write: &mut Transaction,
    sealer: &Sealer,
    job: &mut Job,
    to: &str,
    change: JobChange,
) -> Result<(), StoreError> {
    let mut detail = json!({ "from": job.state, "to": to });
    if !change.note.is_null() {
        detail["note"] = change.note;
    }
    if let Some(failure) = &change.failure {
        detail["failure"] = json!(failure);
    }
    let event = NewEvent { job: Some(job.id), actor: change.by, kind: "job-state".to_owned(), detail };
    append(write, event).await?;
    if let Some(seed) = change.seed {
        put_seed(write, sealer, job.id, &seed).await?;
    }
    if let Some((label, bytes)) = change.checkpoint {
        put_checkpoint(write, sealer, job.id, &label, &bytes).await?;
    }
    job.state = to.to_owned();
    job.updated_at = write.now;
    job.failure = change.failure;
    job.attempt = change.attempt.unwrap_or(job.attempt);
    for changed in change.parties {
        let id = job.id;
        let party = job.parties.iter_mut().find(|party| party.party == changed.party);
        let party = party.ok_or_else(|| StoreError::not_found("party of a job", changed.party))?;
        party.decision = changed.decision.unwrap_or(party.decision.clone());
        party.left_out |= changed.left_out;
        party.receipt = changed.receipt.or(party.receipt);
        party.entry = changed.entry.or(party.entry.take());
        let party = party.clone();
        put_party(write, id, &party).await?;
    }
    job.columns = change.columns.or(job.columns.take());
    job.summary = change.summary.or(job.summary.take());
    job.traffic = change.traffic.or(job.traffic.take());
    Ok(())
}

/// Writes everything that may change in a job, if it is still in the state `found`.
async fn update_job(write: &mut Transaction, job: &Job, found: &str) -> Result<(), StoreError> {
    let sql = "UPDATE jobs SET state = $3, result_items = $4, attempt = $5, summary = $6, traffic = $7,
            failure_code = $8, failure_who = $9, failure_stage = $10, failure_text = $11,
            updated_at = $12, finished_at = $13, purged_at = $14, columns = $15
        WHERE id = $1 AND state = $2";
    let failure = job.failure.as_ref();
    let query = statement(sql)
        .bind(job.id.to_string())
        .bind(found.to_owned())
        .bind(job.state.clone())
        .bind(count_optional("the items of the result", job.result_items)?)
        .bind(i64::from(job.attempt))
        .bind(text_optional(job.summary.as_ref()))
        .bind(text_optional(job.traffic.as_ref()))
        .bind(failure.map(|failure| failure.code.clone()))
        .bind(failure.and_then(|failure| text_optional(failure.who)))
        .bind(failure.map(|failure| failure.stage.clone()))
        .bind(failure.map(|failure| failure.text.clone()))
        .bind(moment(job.updated_at))
        .bind(job.finished_at.map(moment))
        .bind(job.purged_at.map(moment))
        .bind(job.columns.as_ref().map(|columns| json!(columns).to_string()));
    if write.run(query).await? == 1 {
        return Ok(());
    }
    Err(StoreError::Conflict { job: job.id, found: "in another state by now".to_owned() })
}

fn by_id(id: JobId) -> Statement {
    statement("SELECT * FROM jobs WHERE id = $1").bind(id.to_string())
}

fn parties_of(job: JobId) -> Statement {
    statement("SELECT * FROM job_parties WHERE job = $1 ORDER BY party").bind(job.to_string())
}

fn hash_text(hash: TermsHash) -> String {
    format!("sha256:{hash}")
}

fn noted(job: NewJob, write: &Transaction) -> Job {
    let terms_hash = job.terms.hash();
    // A job that is refused as it comes is over.
    let finished_at = job.failure.as_ref().map(|_| write.now);
    Job {
        id: job.id,
        kind: job.kind,
        leader: job.leader,
        parties: job.parties,
        dataset: job.dataset,
        state: job.state,
        terms: job.terms,
        terms_hash,
        request_key: job.request_key,
        result_items: None,
        attempt: 0,
        columns: None,
        summary: None,
        traffic: None,
        failure: job.failure,
        created_at: write.now,
        updated_at: write.now,
        finished_at,
        purged_at: None,
    }
}

fn read_party(row: &Row) -> Result<JobParty, StoreError> {
    let decision = match (row.get::<String>("decision")?.as_str(), row.parse_optional("signature")?) {
        ("open", None) => Decision::Open,
        ("refused", None) => Decision::Refused,
        ("signed", Some(signature)) => {
            Decision::Signed(Box::new(Consent { contribution: row.get("contribution")?, signature }))
        }
        _ => return Err(row.damaged("decision")),
    };
    Ok(JobParty {
        party: row.parse("party")?,
        dataset: row.get("dataset")?,
        receives: row.get("receives")?,
        decision,
        left_out: row.get("left_out")?,
        receipt: row.parse_optional("receipt")?,
        entry: row.get("entry")?,
    })
}

fn columns(row: &Row) -> Result<Option<Vec<String>>, StoreError> {
    let text: Option<Value> = row.parse_optional("columns")?;
    text.map(|text| serde_json::from_value(text).map_err(|_| row.damaged("columns"))).transpose()
}

fn read(row: &Row) -> Result<Job, StoreError> {
    let terms = Terms::parse(row.get("terms")?).map_err(|_| row.damaged("terms"))?;
    let terms_hash = terms.hash();
    if row.get::<String>("terms_hash")? != hash_text(terms_hash) {
        return Err(row.damaged("terms_hash"));
    }
    let code: Option<String> = row.get("failure_code")?;
    let failure = code
        .map(|code| {
            Ok::<_, StoreError>(Failure {
                code,
                who: row.parse_optional("failure_who")?,
                stage: row.get("failure_stage")?,
                text: row.get("failure_text")?,
            })
        })
        .transpose()?;
    Ok(Job {
        id: row.parse("id")?,
        kind: row.get("kind")?,
        leader: row.parse("leader")?,
        parties: Vec::new(),
        dataset: row.get("dataset")?,
        state: row.get("state")?,
        terms,
        terms_hash,
        request_key: row.get("request_key")?,
        result_items: row.count_optional("result_items")?,
        attempt: row.get("attempt")?,
        columns: columns(row)?,
        summary: row.parse_optional("summary")?,
        traffic: row.parse_optional("traffic")?,
        failure,
        created_at: row.parse("created_at")?,
        updated_at: row.parse("updated_at")?,
        finished_at: row.parse_optional("finished_at")?,
        purged_at: row.parse_optional("purged_at")?,
    })
}
