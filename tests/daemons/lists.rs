//! Lists of a party that has worked for years: they come whole, however long they are.

use sqlx::ConnectOptions as _;

use crate::support::{Pair, mobiles};

/// Several times what one message of gRPC carries.
const MANY: usize = 20_000;

/// Older jobs than the one there is, as alike as rows can be, and a line of the audit trail for each.
const YEARS: &str = "
    CREATE TEMP TABLE olds AS
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
        SELECT printf('00%024d', i) AS old FROM n;
    INSERT INTO jobs
        SELECT old, kind, leader, dataset, state, terms, terms_hash, NULL, result_items, attempt, columns, summary,
               traffic, failure_code, failure_who, failure_stage, failure_text, created_at, updated_at, finished_at,
               updated_at
        FROM olds, (SELECT * FROM jobs LIMIT 1);
    INSERT INTO job_parties
        SELECT old, party, dataset, receives, decision, contribution, signature, left_out, receipt, entry
        FROM olds, job_parties;
    INSERT INTO events (at, job, actor, kind, detail, seal)
        SELECT at, old, actor, kind, detail, seal FROM olds, (SELECT * FROM events WHERE job IS NOT NULL LIMIT 1);
";

#[test]
fn a_party_with_twenty_thousand_jobs_and_lines_lists_them_all() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    pair.intersect().unwrap();
    let lines = pair.bank.tacitly(&["events"]).unwrap().as_array().unwrap().len();
    pair.bank.stop();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(pair.bank.home.join("tacitly.db"));
    let sql = YEARS.replace("$1", &MANY.to_string());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut ledger = options.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut ledger).await.unwrap();
    });
    pair.bank.serve().unwrap();

    let list = |words: &[&str]| pair.bank.tacitly(words).unwrap().as_array().unwrap().clone();
    assert_eq!(list(&["events"]).len(), lines + MANY);
    let all = list(&["job", "list", "--limit", &(MANY + 1).to_string()]);
    assert_eq!(all.len(), MANY + 1);
    assert!(all.is_sorted_by_key(|job| job["id"].as_str().unwrap().to_owned()), "a job is out of order");
    let newest = list(&["job", "list"]);
    assert_eq!(newest[..], all[all.len() - newest.len()..]);
    tacitly::test_bed::await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1.len(), 20, "the next job is a job like any other");
}
