//! Both parties are killed at any moment: no answer without its entry in both logs, no charge twice, and whoever asks
//! again gets the same bytes.
//!
//! The child is this test binary, started anew on one ignored test. It prints a line after each answer that it released.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rand::RngExt;
use tacitly_attestation::entry::{Body, Kind, LeafHash};

use super::super::{Begin, Begun, Checked, Decision, Outcome};
use super::{Pair, budget, party, question, under};

const FOLDER: &str = "TACITLY_TEST_QUERIES";
const QUESTIONS: &str = "TACITLY_TEST_QUESTIONS";
const ASKERS: &str = "TACITLY_TEST_ASKERS";
const RELEASED: &str = "released:";

/// An answer that is another one whenever it is computed: material that is used once.
fn compute() -> Decision {
    let bytes: [u8; 16] = rand::rng().random();
    Decision::Answer { answers: vec![Bytes::copy_from_slice(&bytes)], units: 1, charges: vec![budget(1 << 30)] }
}

async fn carry(pair: &Pair, begun: Begun) -> Outcome {
    let request = begun.request();
    let responder = &pair.shop.queries.responder;
    let served = match responder.check(party("bank"), &pair.bank.key(), &under(), request).await.unwrap() {
        Checked::New(checked) => responder.serve(*checked, compute()).await.unwrap().reply,
        Checked::Decided(served) => served,
    };
    pair.finish(begun, served).await.unwrap().outcome
}

/// Asks the question of this number, and says so when its answer is released.
async fn ask(pair: &Pair, number: usize) {
    let (key, text) = (format!("{number:05}"), format!("question {number}"));
    let outcome = match pair.bank.queries.asker.begin(&under(), question(&key, &[&text])).await.unwrap() {
        Begin::Ask(begun) => carry(pair, *begun).await,
        Begin::Answered(answer, _) => answer.outcome,
    };
    let Outcome::Answered { answers, .. } = outcome else { panic!("{outcome:?}") };
    // The word behind the answer shows that it was not cut off.
    println!("{RELEASED}{number} {} indeed", HEXLOWER.encode(&answers[0]));
}

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the tests below"]
async fn asks_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (questions, askers) = (setting(QUESTIONS).unwrap(), setting(ASKERS).unwrap());
    let pair = Arc::new(Pair::open(Path::new(&folder)).await);
    // What was left open is asked again, before anybody asks under its key.
    for begun in pair.bank.queries.asker.unanswered(&under(), "").await.unwrap() {
        carry(&pair, begun).await;
    }
    let next = Arc::new(AtomicUsize::new(setting("TACITLY_TEST_FIRST").unwrap_or(0)));
    let asking = (0..askers).map(|_| {
        let (pair, next) = (pair.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= questions {
                    return;
                }
                ask(&pair, number).await;
            }
        })
    });
    for asking in asking.collect::<Vec<_>>() {
        asking.await.unwrap();
    }
}

/// This binary, set to ask so many questions in this folder.
fn child(folder: &Path, questions: usize, askers: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["attest::queries::tests::crash::asks_until_killed", "--exact", "--ignored", "--nocapture"]);
    command.env(FOLDER, folder).env(QUESTIONS, questions.to_string()).env(ASKERS, askers.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The number and the answer in a line of a child.
fn released(line: &str) -> Option<(usize, String)> {
    let mut words = line.split_once(RELEASED)?.1.split(' ');
    let (number, answer) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    (words.next()?.trim() == "indeed").then_some((number, answer))
}

/// Takes in what a child has released; the same question has the same answer, whoever released it.
fn take_in(told: &mut BTreeMap<usize, String>, line: &str) {
    if let Some((number, answer)) = released(line) {
        let first = told.entry(number).or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "question {number} has two answers");
    }
}

/// Both ledgers and logs agree on `questions` questions, and with what was told.
async fn agrees(folder: &Path, questions: usize, told: &BTreeMap<usize, String>) {
    let pair = Pair::open(folder).await;
    assert_eq!(told.len(), questions, "everything was answered in the end");
    for (number, answer) in told {
        let (key, text) = (format!("{number:05}"), format!("question {number}"));
        let begun = pair.bank.queries.asker.begin(&under(), question(&key, &[&text])).await.unwrap();
        let Begin::Answered(said, _) = begun else { panic!("question {number} is not answered in the ledger") };
        let Outcome::Answered { answers, .. } = said.outcome else { panic!() };
        assert_eq!(HEXLOWER.encode(&answers[0]), *answer);
    }
    let asked: BTreeSet<LeafHash> = pair.bank.logged(Kind::Query).iter().map(|entry| entry.leaf()).collect();
    let serves = pair.shop.logged(Kind::Serve);
    let served: BTreeSet<LeafHash> = serves
        .iter()
        .map(|entry| match entry.entry().body() {
            Body::Serve(serve) => serve.query,
            _ => panic!(),
        })
        .collect();
    assert_eq!((asked.len(), serves.len()), (questions, questions), "one entry on either side for each question");
    assert_eq!(asked, served);
    assert_eq!(pair.bank.log.head().size + pair.shop.log.head().size, 2 * questions as u64);
    assert_eq!(
        pair.shop.store.charges().used(&budget(0)).await.unwrap(),
        questions as u64,
        "nothing was charged twice"
    );
}

/// The logs' folders are lost: they come back as they were.
async fn comes_back(folder: &Path) {
    let roots = |pair: &Pair| [pair.bank.log.head(), pair.shop.log.head()].map(|head| (head.size, head.root));
    let before = roots(&Pair::open(folder).await);
    for party in ["bank", "shop"] {
        std::fs::remove_dir_all(folder.join(party).join("log")).unwrap();
    }
    assert_eq!(roots(&Pair::open(folder).await), before);
}

#[tokio::test]
async fn a_party_that_is_killed_at_any_write_point_neither_charges_twice_nor_answers_otherwise() {
    const MANY: usize = 6;
    let points = [
        "outbox: committed",
        "outbox: appended",
        "commit: before the write",
        "commit: half written",
        "commit: written",
        "commit: synchronised",
        "commit: before the answer",
    ];
    for point in points {
        // The asker's entry, the responder's, what came back; of the first question and of a later one.
        for times in [1, 2, 3, 4, 5] {
            let folder = tempfile::tempdir().unwrap();
            let mut told = BTreeMap::new();
            let fatal = format!("{point}#{times}");
            let killed = child(folder.path(), MANY, 1).env("TACITLY_TEST_FATAL_POINT", &fatal).output().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{fatal}");
            String::from_utf8_lossy(&killed.stdout).lines().for_each(|line| take_in(&mut told, line));
            let whole = child(folder.path(), MANY, 1).output().unwrap();
            assert!(whole.status.success(), "{fatal}");
            String::from_utf8_lossy(&whole.stdout).lines().for_each(|line| take_in(&mut told, line));
            agrees(folder.path(), MANY, &told).await;
        }
    }
}

#[tokio::test]
async fn ten_thousand_questions_survive_random_kills_of_both_parties() {
    const MANY: usize = 10_000;
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let mut told = BTreeMap::new();
    let mut kills = 0;
    loop {
        let first = (0..MANY).find(|number| !told.contains_key(number)).unwrap_or(MANY);
        let mut process = child(&folder, MANY, 64).env("TACITLY_TEST_FIRST", first.to_string()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        // After a random number of answers, and somewhere in the next.
        let before = rand::rng().random_range(1..1500);
        lines.by_ref().take(before).for_each(|line| take_in(&mut told, &line));
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..5_000)));
        let ended = told.len() == MANY && process.wait().unwrap().success();
        if ended {
            break;
        }
        process.kill().unwrap();
        kills += 1;
        lines.for_each(|line| take_in(&mut told, &line));
        process.wait().unwrap();
    }
    println!("{kills} kills");
    assert!(kills > 5);
    agrees(&folder, MANY, &told).await;
    comes_back(&folder).await;
    std::fs::remove_dir_all(&folder).unwrap();
}
