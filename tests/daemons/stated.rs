//! What an owner states about a dataset beside its rows goes on record with its fingerprint, and so does every opening,
//! before it is handed out, and every destruction.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tacitly::attestation::commitment::{MAX_BASIS_BYTES, Salt, Subject, commit, opens};
use tacitly::attestation::entry::{
    Body, DatasetEntry, Erased, ErasureEntry, Kind, LeafHash, OpeningEntry, ResultEntry, SignedEntry,
};
use tacitly::chain::View;
use tacitly::evidence::{check_basis, page};
use tacitly::test_bed::{Party, TestBedError, until};

use crate::support::{Pair, mobiles, setup, tacitly};

const FIRST_QUARTER: &str = "2026-01-01/2026-03-31";
const CONSENT: &[u8] = b"I agree that my number is compared with the shop's.\n";

/// The entries in a party's log, oldest first.
fn entries(party: &Party) -> Vec<SignedEntry> {
    let mut entries = Vec::new();
    let view = View::open(&party.home.join("log")).unwrap();
    view.each_from(0, |_, bytes| entries.push(SignedEntry::parse(bytes).unwrap())).unwrap();
    entries
}

fn datasets(party: &Party) -> Vec<(LeafHash, DatasetEntry)> {
    let dataset = |entry: &SignedEntry| match entry.entry().body() {
        Body::Dataset(dataset) => Some((entry.leaf(), dataset.clone())),
        _ => None,
    };
    entries(party).iter().filter_map(dataset).collect()
}

fn openings(party: &Party) -> Vec<(LeafHash, OpeningEntry)> {
    let opening = |entry: &SignedEntry| match entry.entry().body() {
        Body::Opening(opening) => Some((entry.leaf(), opening.clone())),
        _ => None,
    };
    entries(party).iter().filter_map(opening).collect()
}

fn erasures(party: &Party) -> Vec<ErasureEntry> {
    let erasure = |entry: &SignedEntry| match entry.entry().body() {
        Body::Erasure(erasure) => Some(erasure.clone()),
        _ => None,
    };
    entries(party).iter().filter_map(erasure).collect()
}

/// A file with rows of their own, each with its number.
fn file_of(folder: &Path, name: &str, rows: u64) -> String {
    let path = folder.join(name);
    let rows: String = (0..).zip(mobiles(0..rows)).map(|(row, id)| format!("{id},{row}\n")).collect();
    fs::write(&path, format!("mobile,n\n{rows}")).unwrap();
    path.display().to_string()
}

fn add(party: &Party, path: &str, more: &[&str]) -> Result<Value, TestBedError> {
    party.tacitly(&[&["dataset", "add", "ids", path, "--key", "mobile=cn-mobile", "--replace"], more].concat())
}

fn listed(party: &Party) -> Value {
    party.tacitly(&["dataset", "list"]).unwrap()[0].clone()
}

fn is_sound(party: &Party) -> bool {
    let words = ["log", "fsck", "--signatures", "--json", "--home"];
    let checked = tacitly().args(words).arg(&party.home).output().unwrap();
    checked.status.success()
}

fn alone() -> (tempfile::TempDir, Party) {
    let folder = tempfile::tempdir().unwrap();
    let party = Party::start(folder.path(), "bank", setup()).unwrap();
    // What a daemon says of itself is on record before anything that a test takes back.
    let says = |kind: Kind| entries(&party).iter().any(|entry| entry.entry().kind() == kind);
    until(|| (says(Kind::Party) && says(Kind::Policy)).then_some(())).expect("the daemon says who it is");
    (folder, party)
}

#[test]
fn the_entry_says_what_the_owner_states_and_each_version_states_its_own() {
    let (folder, bank) = alone();
    let consent = folder.path().join("consent.txt");
    fs::write(&consent, CONSENT).unwrap();
    let (path, consent) = (file_of(folder.path(), "ids.csv", 20), consent.display().to_string());
    let stated = ["--period", FIRST_QUARTER, "--basis", &consent];

    let answered = add(&bank, &path, &stated).unwrap();
    let [(first_leaf, first)] = &datasets(&bank)[..] else { panic!("one entry") };
    let period = first.period.as_ref().unwrap();
    assert_eq!(period.days(), ("2026-01-01", "2026-03-31"));
    let basis = first.basis.unwrap();
    for told in [answered, listed(&bank)] {
        assert_eq!((told["period"].as_str(), told["basis"].as_str()), (Some(FIRST_QUARTER), Some(&*basis.to_string())));
    }
    assert_ne!(basis, commit(Subject::Basis, &Salt::new([0; 32]), CONSENT), "the salt is random");

    // The same document again is salted anew: nobody sees that it is the same.
    add(&bank, &path, &stated).unwrap();
    let again = datasets(&bank)[1].1.clone();
    assert_eq!((again.period.as_ref(), again.supersedes), (Some(period), Some(*first_leaf)));
    assert!(again.basis.is_some_and(|again| again != basis));

    // A version for which nothing is stated states nothing.
    add(&bank, &path, &[]).unwrap();
    let (_, bare) = datasets(&bank)[2].clone();
    assert_eq!((bare.period, bare.basis), (None, None));
    assert_eq!((listed(&bank)["period"].as_str(), listed(&bank)["basis"].as_str()), (Some(""), Some("")));
    assert!(is_sound(&bank));
}

#[test]
fn what_cannot_be_stated_is_refused_before_anything_is_stored() {
    let (folder, bank) = alone();
    let path = file_of(folder.path(), "ids.csv", 20);
    let large = fs::File::create(folder.path().join("large")).unwrap();
    large.set_len(MAX_BASIS_BYTES + 1).unwrap();
    fs::write(folder.path().join("empty"), []).unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let cases: [(&str, &str, &str); 8] = [
        ("--period", "2026-03-31/2026-01-01", "period: expected a period (YYYY-MM-DD/YYYY-MM-DD"),
        ("--period", "2026-02-29/2026-03-01", "period: expected a period"),
        ("--period", "2026-01-01", "period: expected a period"),
        ("--period", " ", "period: expected a period"),
        ("--basis", &at("none"), "it cannot be read: No such file"),
        ("--basis", &at(""), "it is not a file"),
        ("--basis", &at("empty"), "it is empty"),
        ("--basis", &at("large"), "it has more than 64 MiB"),
    ];
    for (option, value, said) in cases {
        let refused = add(&bank, &path, &[option, value]).unwrap_err();
        assert_eq!(refused.code(), "bad-request", "{option} {value}: {refused}");
        assert!(refused.to_string().contains(said), "{option} {value}: {refused}");
    }
    assert_eq!(bank.tacitly(&["dataset", "list"]).unwrap(), Value::Array(Vec::new()));
    assert!(datasets(&bank).is_empty());
    // A document as large as can be is taken.
    large.set_len(MAX_BASIS_BYTES).unwrap();
    add(&bank, &path, &["--basis", &at("large")]).unwrap();
    assert!(datasets(&bank)[0].1.basis.is_some());
}

#[test]
fn the_lawful_basis_opens_with_its_document_and_with_no_other() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..20), &mobiles(10..30));
    let at = |name: &str| pair.file(name).display().to_string();
    fs::write(at("consent"), CONSENT).unwrap();
    fs::write(at("other"), [CONSENT, b" "].concat()).unwrap();
    add(&pair.bank, &at("bank.csv"), &["--basis", &at("consent"), "--period", FIRST_QUARTER]).unwrap();
    let (leaf, entry) = datasets(&pair.bank).pop().unwrap();
    let fingerprint = entry.fingerprint.to_string();
    let certify = |name: &str| {
        let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap();
        pair.bank.tacitly(&["evidence", job["id"].as_str().unwrap(), "--out", &at(name)]).unwrap();
        fs::read(at(name)).unwrap()
    };
    let certificate = certify("evidence");
    let (page, _) = page(&certificate, None).unwrap();
    assert!(page.contains(FIRST_QUARTER) && page.contains(&entry.basis.unwrap().to_string()));

    let open = |name: &str, more: &[&str]| {
        let out = at(name);
        pair.bank.tacitly(&[&["dataset", "open-basis", "ids", "--to", "court", "-o", &out], more].concat())
    };
    let told = open("salt", &["--purpose", "audit"]).unwrap();
    assert_eq!(told["basis"].as_str(), Some(&*entry.basis.unwrap().to_string()));
    assert_eq!(fs::metadata(at("salt")).unwrap().permissions().mode() & 0o777, 0o600);
    let [(opened, opening)] = &openings(&pair.bank)[..] else { panic!("one opening") };
    assert_eq!(told["entry"].as_str(), Some(&*opened.to_string()));
    assert_eq!((opening.target, opening.to.as_str(), opening.purpose.as_str()), (leaf, "court", "audit"));

    // Offline, byte for byte.
    let salt = fs::read(at("salt")).unwrap();
    let stated = check_basis(CONSENT, &salt, &certificate, None).unwrap();
    assert_eq!((stated.leaf, stated.owner.as_str(), stated.period.as_deref()), (leaf, "bank", Some(FIRST_QUARTER)));
    let reason = |document: &[u8], salt: &[u8], certificate: &[u8]| {
        check_basis(document, salt, certificate, None).map(drop).expect_err("it must not hold").reason
    };
    for at in 0..CONSENT.len() {
        let mut changed = CONSENT.to_vec();
        changed[at] ^= 1;
        assert_eq!(reason(&changed, &salt, &certificate), "basis-mismatch", "byte {at}");
    }
    assert_eq!(reason(&CONSENT[1..], &salt, &certificate), "basis-mismatch");
    assert_eq!(reason(CONSENT, &[b'0'; 64], &certificate), "basis-mismatch");
    assert_eq!(reason(CONSENT, b"00", &certificate), "basis-salt");
    assert_eq!(reason(CONSENT, &[b'g'; 64], &certificate), "basis-salt");
    assert_eq!(reason(CONSENT, &salt, &certificate[1..]), "malformed");

    // The same through the command.
    let verify = |document: &str, certificate: &str| {
        let (document, salt, certificate) = (at(document), at("salt"), at(certificate));
        let words = ["evidence", "verify-basis", &document, "--salt", &salt, "--certificate", &certificate, "--json"];
        let output = tacitly().args(words).output().unwrap();
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), output.status.code().unwrap())
    };
    let (seen, code) = verify("consent", "evidence");
    assert_eq!((code, &seen["holds"], &seen["fingerprint"]), (0, &true.into(), &fingerprint.as_str().into()));
    let (seen, code) = verify("other", "evidence");
    assert_eq!((code, &seen["holds"], &seen["reason"]), (1, &false.into(), &"basis-mismatch".into()));

    // A later version without a basis has none to open; that of the earlier one still opens.
    add(&pair.bank, &at("bank.csv"), &[]).unwrap();
    certify("later");
    assert_eq!(verify("consent", "later").0["reason"], "basis-none");
    assert_eq!(open("none", &[]).unwrap_err().code(), "bad-request");
    assert!(!pair.file("none").exists());
    open("earlier", &["--fingerprint", &fingerprint]).unwrap();
    assert_eq!(fs::read(at("earlier")).unwrap(), salt);
    assert_eq!(openings(&pair.bank).last().unwrap().1.target, leaf);

    // Neither the document nor its salt stays anywhere else.
    let events = pair.bank.tacitly(&["events"]).unwrap().to_string();
    let digits = String::from_utf8(salt).unwrap();
    assert!(events.contains("basis-opened") && !events.contains(digits.trim()), "{events}");
    let found = Command::new("grep").args(["-rlaF", "I agree that my number"]).arg(&pair.bank.home).output().unwrap();
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stdout));
    assert!(is_sound(&pair.bank));
}

/// Every number and every text in a line of JSON.
fn values(of: &Value) -> Vec<String> {
    match of {
        Value::Array(items) => items.iter().flat_map(values).collect(),
        Value::Object(fields) => fields.values().flat_map(values).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

#[test]
fn an_opening_is_on_record_before_it_is_handed_out_and_says_neither_row_nor_record() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..90), &mobiles(50..120));
    let at = |name: &str| pair.file(name).display().to_string();
    fs::copy(at("bank.csv"), at("old.csv")).unwrap();
    let open_row = |row: &str, name: &str, more: &[&str]| {
        let out = at(name);
        pair.bank.tacitly(&[&["dataset", "open", "ids", "--row", row, "-o", &out], more].concat())
    };
    let open = |name: &str, more: &[&str]| open_row("42", name, more);
    let present = open("present", &["--to", "court"]).unwrap();
    let old = datasets(&pair.bank)[0].clone();
    let changed = file_of(pair.folder.path(), "bank.csv", 60);
    add(&pair.bank, &changed, &["--allow", "shop"]).unwrap();
    let new = datasets(&pair.bank)[1].clone();
    let fingerprint = old.1.fingerprint.to_string();
    let copy = at("old.csv");
    let earlier = ["--fingerprint", &fingerprint, "--file", &copy];
    open("earlier", &[&["--to", "arbitration-board", "--purpose", "audit"], &earlier[..]].concat()).unwrap();
    open("again", &[&["--to", "court"], &earlier[..]].concat()).unwrap();
    open("new", &["--to", "court"]).unwrap();

    let found = openings(&pair.bank);
    let said: Vec<_> = found
        .iter()
        .map(|(_, opening)| (opening.target, opening.to.as_str(), opening.purpose.as_str(), opening.items.get()))
        .collect();
    let expected = [
        (old.0, "court", "dispute", 1),
        (old.0, "arbitration-board", "audit", 1),
        (old.0, "court", "dispute", 1),
        (new.0, "court", "dispute", 1),
    ];
    assert_eq!(said, expected);
    assert_eq!(present["entry"].as_str(), Some(&*found[0].0.to_string()));
    assert_eq!(datasets(&pair.bank).len(), 2, "no version is put on record twice");

    // What the entries say is who and why; the row stands in the audit trail, the record nowhere.
    for entry in entries(&pair.bank).iter().filter(|entry| matches!(entry.entry().body(), Body::Opening(_))) {
        let text = String::from_utf8(entry.encode()).unwrap();
        let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let known = ["by", "id", "items", "kind", "log", "nonce", "purpose", "rel", "t", "target", "to"];
        assert_eq!(fields, known);
        assert!(values(&line).iter().all(|value| !["41", "42"].contains(&value.as_str())), "{line}");
    }
    let segment = fs::read(pair.bank.home.join("log/segment")).unwrap();
    let record = b"13800000041";
    assert!(!segment.windows(record.len()).any(|window| window == record));
    let events = pair.bank.tacitly(&["events"]).unwrap().to_string();
    assert!(events.contains("\"row\":42") && events.contains("arbitration-board"), "{events}");

    // What is not handed out is not on record.
    let refused = [
        (open("no", &["--to", "Court"]), "bad-request"),
        (open("no", &["--to", "a13800138000"]), "bad-request"),
        (open("no", &["--to", "court", "--purpose", "Because I say so"]), "bad-request"),
        (open_row("61", "no", &["--to", "court"]), "bad-request"),
        (open("no", &["--to", "court", "--fingerprint", "none"]), "dataset-fingerprint"),
        (open("no", &["--to", "court", "--fingerprint", &fingerprint]), "dataset-changed"),
    ];
    for (result, code) in refused {
        assert_eq!(result.unwrap_err().code(), code);
    }
    assert!(open("no", &[]).is_err(), "an opening names its reader");
    assert!(open("present", &["--to", "court"]).is_err(), "no file is replaced");
    assert!(!pair.file("no").exists());
    assert_eq!(openings(&pair.bank).len(), expected.len());
    assert!(is_sound(&pair.bank));
}

async fn ledger(party: &Party) -> SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new().filename(party.home.join("tacitly.db")).connect().await.unwrap()
}

/// Puts a party back to the moment at which its one entry of a kind was not yet in the log; not even in the ledger unless
/// `signed`.
async fn forget_entry(party: &Party, log: &Path, kind: &str, signed: bool) {
    let mut ledger = ledger(party).await;
    let sql = match signed {
        true => "UPDATE entries SET log_index = NULL WHERE kind = $1",
        false => "DELETE FROM entries WHERE kind = $1",
    };
    let forgotten = sqlx::query(sql).bind(kind).execute(&mut ledger).await.unwrap();
    assert_eq!(forgotten.rows_affected(), 1);
    ledger.close().await.unwrap();
    fs::remove_dir_all(party.home.join("log")).unwrap();
    copy_folder(log, &party.home.join("log"));
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_daemon_killed_between_the_addition_and_the_entry_puts_on_record_what_was_stated() {
    for signed in [true, false] {
        let (folder, mut bank) = alone();
        bank.stop();
        let log = folder.path().join("log-before");
        copy_folder(&bank.home.join("log"), &log);
        bank.serve().unwrap();
        let consent = folder.path().join("consent");
        fs::write(&consent, CONSENT).unwrap();
        let path = file_of(folder.path(), "ids.csv", 50);
        let consent = consent.display().to_string();
        add(&bank, &path, &["--period", FIRST_QUARTER, "--basis", &consent]).unwrap();
        let (known_leaf, known) = datasets(&bank).pop().unwrap();
        bank.kill();
        forget_entry(&bank, &log, "dataset", signed).await;
        fs::remove_file(&consent).unwrap();
        bank.serve().unwrap();
        assert!(datasets(&bank).is_empty());

        let out = folder.path().join("row");
        let shown = out.display().to_string();
        bank.tacitly(&["dataset", "open", "ids", "--row", "7", "--to", "court", "-o", &shown]).unwrap();
        let [(leaf, entry)] = &datasets(&bank)[..] else { panic!("one entry") };
        assert_eq!(*entry, known);
        assert_eq!(*leaf == known_leaf, signed, "what was signed is logged as it is");
        assert_eq!(openings(&bank)[0].1.target, *leaf);
        let salt = folder.path().join("salt");
        bank.tacitly(&["dataset", "open-basis", "ids", "--to", "court", "-o", &salt.display().to_string()]).unwrap();
        let mut digits = [0; 32];
        data_encoding::HEXLOWER.decode_mut(fs::read(salt).unwrap().trim_ascii(), &mut digits).unwrap();
        assert!(opens(&entry.basis.unwrap(), Subject::Basis, &Salt::new(digits), CONSENT));
        assert!(is_sound(&bank));
    }
}

#[tokio::test]
async fn an_earlier_version_that_never_went_on_record_does_before_a_record_of_it_is_opened() {
    let (folder, mut bank) = alone();
    bank.stop();
    let log = folder.path().join("log-before");
    copy_folder(&bank.home.join("log"), &log);
    bank.serve().unwrap();
    let old = file_of(folder.path(), "old.csv", 50);
    add(&bank, &old, &["--period", FIRST_QUARTER]).unwrap();
    let known = datasets(&bank).pop().unwrap().1;
    bank.kill();
    forget_entry(&bank, &log, "dataset", false).await;
    bank.serve().unwrap();
    let new = file_of(folder.path(), "new.csv", 60);
    add(&bank, &new, &[]).unwrap();
    let [(new_leaf, _)] = &datasets(&bank)[..] else { panic!("one entry") };

    let open = |name: &str, more: &[&str]| {
        let shown = folder.path().join(name).display().to_string();
        let words = [&["dataset", "open", "ids", "--row", "7", "--to", "court", "-o", &shown], more].concat();
        bank.tacitly(&words).unwrap();
    };
    let fingerprint = known.fingerprint.to_string();
    open("earlier", &["--fingerprint", &fingerprint, "--file", &old]);
    open("present", &[]);
    open("again", &["--fingerprint", &fingerprint, "--file", &old]);
    let found = datasets(&bank);
    let [_, (old_leaf, late)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((late, late.supersedes), (&known, None), "it replaced nothing");
    let targets: Vec<_> = openings(&bank).iter().map(|(_, opening)| opening.target).collect();
    assert_eq!(targets, [*old_leaf, *new_leaf, *old_leaf]);

    // The next version replaces the one before it, and not the one that went on record last.
    add(&bank, &new, &[]).unwrap();
    assert_eq!(datasets(&bank)[2].1.supersedes, Some(*new_leaf));
    assert!(is_sound(&bank));
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_handed_out() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..20), &mobiles(10..30));
    let at = |pair: &Pair, name: &str| pair.file(name).display().to_string();
    fs::write(at(&pair, "consent"), CONSENT).unwrap();
    add(&pair.bank, &at(&pair, "bank.csv"), &["--basis", &at(&pair, "consent")]).unwrap();
    let spare = at(&pair, "bank.csv");
    pair.bank.tacitly(&["dataset", "add", "spare", &spare, "--key", "mobile=cn-mobile"]).unwrap();
    let log = pair.bank.home.join("log");
    pair.bank.stop();
    copy_folder(&log, &pair.file("old"));
    pair.bank.serve().unwrap();
    let open = |pair: &Pair, what: &[&str], name: &str| {
        let out = at(pair, name);
        pair.bank.tacitly(&[&["dataset"], what, &["ids", "--to", "court", "-o", &out]].concat())
    };
    let (record, basis) = (["open", "--row", "3"], ["open-basis"]);
    open(&pair, &record, "first").unwrap();
    open(&pair, &record, "second").unwrap();
    let cosigned = until(|| {
        let head = pair.bank.tacitly(&["log", "head"]).ok()?;
        let size = head["size"].as_u64()?;
        head["cosigned"].as_array()?.iter().any(|line| line["size"].as_u64() == Some(size)).then_some(())
    });
    cosigned.expect("the shop cosigns");

    // An old copy of the log takes no entries. The ledger knows one of two that it lacks: were the shop so late that this
    // one is entered again, it would still be an old copy.
    pair.bank.kill();
    let mut ledger = ledger(&pair.bank).await;
    let last = "DELETE FROM entries WHERE number = (SELECT max(number) FROM entries WHERE kind = 'opening')";
    assert_eq!(sqlx::query(last).execute(&mut ledger).await.unwrap().rows_affected(), 1);
    ledger.close().await.unwrap();
    fs::rename(&log, pair.file("newest")).unwrap();
    copy_folder(&pair.file("old"), &log);
    pair.bank.serve().unwrap();
    until(|| pair.bank.log().contains("it was taken back from an old copy").then_some(())).expect("it is found");
    let found = openings(&pair.bank);
    assert_eq!(open(&pair, &record, "row").unwrap_err().code(), "log-old");
    assert_eq!(open(&pair, &basis, "salt").unwrap_err().code(), "log-old");
    assert!(!pair.file("row").exists() && !pair.file("salt").exists());
    assert_eq!(openings(&pair.bank), found);
    // What was to be destroyed is, and the next log that takes entries hears of it.
    let remove = ["dataset", "remove", "spare"];
    assert_eq!(pair.bank.tacitly(&remove).unwrap_err().code(), "log-old");
    assert_eq!(pair.bank.tacitly(&remove).unwrap_err().code(), "dataset-unknown");

    pair.bank.kill();
    fs::remove_dir_all(&log).unwrap();
    copy_folder(&pair.file("newest"), &log);
    pair.bank.serve().unwrap();
    open(&pair, &record, "row").unwrap();
    open(&pair, &basis, "salt").unwrap();
    assert_eq!(openings(&pair.bank).len(), 4);
    let erased = until(|| erasures(&pair.bank).pop()).expect("the erasure goes on record");
    assert_eq!(erased.targets, [datasets(&pair.bank).last().unwrap().0]);
    assert!(is_sound(&pair.bank));
}

#[test]
fn a_dataset_removed_is_on_record_as_erased_with_all_its_versions_and_no_other_of_its_name() {
    let (folder, bank) = alone();
    let path = file_of(folder.path(), "ids.csv", 20);
    let remove = || bank.tacitly(&["dataset", "remove", "ids"]);
    let leaves = || datasets(&bank).into_iter().map(|(leaf, _)| leaf).collect::<Vec<_>>();
    add(&bank, &path, &[]).unwrap();
    add(&bank, &path, &[]).unwrap();
    remove().unwrap();
    let [first] = &erasures(&bank)[..] else { panic!("one erasure") };
    assert_eq!((&first.targets, first.erased), (&leaves(), Erased::Salts));
    assert_eq!(remove().unwrap_err().code(), "dataset-unknown");
    assert_eq!(erasures(&bank).len(), 1);

    add(&bank, &path, &[]).unwrap();
    remove().unwrap();
    assert_eq!(erasures(&bank)[1].targets, leaves()[2..]);
    assert!(is_sound(&bank));
}

#[test]
fn a_result_purged_is_on_record_as_erased_once_where_there_was_one() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    let (job, _) = pair.intersect().unwrap();
    let id = job["id"].as_str().unwrap();
    Pair::await_state(&pair.shop, &["done"]);
    let results = |party: &Party| -> Vec<(LeafHash, ResultEntry)> {
        let result = |entry: &SignedEntry| match entry.entry().body() {
            Body::Result(result) => Some((entry.leaf(), result.clone())),
            _ => None,
        };
        entries(party).iter().filter_map(result).collect()
    };
    for _ in 0..2 {
        for party in [&pair.bank, &pair.shop] {
            party.tacitly(&["job", "purge", id]).unwrap();
        }
    }
    let [(leaf, result)] = &results(&pair.bank)[..] else { panic!("one result") };
    assert!(result.output.is_some());
    let [erasure] = &erasures(&pair.bank)[..] else { panic!("one erasure") };
    assert_eq!((&erasure.targets[..], erasure.erased), (&[*leaf][..], Erased::SaltsAndRecords));
    assert!(erasures(&pair.shop).is_empty(), "it received nothing");
}

#[tokio::test]
async fn a_daemon_killed_between_a_removal_and_its_entry_records_it_at_the_next_start() {
    let (folder, mut bank) = alone();
    let path = file_of(folder.path(), "ids.csv", 20);
    add(&bank, &path, &[]).unwrap();
    bank.stop();
    let log = folder.path().join("log-before");
    copy_folder(&bank.home.join("log"), &log);
    bank.serve().unwrap();
    bank.tacitly(&["dataset", "remove", "ids"]).unwrap();
    let known = erasures(&bank);
    bank.kill();
    forget_entry(&bank, &log, "erasure", true).await;
    assert!(erasures(&bank).is_empty());
    for _ in 0..2 {
        bank.serve().unwrap();
        until(|| (erasures(&bank) == known).then_some(())).expect("the erasure goes on record once");
        bank.stop();
    }
    assert!(is_sound(&bank));
}

#[tokio::test]
async fn an_entry_whose_place_the_ledger_does_not_know_is_found_in_the_log_and_named_as_erased() {
    let (folder, mut bank) = alone();
    let path = file_of(folder.path(), "ids.csv", 20);
    add(&bank, &path, &[]).unwrap();
    let [(leaf, _)] = &datasets(&bank)[..] else { panic!("one entry") };
    // As in a ledger that was taken back from a backup of the moment before the entry got its place.
    bank.kill();
    let mut ledger = ledger(&bank).await;
    let sql = "UPDATE entries SET log_index = NULL WHERE kind = 'dataset'";
    assert_eq!(sqlx::query(sql).execute(&mut ledger).await.unwrap().rows_affected(), 1);
    ledger.close().await.unwrap();
    bank.serve().unwrap();
    bank.tacitly(&["dataset", "remove", "ids"]).unwrap();
    assert_eq!(erasures(&bank)[0].targets, [*leaf]);
    assert_eq!(datasets(&bank).len(), 1, "it stands there once");
}
