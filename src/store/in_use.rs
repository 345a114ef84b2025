//! What jobs that have not ended still need.

use super::StoreError;
use super::database::Transaction;
use super::record::statement;

/// Refuses while jobs that have not ended use a peer or a dataset of ours.
pub(crate) async fn refuse_in_use(write: &mut Transaction, what: &'static str, name: &str) -> Result<(), StoreError> {
    let sql = "SELECT id FROM jobs WHERE finished_at IS NULL
        AND (($1 IN ('peer', 'member') AND id IN (SELECT job FROM job_parties WHERE party = $2)) OR ($1 = 'dataset' AND dataset = $2)) ORDER BY id LIMIT 5";
    let rows = write.rows(statement(sql).bind(what).bind(name.to_owned())).await?;
    let jobs = rows.iter().map(|row| row.parse("id")).collect::<Result<Vec<_>, _>>()?;
    if jobs.is_empty() { Ok(()) } else { Err(StoreError::InUse { what, name: name.to_owned(), jobs }) }
}
