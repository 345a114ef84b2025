//! What would keep the daemon from starting, told without starting it: nothing is changed on the disk, no lock is taken,
//! and a daemon may be at work.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::geteuid;
use tacitly_attestation::note::KeyRing;

use super::config::Config;
use super::finding::Finding;
use super::{attestation, home};
use crate::chain::{View, bytes_of_entries, fsck};
use crate::kernel;
use crate::store::{FileSigner, Ourselves, Signer as _, StoreError, check_store, refuse_held};

/// Bytes that the path of a socket may have; the system's own limit counts a final NUL.
pub(super) const SOCKET_PATH: usize = 107;
/// A log up to this size is read through; a larger one takes too long for a check that people wait for.
const READ_THROUGH: u64 = 256 << 20;
/// Files of one folder that are looked at: more are the work of somebody else.
const LOOKED_AT: usize = 10_000;
/// Findings about the log that are printed; `tacitly log fsck` prints all.
const SHOWN: usize = 3;

/// There is a log and no store that it could be of: the store was lost, or what it lies on is not mounted.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no store at {store}, and the attestation log in {log} has {bytes} bytes of one: the store was lost, or what it \
     lies on is not mounted. Put it back, with `tacitly restore` from a backup; or, to begin anew without its peers, rules \
     and jobs, move the folder {log} away first", store = .store.display(), log = .log.display()
)]
pub struct LostStore {
    store: PathBuf,
    log: PathBuf,
    bytes: u64,
}

/// A file of the party's that this account cannot use as its daemon does.
#[derive(Debug, thiserror::Error)]
#[error("{path} {what}; {mend}", path = .path.display())]
pub struct Unusable {
    path: PathBuf,
    what: String,
    mend: String,
}

/// Refuses to work in a folder of which something belongs to another account, or cannot be written: what a daemon of root
/// made there, the party's own could never open again.
///
/// # Errors
/// [`Unusable`], the first that is found.
pub(super) fn refuse_unusable(home: &Path, config: &Config) -> Result<(), Unusable> {
    unusable(home, config).next().map_or(Ok(()), Err)
}

/// Everything of the party's that this account cannot use as its daemon does.
fn unusable(home: &Path, config: &Config) -> impl Iterator<Item = Unusable> {
    let us = geteuid().as_raw();
    let home = home.to_owned();
    let keys = [home::IDENTITY_KEY, home::TLS_KEY].map(|name| (home.join(name), false));
    let written = written(&home, config).into_iter().map(|path| (path, true));
    keys.into_iter().chain(written).filter_map(move |(path, is_written)| {
        let found = std::fs::symlink_metadata(&path).ok()?;
        let owner = found.uid();
        // A folder may be lent to an account, as volumes are.
        if owner != us && !found.is_dir() {
            let what = format!("belongs to the account {owner}, and this is the account {us}");
            let mend = match us {
                0 => format!("run this as that account: sudo -u '#{owner}' tacitly …"),
                us => {
                    format!("run this as its owner, or give it all to this account: chown -R {us} {}", home.display())
                }
            };
            return Some(Unusable { path, what, mend });
        }
        // Keys are read, and may be kept from being written.
        if !is_written {
            return None;
        }
        let wanted = if found.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
        let error = access(&path, wanted).err()?;
        let mend = match error {
            Errno::PERM => "it is marked as one that nobody changes: chattr -i takes the mark away".to_owned(),
            Errno::ROFS => "mount its file system for writing".to_owned(),
            _ => format!("give this account ({us}) the right to write there"),
        };
        Some(Unusable { path, what: format!("cannot be written: {error}"), mend })
    })
}

/// The files that a daemon writes to, and their folders, as far as they are there. Tiles are left out: they are many, and
/// made anew.
fn written(home: &Path, config: &Config) -> Vec<PathBuf> {
    let log = attestation::folder(home);
    let folders = [
        log.join("cosigned"),
        log.join("kept"),
        home.join(attestation::WITNESS),
        home.join(attestation::EVIDENCE),
        home.join(attestation::MIRROR),
        log,
    ];
    let store = home.join(&config.store.path);
    let beside = |suffix: &str| {
        store.with_file_name(format!("{}{suffix}", store.file_name().unwrap_or_default().to_string_lossy()))
    };
    let mut all: Vec<PathBuf> = ["", "-wal", "-shm", ".lock"].map(beside).into();
    for folder in folders {
        let files = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok).map(|file| file.path());
        all.extend(files.take(LOOKED_AT));
        all.push(folder);
    }
    all.retain(|path| path.symlink_metadata().is_ok());
    all
}

/// What to do about a party whose store somebody has open, and at whose control socket nobody answers.
#[must_use]
pub fn lost_socket(home: &Path, config: &Config) -> Option<(String, String)> {
    let Err(StoreError::Locked { pid, .. }) = refuse_held(&home.join(&config.store.path)) else { return None };
    let (who, end) = match pid {
        Some(pid) => (format!("process {pid}"), format!("kill {pid}")),
        None => ("another process".to_owned(), "kill it".to_owned()),
    };
    let text = format!("{who} has the party's store open, and its control socket is gone");
    let hint = format!("end the daemon ({end}) and start it again: `tacitly serve --home {}`", home.display());
    Some((text, hint))
}

/// Refuses to make a new store beside a log that has entries.
///
/// # Errors
/// [`LostStore`]
pub(super) fn refuse_lost_store(home: &Path, config: &Config) -> Result<(), LostStore> {
    let (store, log) = (home.join(&config.store.path), attestation::folder(home));
    let bytes = bytes_of_entries(&log, &config.origin());
    // A file without a byte is none: what a crash or a cut left of it.
    let has_bytes = |suffix: &str| {
        let file = store.with_file_name(format!("{}{suffix}", store.file_name().unwrap_or_default().to_string_lossy()));
        std::fs::metadata(file).is_ok_and(|found| found.len() > 0)
    };
    if has_bytes("") || has_bytes("-wal") || bytes == 0 { Ok(()) } else { Err(LostStore { store, log, bytes }) }
}

/// Checks what `serve` would open: kernel, control socket, sealing key, store and attestation log.
pub(super) async fn check_start(home: &Path, config: &Config) -> Vec<Finding> {
    let socket = home.join(&config.control.socket);
    let daemon_runs = UnixStream::connect(&socket).is_ok() || lost_socket(home, config).is_some();
    let mut findings = Vec::new();
    findings.extend(
        unusable(home, config)
            .take(SHOWN)
            .map(|Unusable { path, what, mend }| Finding::fail("files", format!("{} {what}", path.display()), mend)),
    );
    if let Err(text) = kernel::check(&config.limits.kernel) {
        findings.push(Finding::fail("config", text, "change limits.kernel in party.toml; auto suits every machine"));
    }
    findings.extend(check_socket(&socket));
    findings.push(if daemon_runs {
        Finding::ok("store", "the daemon has it open")
    } else {
        check_ledger(home, config).await
    });
    findings.extend(check_log(home, config));
    findings
}

fn check_socket(socket: &Path) -> Option<Finding> {
    let shown = socket.display();
    let length = socket.as_os_str().as_bytes().len();
    if length > SOCKET_PATH {
        let text =
            format!("the path of the control socket has {length} bytes, the system takes {SOCKET_PATH}: {shown}");
        return Some(Finding::fail("socket", text, "name a shorter path in control.socket, or a shorter --home"));
    }
    let folder = match socket.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let text = format!("there is no folder {} for the control socket", folder.display());
        return Some(Finding::fail("socket", text, "make the folder, or name another path in control.socket"));
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK).err().map(|error| {
        let text = format!("the control socket cannot be made in {}: {error}", folder.display());
        Finding::fail("socket", text, "give this account the right to write there, or change control.socket")
    })
}

async fn check_ledger(home: &Path, config: &Config) -> Finding {
    let path = home.join(&config.store.path);
    let folder = path.parent().unwrap_or(home);
    if !folder.as_os_str().is_empty() && !folder.is_dir() {
        let text = format!("there is no folder {} for the store", folder.display());
        return Finding::fail("store", text, "make the folder, or name another path in store.path");
    }
    let sealer = match home::sealer(home, config).await {
        Ok(sealer) => sealer,
        Err(error) => {
            return Finding::fail(
                "store",
                error.to_string(),
                "put the sealing key back from your safe, or mend its command",
            );
        }
    };
    // A key that cannot be read is told by its file.
    let signer = FileSigner::load(&home.join(home::IDENTITY_KEY)).ok();
    let ours = signer.map(|signer| Ourselves { party: config.party, key: signer.public_key() });
    match check_store(&path, &sealer, ours).await {
        Ok(()) if path.metadata().is_ok_and(|found| found.len() > 0) => {
            Finding::ok("store", format!("{} opens with the sealing key", path.display()))
        }
        Ok(()) => match refuse_lost_store(home, config) {
            Ok(()) => Finding::ok("store", "the sealing key can be read"),
            Err(lost) => Finding::fail("store", lost.to_string(), "put the store back before you start the daemon"),
        },
        Err(error @ StoreError::Roster(_)) => {
            let hint = "the store, identity.key or party.toml is another party's: put back what belongs together";
            Finding::fail("store", error.to_string(), hint)
        }
        Err(error) => {
            Finding::fail("store", error.to_string(), "put back what belongs together: the store and its key")
        }
    }
}

fn check_log(home: &Path, config: &Config) -> Vec<Finding> {
    const BACK: &str = "put back what belongs together: the folder log, identity.key and attestation.origin";
    // A key that cannot be read is told by its file.
    let Ok(signer) = FileSigner::load(&home.join(home::IDENTITY_KEY)) else { return Vec::new() };
    let key = match attestation::log_key(config, Arc::new(signer)) {
        Ok(key) => key,
        Err(error) => return vec![Finding::fail("log", error.to_string(), "mend attestation.origin")],
    };
    let folder = attestation::folder(home);
    if !folder.join("segment").exists() {
        if folder.join("checkpoint").exists() {
            let text = format!("{} is gone, and its checkpoint is signed", folder.join("segment").display());
            return vec![Finding::fail("log", text, format!("take it back from a copy; {BACK}"))];
        }
        return vec![Finding::ok("log", "there is no attestation log yet; the first `tacitly serve` begins it")];
    }
    let view = match View::open(&folder) {
        Ok(view) => view,
        Err(error) => return vec![Finding::fail("log", error.to_string(), BACK)],
    };
    if view.origin() != config.origin() {
        let text = format!("{} is the log {}, and ours is {}", folder.display(), view.origin(), config.origin());
        return vec![Finding::fail("log", text, BACK)];
    }
    if view.bytes() > READ_THROUGH {
        let text = format!("{} MiB were not read through; `tacitly log fsck` does", view.bytes() >> 20);
        return vec![Finding::ok("log", text)];
    }
    let report = match fsck(&folder, &KeyRing::from_iter([key.public().clone()]), None) {
        Ok(report) => report,
        Err(error) => return vec![Finding::fail("log", error.to_string(), BACK)],
    };
    if report.is_sound() {
        return vec![Finding::ok("log", format!("{} entries are as they were written", report.entries))];
    }
    let found = report.findings.iter().take(SHOWN).map(|found| {
        let text = format!("{}: {}", folder.join(&found.file).display(), found.what);
        // Only these two are not made anew.
        if ["segment", "checkpoint"].iter().any(|name| found.file == Path::new(name)) {
            Finding::fail("log", text, format!("`tacitly log fsck` shows the extent; {BACK}"))
        } else {
            Finding::warn("log", text, "`tacitly log fsck` shows the extent")
        }
    });
    found.collect()
}
