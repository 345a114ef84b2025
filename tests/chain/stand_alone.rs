//! `tacitly witness`: somebody without data, peers or a party's folder cosigns a log over HTTPS.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tacitly::test_bed::{Party, free_address, until};

use crate::support::setup;
use crate::world::{append, json, run};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Starts a witness and returns what it prints.
fn witness(home: &Path, listen: &str, logs: &[&str]) -> (Running, Value) {
    let (said, complaints) = (home.with_extension("out"), home.with_extension("err"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacitly"));
    command.args(["witness", "--json", "--name", "regulator", "--listen", listen, "--home"]).arg(home);
    for log in logs {
        command.args(["--log", log]);
    }
    let (out, err) = (fs::File::create(&said).unwrap(), fs::File::create(&complaints).unwrap());
    let running = Running(command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap());
    let card = until(|| serde_json::from_str(fs::read_to_string(&said).unwrap().split_once('\n')?.0).ok());
    (running, card.unwrap_or_else(|| panic!("{}", fs::read_to_string(&complaints).unwrap())))
}

#[tokio::test]
async fn a_notary_without_data_cosigns_a_log_and_catches_an_old_copy() {
    let folder = tempfile::tempdir().unwrap();
    let mut bank = Party::start(folder.path(), "bank", setup()).unwrap();
    let home = bank.home.clone();
    let key = json(&home, &["log", "head"]).0["key"].as_str().unwrap().to_owned();
    let listen = free_address().unwrap().to_string();
    let notary = folder.path().join("notary");
    let (running, card) = witness(&notary, &listen, &[&key]);
    assert_eq!(card["key"].as_str().unwrap().split('+').next(), Some("tacitly/regulator/witness"));

    let _stopped = bank.stop();
    let config = home.join("party.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    let of = |field: &str| card[field].as_str().unwrap().to_owned();
    text.push_str(&format!(
        "\n[[attestation.witness]]\naddress = \"{listen}\"\nname = \"regulator\"\npin = \"{}\"\nkey = \"{}\"\n",
        of("pin"),
        of("key")
    ));
    fs::write(&config, &text).unwrap();
    append(&home, "bank", 0, 3).await;
    let old = fs::read(home.join("log/segment")).unwrap();
    let old_checkpoint = fs::read(home.join("log/checkpoint")).unwrap();
    append(&home, "bank", 3, 3).await;
    bank.serve().unwrap();
    let cosigned = |party: &Party| {
        let head = json(&party.home, &["log", "head"]).0;
        let line = head["cosigned"].get(0)?.clone();
        (line["witness"] == "tacitly/regulator/witness" && line["size"] == head["signed_size"]).then_some(line)
    };
    assert!(until(|| cosigned(&bank)).is_some(), "{}", bank.log());

    // A second witness of the same folder is refused, and a stranger's key.
    let second = run(&notary, &["witness", "--name", "regulator", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by process"), "{second:?}");
    drop(running);

    // An old copy of the log, and a witness that was restarted and remembers.
    let (_running, again) = witness(&notary, &listen, &[]);
    assert_eq!(again, card);
    bank.kill();
    fs::remove_dir_all(home.join("log")).unwrap();
    fs::create_dir_all(home.join("log")).unwrap();
    fs::write(home.join("log/segment"), &old).unwrap();
    fs::write(home.join("log/checkpoint"), &old_checkpoint).unwrap();
    bank.serve().unwrap();
    let refused = until(|| bank.log().contains("it was taken back from an old copy").then_some(()));
    assert!(refused.is_some(), "{}", bank.log());

    // Another key behind the same address is not believed.
    bank.kill();
    let other_pin = format!("spki-sha256:{}", "0".repeat(64));
    fs::write(&config, text.replace(&of("pin"), &other_pin)).unwrap();
    fs::remove_dir_all(home.join("log")).unwrap();
    append(&home, "bank", 50, 1).await;
    bank.serve().unwrap();
    let said = until(|| bank.log().contains("no cosignature for the moment").then_some(()));
    assert!(said.is_some(), "{}", bank.log());
    assert!(cosigned(&bank).is_none());
}
