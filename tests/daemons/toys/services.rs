//! A service of two daemons: asked, paused, revoked, and killed on either side at any moment of a run of questions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tacitly::test_bed::{Party, Setup, TestBedError, until, until_within};

use super::consortium::{Consortium, patient};
use crate::support::tacitly;

/// Questions of one run, callers at a time, and kills meanwhile; `benches/service_kills` asks for more.
const QUESTIONS: usize = 200;
const CALLERS: usize = 4;
const KILLS: usize = 8;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Two daemons whose service runs on both sides, and its number.
pub(super) fn serving(setup: &Setup, dataset: &str) -> (Consortium, String) {
    let consortium = Consortium::of(2, setup);
    let id = consortium.submit("echo", dataset, &json!({})).unwrap();
    if dataset.is_empty() {
        consortium.await_state(&consortium.parties[1], &id, "proposed");
        consortium.parties[1].tacitly(&["approve", &id]).unwrap();
    }
    for party in &consortium.parties {
        consortium.await_state(party, &id, "serving");
        let ready = until(|| {
            let job = party.tacitly(&["job", "show", &id]).ok()?;
            job["service"]["material"][0]["left"].as_u64().filter(|left| *left >= 128)
        });
        assert!(ready.is_some(), "no material: {}", consortium.told(party, &id));
    }
    (consortium, id)
}

/// Asks as a command does.
fn ask(home: &Path, id: &str, key: &str, text: &str) -> Result<Value, String> {
    let file = home.join(format!("question-{key}"));
    std::fs::write(&file, text).unwrap();
    let mut command = tacitly();
    command.args(["ask", id, "--key", key, "--purpose", "pilot", "--json", "--home"]).arg(home).arg(&file);
    let output = command.output().unwrap();
    let read = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(serde_json::from_str(&read(&output.stdout)).unwrap());
    }
    let told: Value = serde_json::from_str(read(&output.stderr).lines().last().unwrap_or_default()).unwrap_or_default();
    Err(told["error"]["code"].as_str().unwrap_or("without a code").to_owned())
}

/// The pad and the text of an echo.
fn echo(reply: &Value) -> (String, String) {
    let (pad, text) = reply["answers"][0].as_str().unwrap().split_once(' ').unwrap();
    (pad.to_owned(), text.to_owned())
}

#[test]
fn a_service_is_asked_paused_and_revoked_and_says_so_on_both_sides() {
    let (mut consortium, id) = serving(&patient(), "");
    let homes: Vec<_> = consortium.parties.iter().map(|party| party.home.clone()).collect();
    let first = ask(&homes[0], &id, "one", "who is there?").unwrap();
    assert_eq!(echo(&first).1, "who is there?");
    assert_eq!(ask(&homes[0], &id, "one", "who is there?").unwrap(), first, "the same key, the same answer and entry");
    assert_eq!(ask(&homes[0], &id, "one", "who else?").unwrap_err(), "request-key");
    assert_ne!(echo(&ask(&homes[0], &id, "two", "who is there?").unwrap()).0, echo(&first).0, "no pad is used twice");
    // A question has evidence, in the log of either side.
    let query = first["entries"][0]["query"].as_str().unwrap().to_owned();
    for party in &consortium.parties {
        let file = party.home.join("question.evidence").display().to_string();
        party.tacitly(&["evidence", "--query", &query, "--out", &file]).unwrap();
        party.tacitly(&["evidence", "verify", &file]).unwrap();
    }
    let shown = consortium.parties[1].tacitly(&["job", "show", &id]).unwrap();
    assert_eq!(shown["service"]["answered"], 2);
    assert!(shown["service"]["since"].as_str().unwrap().starts_with("20"), "{shown}");

    // Either side pauses for itself.
    consortium.parties[1].tacitly(&["job", "pause", &id]).unwrap();
    assert_eq!(ask(&homes[0], &id, "three", "and now?").unwrap_err(), "not-serving");
    assert_eq!(Consortium::state(&consortium.parties[0], &id).unwrap(), "serving");
    consortium.parties[1].tacitly(&["job", "unpause", &id]).unwrap();
    let answered = until(|| ask(&homes[0], &id, "three", "and now?").ok());
    assert_eq!(echo(&answered.unwrap()).1, "and now?");

    // It is there again after a start, and the answers of before are, too.
    for at in 0..2 {
        assert_eq!(consortium.parties[at].stop(), Some(0));
        consortium.parties[at].serve().unwrap();
    }
    let again = until(|| ask(&homes[0], &id, "one", "who is there?").ok());
    assert_eq!(again.unwrap(), first);

    let cancelled = consortium.parties[0].tacitly(&["job", "cancel", &id]).unwrap_err();
    assert_eq!(cancelled.code(), "job-state");
    consortium.parties[1].tacitly(&["job", "revoke", &id]).unwrap();
    consortium.await_state(&consortium.parties[0], &id, "revoked");
    assert_eq!(ask(&homes[0], &id, "four", "still there?").unwrap_err(), "revoked");
    assert_eq!(consortium.parties[0].tacitly(&["job", "unpause", &id]).unwrap_err().code(), "job-state");
    for party in &mut consortium.parties {
        party.stop();
        party.serve().unwrap();
    }
    for party in &consortium.parties {
        assert_eq!(Consortium::state(party, &id).unwrap(), "revoked", "it stays so");
    }
}

#[test]
fn more_questions_than_a_rule_allows_in_a_day_are_refused_and_charged_nothing() {
    let consortium = Consortium::of(2, &patient());
    let words = ["dataset", "allow", "amounts", "party-0", "--kinds", "echo", "--limit", "questions_per_day=3"];
    consortium.parties[1].tacitly(&words).unwrap();
    let id = consortium.submit("echo", "amounts", &json!({})).unwrap();
    for party in &consortium.parties {
        consortium.await_state(party, &id, "serving");
    }
    let home = consortium.parties[0].home.clone();
    for number in 0..3 {
        let key = format!("key-{number}");
        let answered = until(|| ask(&home, &id, &key, "hello").ok());
        assert!(answered.is_some(), "{}", consortium.told(&consortium.parties[1], &id));
    }
    let budgets = |at: usize| {
        let shown = consortium.parties[at].tacitly(&["job", "show", &id]).unwrap();
        let left = shown["service"]["budgets"].as_array().unwrap().iter().map(|budget| {
            let (party, purpose) = (budget["party"].as_str().unwrap(), budget["purpose"].as_str().unwrap());
            (party.to_owned(), purpose.to_owned(), budget["asks"] == true, budget["left"].as_u64().unwrap())
        });
        left.collect::<Vec<_>>()
    };
    let of_party_0 = |asks, left| ("party-0".to_owned(), "pilot".to_owned(), asks, left);
    assert_eq!(budgets(1), [of_party_0(false, 3), of_party_0(true, 0)], "only their questions are counted as theirs");
    assert_eq!(budgets(0), [], "its own rule has no such limit");
    assert_eq!(ask(&home, &id, "one-more", "hello").unwrap_err(), "over-quota");
    assert_eq!(ask(&home, &id, "one-more", "hello").unwrap_err(), "over-quota", "it stays refused under this key");
    assert!(ask(&home, &id, "key-1", "hello").is_ok(), "what was answered is answered again");
    let shown = consortium.parties[1].tacitly(&["job", "show", &id]).unwrap();
    assert_eq!((&shown["service"]["answered"], &shown["service"]["refused"]), (&json!(3), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_no_pad_is_used_twice_nothing_charged_twice_and_no_answer_lacks_its_entry() {
    let (questions, kills) = (setting("SERVICE_QUESTIONS", QUESTIONS), setting("SERVICE_KILLS", KILLS));
    let (mut consortium, id) = serving(&patient(), "");
    let home = consortium.parties[0].home.clone();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_201);
    let mut killed = 0;
    let answers: BTreeMap<usize, Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= questions {
                            return answered;
                        }
                        let (key, text) = (format!("key-{number}"), format!("question {number}"));
                        // Under one key, until there is an answer.
                        let reply = until_within(Duration::from_mins(3), || {
                            let asked = ask(&home, &id, &key, &text);
                            asked.inspect_err(|code| assert_ne!(code, "protocol-violation", "{key}")).ok()
                        });
                        answered.push((number, reply.unwrap_or_else(|| panic!("{key} was never answered"))));
                    }
                })
            })
            .collect();
        let (parties, over_there) = (&mut consortium.parties, &over);
        let (next, killed) = (&next, &mut killed);
        let killer = scope.spawn(move || {
            // Evenly over the run, whichever of the two.
            while *killed < kills && !over_there.load(Ordering::Relaxed) {
                if next.load(Ordering::Relaxed) * (kills + 1) < (*killed + 1) * questions {
                    std::thread::sleep(Duration::from_millis(rng.random_range(1..20)));
                    continue;
                }
                let victim = rng.random_range(0..2);
                parties[victim].kill();
                parties[victim].serve().unwrap();
                *killed += 1;
            }
        });
        let answers = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        killer.join().unwrap();
        answers
    });
    assert!(killed >= kills / 2, "only {killed} kills");

    // Every answer is its question's, under a pad of its own.
    let mut pads = BTreeSet::new();
    for (number, reply) in &answers {
        let (pad, text) = echo(reply);
        assert_eq!(text, format!("question {number}"));
        assert!(pads.insert(pad), "a pad was used twice");
    }
    let reconciled = until(|| {
        let found = consortium.parties[0].tacitly(&["log", "reconcile", "party-1"]).ok()?;
        found["mismatches"].as_array()?.is_empty().then_some(())
    });
    let told = |found: Result<Value, TestBedError>| format!("{found:?}");
    assert!(reconciled.is_some(), "{}", told(consortium.parties[0].tacitly(&["log", "reconcile", "party-1"])));

    // The log's folder is lost: it comes back as it was, or the daemon takes nothing more.
    let victim = &mut consortium.parties[1];
    let size = head(victim);
    victim.stop();
    std::fs::remove_dir_all(victim.home.join("log")).unwrap();
    victim.serve().unwrap();
    assert_eq!(head(victim), size, "{}", victim.log());
    let again = until(|| ask(&home, &id, "key-0", "question 0").ok());
    assert_eq!(again.unwrap(), answers[&0]);
    let fresh = until(|| ask(&home, &id, "at-last", "the last one").ok());
    assert!(pads.insert(echo(&fresh.unwrap()).0), "a pad was used twice");

    // What was charged is what was answered, once each, and every answer has its entry on both sides.
    for party in &mut consortium.parties {
        party.stop();
    }
    let count = async |party: &Party, sql: &'static str| {
        let options = SqliteConnectOptions::new().filename(party.home.join("tacitly.db"));
        let mut database = options.connect().await.unwrap();
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut database).await.unwrap();
        database.close().await.unwrap();
        count
    };
    let [asker, responder] = [&consortium.parties[0], &consortium.parties[1]];
    let served = "SELECT count(*) FROM serves JOIN entries ON entries.number = serves.entry
                  WHERE instr(entries.note, CAST('\"status\":\"served\"' AS BLOB)) > 0";
    let charged = count(responder, "SELECT coalesce(sum(units), 0) FROM charges WHERE limit_name = 'echoes'").await;
    let answered = count(responder, served).await;
    assert_eq!(charged, answered);
    assert!(answered > questions as i64, "{answered} answers to {questions} questions and one more");
    assert_eq!(count(asker, "SELECT count(*) FROM queries WHERE serve IS NULL").await, 0, "open questions");
    let both = [
        count(asker, "SELECT count(*) FROM queries JOIN entries ON number = entry WHERE log_index IS NOT NULL").await,
        count(responder, "SELECT count(*) FROM serves JOIN entries ON number = entry WHERE log_index IS NOT NULL")
            .await,
    ];
    assert_eq!(both[0], both[1], "each question stands in both logs");
}

/// How many entries the log of a party has.
fn head(party: &Party) -> u64 {
    let view = tacitly::chain::View::open(&party.home.join("log")).unwrap();
    view.each_from(0, |_, _| {}).unwrap()
}
