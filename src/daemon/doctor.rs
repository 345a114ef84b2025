//! What can be checked of a party without its daemon: configuration, files, certificate, clock, room on the disk.

use std::fs::{self, Metadata};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::config::{Config, ConfigError};
pub use super::finding::{Finding, Level};
use super::home::HomeError;
use super::start::check_start;
use super::{attestation, home};
use crate::store::{FileSigner, StoreError};
use crate::transport::TlsIdentity;

/// Free space under which a daemon will soon stand still, and under which somebody should know.
const DISK_FAIL: u64 = 64 << 20;
const DISK_WARN: u64 = 1 << 30;
/// How far a file may come from the future before the clock is doubted.
const CLOCK_SLACK_SECONDS: i64 = 300;
/// Days before its end at which a certificate is worth a word.
const CERTIFICATE_DAYS: i64 = 30;

/// Checks `party.toml` with the environment over it, that the files it names are there and private, and that `serve` could
/// open them. Nothing is changed, and a daemon may be at work. The configuration comes back if it can be read at all.
pub async fn check_config(home: &Path) -> (Option<Config>, Vec<Finding>) {
    let config = match Config::read(home) {
        Ok(config) => config,
        Err(error) => return (None, vec![config_fault(&error)]),
    };
    let mut findings: Vec<Finding> = config.faults(home).iter().map(config_fault).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("config", format!("{} can be used", home.join(super::config::FILE).display())));
    }
    findings.extend(check_files(home, &config));
    // A key that is not private is told by its file.
    findings.extend(match home::identity(home) {
        Err(HomeError::Store(_)) => None,
        identity => Some(check_certificate(identity, &config)),
    });
    findings.extend(check_start(home, &config).await);
    (Some(config), findings)
}

/// Checks what a daemon depends on beyond its configuration: the clock, room on the disk. `daemon_runs` tells whether the ports are rightly taken.
#[must_use]
pub fn check_world(home: &Path, config: &Config, daemon_runs: bool) -> Vec<Finding> {
    let mut findings = vec![check_clock(home, config), check_disk(home, config)];
    let ports = [
        ("network.listen", config.network.listen),
        ("control.listen", config.control.listen),
        ("metrics.listen", config.metrics.listen),
    ];
    for (key, address) in ports {
        let Some(address) = address.filter(|_| !daemon_runs) else { continue };
        findings.push(match TcpListener::bind(address) {
            Ok(_) => Finding::ok("port", format!("{address} is free for the daemon ({key})")),
            Err(error) => Finding::fail(
                "port",
                format!("the daemon could not listen at {address}: {error}"),
                format!("end the program that has the port, or change {key}"),
            ),
        });
    }
    findings
}

fn config_fault(error: &ConfigError) -> Finding {
    match error {
        // The error itself has the hint in it.
        ConfigError::Missing(home) => Finding::fail(
            "config",
            format!("there is no party.toml in {}", home.display()),
            format!("run `tacitly init NAME --home {}`, or name another folder with --home", home.display()),
        ),
        ConfigError::Malformed(..) => Finding::fail(
            "config",
            error.to_string(),
            "mend the key in party.toml, or the TACITLY_ variable of that name",
        ),
        ConfigError::OutOfRange { .. } => {
            let hint = "change the value in party.toml, or in the TACITLY_ variable of that name";
            Finding::fail("config", error.to_string(), hint)
        }
    }
}

fn check_files(home: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mode, shown) = (|found: &Metadata| found.permissions().mode() & 0o7777, home.display());
    match fs::metadata(home) {
        Ok(found) if mode(&found) & 0o022 != 0 => findings.push(Finding::fail(
            "files",
            format!("others may write to the folder {shown} (mode {:04o})", mode(&found)),
            format!("chmod 700 {shown}"),
        )),
        Ok(_) => {}
        Err(error) => findings.push(Finding::fail("files", format!("{shown}: {error}"), "name another --home")),
    }
    let mut keys = vec![(home.join(home::IDENTITY_KEY), "the identity key"), (home.join(home::TLS_KEY), "the TLS key")];
    if config.store.key_command.is_none() {
        keys.push((home.join(&config.store.key), "the sealing key"));
    }
    let mirror_key = home.join(attestation::MIRROR_KEY);
    if mirror_key.exists() {
        keys.push((mirror_key, "the key as a mirror"));
    }
    let tokens = home.join(&config.control.tokens);
    if tokens.exists() {
        keys.push((tokens, "the file of tokens"));
    }
    let store = home.join(&config.store.path);
    if store.exists() {
        keys.push((store, "the store"));
    } else {
        let text = format!("there is no store at {} yet", store.display());
        findings.push(Finding::ok("files", format!("{text}; the first `tacitly serve` makes one")));
    }
    findings.extend(keys.into_iter().map(|(path, name)| check_private(&path, name)));
    // A key that is not there or not private is told above.
    if let Err(error @ StoreError::Key { .. }) = FileSigner::load(&home.join(home::IDENTITY_KEY)) {
        findings.push(Finding::fail("files", error.to_string(), "put the identity key back from your safe"));
    }
    findings
}

fn check_private(path: &PathBuf, name: &str) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => Finding::fail(
            "files",
            format!("other users may reach {name} {shown} (mode {:04o})", found.permissions().mode() & 0o7777),
            format!("chmod 600 {shown}"),
        ),
        Ok(_) => Finding::ok("files", format!("{name} {shown} is there and private")),
        Err(error) => Finding::fail("files", format!("{name} {shown}: {error}"), "put the file back from your safe"),
    }
}

fn check_certificate(identity: Result<TlsIdentity, HomeError>, config: &Config) -> Finding {
    const ROTATE: &str = "run `tacitly identity rotate` while the peers' links are up";
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            let hint = "put tls.key and tls.crt back from your safe; both belong together";
            return Finding::fail("certificate", error.to_string(), hint);
        }
    };
    if identity.party() != config.party {
        let text = format!("it names {}, party.toml names {}", identity.party(), config.party);
        return Finding::fail(
            "certificate",
            text,
            "one of both is from another party's folder; put the right one back",
        );
    }
    let (from, until, now) = (identity.not_before(), identity.not_after(), Timestamp::now());
    let days = (until.as_second() - now.as_second()) / 86_400;
    if now < from {
        let hint = "set this machine's clock (it may be behind)";
        return Finding::fail("certificate", format!("it is valid from {from}, and now is {now}"), hint);
    }
    if now > until {
        let hint = "make a new one with `tacitly identity rotate --force`; peers join again with an invitation";
        return Finding::fail("certificate", format!("it expired on {until}"), hint);
    }
    if days < CERTIFICATE_DAYS {
        return Finding::warn("certificate", format!("it expires in {days} days, on {until}"), ROTATE);
    }
    Finding::ok("certificate", format!("it names {} and is valid until {until}", config.party))
}

/// A clock that is behind shows in files that it has not written yet.
fn check_clock(home: &Path, config: &Config) -> Finding {
    let now = Timestamp::now();
    let written = |path: &Path| Timestamp::try_from(fs::metadata(path).ok()?.modified().ok()?).ok();
    let files = [home.join(super::config::FILE), home.join(home::TLS_CERTIFICATE), home.join(&config.store.path)];
    match files
        .iter()
        .find(|path| written(path).is_some_and(|at| at.as_second() > now.as_second() + CLOCK_SLACK_SECONDS))
    {
        Some(path) => Finding::fail(
            "clock",
            format!("it is {now} here, and {} was written later than that", path.display()),
            "set this machine's clock, for example with chrony or systemd-timesyncd",
        ),
        None => Finding::ok("clock", format!("it is {now}, which fits the files")),
    }
}

fn check_disk(home: &Path, config: &Config) -> Finding {
    let path = home.join(&config.store.path);
    let folder = path.parent().unwrap_or(home);
    let mib = |bytes: u64| bytes >> 20;
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let text = format!("{} MiB are free on the file system of {}", mib(free), folder.display());
            let hint = "free some space there, or move the store to a larger file system";
            match free {
                ..DISK_FAIL => Finding::fail("disk", text, hint),
                DISK_FAIL..DISK_WARN => Finding::warn("disk", text, hint),
                _ => Finding::ok("disk", text),
            }
        }
        Err(error) => Finding::fail("disk", format!("{}: {error}", folder.display()), "mend store.path in party.toml"),
    }
}
