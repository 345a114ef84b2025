//! What an operations team does with a real daemon: check it, renew its identity, back it up, fill its disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tacitly::test_bed::{Party, await_link, free_address, until};

use crate::support::script::Script;
use crate::support::stage::Stage;
use crate::support::{Pair, brisk, init, mobiles, numbers, run, semi_join, setup, tacitly};

#[test]
fn an_invitation_is_read_from_standard_input_so_that_no_list_of_processes_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let [bank, shop] = ["bank", "shop"].map(|name| Party::start(folder.path(), name, setup()).unwrap());
    let code = bank.invite("shop").unwrap();
    let mut join = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    let mut join = join.args(["peer", "join", "-", "--home"]).arg(&shop.home).stdin(Stdio::piped()).spawn().unwrap();
    join.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
    assert!(join.wait().unwrap().success());
    await_link(&bank, &shop).unwrap();
    bank.invite("late").unwrap();
    let used = shop.tacitly(&["peer", "join", &code]).unwrap_err().to_string();
    assert!(used.contains("used before or has expired"), "{used}");
}

fn pin(party: &Party) -> String {
    party.tacitly(&["identity", "show"]).unwrap()["pin"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_changes_without_a_restart_and_the_old_one_is_refused_after_its_end() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..200), mobiles(100..300));
    pair.datasets(&ours, &theirs);
    let keep = |name: &str| fs::copy(pair.bank.home.join(name), pair.folder.path().join(name)).unwrap();
    keep("tls.key");
    keep("tls.crt");
    let old = pin(&pair.bank);
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));

    let rotated = pair.bank.tacitly(&["identity", "rotate", "--grace-seconds", "1"]).unwrap();
    let new = pin(&pair.bank);
    assert_eq!(rotated["pin"], new.as_str());
    assert_ne!(old, new);
    assert_eq!(fs::metadata(pair.bank.home.join("tls.key")).unwrap().permissions().mode() & 0o777, 0o600);
    // The connection made with the old key is cut at the end of the grace and comes back with the new one.
    std::thread::sleep(std::time::Duration::from_secs(2));
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));

    pair.shop.stop();
    pair.bank.stop();
    pair.bank.serve().unwrap();
    pair.shop.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));

    pair.bank.stop();
    for name in ["tls.key", "tls.crt"] {
        fs::copy(pair.folder.path().join(name), pair.bank.home.join(name)).unwrap();
    }
    pair.bank.serve().unwrap();
    let refused = until(|| {
        let peers = pair.bank.tacitly(&["peer", "list"]).ok()?;
        let detail = peers[0]["link_detail"].as_str()?.to_owned();
        (peers[0]["link_up"] == false && detail.contains("refused our certificate")).then_some(detail)
    });
    assert!(refused.is_some(), "{}", pair.bank.tacitly(&["peer", "list"]).unwrap());
}

#[test]
fn a_rotation_that_not_every_peer_hears_of_changes_nothing() {
    let mut pair = Pair::start();
    let before = pin(&pair.bank);
    pair.shop.stop();
    let error = pair.bank.tacitly(&["identity", "rotate"]).unwrap_err();
    assert_eq!(error.code(), "link-down");
    assert!(error.to_string().contains("shop"), "{error}");
    assert_eq!(pin(&pair.bank), before);
    pair.shop.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
}

#[test]
fn a_rotation_cut_between_its_two_files_is_finished_at_the_next_start() {
    let mut pair = Pair::start();
    pair.bank.tacitly(&["identity", "rotate"]).unwrap();
    let new = pin(&pair.bank);
    pair.bank.kill();
    // As if the process had ended after the key took its place and before the certificate did.
    let certificate = pair.bank.home.join("tls.crt");
    fs::rename(&certificate, pair.bank.home.join("tls.crt.next")).unwrap();
    fs::copy(pair.shop.home.join("tls.crt"), &certificate).unwrap();
    assert_eq!(pin(&pair.bank), new);
    pair.bank.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    assert!(!pair.bank.home.join("tls.crt.next").exists());
}

#[test]
fn a_restored_store_keeps_its_peers_and_ends_the_jobs_that_were_under_way() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..100), mobiles(50..150));
    pair.datasets(&ours, &theirs);
    let (done, _) = pair.intersect().unwrap();
    pair.shop.stop();
    let waiting = tacitly()
        .args(["psi", "--dataset", "ids", "--with", "shop/ids", "--json", "--home"])
        .arg(&pair.bank.home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut waiting = waiting.unwrap();
    let under_way = Pair::await_state(&pair.bank, &["proposed"]);

    let backup = pair.file("backup.db");
    let text = backup.display().to_string();
    let saved = pair.bank.tacitly(&["backup", &text]).unwrap();
    assert!(saved["size_bytes"].as_u64() > Some(0), "{saved}");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(pair.bank.tacitly(&["backup", &text]).is_err(), "a backup replaces nothing");
    assert!(pair.bank.tacitly(&["restore", &text]).unwrap_err().to_string().contains("stop the other daemon"));

    pair.bank.stop();
    waiting.wait().unwrap();
    let error = pair.bank.tacitly(&["restore", &text]).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    for suffix in ["", "-wal", "-shm"] {
        let _may_not_be_there = fs::remove_file(pair.bank.home.join(format!("tacitly.db{suffix}")));
    }
    pair.bank.tacitly(&["restore", &text]).unwrap();
    pair.bank.serve().unwrap();
    let job = |id: &Value| pair.bank.tacitly(&["job", "show", id.as_str().unwrap()]).unwrap();
    let ended = job(&under_way["id"]);
    assert_eq!((&ended["state"], &ended["failure"]["code"]), (&"failed".into(), &"restored".into()), "{ended}");
    assert_eq!(job(&done["id"])["state"], "done");
    let again = pair.file("again.csv");
    let again_text = again.display().to_string();
    pair.bank.tacitly(&["job", "result", done["id"].as_str().unwrap(), "--out", &again_text]).unwrap();
    assert_eq!(numbers(&again), semi_join(&ours, &theirs));
    pair.shop.serve().unwrap();
    await_link(&pair.bank, &pair.shop).unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs), "new work is not affected");
}

/// Sets the file-size limit of a running daemon.
fn limit_files(party: &Party, bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    limit(party, &format!("--fsize={soft}:unlimited"));
}

/// Sets a limit of a running daemon; its number stands in the store's lock file.
fn limit(party: &Party, to: &str) {
    let pid = fs::read_to_string(party.home.join("tacitly.db.lock")).unwrap();
    assert!(Command::new("prlimit").args(["--pid", pid.trim(), to]).status().unwrap().success());
}

#[test]
fn a_daemon_without_file_descriptors_says_so_and_works_again_when_it_has_some() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..20), mobiles(10..30));
    pair.datasets(&ours, &theirs);
    let pid = fs::read_to_string(pair.bank.home.join("tacitly.db.lock")).unwrap();
    let numbers = fs::read_dir(format!("/proc/{}/fd", pid.trim())).unwrap().map(|item| item.unwrap().file_name());
    let numbers: BTreeSet<u32> = numbers.map(|name| name.to_str().unwrap().parse().unwrap()).collect();
    let path = pair.file("bank.csv").display().to_string();
    let add = || pair.bank.tacitly(&["dataset", "add", "more", &path, "--key", "mobile=cn-mobile", "--replace"]);
    let free: Vec<u32> = (0..).filter(|number| !numbers.contains(number)).take(8).collect();
    let mut told = Vec::new();
    // One for the call itself, and then too few for what it needs.
    for last in &free[1..] {
        limit(&pair.bank, &format!("--nofile={last}:4096"));
        let Err(error) = add() else { continue };
        assert_ne!(error.code(), "internal", "{error}");
        told.push(error.code().to_owned());
    }
    assert!(told.iter().any(|code| code == "system"), "{told:?}");
    limit(&pair.bank, "--nofile=1024:4096");
    add().unwrap();
    assert_eq!(pair.intersect().unwrap().1, semi_join(&ours, &theirs));
}

#[test]
fn a_full_disk_ends_the_job_and_not_the_daemon_and_work_goes_on_when_there_is_room() {
    let mut pair = Pair::start();
    let (ours, theirs) = (mobiles(0..150_000), mobiles(0..150_000));
    pair.datasets(&ours, &theirs);
    // Room for lines in the ledger, and not for a result of so many rows in an order of their own.
    let store = fs::metadata(pair.bank.home.join("tacitly.db")).unwrap().len();
    let log = fs::metadata(pair.bank.home.join("tacitly.db-wal")).map_or(0, |found| found.len());
    limit_files(&pair.bank, Some(store.max(log) + (480 << 10)));
    let align = ["psi", "--dataset", "ids", "--with", "shop/ids", "--kind", "align", "--receiver", "both"];
    let error = pair.bank.tacitly(&align).unwrap_err();
    assert_eq!(error.code(), "disk-full", "{error}");
    assert_eq!(Pair::await_state(&pair.shop, &["failed"])["failure"]["code"], "peer-failed");

    // No room for anything: refused at once, and the daemon lives.
    limit_files(&pair.bank, Some(0));
    assert_eq!(pair.intersect().unwrap_err().code(), "disk-full");
    pair.bank.tacitly(&["status"]).unwrap();

    limit_files(&pair.bank, None);
    let (_, rows) = pair.intersect().unwrap();
    assert_eq!(rows, semi_join(&ours, &theirs));
}

#[test]
fn a_lost_attempt_that_is_noted_late_leaves_the_next_one_alone() {
    let stage = Stage::with(brisk(), mobiles(0..40), mobiles(20..60));
    let dawdle = |nudges| {
        let script = Script { dawdles: true, nudges, ..stage.honest() };
        stage.liar.play(script, Arc::default())
    };
    let job_that = |is_so: &dyn Fn(&Value) -> bool| {
        until(|| stage.jobs().last().filter(|job| is_so(job)).cloned()).unwrap_or_else(|| panic!("{:?}", stage.jobs()))
    };
    let play = dawdle(None);
    let mut submitted = stage.submit();
    let dawdles =
        |job: &Value| job["state"] == "running" && job["stage"] == "waiting for the others to read their data";
    let job = job_that(&dawdles)["id"].as_str().unwrap().to_owned();
    // The peer is lost while the ledger takes no writes, and back before it is asked to take the note again.
    limit_files(&stage.bank, Some(0));
    play.abort();
    let waits = "waiting until the store takes writes";
    let lost = job_that(&|job| job["stage"] == waits);
    assert_eq!((&lost["state"], &lost["attempt"]), (&"running".into(), &1.into()), "the loss could not be noted yet");
    limit_files(&stage.bank, None);
    let play = dawdle(Some(job.clone()));
    job_that(&|job| job["attempt"] == 2);
    // The note comes again, and leaves the attempt that has begun alone; on a machine so slow that it came before the peer,
    // it was taken and the peer resumed the job.
    let noted_late = || stage.bank.log().contains("the step of the job was made at last").then_some(());
    assert!(until(noted_late).is_some(), "the loss was not noted again");
    job_that(&|job| job["state"] == "running" && job["attempt"] == 2);
    stage.bank.tacitly(&["job", "cancel", &job]).unwrap();
    submitted.wait().unwrap();
    play.abort();
    stage.goes_on();
}

#[test]
fn a_daemon_lives_without_being_ready_while_its_store_takes_no_writes() {
    let mut pair = Pair::start();
    let health = |words: &[&str]| pair.bank.tacitly(&[&["health"], words].concat());
    assert!(until(|| health(&[]).ok()).is_some());
    limit_files(&pair.bank, Some(0));
    assert!(until(|| health(&[]).is_err().then_some(())).is_some());
    health(&["--live"]).unwrap();
    limit_files(&pair.bank, None);
    assert!(until(|| health(&[]).ok()).is_some());
    pair.bank.stop();
    assert!(pair.bank.tacitly(&["health", "--live"]).is_err());
}

fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: tacitly\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_metrics_page_counts_what_happened_and_names_no_job_and_no_row() {
    let address = free_address().unwrap();
    let mut pair = Pair::with(setup().set("TACITLY_METRICS__LISTEN", address), setup());
    pair.datasets(&mobiles(0..50), &mobiles(25..75));
    let (job, _) = pair.intersect().unwrap();
    let page = fetch(address, "/metrics");
    for line in [
        "tacitly_jobs{state=\"done\"} 1",
        "tacitly_jobs{state=\"failed\"} 0",
        "tacitly_link_up{peer=\"shop\"} 1",
        "tacitly_sessions_total{code=\"done\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let sent = page.lines().find_map(|line| line.strip_prefix("tacitly_session_bytes_total{direction=\"out\"} "));
    assert!(sent.unwrap().parse::<u64>().unwrap() > 50 * 32, "{page}");
    assert!(!page.contains(job["id"].as_str().unwrap()) && !page.contains("138000"), "{page}");
    assert!(fetch(address, "/").starts_with("HTTP/1.1 404"));
    pair.shop.stop();
    assert!(until(|| fetch(address, "/metrics").contains("tacitly_link_up{peer=\"shop\"} 0").then_some(())).is_some());
}

#[test]
fn a_token_opens_the_control_port_for_the_calls_of_its_role_only() {
    let address = free_address().unwrap();
    let mut pair = Pair::with(setup().set("TACITLY_CONTROL__LISTEN", address), setup());
    pair.datasets(&mobiles(0..50), &mobiles(25..75));
    pair.bank.tacitly(&["dataset", "deny", "ids", "shop"]).unwrap();
    let make = |role: &str| {
        let made = pair.bank.tacitly(&["token", "create", "--role", role, &format!("{role}-1")]).unwrap();
        let path = pair.file(role);
        fs::write(&path, made["token"].as_str().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (operator, approver, auditor) = (make("operator"), make("approver"), make("auditor"));
    let kept = fs::read_to_string(pair.bank.home.join("control.tokens")).unwrap();
    assert!(!kept.contains("tacitly-token-"), "only digests are kept");
    assert_eq!(fs::metadata(pair.bank.home.join("control.tokens")).unwrap().permissions().mode() & 0o777, 0o600);

    let port = address.to_string();
    let nowhere = pair.file("nowhere");
    let remote = |token: &Path, words: &[&str]| {
        let token = token.display().to_string();
        let output = run(&nowhere, &[words, &["--json", "--connect", &port, "--token-file", &token]].concat());
        if output.status.success() {
            return Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let error: Value = text.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap();
        Err(error["error"]["code"].as_str().unwrap_or(&text).to_owned())
    };
    for token in [&operator, &approver, &auditor] {
        assert_eq!(remote(token, &["status"]).unwrap()["party"], "bank");
        remote(token, &["health"]).unwrap();
        for local in [&["identity", "rotate"][..], &["backup", "/tmp/never"]] {
            assert_eq!(remote(token, local).unwrap_err(), "permission", "{local:?} is for the socket");
        }
    }
    let psi = ["psi", "--dataset", "ids", "--with", "shop/ids"];
    let allow = ["dataset", "allow", "ids", "shop"];
    assert_eq!(remote(&auditor, &psi).unwrap_err(), "permission");
    assert_eq!(remote(&approver, &psi).unwrap_err(), "permission");
    assert_eq!(remote(&operator, &allow).unwrap_err(), "permission");
    let file = pair.file("bank.csv").display().to_string();
    let add = ["dataset", "add", "more", &file, "--key", "mobile=cn-mobile", "--allow", "shop"];
    assert_eq!(remote(&operator, &add).unwrap_err(), "permission", "a rule by the back door");
    remote(&approver, &allow).unwrap();
    let job = remote(&operator, &psi).unwrap();
    assert_eq!(job["result_items"], 25);
    let events = pair.bank.tacitly(&["events"]).unwrap();
    let noted = events
        .as_array()
        .unwrap()
        .iter()
        .any(|event| event["actor"] == "token:operator-1" && event["detail"].to_string().contains("SubmitJob"));
    assert!(noted, "{events}");
    let by_name = |event: &Value| event["actor"] == "token:operator-1" && event["job"] == job["id"];
    assert!(events.as_array().unwrap().iter().any(by_name), "the job does not say whose it is: {events}");

    pair.bank.tacitly(&["token", "revoke", "operator-1"]).unwrap();
    assert_eq!(remote(&operator, &["status"]).unwrap_err(), "permission");
    fs::write(&auditor, "tacitly-token-wrong").unwrap();
    assert_eq!(remote(&auditor, &["status"]).unwrap_err(), "permission");
    fs::set_permissions(&approver, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(remote(&approver, &["status"]).unwrap_err().contains("chmod 600"));
}

#[tokio::test]
async fn the_control_port_describes_itself_to_token_holders_if_its_operator_wants_that() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_response::MessageResponse};

    for (wanted, shown) in [("true", true), ("false", false)] {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address().unwrap());
        let setup = setup().set("TACITLY_CONTROL__LISTEN", address).set("TACITLY_CONTROL__REFLECTION", wanted);
        let bank = Party::start(folder.path(), "bank", setup).unwrap();
        let made = bank.tacitly(&["token", "create", "--role", "auditor", "mei"]).unwrap();
        let token = format!("Bearer {}", made["token"].as_str().unwrap());
        let channel = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
        let ask = |token: Option<String>| {
            let mut client = ServerReflectionClient::new(channel.clone());
            let question = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut request = tonic::Request::new(tokio_stream::once(question));
            if let Some(token) = token {
                request.metadata_mut().insert("authorization", token.parse().unwrap());
            }
            async move { client.server_reflection_info(request).await?.into_inner().message().await }
        };
        assert!(ask(None).await.is_err(), "without a token");
        let answer = ask(Some(token)).await;
        let services = match answer.map(|answer| answer.and_then(|answer| answer.message_response)) {
            Ok(Some(MessageResponse::ListServicesResponse(list))) => list.service,
            _ => Vec::new(),
        };
        let described = services.iter().any(|service| service.name == "tacitly.control.v1.Control");
        assert_eq!(described, shown, "{services:?}");
    }
}

#[test]
fn a_control_port_that_others_could_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let mut command = tacitly();
    command.args(["config", "check", "--home"]).arg(&home).env("TACITLY_CONTROL__LISTEN", "0.0.0.0:7101");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("loopback"), "{output:?}");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_word_and_a_full_device_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let home = init(folder.path());
    let into = |words: &[&str], out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacitly"));
        let ended = command.args(words).arg("--home").arg(&home).stdout(out).stderr(Stdio::piped()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for words in [&["config", "print"][..], &["config", "print", "--json"], &["complete", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(into(words, writer.into()), (Some(141), String::new()), "{words:?}");
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, error) = into(words, full.into());
        assert!(code == Some(1) && error.contains("cannot write to standard output"), "{words:?}: {error}");
        assert!(!error.contains("panicked"), "{words:?}: {error}");
    }
}

#[test]
fn a_daemon_that_goes_away_under_psi_is_named_with_the_way_back_to_the_job() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..50), &mobiles(25..75));
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    for graceful in [false, true] {
        let mut psi = Command::new(env!("CARGO_BIN_EXE_tacitly"));
        psi.args(["psi", "--json", "--dataset", "ids", "--with", "shop/ids", "--home"]).arg(&pair.bank.home);
        let waiting = psi.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let job = Pair::await_state(&pair.shop, &["proposed"]);
        let id = job["id"].as_str().unwrap();
        if graceful {
            pair.bank.stop();
        } else {
            pair.bank.kill();
        }
        let ended = waiting.wait_with_output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{error}");
        // The job's number stands before it.
        let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "daemon-gone", "{error}");
        let hint = error["error"]["hint"].as_str().unwrap();
        for way in ["tacitly serve".to_owned(), format!("job watch {id}"), format!("job result {id} --out")] {
            assert!(hint.contains(&way), "{way} is missing: {hint}");
        }
        pair.bank.serve().unwrap();
        await_link(&pair.bank, &pair.shop).unwrap();
        pair.shop.tacitly(&["approve", id]).unwrap();
        assert_eq!(pair.bank.tacitly(&["job", "watch", id]).unwrap()["result_items"], 25, "the hint holds");
    }
}

#[test]
fn a_port_that_is_no_control_port_is_named_by_what_answers_there() {
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address().unwrap();
    let bank =
        Party::start(folder.path(), "bank", tacitly::test_bed::Setup { listen: Some(listen), ..setup() }).unwrap();
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web_port = web.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut caller in web.incoming().flatten() {
            let _hung_up = caller.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let token = folder.path().join("token");
    fs::write(&token, "tacitly-token-any").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let token = token.display().to_string();
    for (port, what) in [(listen, "such as the one for peers"), (web_port, "an HTTP/1 server")] {
        let port = port.to_string();
        let said = run(&bank.home, &["status", "--connect", &port, "--token-file", &token]);
        let error = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{error}");
        assert!(error.contains("no control port") && error.contains(what), "{error}");
        assert!(error.contains("control.listen"), "{error}");
    }
}

#[test]
fn a_demo_that_is_interrupted_leaves_no_folder_and_no_daemon() {
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_tacitly"));
        demo.args(["demo", "--rows", "100000"]).env("TMPDIR", folder.path());
        let mut demo = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let parties = || {
            let begun = fs::read_dir(folder.path()).unwrap().next()?.unwrap().path();
            ["bank", "shop"]
                .map(|name| begun.join(name).join("daemon.log"))
                .iter()
                .all(|log| log.exists())
                .then_some(begun)
        };
        let begun = until(parties).expect("both daemons are started");
        let lock = |name: &str| fs::read_to_string(begun.join(name).join("tacitly.db.lock")).unwrap_or_default();
        let daemons = until(|| {
            let numbers = [lock("bank"), lock("shop")].map(|number| number.trim().parse::<i32>().ok());
            Some([numbers[0]?, numbers[1]?])
        });
        let daemons = daemons.expect("both daemons hold their stores");
        // In the midst of the job, for which a daemon that is asked to stop would wait.
        let at_work = || {
            let running = run(&begun.join("bank"), &["job", "list", "--state", "running", "--json"]).stdout;
            serde_json::from_slice::<Vec<Value>>(&running).is_ok_and(|jobs| !jobs.is_empty()).then_some(())
        };
        until(at_work).expect("the job is at work");
        let demo_number = rustix::process::Pid::from_child(&demo);
        rustix::process::kill_process(demo_number, signal).unwrap();
        let ended = until(|| demo.try_wait().unwrap()).expect("the demo ends");
        assert_eq!(ended.code(), Some(code));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().path()).collect();
        assert!(left.is_empty(), "{signal:?} leaves {left:?}");
        for daemon in daemons {
            assert!(!Path::new(&format!("/proc/{daemon}")).exists(), "{signal:?} leaves a daemon");
        }
    }
}
