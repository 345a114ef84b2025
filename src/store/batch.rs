//! What came together goes into the ledger together: one transaction, one statement a table, one synchronisation, and each
//! entry in it has its place in the log.

use std::collections::BTreeSet;

use super::charges::{Budgets, Charge};
use super::database::{Database, Transaction};
use super::entries::{place_waiting, put_placed};
use super::queries::{
    NewAnswer, NewQuery, NewServe, known_queries, known_serves, put_answers, put_queries, put_serves,
};
use super::record::statement;
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

/// Makes all changes, in their order. See [`Store::commit_together`](super::Store::commit_together).
pub(super) async fn commit_together(
    database: &Database,
    log: &str,
    size: u64,
    changes: Vec<Change>,
) -> Result<Vec<Changed>, StoreError> {
    let sealer = database.sealer.read().await;
    let mut write = database.begin().await?;
    place_waiting(&mut write, log, size).await?;
    let next = end_of(&mut write, log).await?.max(size);
    let (fates, rows) = decide(&mut write, changes).await?;
    let entries = rows.write(&mut write, &sealer, next).await?;
    write.commit().await?;
    let told = |fate| match fate {
        Fate::Entered(at) => Changed::Done(entries.get(at).cloned()),
        Fate::Kept => Changed::Done(None),
        Fate::Before => Changed::Before,
        Fate::OverQuota(limit) => Changed::OverQuota(limit),
    };
    Ok(fates.into_iter().map(told).collect())
}

/// What becomes of a change.
enum Fate {
    /// It is written, with the entry of this turn.
    Entered(usize),
    Kept,
    Before,
    OverQuota(String),
}

/// What is to be written, table by table. An entry is named by its turn.
#[derive(Default)]
struct Rows {
    entries: Vec<NewEntry>,
    queries: Vec<(NewQuery, usize)>,
    answers: Vec<NewAnswer>,
    serves: Vec<(NewServe, usize)>,
    budgets: Budgets,
}

/// Decides each change by what the ledger has, and by those before it.
async fn decide(write: &mut Transaction, changes: Vec<Change>) -> Result<(Vec<Fate>, Rows), StoreError> {
    let queries =
        changes.iter().filter_map(|change| if let Change::Query(new) = change { Some(new.asked()) } else { None });
    let mut queries = known_queries(write, &queries.collect()).await?;
    let serves =
        changes.iter().filter_map(|change| if let Change::Serve(new) = change { Some(new.query) } else { None });
    let mut serves = known_serves(write, &serves.collect()).await?;
    let budgets = Budgets::read(write, changes.iter().flat_map(charges)).await?;
    let (mut rows, mut answered) = (Rows { budgets, ..Rows::default() }, BTreeSet::new());
    let mut fates = Vec::with_capacity(changes.len());
    for change in changes {
        fates.push(match change {
            Change::Entry(new) => Fate::Entered(rows.enter(new)),
            Change::Answer(new) => {
                // What came first stays.
                if answered.insert((new.job, new.request_key.clone())) {
                    rows.answers.push(new);
                }
                Fate::Kept
            }
            Change::Query(new) if queries.contains(&new.asked()) => Fate::Before,
            Change::Serve(new) if serves.contains(&new.query) => Fate::Before,
            Change::Query(new) => match rows.budgets.charge(&new.charges, write.now)? {
                Some(limit) => Fate::OverQuota(limit),
                None => {
                    queries.insert(new.asked());
                    let at = rows.enter(new.entry.clone());
                    rows.queries.push((*new, at));
                    Fate::Entered(at)
                }
            },
            Change::Serve(new) => match rows.budgets.charge(&new.charges, write.now)? {
                Some(limit) => Fate::OverQuota(limit),
                None => {
                    serves.insert(new.query);
                    let at = rows.enter(new.entry.clone());
                    rows.serves.push((*new, at));
                    Fate::Entered(at)
                }
            },
        });
    }
    Ok((fates, rows))
}

/// What a change uses of budgets.
fn charges(change: &Change) -> &[Charge] {
    match change {
        Change::Query(new) => &new.charges,
        Change::Serve(new) => &new.charges,
        Change::Entry(_) | Change::Answer(_) => &[],
    }
}

impl Rows {
    /// Takes an entry; returns its turn.
    fn enter(&mut self, new: NewEntry) -> usize {
        self.entries.push(new);
        self.entries.len() - 1
    }

    /// Writes all of it; the entries get their places from `first` on.
    async fn write(self, write: &mut Transaction, sealer: &Sealer, first: u64) -> Result<Vec<StoredEntry>, StoreError> {
        let entries = put_placed(write, self.entries, first).await?;
        let number = |at: usize| entries.get(at).map_or(0, |entry| entry.number);
        let queries = self.queries.into_iter().map(|(new, at)| (new, number(at))).collect();
        put_queries(write, sealer, queries).await?;
        put_answers(write, sealer, self.answers).await?;
        let serves = self.serves.into_iter().map(|(new, at)| (new, number(at))).collect();
        put_serves(write, sealer, serves).await?;
        self.budgets.write(write).await?;
        Ok(entries)
    }
}

/// How many entries a log has if all places are taken that were given.
async fn end_of(write: &mut Transaction, log: &str) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(log_index) + 1, 0) AS size FROM entries WHERE log = $1";
    let row = write.row(statement(sql).bind(log.to_owned())).await?;
    row.map_or(Ok(0), |row| row.count("size"))
}
