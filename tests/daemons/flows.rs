//! Every flow, receiver, duplicate policy and shape of set on real daemons, against the join in the clear.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Pair, SUBMIT, mobiles, numbers};

/// One side's rows: the cells of its key columns, one tuple a row.
type Table = Vec<Vec<String>>;

/// Registers a table with a column `n` of row numbers behind its key columns `k0`, `k1`, …
fn register(pair: &Pair, side: &str, name: &str, table: &Table, profile: &str, duplicates: &str) {
    let path = pair.file(&format!("{side}-{name}.csv"));
    let columns = table.first().map_or(1, Vec::len);
    let mut writer = csv::Writer::from_path(&path).unwrap();
    let head: Vec<String> = (0..columns).map(|column| format!("k{column}")).chain(["n".to_owned()]).collect();
    writer.write_record(&head).unwrap();
    for (row, key) in table.iter().enumerate() {
        writer.write_record(key.iter().chain([&row.to_string()])).unwrap();
    }
    writer.flush().unwrap();
    let (party, peer) = if side == "bank" { (&pair.bank, "shop") } else { (&pair.shop, "bank") };
    let path = path.display().to_string();
    let keys: Vec<String> = (0..columns).map(|column| format!("k{column}={profile}")).collect();
    let mut words = vec!["dataset", "add", name, &path, "--allow", peer, "--duplicates", duplicates, "--replace"];
    keys.iter().for_each(|key| words.extend(["--key", key]));
    party.tacitly(&words).unwrap_or_else(|error| panic!("{side} {name}: {error}"));
}

/// Rows of `ours` that a semi-join keeps under a duplicate policy.
fn join(ours: &Table, theirs: &Table, duplicates: &str) -> Vec<u64> {
    let theirs: BTreeSet<&Vec<String>> = theirs.iter().collect();
    let mut seen = BTreeSet::new();
    let kept = |key: &Vec<String>, seen: &mut BTreeSet<Vec<String>>| duplicates == "all" || seen.insert(key.clone());
    (0..).zip(ours).filter(|(_, key)| theirs.contains(key) && kept(key, &mut seen)).map(|(row, _)| row).collect()
}

/// Runs one job and returns what each side's result file holds.
fn run(pair: &Pair, name: &str, kind: &str, receiver: &str) -> (serde_json::Value, Vec<u64>, Vec<u64>) {
    let with = format!("shop/{name}");
    let job = pair.bank.tacitly(&["psi", "--kind", kind, "--receiver", receiver, "--dataset", name, "--with", &with]);
    let job = job.unwrap_or_else(|error| panic!("{name} {kind} {receiver}: {error}"));
    let id = job["id"].as_str().unwrap().to_owned();
    let rows = |party: &tacitly::test_bed::Party, receives: bool| {
        let out = pair.file(&format!("{}-out.csv", party.name));
        let text = out.display().to_string();
        let written = party.tacitly(&["job", "result", &id, "--out", &text, "--force"]);
        if receives && kind != "cardinality" {
            written.unwrap_or_else(|error| panic!("{name} {kind} {receiver}: {error}"));
            numbers(&out)
        } else {
            assert_eq!(written.unwrap_err().code(), "result-none", "{name} {kind} {receiver}");
            Vec::new()
        }
    };
    Pair::await_state(&pair.shop, &["done"]);
    let ours = rows(&pair.bank, receiver != "peer");
    let theirs = rows(&pair.shop, receiver != "us");
    (job, ours, theirs)
}

/// Checks all flows and receivers of one pair of tables.
fn check(pair: &Pair, name: &str, ours: &Table, theirs: &Table, profile: &str, duplicates: &str) {
    register(pair, "bank", name, ours, profile, duplicates);
    register(pair, "shop", name, theirs, profile, duplicates);
    let (expected_here, expected_there) = (join(ours, theirs, duplicates), join(theirs, ours, duplicates));
    let shared = ours.iter().collect::<BTreeSet<_>>().intersection(&theirs.iter().collect()).count() as u64;
    for receiver in ["us", "peer", "both"] {
        let (job, here, there) = run(pair, name, "intersect", receiver);
        let got = |rows: &Vec<u64>| if rows.is_empty() { Vec::new() } else { rows.clone() };
        assert_eq!(
            got(&here),
            if receiver == "peer" { Vec::new() } else { expected_here.clone() },
            "{name} {receiver}"
        );
        assert_eq!(
            got(&there),
            if receiver == "us" { Vec::new() } else { expected_there.clone() },
            "{name} {receiver}"
        );
        assert_eq!(job["summary"]["our_items"], ours.iter().collect::<BTreeSet<_>>().len() as u64);
        let (job, _, _) = run(pair, name, "cardinality", receiver);
        let told = job["result_items"].as_u64();
        assert_eq!(told, (receiver != "peer").then_some(shared), "{name} cardinality {receiver}");
    }
    if duplicates != "all" {
        let (_, here, there) = run(pair, name, "align", "both");
        let people = |rows: &[u64], table: &Table| -> Vec<Vec<String>> {
            rows.iter().map(|row| table[*row as usize].clone()).collect()
        };
        assert_eq!(people(&here, ours), people(&there, theirs), "{name}: the same people in the same order");
        let sorted = |mut rows: Vec<u64>| {
            rows.sort_unstable();
            rows
        };
        assert_eq!(sorted(here), expected_here, "{name}");
        assert_eq!(sorted(there), expected_there, "{name}");
    }
}

fn one_column(ids: Vec<String>) -> Table {
    ids.into_iter().map(|id| vec![id]).collect()
}

#[test]
fn ten_thousand_rows_in_every_flow_are_exactly_the_join_in_the_clear() {
    let pair = Pair::start();
    let (ours, theirs) = (one_column(mobiles(0..10_000)), one_column(mobiles(5_000..15_000)));
    check(&pair, "half", &ours, &theirs, "cn-mobile", "error");
    check(&pair, "all", &ours, &ours, "cn-mobile", "error");
    check(&pair, "none", &ours, &one_column(mobiles(20_000..30_000)), "cn-mobile", "error");
}

#[test]
fn empty_and_single_sets_in_every_flow_are_exactly_the_join_in_the_clear() {
    let pair = Pair::start();
    let (none, one, some) = (Vec::new(), one_column(mobiles(3..4)), one_column(mobiles(0..10)));
    for (name, ours, theirs) in [
        ("neither", &none, &none),
        ("only-there", &none, &some),
        ("only-here", &some, &none),
        ("one", &one, &one),
        ("one-of-ten", &one, &some),
    ] {
        check(&pair, name, ours, theirs, "cn-mobile", "error");
    }
}

#[test]
fn half_of_the_rows_repeated_under_every_policy_give_exactly_the_join_in_the_clear() {
    let pair = Pair::start();
    let repeated = |range: std::ops::Range<u64>| {
        let ids = mobiles(range);
        one_column(ids.iter().chain(ids.iter().rev()).cloned().collect())
    };
    let (ours, theirs) = (repeated(0..5_000), repeated(2_500..7_500));
    for duplicates in ["first", "all"] {
        check(&pair, duplicates, &ours, &theirs, "cn-mobile", duplicates);
    }
    let path = pair.file("bank-first.csv").display().to_string();
    let refused = pair.bank.tacitly(&["dataset", "add", "x", &path, "--key", "k0=cn-mobile"]).unwrap_err();
    assert_eq!(refused.code(), "dataset-input");
    assert!(refused.to_string().contains("line 5002"), "{refused}");
}

#[test]
fn identifiers_of_any_script_and_length_and_keys_of_several_columns_match_exactly() {
    let pair = Pair::start();
    let odd = |from: usize| -> Vec<String> {
        let kinds = [
            |at: usize| char::from(b'!' + (at % 90) as u8).to_string(),
            |at: usize| format!("身份-{at}-ÜñïçØdé-阿依古丽"),
            |at: usize| format!("{at:x>4096}"),
            |at: usize| format!("a,\"quoted\"\n{at}"),
        ];
        let ids: BTreeMap<String, ()> = (from..from + 3_400).flat_map(|at| kinds.map(|kind| (kind(at), ()))).collect();
        ids.into_keys().collect()
    };
    check(&pair, "odd", &one_column(odd(0)), &one_column(odd(1_700)), "raw", "error");
    // ("1", "23") and ("12", "3") are different people.
    let tuples = |columns: usize, from: usize| -> Table {
        let cut = |at: usize| {
            let digits = format!("{at:06}");
            (1..3).map(move |place| {
                let mut cells = vec![digits[..place].to_owned(), digits[place..4].to_owned(), digits[4..].to_owned()];
                if columns == 2 {
                    let last = cells.split_off(2);
                    cells[1].push_str(&last[0]);
                }
                cells
            })
        };
        (from..from + 5_000).flat_map(cut).collect()
    };
    for columns in [2, 3] {
        check(&pair, &format!("tuples-{columns}"), &tuples(columns, 0), &tuples(columns, 2_500), "raw", "first");
    }
}

#[test]
fn two_sets_that_meet_in_nothing_get_a_hint_from_their_own_column_without_a_value() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..100)), "raw", "error");
    let written_out = mobiles(0..100).iter().map(|id| format!("+86{id}")).collect();
    register(&pair, "shop", "ids", &one_column(written_out), "raw", "error");
    let (job, _, _) = run(&pair, "ids", "intersect", "both");
    assert_eq!(job["result_items"], 0);
    let hint = job["summary"]["hint"].as_str().unwrap();
    assert!(hint.contains("k0") && hint.contains("11") && hint.contains("raw"), "{hint}");
    assert!(!hint.contains("138"), "no value is shown: {hint}");
    let theirs = Pair::await_state(&pair.shop, &["done"]);
    assert!(theirs["summary"]["hint"].as_str().unwrap().contains("with a +"), "{theirs}");
}

#[test]
fn a_minimum_is_checked_before_anything_is_released() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..1000)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(990..2000)), "cn-mobile", "error");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "min_intersection=11"]).unwrap();
    let psi = ["psi", "--dataset", "ids", "--with", "shop/ids"];
    let refused = pair.bank.tacitly(&psi).unwrap_err();
    assert_eq!(refused.code(), "below-minimum");
    assert_eq!(Pair::await_state(&pair.shop, &["failed"])["failure"]["code"], "below-minimum");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "min_intersection=10"]).unwrap();
    assert_eq!(pair.bank.tacitly(&psi).unwrap()["result_items"], 10);
}

#[test]
fn whoever_is_refused_in_the_middle_of_a_job_always_hears_the_rule_that_refused() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..300)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(200..400)), "cn-mobile", "error");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--limit", "max_peer_items=100"]).unwrap();
    // Which message brings the news differs from run to run.
    for _ in 0..6 {
        let refused = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap_err();
        assert_eq!(refused.code(), "refused-by-rule", "{refused}");
        assert!(refused.to_string().contains("at most 100"), "{refused}");
    }
}

#[test]
fn a_person_reads_what_a_job_costs_and_discloses_before_approving_it() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..100)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(50..150)), "cn-mobile", "error");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]));
        let job = Pair::await_state(&pair.shop, &["proposed"]);
        let id = job["id"].as_str().unwrap();
        let explained = pair.shop.tacitly(&["job", "explain", id]).unwrap();
        let text = explained["explanation"].as_str().unwrap();
        for words in [
            "100 rows",
            "MiB over the network",
            "bank: how many distinct keys shop has; which of its own rows shop also has",
        ] {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
        pair.shop.tacitly(&["approve", id]).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap()["result_items"], 50);
    });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]));
        let job = Pair::await_state(&pair.shop, &["proposed"]);
        pair.shop.tacitly(&["refuse", job["id"].as_str().unwrap(), "--reason", "not this quarter"]).unwrap();
        let refused = waiting.join().unwrap().unwrap_err();
        assert_eq!(refused.code(), "refused-by-person");
        assert!(refused.to_string().contains("not this quarter"), "{refused}");
    });
}

#[test]
fn parquet_in_and_out_and_chosen_columns() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..50)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(25..75)), "cn-mobile", "error");
    let out = pair.file("shared.parquet").display().to_string();
    pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &out]).unwrap();
    pair.bank.tacitly(&["dataset", "add", "again", &out, "--key", "k0=cn-mobile", "--allow", "shop"]).unwrap();
    let csv = pair.file("narrow.csv").display().to_string();
    let words = ["psi", "--dataset", "again", "--with", "shop/ids", "--out", &csv, "--columns", "n"];
    assert_eq!(pair.bank.tacitly(&words).unwrap()["result_items"], 25);
    assert!(std::fs::read_to_string(&csv).unwrap().starts_with("n\n25\n"));
}

/// What a command says and exits with, run as a person runs it.
fn said(party: &tacitly::test_bed::Party, words: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
    let output =
        command.args(words).arg("--home").arg(&party.home).stdin(std::process::Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_psi_could_not_write_is_refused_before_a_job_is_submitted() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..50)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(25..75)), "cn-mobile", "error");
    let source = pair.file("bank-ids.csv");
    let before = std::fs::read(&source).unwrap();
    let (taken, folder) = (source.display().to_string(), pair.folder.path().display().to_string());
    let (fresh, lost) = (pair.file("out.csv").display().to_string(), pair.file("no/out.csv").display().to_string());
    for (words, reason) in [
        (&["--out", &taken][..], "is there already"),
        (&["--out", &folder], "is a folder"),
        (&["--out", &lost], "cannot be written"),
        (&["--out", &fresh, "--columns", "n,town"], "no column \"town\""),
        (&["--out", &fresh, "--columns", "n,"], "a value is required"),
        (&["--columns", "n"], "--out"),
        (&["--kind", "cardinality", "--out", &fresh], "no rows for --out"),
        (&["--receiver", "peer", "--out", &fresh], "the peer alone receives the result"),
        (&["--kind", "align", "--receiver", "us"], "align always tells both sides"),
        (&["--kind", "align", "--receiver", "peer"], "align always tells both sides"),
    ] {
        let (code, _, error) = said(&pair.bank, &[&["psi", "--dataset", "ids", "--with", "shop/ids"], words].concat());
        assert!(code != 0 && error.contains(reason), "{words:?}: {code}, {error}");
    }
    assert_eq!(pair.bank.tacitly(&["job", "list"]).unwrap(), serde_json::json!([]), "nothing was submitted");
    assert!(!pair.file("out.csv").exists());
    assert_eq!(std::fs::read(&source).unwrap(), before);

    let job = pair.bank.tacitly(&["psi", "--kind", "align", "--dataset", "ids", "--with", "shop/ids"]).unwrap();
    let receives = |party: &serde_json::Value| party["receives"] == true;
    assert!(job["parties"].as_array().unwrap().iter().all(receives), "{job}");
    let id = job["id"].as_str().unwrap();
    for words in [&["job", "result", id, "-o", &taken][..], &["evidence", id, "-o", &taken]] {
        let (code, _, error) = said(&pair.bank, words);
        assert!(code == 1 && error.contains("is there already") && error.contains("--force"), "{words:?}: {error}");
    }
    assert_eq!(std::fs::read(&source).unwrap(), before);
    let (code, printed, error) = said(&pair.bank, &["job", "result", id, "--out", "-", "--columns", "n"]);
    assert_eq!((code, printed.lines().count(), printed.lines().next()), (0, 26, Some("n")), "{printed}{error}");
    let (code, printed, error) = said(&pair.bank, &["job", "result", id, "--out", "/dev/full"]);
    assert!(code == 1 && printed.is_empty() && error.contains("/dev/full cannot be written"), "{error}");
    let (_, printed, _) = said(&pair.bank, &["evidence", id, "-o", "/dev/stdout"]);
    assert!(tacitly_attestation::certificate::verify(printed.as_bytes(), None).is_ok(), "{printed}");
}

#[test]
fn jobs_are_listed_in_pages_from_the_newest_on_and_each_page_oldest_first() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..5)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(2..7)), "cn-mobile", "error");
    let id = |job: &serde_json::Value| job["id"].as_str().unwrap().to_owned();
    let submitted: Vec<String> = (0..5).map(|_| id(&pair.bank.tacitly(&SUBMIT).unwrap())).collect();
    let page = |words: &[&str]| -> Vec<String> {
        let jobs = pair.bank.tacitly(&[&["job", "list"], words].concat()).unwrap();
        jobs.as_array().unwrap().iter().map(id).collect()
    };
    assert_eq!(page(&[]), submitted);
    let (newest, rest) = (page(&["--limit", "2"]), page(&["--limit", "2", "--before", &submitted[3]]));
    assert_eq!((&newest[..], &rest[..]), (&submitted[3..], &submitted[1..3]));
    assert_eq!(page(&["--before", &submitted[0]]), [""; 0]);
    for words in [&["--limit", "0"][..], &["--limit", "many"], &["--before", "yesterday"]] {
        let (code, _, error) = said(&pair.bank, &[&["job", "list"], words].concat());
        assert!(code != 0 && !error.is_empty(), "{words:?}: {error}");
    }
}

#[test]
fn each_side_reads_in_its_list_whose_turn_it_is_who_has_the_result_and_that_it_was_purged() {
    let pair = Pair::start();
    register(&pair, "bank", "ids", &one_column(mobiles(0..50)), "cn-mobile", "error");
    register(&pair, "shop", "ids", &one_column(mobiles(25..75)), "cn-mobile", "error");
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    let job = pair.bank.tacitly(&[&SUBMIT[..], &["--purpose", "pilot"]].concat()).unwrap();
    let id = job["id"].as_str().unwrap();
    Pair::await_state(&pair.shop, &["proposed"]);
    let (_, list, _) = said(&pair.shop, &["job", "list"]);
    assert!(list.contains(&format!("waits for you: tacitly job explain {id}, tacitly approve {id}")), "{list}");
    let (_, text, _) = said(&pair.bank, &["job", "explain", id]);
    assert!(text.contains("unknown, taken as ours: 50 rows"), "{text}");
    pair.shop.tacitly(&["approve", id]).unwrap();
    Pair::await_state(&pair.bank, &["done"]);
    let there = Pair::await_state(&pair.shop, &["done"]);
    assert_eq!(there["result_items"], serde_json::Value::Null, "the shop received nothing: {there}");
    let there = pair.shop.tacitly(&["job", "show", id]).unwrap();
    assert_eq!(there["terms"]["purpose"], "pilot", "the terms are no text in a text: {there}");
    let (_, list, _) = said(&pair.shop, &["job", "list"]);
    assert!(list.contains("result went to bank") && !list.contains("shared"), "{list}");
    let (_, list, _) = said(&pair.bank, &["job", "list", "--state", "done"]);
    assert!(list.contains("25 shared"), "{list}");
    let (_, shown, _) = said(&pair.bank, &["job", "show", id]);
    let [us, them] = [
        "bank (us)  proposer  ids      receives  signed, has its result\n",
        "shop       approver  ids      -         signed\n",
    ];
    for words in ["pilot", "50 here, 50 there", "25 shared", us, them, "MiB out", "ended"] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }

    let (code, _, error) = said(&pair.bank, &["job", "list", "--state", "foo"]);
    assert!(code == 2 && error.contains("proposed") && error.contains("refused"), "{error}");
    let (code, _, error) = said(&pair.bank, &["job", "list", "--state", "foo", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert!(code == 2 && error["error"]["code"] == "bad-request", "{error}");

    let (_, purged, _) = said(&pair.bank, &["job", "purge", id]);
    assert!(purged.contains("is purged"), "{purged}");
    let (_, list, _) = said(&pair.bank, &["job", "list"]);
    assert!(list.contains("25 shared; purged"), "{list}");
    for (party, why) in [(&pair.bank, "was purged"), (&pair.shop, "went to bank")] {
        let (code, _, error) = said(party, &["job", "result", id, "--out", "-"]);
        assert!(code == 1 && error.contains("result-none") && error.contains(why), "{error}");
    }
    let (_, events, _) = said(&pair.shop, &["events"]);
    assert!(events.contains("job") && !events.contains('{'), "{events}");
}
