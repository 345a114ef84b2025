//! Two real daemons over loopback TLS: right answers, and the right ending when something is wrong.

use std::time::Duration;

use tacitly::test_bed::{Party, connect, until};

use crate::support::{Pair, brisk, mobiles, numbers, semi_join, setup, tacitly};

/// Bytes that are over the cable long before an exchange of forty thousand keys is.
const A_PART: u64 = 200_000;

#[test]
fn a_number_written_with_country_code_and_hyphens_meets_its_plain_form() {
    let mut pair = Pair::start();
    pair.datasets(&["+86 138-0013-8000", "13900000000"], &["13800138000", "0086 (137) 0000 0000"]);
    let (job, rows) = pair.intersect().unwrap();
    assert_eq!(rows, [0]);
    let sizes = (&job["summary"]["our_items"], &job["summary"]["peer_items"]);
    assert_eq!((sizes, &job["result_items"]), ((&2.into(), &2.into()), &1.into()));
}

#[test]
fn sets_of_every_shape_give_exactly_the_join_in_the_clear() {
    let mut pair = Pair::start();
    let some = mobiles(0..1000);
    let none: Vec<String> = Vec::new();
    for (name, ours, theirs) in [
        ("half of them", some.clone(), mobiles(500..1500)),
        ("nothing here", none.clone(), some.clone()),
        ("nothing there", some.clone(), none.clone()),
        ("nothing at all", none.clone(), none),
        ("one row each, equal", mobiles(7..8), mobiles(7..8)),
        ("one row each, different", mobiles(7..8), mobiles(8..9)),
        ("all equal", some.clone(), some.clone()),
        ("none equal", some, mobiles(5000..6000)),
    ] {
        pair.datasets(&ours, &theirs);
        let (_, rows) = pair.intersect().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(rows, semi_join(&ours, &theirs), "{name}");
    }
}

#[test]
fn sides_with_different_profiles_are_refused_before_anything_is_read_and_both_values_are_named() {
    let mut pair = Pair::start();
    pair.dataset_at("bank", "mobile", "cn-mobile", &mobiles(0..3));
    pair.dataset_at("shop", "phone", "raw", &mobiles(0..3));
    let error = pair.intersect().map(|(job, _)| job).unwrap_err();
    assert_eq!(error.code(), "terms-differ");
    let text = error.to_string();
    assert!(text.contains("cn-mobile") && text.contains("raw") && text.contains("key"), "{text}");
    let jobs = pair.shop.tacitly(&["job", "list"]).unwrap();
    assert_eq!(jobs[0]["state"], "refused");
    assert_eq!(jobs[0]["bytes_in"], 0);
}

#[test]
fn a_peer_without_a_rule_gets_nothing_and_is_told_whose_rule_for_what_is_missing() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..3), &mobiles(0..3));
    pair.shop.tacitly(&["dataset", "deny", "ids", "bank"]).unwrap();
    let refused = |told: &str| {
        let error = pair.intersect().map(|(job, _)| job).unwrap_err();
        assert_eq!(error.code(), "refused-no-rule");
        assert!(error.to_string().contains(told), "{error}");
    };
    refused("no rule of shop lets bank use ids; shop runs `tacitly dataset allow ids bank`");
    pair.bank.tacitly(&["dataset", "deny", "ids", "shop"]).unwrap();
    refused("no rule of bank lets shop use ids; bank runs `tacitly dataset allow ids shop`");

    // To take away what is not there is no failure; to name what is not there is.
    let none = pair.bank.tacitly(&["dataset", "deny", "ids", "shop"]).unwrap();
    assert_eq!(none["removed"], false);
    let code = |words: &[&str]| pair.bank.tacitly(words).unwrap_err().code().to_owned();
    assert_eq!(code(&["dataset", "deny", "nosuch", "shop"]), "dataset-unknown");
    assert_eq!(code(&["dataset", "deny", "ids", "stranger"]), "peer-unknown");
}

#[test]
fn doctor_warns_of_a_quorum_that_nobody_can_make_and_of_a_mirror_that_is_no_peer() {
    let pair = Pair::start();
    let warnings = |quorum: &str, mirrors: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
        command.args(["doctor", "--json", "--home"]).arg(&pair.bank.home);
        command.env("TACITLY_ATTESTATION__QUORUM", quorum).env("TACITLY_ATTESTATION__MIRRORS", mirrors);
        let found: Vec<serde_json::Value> = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let warned = found.into_iter().filter(|finding| finding["level"] == "warn");
        warned.map(|finding| finding["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(warnings("1", "[\"shop\"]"), Vec::<String>::new());
    assert_eq!(
        warnings("5", "[\"stranger\"]"),
        [
            "attestation.quorum asks 5 parties to cosign our log, and there are 1 peer and 0 outside witnesses",
            "attestation.mirrors names stranger, which is no peer here"
        ]
    );
}

#[test]
fn a_rule_that_could_never_allow_anything_is_refused_and_a_rule_is_listed_in_words() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..3), &mobiles(0..3));
    for (option, value, told) in [
        ("--kinds", "intersect,cardinalty", "there is no kind of job \"cardinalty\"; the kinds are intersect, align"),
        ("--columns", "n,nosuch", "there is no column \"nosuch\"; the columns are mobile, n"),
        (
            "--limit",
            "min_intersecton=5",
            "a rule has no limit \"min_intersecton\"; its limits are min_intersection, max",
        ),
        ("--expires", "2020-01-01T00:00:00Z", "the rule would have ended at 2020-01-01T00:00:00Z"),
    ] {
        let error = pair.bank.tacitly(&["dataset", "allow", "ids", "shop", option, value]).unwrap_err();
        assert_eq!(error.code(), "bad-request");
        assert!(error.to_string().contains(told), "{error}");
    }
    let words = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
        String::from_utf8(command.args(words).arg("--home").arg(&pair.bank.home).output().unwrap().stdout).unwrap()
    };
    let allowed =
        words(&["dataset", "allow", "ids", "shop", "--kinds", "cardinality", "--per-day", "1", "--receivers", "us"]);
    let rule = "cardinality; only we receive results; of our columns only mobile, n; 1 job a day";
    let changes = "  kinds: - intersect, - align\n  receivers: any → us\n  per_day: no limit → 1\n";
    assert_eq!(allowed, format!("shop may use ids: {rule}\n{changes}"));
    let listed = words(&["dataset", "list"]);
    assert!(listed.ends_with(&format!("\n  shop: {rule}\n")), "{listed}");
    let wider = words(&["dataset", "allow", "ids", "shop", "--per-day", "2"]);
    assert_eq!(wider, format!("shop may use ids: {}\n  per_day: 1 → 2 (wider)\n", rule.replace("1 job", "2 jobs")));

    // A rule ends while we look.
    let soon = jiff::Timestamp::now() + std::time::Duration::from_millis(1500);
    words(&["dataset", "allow", "ids", "shop", "--expires", &soon.to_string()]);
    until(|| words(&["dataset", "list"]).contains("shop: nothing any more, the rule is over").then_some(()))
        .expect("a rule that is over reads as one");
    pair.bank.tacitly(&["dataset", "deny", "ids", "shop"]).unwrap();
    assert!(words(&["dataset", "list"]).ends_with("\n  nobody may use it\n"));
}

#[test]
fn a_file_without_a_header_meets_the_same_rows_by_the_positions_of_its_columns_and_no_cell_is_in_an_error() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..3), &mobiles(1..9));
    let path = pair.file("headerless.tsv");
    let row = |number: &String| format!("C000123\t张三\t{number}\n");
    std::fs::write(&path, mobiles(0..3).iter().map(row).collect::<String>()).unwrap();
    let path = path.display().to_string();
    let add = |words: &[&str]| pair.bank.tacitly(&[&["dataset", "add", "ids", &path, "--replace"], words].concat());
    for words in [
        &["--key", "mobile=cn-mobile"][..],
        &["--key", "mobile=cn-mobile", "--delimiter", "tab"],
        &["--key", "mobile=cn-mobile", "--delimiter", "\\t", "--no-header"],
        &["--key", "column_2=cn-mobile", "--delimiter", "tab", "--no-header"],
    ] {
        let told = add(words).unwrap_err().to_string();
        for cell in ["C000123", "张三", "138"] {
            assert!(!told.contains(cell), "{words:?}: {told}");
        }
    }
    add(&["--key", "column_3=cn-mobile", "--delimiter", "tab", "--no-header", "--allow", "shop"]).unwrap();
    // The rule of before names the columns of before, and stays until its owner names those of this file.
    pair.bank.tacitly(&["dataset", "allow", "ids", "shop", "--all-columns"]).unwrap();
    let out = pair.file("out.csv").display().to_string();
    pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &out]).unwrap();
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 3, "a header and two rows");
}

#[test]
fn what_an_owner_should_know_about_a_registered_file_is_in_the_report() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..3), &mobiles(0..3));
    let report = |name: &str, text: &str, more: &[&str]| {
        let path = pair.file(&format!("{name}.csv"));
        std::fs::write(&path, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
        command.args(["dataset", "add", name]).arg(&path).args(more).arg("--home").arg(&pair.bank.home);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let key = ["--key", "mobile=cn-mobile"];
    let (fine, told) = report("empty", "mobile\n", &key);
    assert!(fine && told.contains("warning: the file has no rows"), "{told}");
    let (fine, told) = report("useless", "mobile\nx\ny\n", &[&key[..], &["--invalid", "skip"]].concat());
    assert!(fine && told.contains("warning: not one of 2 rows has a key that can take part"), "{told}");

    let (fine, told) = report("ids", "phone,n\n13800138000,1\n", &["--key", "phone=raw", "--replace"]);
    assert!(fine && told.contains("note: the key was mobile=cn-mobile and is now phone=raw"), "{told}");
    assert!(told.contains("note: the rules stay as they were, for shop; `tacitly dataset allow ids PEER`"), "{told}");

    let again = ["--key", "phone=raw", "--replace", "--allow", "shop"];
    let (fine, told) = report("ids", "phone,n\n13800138000,1\n", &again);
    assert!(fine && told.contains("note: shop has a rule, and keeps it"), "{told}");

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tacitly"));
    let removed = command.args(["dataset", "remove", "useless", "--home"]).arg(&pair.bank.home).output().unwrap();
    let told = String::from_utf8(removed.stdout).unwrap();
    assert!(told.contains("no record of it can be opened any more") && told.contains("cannot be fetched"), "{told}");

    // A name that cannot be is told before a file is looked for.
    let error = pair.bank.tacitly(&["dataset", "add", "Not a name", "/nosuch", "--key", "a=raw"]).unwrap_err();
    assert!(error.to_string().contains("1 to 64 characters of a-z"), "{error}");
    let error = pair.bank.tacitly(&["dataset", "add", "ids", "/nosuch", "--key", "a=raw"]).unwrap_err();
    assert_eq!(error.code(), "dataset-exists");
}

#[test]
fn a_file_that_changed_since_it_was_added_is_refused_before_round_1_and_the_hint_is_named() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..30), &mobiles(0..30));
    let path = pair.file("bank.csv");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(",0\n", ",9\n")).unwrap();
    let error = pair.intersect().map(|(job, _)| job).unwrap_err();
    assert_eq!(error.code(), "dataset-changed");
    assert!(error.to_string().contains("--replace"), "{error}");
    assert_eq!(Pair::await_state(&pair.shop, &["failed"])["failure"]["code"], "peer-failed");
}

#[test]
fn a_peer_killed_before_the_exchange_is_lost_and_the_job_is_resumed_when_it_is_back() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..2000), mobiles(1000..3000));
    pair.datasets(&ours, &theirs);
    pair.shop.kill();
    let bank = &pair.bank;
    let submit = ["psi", "--dataset", "ids", "--with", "shop/ids"];
    // Nothing was agreed yet: the proposal waits for the peer, and no process hangs on it.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| bank.tacitly(&submit));
        let waits = until(|| {
            let jobs = bank.tacitly(&["job", "list"]).ok()?;
            let job = &jobs[0];
            (job["state"] == "proposed" && job["stage"] == "waiting for the peer to be reached").then_some(())
        });
        pair.shop.serve().unwrap();
        assert!(waits.is_some(), "the proposal did not wait for the peer:\n{}", bank.log());
        let job = waiting.join().unwrap().unwrap();
        assert_eq!(job["result_items"], 1000);
    });
}

#[test]
fn a_peer_killed_during_the_exchange_and_never_back_is_named_and_the_job_waits_for_a_person() {
    let (mut pair, cable) = Pair::with_cable(brisk(), brisk());
    pair.datasets(&mobiles(0..60_000), &mobiles(30_000..90_000));
    cable.hold_after(A_PART);
    let bank = &pair.bank;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]));
        cable.await_hold();
        pair.shop.kill();
        cable.release();
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.code(), "peer-lost");
        assert!(error.to_string().contains("shop"), "{error}");
    });
    let job = Pair::await_state(&pair.bank, &["suspended"]);
    assert_eq!(job["failure"]["who"], "shop");
}

#[test]
fn a_peer_killed_during_the_exchange_and_restarted_goes_on_by_itself_to_the_exact_answer() {
    let (mut pair, cable) = Pair::with_cable(setup(), setup());
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    pair.datasets(&ours, &theirs);
    cable.hold_after(A_PART);
    let out = pair.file("out.csv");
    let out_text = out.display().to_string();
    let bank = &pair.bank;
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &out_text]));
        cable.await_hold();
        pair.shop.kill();
        cable.release();
        pair.shop.serve().unwrap();
        let job = waiting.join().unwrap().unwrap();
        assert!(job["attempt"].as_u64() >= Some(2), "{job}");
    });
    assert_eq!(numbers(&out), semi_join(&ours, &theirs));
}

#[test]
fn a_peer_killed_after_the_exchange_takes_nothing_from_the_result() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..100), &mobiles(50..150));
    let (job, _) = pair.intersect().unwrap();
    pair.shop.kill();
    let again = pair.file("again.csv").display().to_string();
    pair.bank.tacitly(&["job", "result", job["id"].as_str().unwrap(), "--out", &again]).unwrap();
    assert_eq!(numbers(&pair.file("again.csv")), semi_join(&mobiles(0..100), &mobiles(50..150)));
    pair.shop.serve().unwrap();
    assert_eq!(Pair::await_state(&pair.shop, &["done"])["result_items"], serde_json::Value::Null);
}

#[test]
fn a_daemon_killed_itself_takes_up_its_job_when_it_is_started_again() {
    let (mut pair, cable) = Pair::with_cable(setup(), setup());
    let (ours, theirs) = (mobiles(0..40_000), mobiles(20_000..60_000));
    pair.datasets(&ours, &theirs);
    cable.hold_after(A_PART);
    let mut submit = tacitly();
    submit.args(["psi", "--json", "--dataset", "ids", "--with", "shop/ids", "--home"]).arg(&pair.bank.home);
    let mut waiting = submit.stderr(std::process::Stdio::null()).spawn().unwrap();
    cable.await_hold();
    pair.bank.kill();
    cable.release();
    assert!(!waiting.wait().unwrap().success(), "the command says that its daemon is gone");
    pair.bank.serve().unwrap();
    let job = Pair::await_state(&pair.bank, &["done"]);
    let out = pair.file("out.csv").display().to_string();
    pair.bank.tacitly(&["job", "result", job["id"].as_str().unwrap(), "--out", &out]).unwrap();
    assert_eq!(numbers(&pair.file("out.csv")), semi_join(&ours, &theirs));
}

#[test]
fn a_cable_cut_for_good_ends_in_peer_lost_on_both_sides() {
    let (mut pair, cable) = Pair::with_cable(brisk(), brisk());
    pair.datasets(&mobiles(0..60_000), &mobiles(30_000..90_000));
    cable.cut_after(A_PART);
    let error = pair.intersect().map(|(job, _)| job).unwrap_err();
    assert_eq!(error.code(), "peer-lost");
    assert!(cable.is_cut());
    for party in [&pair.bank, &pair.shop] {
        let job = Pair::await_state(party, &["suspended"]);
        assert_eq!(job["failure"]["code"], "peer-lost", "{}", party.name);
    }
}

#[test]
fn a_cable_cut_for_less_than_the_window_costs_nothing() {
    let window = |setup: tacitly::test_bed::Setup| setup.set("TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS", 60);
    let (mut pair, cable) = Pair::with_cable(window(setup()), window(setup()));
    let (ours, theirs) = (mobiles(0..30_000), mobiles(15_000..45_000));
    pair.datasets(&ours, &theirs);
    cable.cut_after(A_PART);
    std::thread::scope(|scope| {
        let job = scope.spawn(|| pair.intersect().unwrap());
        until(|| cable.is_cut().then_some(())).expect("the job did not get as far as the cut");
        let down = until(|| {
            let jobs = pair.bank.tacitly(&["job", "list"]).ok()?;
            jobs[0]["stage"].as_str()?.contains("link down").then_some(())
        });
        assert!(down.is_some(), "the cut was not shown");
        std::thread::sleep(Duration::from_secs(1));
        cable.mend();
        let (job, rows) = job.join().unwrap();
        assert_eq!(rows, semi_join(&ours, &theirs));
        assert_eq!(job["attempt"], 1, "the session went on, no second attempt was needed");
    });
}

#[test]
fn a_stranger_is_not_let_in() {
    let pair = Pair::start();
    let stranger = Party::start(pair.folder.path(), "stranger", setup()).unwrap();
    let code = || pair.bank.invite("stranger").unwrap();
    let error = stranger.tacitly(&["peer", "join", &code()[1..]]).unwrap_err();
    assert_eq!(error.code(), "invitation");
    let used = code();
    stranger.tacitly(&["peer", "join", &used]).unwrap();
    let late = Party::start(pair.folder.path(), "late", setup()).unwrap();
    assert_eq!(late.tacitly(&["peer", "join", &code()]).unwrap_err().code(), "invitation", "it invites another party");
    assert_eq!(stranger.tacitly(&["peer", "join", &used]).unwrap_err().code(), "invitation", "a code is good once");
    assert!(late.tacitly(&["peer", "list"]).unwrap().as_array().unwrap().is_empty());
}

#[test]
fn two_daemons_on_one_folder_are_one_too_many() {
    let pair = Pair::start();
    let second = tacitly().args(["serve", "--home"]).arg(&pair.bank.home).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
}

#[test]
fn sigterm_ends_an_idle_daemon_with_success() {
    let mut pair = Pair::start();
    assert_eq!(pair.bank.stop(), Some(0));
}

#[test]
fn three_parties_pin_each_other_in_pairs_and_work_at_the_same_time() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..500), &mobiles(250..750));
    let third = Party::start(pair.folder.path(), "lender", setup()).unwrap();
    connect(&pair.bank, &third).unwrap();
    let path = pair.file("lender.csv");
    std::fs::write(&path, mobiles(100..300).join("\n").replace('\n', ",x\n").replacen("", "mobile,n\n", 1) + ",x\n")
        .unwrap();
    let path = path.display().to_string();
    third.tacitly(&["dataset", "add", "ids", &path, "--key", "mobile=cn-mobile", "--allow", "bank"]).unwrap();
    pair.bank.tacitly(&["dataset", "allow", "ids", "lender"]).unwrap();
    std::thread::scope(|scope| {
        let with_shop = scope.spawn(|| pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap());
        let with_lender =
            scope.spawn(|| pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "lender/ids"]).unwrap());
        assert_eq!(with_shop.join().unwrap()["result_items"], 250);
        assert_eq!(with_lender.join().unwrap()["result_items"], 200);
    });
}
