//! Questions under standing jobs: those that we ask and those that we answer, each with its two signed entries. What was
//! asked and answered is sealed.

use std::collections::BTreeSet;

use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::charges::Charge;
use super::database::{Database, Transaction};
use super::record::{ManyRows, Row, Statement, count, statement};
use super::{JobId, NewEntry, SealFault, Sealer, StoreError, StoredEntry};

/// What the sealed values are bound to beside their row.
const ASKED: &str = "query-asked";
const ANSWER: &str = "query-answer";
const SERVED: &str = "serve-answer";

/// A question of ours, signed and not sent yet.
pub struct NewQuery {
    /// The standing job.
    pub job: JobId,
    /// The key that the caller chose for it: the same key is the same question.
    pub request_key: String,
    /// Its number, as its entry says it.
    pub id: String,
    /// Who is asked.
    pub responder: PartyId,
    /// Its entry.
    pub entry: NewEntry,
    /// What the entry commits to, to be sealed.
    pub asked: Zeroizing<Vec<u8>>,
    /// What it uses of which budgets of ours.
    pub charges: Vec<Charge>,
}

/// A question of ours.
pub struct StoredQuery {
    /// The standing job.
    pub job: JobId,
    /// The key that the caller chose for it.
    pub request_key: String,
    /// Who was asked.
    pub responder: PartyId,
    /// Its entry.
    pub entry: StoredEntry,
    /// What the entry commits to.
    pub asked: Zeroizing<Vec<u8>>,
    /// What came back, once it has.
    pub answer: Option<StoredAnswer>,
}

/// What came back to a question of ours.
pub struct StoredAnswer {
    /// The signed entry of who answered.
    pub serve: Vec<u8>,
    /// The answer, which is sealed.
    pub answer: Zeroizing<Vec<u8>>,
}

/// What came back to a question of ours, to be kept.
pub struct NewAnswer {
    /// The standing job.
    pub job: JobId,
    /// The key that the caller chose for the question.
    pub request_key: String,
    /// What came back.
    pub answer: StoredAnswer,
}

/// Our answer to a question that was put to us.
pub struct NewServe {
    /// The leaf of the asker's entry.
    pub query: [u8; 32],
    /// The question's number, as the asker's entry says it.
    pub id: String,
    /// The standing job.
    pub job: JobId,
    /// Who asked.
    pub asker: PartyId,
    /// The asker's signed entry.
    pub note: Vec<u8>,
    /// Our entry.
    pub entry: NewEntry,
    /// The answer, to be sealed.
    pub answer: Zeroizing<Vec<u8>>,
    /// What it uses of which budgets.
    pub charges: Vec<Charge>,
}

/// An answer that we have given, or were about to when we were killed.
pub struct StoredServe {
    /// The asker's signed entry.
    pub note: Vec<u8>,
    /// Our entry.
    pub entry: StoredEntry,
    /// The answer.
    pub answer: Zeroizing<Vec<u8>>,
}

/// Questions of ours with their entries.
macro_rules! queries {
    ($which:literal) => {
        concat!(
            "SELECT queries.job, request_key, responder, entries.number, entries.note, entries.log_index, asked, serve,
             answer FROM queries JOIN entries ON entries.number = queries.entry ",
            $which
        )
    };
}

/// Answers of ours with their entries.
macro_rules! serves {
    ($which:literal) => {
        concat!(
            "SELECT serves.query, serves.note AS asked, entries.number, entries.note, entries.log_index, answer
             FROM serves JOIN entries ON entries.number = serves.entry ",
            $which
        )
    };
}

/// Questions of ours under standing jobs.
#[derive(Clone, Copy)]
pub struct QueryTable<'s>(pub(super) &'s Database);

impl QueryTable<'_> {
    /// The question of ours that was asked under this key.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, job: JobId, request_key: &str) -> Result<Option<StoredQuery>, StoreError> {
        let sql = queries!("WHERE queries.job = $1 AND request_key = $2");
        self.one(statement(sql).bind(job.to_string()).bind(request_key.to_owned())).await
    }

    /// The question of ours with this number.
    ///
    /// # Errors
    /// As [`QueryTable::get`].
    pub async fn numbered(self, id: &str) -> Result<Option<StoredQuery>, StoreError> {
        self.one(statement(queries!("WHERE queries.id = $1")).bind(id.to_owned())).await
    }

    /// The keys of at most `limit` questions of ours under a job that have no answer yet, in order, from behind `after`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn unanswered(self, job: JobId, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT request_key FROM queries WHERE job = $1 AND serve IS NULL AND request_key > $2
                   ORDER BY request_key LIMIT $3";
        let query = statement(sql).bind(job.to_string()).bind(after.to_owned()).bind(limit);
        self.0.rows(query).await?.iter().map(|row| row.get("request_key")).collect()
    }

    /// The signed entries of a party about at most `limit` questions of ours that it answered, by the numbers of ours, from
    /// behind `after` on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn answers_of(
        self,
        responder: PartyId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let sql = "SELECT entry, serve FROM queries
                   WHERE responder = $1 AND serve IS NOT NULL AND entry > $2 ORDER BY entry LIMIT $3";
        let query =
            statement(sql).bind(responder.to_string()).bind(count("the number of an entry", after)?).bind(limit);
        self.0.rows(query).await?.iter().map(|row| Ok((row.count("entry")?, row.get("serve")?))).collect()
    }

    async fn one(self, query: Statement) -> Result<Option<StoredQuery>, StoreError> {
        let sealer = self.0.sealer.read().await;
        let Some(row) = self.0.row(query).await? else { return Ok(None) };
        let (job, request_key): (JobId, String) = (row.parse("job")?, row.get("request_key")?);
        let opened = |purpose, blob: &[u8]| open(&sealer, purpose, &[&job.to_string(), &request_key], blob);
        let answer = match row.get::<Option<Vec<u8>>>("serve")? {
            Some(serve) => Some(StoredAnswer { serve, answer: opened(ANSWER, row.get("answer")?)? }),
            None => None,
        };
        let asked = opened(ASKED, row.get("asked")?)?;
        let (responder, entry) = (row.parse("responder")?, read_entry(&row)?);
        Ok(Some(StoredQuery { job, request_key, responder, entry, asked, answer }))
    }
}

/// Our answers to questions under standing jobs.
#[derive(Clone, Copy)]
pub struct ServeTable<'s>(pub(super) &'s Database);

impl ServeTable<'_> {
    /// The answer that we gave to the question with this leaf.
    ///
    /// # Errors
    /// As [`QueryTable::get`].
    pub async fn get(self, query: &[u8; 32]) -> Result<Option<StoredServe>, StoreError> {
        self.one(statement(serves!("WHERE serves.query = $1")).bind(query.to_vec())).await
    }

    /// The last answer that we gave to a question with this number, which its asker chose.
    ///
    /// # Errors
    /// As [`QueryTable::get`].
    pub async fn numbered(self, id: &str) -> Result<Option<StoredServe>, StoreError> {
        let sql = serves!("WHERE serves.id = $1 ORDER BY entries.number DESC LIMIT 1");
        self.one(statement(sql).bind(id.to_owned())).await
    }

    async fn one(self, query: Statement) -> Result<Option<StoredServe>, StoreError> {
        let sealer = self.0.sealer.read().await;
        let Some(row) = self.0.row(query).await? else { return Ok(None) };
        let answer = open(&sealer, SERVED, &[&name(row.get("query")?)], row.get("answer")?)?;
        Ok(Some(StoredServe { note: row.get("asked")?, entry: read_entry(&row)?, answer }))
    }
}

/// A question of ours, by its job and its caller's key.
pub(super) type Asked = (String, String);

impl NewQuery {
    pub(super) fn asked(&self) -> Asked {
        (self.job.to_string(), self.request_key.clone())
    }
}

/// Which of these questions of ours are in the ledger.
pub(super) async fn known_queries(
    write: &mut Transaction,
    asked: &BTreeSet<Asked>,
) -> Result<BTreeSet<Asked>, StoreError> {
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut sql = ManyRows::new("WITH asked (job, request_key) AS (");
    sql.push_values(asked, |mut row, (job, key)| {
        row.push_bind(job.clone()).push_bind(key.clone());
    });
    sql.push(
        ") SELECT queries.job, queries.request_key FROM asked
           JOIN queries ON queries.job = asked.job AND queries.request_key = asked.request_key",
    );
    let found = write.rows_of_many(sql).await?;
    found.iter().map(|row| Ok((row.get("job")?, row.get("request_key")?))).collect()
}

/// Which of these questions that were put to us have an answer in the ledger.
pub(super) async fn known_serves(
    write: &mut Transaction,
    queries: &BTreeSet<[u8; 32]>,
) -> Result<BTreeSet<[u8; 32]>, StoreError> {
    if queries.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut sql = ManyRows::new("SELECT query FROM serves WHERE query IN (");
    let mut list = sql.separated(", ");
    queries.iter().for_each(|query| {
        list.push_bind(query.to_vec());
    });
    sql.push(")");
    let read = |row: &Row| row.get::<Vec<u8>>("query")?.try_into().map_err(|_| row.damaged("query"));
    write.rows_of_many(sql).await?.iter().map(read).collect()
}

/// Puts questions of ours down, each with the number of its entry.
pub(super) async fn put_queries(
    write: &mut Transaction,
    sealer: &Sealer,
    new: Vec<(NewQuery, u64)>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(new.len());
    for (NewQuery { job, request_key, id, responder, asked, .. }, entry) in new {
        let asked = sealer.seal(ASKED, &[&job.to_string(), &request_key], &asked)?;
        rows.push((job.to_string(), request_key, id, responder.to_string(), number_of(entry)?, asked));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut sql = ManyRows::new("INSERT INTO queries (job, request_key, id, responder, entry, asked) ");
    sql.push_values(rows, |mut row, (job, key, id, responder, entry, asked)| {
        row.push_bind(job).push_bind(key).push_bind(id).push_bind(responder).push_bind(entry).push_bind(asked);
    });
    write.run_many(sql).await
}

/// Keeps what came back to questions of ours, no two of them the same. What came first stays.
pub(super) async fn put_answers(
    write: &mut Transaction,
    sealer: &Sealer,
    new: Vec<NewAnswer>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(new.len());
    for NewAnswer { job, request_key, answer: StoredAnswer { serve, answer } } in new {
        let answer = sealer.seal(ANSWER, &[&job.to_string(), &request_key], &answer)?;
        rows.push((job.to_string(), request_key, serve, answer));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut sql = ManyRows::new("WITH came (job, request_key, serve, answer) AS (");
    sql.push_values(rows, |mut row, (job, key, serve, answer)| {
        row.push_bind(job).push_bind(key).push_bind(serve).push_bind(answer);
    });
    sql.push(
        ") UPDATE queries SET serve = came.serve, answer = came.answer FROM came
           WHERE queries.job = came.job AND queries.request_key = came.request_key AND queries.serve IS NULL",
    );
    write.run_many(sql).await
}

/// Puts answers of ours down, each with the number of its entry.
pub(super) async fn put_serves(
    write: &mut Transaction,
    sealer: &Sealer,
    new: Vec<(NewServe, u64)>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(new.len());
    for (NewServe { query, id, job, asker, note, answer, .. }, entry) in new {
        let answer = sealer.seal(SERVED, &[&name(&query)], &answer)?;
        rows.push((query.to_vec(), id, job.to_string(), asker.to_string(), note, number_of(entry)?, answer));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut sql = ManyRows::new("INSERT INTO serves (query, id, job, asker, note, entry, answer) ");
    sql.push_values(rows, |mut row, (query, id, job, asker, note, entry, answer)| {
        row.push_bind(query).push_bind(id).push_bind(job).push_bind(asker);
        row.push_bind(note).push_bind(entry).push_bind(answer);
    });
    write.run_many(sql).await
}

fn number_of(entry: u64) -> Result<i64, StoreError> {
    count("the number of an entry", entry)
}

/// Opens everything sealed about questions with one key and seals it with another. Returns how much there is.
pub(super) async fn reseal_queries(write: &mut Transaction, old: &Sealer, new: &Sealer) -> Result<u64, StoreError> {
    let mut resealed = 0;
    for row in &write.rows(statement("SELECT job, request_key FROM queries")).await? {
        let (job, key): (String, String) = (row.get("job")?, row.get("request_key")?);
        let bound = [job.as_str(), key.as_str()];
        let sql = "SELECT asked, answer FROM queries WHERE job = $1 AND request_key = $2";
        let blobs = write.row(statement(sql).bind(job.clone()).bind(key.clone())).await?;
        let blobs = blobs.ok_or_else(|| row.damaged("asked"))?;
        let asked = new.seal(ASKED, &bound, &open(old, ASKED, &bound, blobs.get("asked")?)?)?;
        let answer: Option<&[u8]> = blobs.get("answer")?;
        let answer = answer.map(|blob| new.seal(ANSWER, &bound, &open(old, ANSWER, &bound, blob)?)).transpose()?;
        resealed += 1 + u64::from(answer.is_some());
        let sql = "UPDATE queries SET asked = $3, answer = $4 WHERE job = $1 AND request_key = $2";
        write.run(statement(sql).bind(job.clone()).bind(key.clone()).bind(asked).bind(answer)).await?;
    }
    for row in &write.rows(statement("SELECT query FROM serves")).await? {
        let query: Vec<u8> = row.get("query")?;
        let bound = name(&query);
        let blob = write.row(statement("SELECT answer FROM serves WHERE query = $1").bind(query.clone())).await?;
        let blob = blob.ok_or_else(|| row.damaged("answer"))?;
        let answer = new.seal(SERVED, &[&bound], &open(old, SERVED, &[&bound], blob.get("answer")?)?)?;
        write.run(statement("UPDATE serves SET answer = $2 WHERE query = $1").bind(query).bind(answer)).await?;
        resealed += 1;
    }
    Ok(resealed)
}

/// How a question is called by its leaf, in what its sealed answer is bound to.
fn name(query: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(query)
}

fn open(sealer: &Sealer, purpose: &str, row: &[&str], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let broken = |fault: SealFault| StoreError::SealBroken { what: format!("{purpose} of a question"), fault };
    sealer.open(purpose, row, blob).map_err(broken)
}

fn read_entry(row: &Row) -> Result<StoredEntry, StoreError> {
    let (number, log_index) = (row.count("number")?, row.count_optional("log_index")?);
    Ok(StoredEntry { number, note: row.get("note")?, log_index })
}
