//! Keys: where they come from, and what is refused as one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tacitly::store::{FileSigner, Sealer, SealingKey, Signer, StoreError};

use crate::world::World;

fn id(key: SealingKey) -> String {
    Sealer::new(key).key_id().to_string()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn why(refused: Result<SealingKey, StoreError>) -> String {
    match refused {
        Err(StoreError::Key { why, .. }) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a key"),
    }
}

#[test]
fn a_key_file_is_private_reads_back_and_is_never_replaced() {
    let world = World::new();
    let path = world.path("party.key");
    let key = SealingKey::fresh().unwrap();
    key.write_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(id(SealingKey::read_file(&path).unwrap()), id(key));
    let other = SealingKey::fresh().unwrap();
    assert!(matches!(other.write_file(&path), Err(StoreError::AlreadyExists { .. })));
    assert_ne!(id(SealingKey::read_file(&path).unwrap()), id(other));
    assert_eq!(fs::read_dir(world.directory.path()).unwrap().count(), 1, "nothing else is left lying about");
}

#[test]
fn a_key_may_be_written_by_hand_in_hexadecimal() {
    let world = World::new();
    let path = world.path("party.key");
    write(&path, &format!("tacitly sealing key 1\n{}\n", "0A".repeat(32)));
    assert_eq!(id(SealingKey::read_file(&path).unwrap()), id(SealingKey::from_bytes([10; 32])));
}

#[test]
fn a_file_that_holds_no_key_says_what_it_should_hold() {
    let world = World::new();
    let path = world.path("party.key");
    let sixteen = "0a".repeat(16);
    for text in
        ["", "tacitly sealing key 1\n", "tacitly sealing key 2\nAAAA\n", "hunter2\n", &sixteen, &"x".repeat(1 << 20)]
    {
        write(&path, text);
        why(SealingKey::read_file(&path));
    }
    write(&path, "hunter2\n");
    let said = why(SealingKey::read_file(&path));
    assert!(said.contains("tacitly sealing key 1") && !said.contains("hunter2"), "{said}");
    fs::write(&path, [0xff; 40]).unwrap();
    why(SealingKey::read_file(&path));
    assert!(matches!(SealingKey::read_file(&world.path("none")), Err(StoreError::Io { .. })));
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let world = World::new();
    let (sealing, signing) = (world.path("party.key"), world.path("identity.pem"));
    SealingKey::fresh().unwrap().write_file(&sealing).unwrap();
    FileSigner::create(&signing).unwrap();
    for path in [&sealing, &signing] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let refused = [SealingKey::read_file(&sealing).err(), FileSigner::load(&signing).err()];
    for refused in refused.map(Option::unwrap) {
        assert!(matches!(refused, StoreError::Permissions { mode: 0o640, .. }), "{refused}");
        assert!(refused.to_string().contains("chmod 0600"), "{refused}");
    }
}

#[test]
fn a_passphrase_protects_a_key_file() {
    let world = World::new();
    let path = world.path("party.key");
    let key = SealingKey::fresh().unwrap();
    key.write_protected_file(&path, "correct horse").unwrap();
    assert_eq!(id(SealingKey::read_protected_file(&path, "correct horse").unwrap()), id(key));
    assert!(why(SealingKey::read_protected_file(&path, "wrong horse")).contains("passphrase is wrong"));
    assert!(why(SealingKey::read_file(&path)).contains("give the passphrase"));
    assert!(why(SealingKey::read_protected_file(&path, "")).contains("empty"));
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [
        text.replace("m=65536", "m=4294967295"),
        text.replace("t=3", "t=4000"),
        text.replace(" p=4", ""),
        text.lines().take(3).collect::<Vec<_>>().join("\n"),
    ] {
        write(&path, &damaged);
        assert!(why(SealingKey::read_protected_file(&path, "correct horse")).contains("holds no key"));
    }
    let refused = SealingKey::from_bytes([1; 32]).write_protected_file(&world.path("other.key"), "");
    assert!(matches!(refused, Err(StoreError::Key { .. })) && !world.path("other.key").exists());
}

#[tokio::test]
async fn a_command_gives_the_key_alone_or_as_a_key_file() {
    let world = World::new();
    let path = world.path("party.key");
    let key = SealingKey::fresh().unwrap();
    key.write_file(&path).unwrap();
    let run = async |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        SealingKey::from_command(&command, Duration::from_secs(10)).await
    };
    assert_eq!(id(run(&["cat", path.to_str().unwrap()]).await.unwrap()), id(key));
    let hexadecimal = "0a".repeat(32);
    assert_eq!(id(run(&["echo", &hexadecimal]).await.unwrap()), id(SealingKey::from_bytes([10; 32])));
    // No shell: what looks like one's syntax is an argument like any other.
    assert!(why(run(&["echo", &format!("{hexadecimal}; true")]).await).contains("holds no key"));
    assert!(why(run(&["false"]).await).contains("exit status: 1"));
    assert!(why(run(&["/no/such/program"]).await).contains("cannot be run"));
    assert!(why(run(&[]).await).contains("empty"));
    assert!(why(run(&["head", "-c", "9999999", "/dev/zero"]).await).len() < 100);
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_and_named() {
    let command = ["sleep".to_owned(), "60".to_owned()];
    let started = std::time::Instant::now();
    let refused = SealingKey::from_command(&command, Duration::from_millis(50)).await.err().unwrap();
    assert!(refused.to_string().contains("\"sleep\"") && refused.to_string().contains("0.05 s"), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_signing_key_reads_back_and_is_never_replaced() {
    let world = World::new();
    let path = world.path("identity.pem");
    let signer = FileSigner::create(&path).unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(matches!(FileSigner::create(&path), Err(StoreError::AlreadyExists { .. })));
    let loaded = FileSigner::load(&path).unwrap();
    assert_eq!((loaded.public_key(), loaded.key_id()), (signer.public_key(), signer.key_id()));
    let signature = loaded.sign("terms", b"hash").unwrap();
    assert_eq!(signer.public_key().verify("terms", b"hash", &signature), Ok(()));
    write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert!(matches!(FileSigner::load(&path), Err(StoreError::Key { .. })));
}
