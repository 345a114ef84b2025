//! What is wrong with a party's folder or its settings is told before its daemon starts, and by `serve` in the same words.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::ConnectOptions as _;
use tacitly::test_bed::{Party, until};

use crate::support::{Pair, init, mobiles, run, setup, tacitly};

/// What a command prints as JSON, and whether it succeeded.
fn findings(home: &Path, words: &[&str]) -> (Vec<Value>, bool) {
    let output = run(home, &[words, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    (serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.success())
}

fn of_level<'a>(findings: &'a [Value], level: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["level"] == level).collect()
}

#[test]
fn config_check_names_every_wrong_key_and_loose_file_with_its_hint() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let (found, fine) = findings(&home, &["config", "check"]);
    assert!(fine && of_level(&found, "fail").is_empty(), "{found:?}");

    let path = home.join("party.toml");
    let sound = fs::read_to_string(&path).unwrap();
    let wrong = sound.replace("running_jobs = 2", "running_jobs = 0").replace("level = \"info\"", "level = \"a=b=c\"");
    fs::write(&path, wrong).unwrap();
    fs::set_permissions(home.join("identity.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (found, fine) = findings(&home, &["config", "check"]);
    assert!(!fine);
    let failed = of_level(&found, "fail");
    for (text, hint) in [("limits.running_jobs", "TACITLY_"), ("log.level", "TACITLY_"), ("identity.key", "chmod 600")]
    {
        let named = failed.iter().any(|finding| {
            finding["text"].as_str().unwrap().contains(text) && finding["hint"].as_str().unwrap().contains(hint)
        });
        assert!(named, "{text}: {found:?}");
    }

    fs::write(&path, format!("{sound}\n[netwrok]\nlisten = \"x\"\n")).unwrap();
    let (found, fine) = findings(&home, &["config", "check"]);
    let text = found[0]["text"].as_str().unwrap();
    assert!(!fine && text.contains("party.toml") && text.contains("netwrok"), "{text}");
}

#[test]
fn a_party_by_another_name_than_its_certificate_is_refused_and_starts_when_the_name_is_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let path = home.join("party.toml");
    let sound = fs::read_to_string(&path).unwrap();
    fs::write(&path, sound.replace("party = \"bank\"", "party = \"banc\"")).unwrap();
    let refused = run(&home, &["serve"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("party.toml names banc"), "{refused:?}");
    fs::write(&path, sound).unwrap();
    let mut serving = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    let mut serving = serving.args(["serve", "--home"]).arg(&home).stderr(Stdio::null()).spawn().unwrap();
    let answers = until(|| match serving.try_wait().unwrap() {
        Some(_) => Some(false),
        None => run(&home, &["status"]).status.success().then_some(true),
    });
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(answers, Some(true), "nothing of the wrong name stayed behind");
}

#[test]
fn config_print_shows_the_environment_over_the_file_and_every_default() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let mut command = tacitly();
    command.args(["config", "print", "--home"]).arg(&home).env("TACITLY_LIMITS__RUNNING_JOBS", "7");
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(printed.contains("running_jobs = 7") && printed.contains("heartbeat_seconds = 5.0"), "{printed}");
}

#[test]
fn doctor_finds_a_sound_pair_sound_and_names_what_is_wrong_with_and_without_a_daemon() {
    let mut pair = Pair::start();
    let (found, fine) = findings(&pair.bank.home, &["doctor"]);
    assert!(fine, "{found:?}");
    for what in ["config", "files", "certificate", "clock", "disk", "daemon", "link"] {
        assert!(found.iter().any(|finding| finding["what"] == what && finding["level"] == "ok"), "{what}: {found:?}");
    }

    pair.shop.stop();
    let reported = until(|| {
        let (found, fine) = findings(&pair.bank.home, &["doctor"]);
        let link = found.iter().find(|finding| finding["what"] == "link")?.clone();
        (link["level"] == "fail" && !fine).then_some(link)
    });
    let link = reported.expect("a link that is down fails the doctor");
    assert!(link["text"].as_str().unwrap().starts_with("shop: "), "{link}");

    let (found, fine) = findings(&pair.shop.home, &["doctor"]);
    assert!(fine, "a daemon that is not running is a warning: {found:?}");
    assert!(of_level(&found, "warn").iter().any(|finding| finding["what"] == "daemon"), "{found:?}");
    assert!(of_level(&found, "ok").iter().any(|finding| finding["what"] == "port"), "{found:?}");

    fs::copy(pair.bank.home.join("tls.crt"), pair.shop.home.join("tls.crt")).unwrap();
    let (found, fine) = findings(&pair.shop.home, &["doctor"]);
    assert!(!fine && of_level(&found, "fail").iter().any(|finding| finding["what"] == "certificate"), "{found:?}");
}

/// What would be noticed if a check changed anything: every file of a folder with its content.
fn content(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn doctor_and_config_check_say_what_keeps_serve_from_starting_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let sound = |words: &[&str]| {
        let (found, fine) = findings(&folder.path().join("bank"), words);
        assert!(fine && of_level(&found, "fail").is_empty(), "{found:?}");
    };
    // Beside a daemon at work, and after it.
    sound(&["config", "check"]);
    let home = bank.home.clone();
    until(|| home.join("log/checkpoint").exists().then_some(())).expect("the log is signed");
    bank.stop();
    sound(&["doctor"]);

    let whole = content(&home);
    let other = folder.path().join("other");
    assert!(run(&other, &["init", "other"]).status.success());
    let bytes = |name: &str| fs::read(home.join(name)).unwrap();
    let toml = fs::read_to_string(home.join("party.toml")).unwrap();
    let set = |from: &str, to: &str| {
        assert!(toml.contains(from), "{from}: {toml}");
        toml.replace(from, to).into_bytes()
    };
    let foreign = |name: &str| fs::read(other.join(name)).unwrap();
    let damaged = |name: &str| {
        let mut bytes = bytes(name);
        let entry = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 60;
        bytes[entry..entry + 8].iter_mut().for_each(|byte| *byte ^= 0x55);
        bytes
    };
    let long = format!("socket = \"{}/c.sock\"", "long/".repeat(30));
    for (name, wrong, what, word) in [
        ("party.key", foreign("party.key"), "store", "is sealed with key"),
        ("tacitly.db", vec![0xa5; 40_960], "store", "is damaged"),
        ("log/segment", damaged("log/segment"), "log", " is damaged"),
        ("log/segment", b"tacitly-log@v7 tacitly/bank\n".to_vec(), "log", "has the form of version 7"),
        ("identity.key", b"\0\0garbage".to_vec(), "files", "does not hold an Ed25519 private key"),
        ("identity.key", foreign("identity.key"), "log", "checkpoint"),
        ("party.toml", set("kernel = \"auto\"", "kernel = \"gpu\""), "config", "limits.kernel is auto or one of"),
        ("party.toml", set("path = \"tacitly.db\"", "path = \"/nosuch/x.db\""), "store", "there is no folder /nosuch"),
        ("party.toml", set("\"control.sock\"", "\"/nosuch/c.sock\""), "socket", "there is no folder /nosuch"),
        ("party.toml", set("socket = \"control.sock\"", &long), "socket", "the system takes 107"),
        ("party.toml", set("party = \"bank\"", "party = \"shop\""), "certificate", "it names bank"),
        ("party.toml", set("level = \"info\"", "level = \"loud\""), "config", "log.level must be off, error,"),
        ("party.toml", set("threads = 0", "threads = 100000"), "config", "limits.threads must be from 0"),
    ] {
        fs::write(home.join(name), wrong).unwrap();
        if name == "tacitly.db" {
            // What is in the write-ahead log alone could be read from there.
            let _none = fs::remove_file(home.join("tacitly.db-wal"));
        }
        let before = content(&home);
        for words in [&["config", "check"][..], &["doctor"]] {
            let (found, fine) = findings(&home, words);
            let named = of_level(&found, "fail")
                .iter()
                .any(|finding| finding["what"] == what && finding["text"].as_str().unwrap().contains(word));
            assert!(!fine && named, "{name} {word} {words:?}: {found:#?}");
        }
        assert!(content(&home) == before, "{name} {word}: a check has changed a file");
        let served = run(&home, &["serve"]);
        assert!(!served.status.success(), "{name} {word}: serve starts all the same");
        fs::remove_dir_all(&home).unwrap();
        for (path, bytes) in &whole {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    }
    sound(&["doctor"]);
}

#[test]
fn doctor_finds_a_lost_segment_a_changed_schema_and_a_file_of_another_account_which_serve_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let home = bank.home.clone();
    until(|| home.join("log/checkpoint").exists().then_some(())).expect("the log is signed");
    bank.stop();
    let refused = |what: &str, word: &str| {
        let (found, fine) = findings(&home, &["doctor"]);
        let named = of_level(&found, "fail")
            .iter()
            .any(|finding| finding["what"] == what && finding["text"].as_str().unwrap().contains(word));
        assert!(!fine && named, "{word}: {found:#?}");
        let served = run(&home, &["serve"]);
        assert!(!served.status.success(), "{word}: serve starts all the same");
        String::from_utf8(served.stderr).unwrap()
    };
    let segment = home.join("log/segment");
    let kept = folder.path().join("segment");
    fs::rename(&segment, &kept).unwrap();
    let said = refused("log", "is gone");
    assert!(said.contains("it is signed and not there"), "{said}");
    assert!(!segment.exists(), "an empty log was begun in the place of the lost one");
    fs::rename(&kept, &segment).unwrap();

    // A key that nobody may write to is none the worse.
    fs::set_permissions(home.join("identity.key"), fs::Permissions::from_mode(0o400)).unwrap();
    bank.serve().unwrap();
    bank.stop();
    fs::set_permissions(home.join("identity.key"), fs::Permissions::from_mode(0o600)).unwrap();

    // A file that root made, or as much of it as others than root can show.
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&segment, Some(1), None).unwrap();
    } else {
        fs::set_permissions(&segment, fs::Permissions::from_mode(0o400)).unwrap();
    }
    let word = if is_root { "belongs to the account 1" } else { "cannot be written" };
    let said = refused("files", word);
    assert!(said.contains("log/segment") && said.contains(word), "{said}");
    if is_root {
        std::os::unix::fs::chown(&segment, Some(0), None).unwrap();
    }
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o600)).unwrap();

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.join("tacitly.db"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut store = options.connect().await.unwrap();
        sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'").execute(&mut store).await.unwrap();
    });
    let said = refused("store", "of its schema is another one than ours");
    assert!(said.contains("tacitly.db is damaged"), "{said}");
}

#[test]
fn a_daemon_whose_socket_store_or_log_is_taken_away_is_not_ready_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let home = bank.home.clone();
    until(|| home.join("log/checkpoint").exists().then_some(())).expect("the log is signed");
    for (name, word) in [("log/segment", "is not the file that this log writes to"), ("tacitly.db", "is not the store")]
    {
        let aside = folder.path().join("aside");
        fs::rename(home.join(name), &aside).unwrap();
        let not_ready = until(|| (!run(&home, &["health"]).status.success()).then_some(()));
        assert!(not_ready.is_some(), "{name}: ready all the same");
        let (found, _) = findings(&home, &["doctor"]);
        let told = of_level(&found, "warn").iter().any(|found| found["text"].as_str().unwrap().contains(word));
        assert!(told, "{name}: {found:#?}");
        fs::rename(&aside, home.join(name)).unwrap();
        bank.stop();
        bank.serve().unwrap();
    }
    fs::remove_file(home.join("control.sock")).unwrap();
    let said = run(&home, &["status"]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("its control socket is gone") && said.contains("kill "), "{said}");
    let (found, _) = findings(&home, &["doctor"]);
    let told = of_level(&found, "fail");
    assert!(told.len() == 1 && told[0]["text"].as_str().unwrap().contains("control socket is gone"), "{told:#?}");
    bank.kill();
}

#[test]
fn a_key_file_that_others_may_read_and_a_folder_that_is_none_are_told_once_with_one_hint() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    for key in ["identity.key", "tls.key"] {
        fs::set_permissions(home.join(key), fs::Permissions::from_mode(0o644)).unwrap();
        let (found, _) = findings(&home, &["config", "check"]);
        let failed = of_level(&found, "fail");
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert!(failed[0]["hint"].as_str().unwrap().starts_with("chmod 600"), "{failed:?}");
        let served = run(&home, &["serve"]);
        assert!(!served.status.success(), "{served:?}");
        assert!(String::from_utf8_lossy(&served.stderr).contains("chmod 0600"), "{served:?}");
        fs::set_permissions(home.join(key), fs::Permissions::from_mode(0o600)).unwrap();
    }

    let (found, _) = findings(&folder.path().join("nowhere"), &["doctor"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0]["text"].as_str().unwrap().contains("tacitly init"), "{found:?}");
    assert!(found[0]["hint"].as_str().unwrap().contains("tacitly init"), "{found:?}");
}

#[test]
fn a_wrong_key_in_party_toml_is_told_in_our_words_with_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let toml = fs::read_to_string(home.join("party.toml")).unwrap();
    for (from, to, told) in [
        (
            "heartbeat_seconds = 5.0",
            "hartbeat_seconds = 5.0",
            "there is no key hartbeat_seconds in [network], perhaps heartbeat_seconds is meant; the keys there are listen,",
        ),
        ("running_jobs = 2", "running_jobs = -2", "limits.running_jobs must be a whole number, 0 or more"),
        ("running_jobs = 2", "running_jobs = \"two\"", "limits.running_jobs must be a whole number, 0 or more"),
        ("format = \"text\"", "format = \"xml\"", "log.format must be text or json"),
        ("[network]", "[network]\nlisten = \"localhost:7100\"", "network.listen must be an IP address and a port"),
        ("[network]", "[network", "this is not TOML"),
    ] {
        assert!(toml.contains(from), "{from}: {toml}");
        fs::write(home.join("party.toml"), toml.replacen(from, to, 1)).unwrap();
        let (found, _) = findings(&home, &["config", "check"]);
        let text = found[0]["text"].as_str().unwrap();
        assert!(text.contains("party.toml: ") && text.contains(told), "{text}");
    }
    fs::write(home.join("party.toml"), toml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    command.args(["config", "check", "--home"]).arg(&home).env("TACITLY_LIMITS__RUNNING_JOBS", "many");
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.contains("the variable TACITLY_LIMITS__RUNNING_JOBS must be a whole number, 0 or more"), "{text}");

    for (words, told) in [
        (&["init", "x", "--listen", "localhost:7100"][..], "write an IP address and a port, such as 127.0.0.1:7100"),
        (&["init", "x", "--advertise", "bank.example:7100"], "--listen <IP:PORT>"),
        (&["dataset", "allow", "ids", "shop", "--expires", "tomorrow"], "write date, time and zone as in 2027-01-01T"),
        (&["dataset", "allow", "ids", "shop", "--receivers", "both"], "[possible values: any, us, peer]"),
    ] {
        let output = run(&folder.path().join("x"), words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(told), "{words:?}: {text}");
    }
}

/// The chaos run's fourth finding: a store that is lost, or whose disk is not mounted.
#[test]
fn a_store_that_is_gone_beside_a_log_with_entries_is_not_begun_anew_unless_the_log_is_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    until(|| (bank.tacitly(&["log", "head"]).ok()?["signed_size"].as_u64()? >= 2).then_some(())).expect("entries");
    bank.stop();
    let store = |suffix: &str| bank.home.join(format!("tacitly.db{suffix}"));
    ["", "-wal", "-shm"].map(store).iter().for_each(|path| drop(fs::remove_file(path)));
    let served = run(&bank.home, &["serve"]);
    let told = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(
        !served.status.success() && told.contains("there is no store") && told.contains("tacitly restore"),
        "{told}"
    );
    assert!(!store("").exists(), "nothing was begun");
    let (found, fine) = findings(&bank.home, &["doctor"]);
    let named = of_level(&found, "fail").iter().any(|finding| finding["text"].as_str().unwrap().contains("was lost"));
    assert!(!fine && named, "{found:#?}");
    fs::rename(bank.home.join("log"), folder.path().join("old-log")).unwrap();
    bank.serve().unwrap();
    assert!(bank.tacitly(&["peer", "list"]).unwrap().as_array().unwrap().is_empty());
}

/// The chaos run's fifth finding: the log taken away under a running daemon.
#[test]
fn a_log_that_is_removed_replaced_or_cut_under_a_daemon_records_nothing_more_and_releases_nothing() {
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 3] = [
        ("removed", |segment| fs::remove_file(segment).unwrap()),
        ("replaced", |segment| {
            let copy = segment.with_extension("copy");
            fs::copy(segment, &copy).unwrap();
            fs::rename(copy, segment).unwrap();
        }),
        ("cut", |segment| fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(0).unwrap()),
    ];
    for (case, change) in changes {
        let mut pair = Pair::start();
        pair.datasets(&mobiles(0..20), &mobiles(10..30));
        assert_eq!(pair.intersect().unwrap().1.len(), 10);
        change(&pair.bank.home.join("log/segment"));
        let refused = pair.intersect().unwrap_err();
        assert_eq!(refused.code(), "log", "{case}: {refused}");
        let warnings = pair.bank.tacitly(&["status"]).unwrap()["warnings"].to_string();
        assert!(warnings.contains("Nothing more is appended"), "{case}: {warnings}");
    }
}
