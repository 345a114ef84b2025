//! `tacitly log`: the attestation log, read from its folder; the daemon may run or not.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use tacitly_attestation::entry::{Id, Kind, SignedEntry};
use tacitly_attestation::hash::leaf_hash;
use tacitly_attestation::note::{KeyRing, KeyUse, VerifierKey};
use tacitly_attestation::policy::Policy;
use tacitly_attestation::witness::ForkEvidence;

use super::connect::Way;
use super::output::table;
use super::run::block_on;
use super::{Failure, Output, connect};
use crate::chain::{self, View};
use crate::daemon::{Config, attestation, home};
use crate::evidence;
use crate::rpc::control;
use crate::store::{FileSigner, Signer as _};

/// Look at the attestation log: what is on record, and whether it still is as it was written. Works with and without a
/// running daemon, and changes nothing.
#[derive(Subcommand)]
pub(crate) enum LogCommand {
    Head(Head),
    Tail(Tail),
    Fsck(Fsck),
    VerifyFork(VerifyFork),
    Reconcile(Reconcile),
    Mirrors(Mirrors),
}

/// Show the log's name, size and root, and the newest signed checkpoint.
#[derive(Args)]
pub(crate) struct Head {
    #[command(flatten)]
    place: Place,
}

/// Show the last entries.
#[derive(Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    place: Place,
    /// Only entries of this kind, such as agreement or result.
    #[arg(long, value_parser = Kind::parse)]
    kind: Option<Kind>,
    /// How many.
    #[arg(short, long, default_value_t = 10)]
    n: usize,
}

/// Derive everything anew from the bytes of the entries and compare: hashes, tree, tiles, index, signed checkpoint.
/// Exits with 1 and names the entry or the file if anything is not as it was written.
#[derive(Args)]
pub(crate) struct Fsck {
    #[command(flatten)]
    place: Place,
    /// Verify the signatures under every entry, too: ours, and those whose keys a policy names.
    #[arg(long)]
    signatures: bool,
    /// A policy file with the keys of logs and signers to trust, beside our own.
    #[arg(long)]
    policy: Option<PathBuf>,
}

/// Check the proof that a log has told two histories (a fork-… file of the folder evidence/): two checkpoints that no
/// single history has, both signed by the log. Exits with 0 if it convicts the log, with 1 if it convicts nobody.
#[derive(Args)]
pub(crate) struct VerifyFork {
    /// The file.
    file: PathBuf,
    /// The log's key, in the form NAME+ID+BASE64; absent: the keys of the logs that this party has witnessed, and its
    /// own.
    #[arg(long)]
    key: Vec<String>,
    /// A policy file with the keys of logs to trust.
    #[arg(long)]
    policy: Option<PathBuf>,
}

/// Hold our log against a peer's: what both recorded of the jobs that they did together. The peer's daemon shows its
/// entries of our jobs, each with the proof that it is in its log. Prints each mismatch, and exits with 1 if there is
/// one. This needs the daemon and the link.
#[derive(Args)]
pub(crate) struct Reconcile {
    /// The peer.
    peer: String,
    /// Seconds that an entry may be missing on one side.
    #[arg(long, default_value_t = 60)]
    grace: u64,
}

/// Show the copies that we keep of peers' logs (attestation.mirror_of in party.toml). Each is the folder of a log: head,
/// tail and fsck look at it with --folder, and its owner may take it back.
#[derive(Args)]
pub(crate) struct Mirrors;

/// Which log.
#[derive(Args)]
pub(crate) struct Place {
    /// The folder of a log, such as a copy; absent: this party's own.
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl Place {
    fn folder(&self, home: &Path) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| attestation::folder(home))
    }

    fn view(&self, home: &Path) -> Result<View, Failure> {
        let folder = self.folder(home);
        View::open(&folder).map_err(|error| {
            if folder.join("segment").exists() {
                Failure::plain(error)
            } else {
                let hint = "the daemon begins it at its first start; --home names the party's folder, --folder a log's";
                Failure::hinted(format!("there is no log in {}", folder.display()), hint)
            }
        })
    }
}

impl LogCommand {
    pub(crate) fn run(self, home: &Path, way: &Way, output: Output) -> Result<(), Failure> {
        match self {
            Self::Head(command) => command.run(home, output),
            Self::Tail(command) => command.run(home, output),
            Self::Fsck(command) => command.run(home, output),
            Self::VerifyFork(command) => command.run(home, output),
            Self::Reconcile(command) => block_on(command.run(way, output)),
            Self::Mirrors(command) => command.run(home, output),
        }
    }
}

#[derive(Serialize)]
struct HeadView {
    log: String,
    /// The key that signs the checkpoints, if the party's folder is at hand.
    key: Option<String>,
    size: u64,
    signed_size: Option<u64>,
    root: Option<String>,
    checkpoint: Option<String>,
    /// The newest cosignature of every witness.
    cosigned: Vec<CosignedView>,
    /// How far every mirror holds it.
    kept: Vec<CosignedView>,
}

#[derive(Serialize)]
struct CosignedView {
    witness: String,
    size: u64,
    /// By the witness's clock.
    at: String,
    age_seconds: i64,
}

impl CosignedView {
    fn all(lines: Vec<chain::Cosignature>) -> Vec<Self> {
        lines.into_iter().map(Self::of).collect()
    }

    fn of(line: chain::Cosignature) -> Self {
        let time = i64::try_from(line.time).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(time).map(|at| at.to_string()).unwrap_or_default();
        let age_seconds = jiff::Timestamp::now().as_second().saturating_sub(time);
        Self { witness: line.witness, size: line.size, at, age_seconds }
    }
}

impl Head {
    fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let view = self.place.view(home)?;
        let size = view.each_from(view.size_at_least(), |_, _| {}).map_err(Failure::plain)?;
        let checkpoint = view.checkpoint();
        let keys = trusted(home, None).ok().map(|(logs, _)| logs);
        let key = keys.and_then(|keys| keys.iter().find(|key| key.name() == view.origin()).map(ToString::to_string));
        let head = HeadView {
            log: view.origin().to_owned(),
            key,
            size,
            signed_size: checkpoint.map(|checkpoint| checkpoint.checkpoint().size),
            root: checkpoint.map(|checkpoint| checkpoint.checkpoint().root.to_string()),
            checkpoint: checkpoint.map(ToString::to_string),
            cosigned: CosignedView::all(view.cosigned().map_err(Failure::plain)?.newest()),
            kept: CosignedView::all(view.mirror_cosignatures().map_err(Failure::plain)?.newest()),
        };
        output.say(
            || &head,
            || {
                let mut lines = vec![format!("{} · {} entries", head.log, head.size)];
                lines.extend(head.key.iter().map(|key| format!("  key: {key}")));
                lines.push(match (&head.signed_size, &head.root) {
                    (Some(signed), Some(root)) => format!("  checkpoint: the first {signed}, root {root}"),
                    _ => "  checkpoint: none yet".to_owned(),
                });
                lines.extend(head.cosigned.iter().map(|line| {
                    format!("  cosigned: the first {} by {}, {} s ago", line.size, line.witness, line.age_seconds)
                }));
                if head.cosigned.is_empty() {
                    lines.push("  cosigned: by nobody".to_owned());
                }
                lines.extend(head.kept.iter().map(|line| {
                    format!("  kept: the first {} by {}, {} s ago", line.size, line.witness, line.age_seconds)
                }));
                lines.join("\n")
            },
        )?;
        Ok(())
    }
}

#[derive(Serialize)]
struct EntryView {
    index: u64,
    leaf: String,
    kind: String,
    signed_by: Vec<String>,
    entry: serde_json::Value,
}

impl EntryView {
    fn of(index: u64, bytes: &[u8]) -> Self {
        let leaf = leaf_hash(bytes).to_string();
        match SignedEntry::parse(bytes) {
            Ok(signed) => Self {
                index,
                leaf,
                kind: signed.entry().kind().to_string(),
                signed_by: signed.signatures().iter().map(|line| line.name().to_owned()).collect(),
                entry: signed
                    .entry()
                    .text()
                    .lines()
                    .nth(1)
                    .and_then(|line| serde_json::from_str(line).ok())
                    .unwrap_or_default(),
            },
            Err(_) => {
                let kind = "unreadable".to_owned();
                Self { index, leaf, kind, signed_by: Vec::new(), entry: serde_json::Value::Null }
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let text = |field: &str| self.entry.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let at = self.entry.get("t").and_then(serde_json::Value::as_i64);
        let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok()).map(|at| at.to_string());
        vec![
            self.index.to_string(),
            at.unwrap_or_default(),
            self.kind.clone(),
            self.signed_by.join(" "),
            Id::parse(&text("job")).map(evidence::job_number).unwrap_or_default(),
            self.leaf.clone(),
        ]
    }
}

impl Tail {
    fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let view = self.place.view(home)?;
        let mut window = (self.n as u64).max(256);
        let entries = loop {
            let from = view.size_at_least().saturating_sub(window);
            let mut last = VecDeque::new();
            let end = view.each_from(from, |index, bytes| {
                let wanted = self
                    .kind
                    .is_none_or(|kind| SignedEntry::parse(bytes).is_ok_and(|signed| signed.entry().kind() == kind));
                if wanted && self.n > 0 {
                    if last.len() == self.n {
                        last.pop_front();
                    }
                    last.push_back((index, bytes.to_vec()));
                }
            });
            end.map_err(Failure::plain)?;
            if last.len() == self.n || from == 0 {
                break last;
            }
            window = window.saturating_mul(8);
        };
        let entries: Vec<EntryView> = entries.iter().map(|(index, bytes)| EntryView::of(*index, bytes)).collect();
        output.say(
            || &entries,
            || {
                if entries.is_empty() {
                    return "no entries".to_owned();
                }
                let head = ["NO", "AT", "KIND", "SIGNED BY", "JOB", "LEAF"].map(str::to_owned).to_vec();
                let rows: Vec<Vec<String>> = std::iter::once(head).chain(entries.iter().map(EntryView::row)).collect();
                table(&rows)
            },
        )?;
        Ok(())
    }
}

#[derive(Serialize)]
struct MirrorView {
    peer: String,
    log: String,
    /// How much of it is here whole.
    size: u64,
    bytes: u64,
    folder: PathBuf,
    /// Why nothing can be said of it.
    error: Option<String>,
}

impl MirrorView {
    fn of(peer: &str, view: Result<View, chain::ChainError>, folder: PathBuf) -> Self {
        let (log, size, bytes, error) = match view {
            Ok(view) => {
                let size = view.checkpoint().map_or(0, |checkpoint| checkpoint.checkpoint().size);
                (view.origin().to_owned(), size, view.bytes(), None)
            }
            Err(error) => (String::new(), 0, 0, Some(error.to_string())),
        };
        Self { peer: peer.to_owned(), log, size, bytes, folder, error }
    }

    fn row(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        let log = self.error.as_ref().unwrap_or(&self.log);
        vec![self.peer.clone(), self.size.to_string(), self.bytes.to_string(), folder, log.clone()]
    }
}

/// What is in a folder, in order; nothing if there is no such folder.
fn items(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let items = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        items => items?,
    };
    let mut paths = items.map(|item| Ok(item?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

impl Mirrors {
    fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let mut mirrors = Vec::new();
        for of_peer in items(&home.join(attestation::MIRROR))? {
            let peer = of_peer.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let copies = items(&of_peer)?.into_iter();
            mirrors.extend(copies.map(|folder| MirrorView::of(&peer, View::open(&folder), folder)));
        }
        output.say(
            || &mirrors,
            || {
                if mirrors.is_empty() {
                    return "no copies of peers' logs".to_owned();
                }
                let head = ["PEER", "ENTRIES", "BYTES", "FOLDER", "LOG"].map(str::to_owned).to_vec();
                table(&std::iter::once(head).chain(mirrors.iter().map(MirrorView::row)).collect::<Vec<_>>())
            },
        )?;
        Ok(())
    }
}

/// Whose signatures count: this party's, if its folder is there, and those of a policy.
fn trusted(home: &Path, policy: Option<&Path>) -> Result<(KeyRing, KeyRing), Failure> {
    let (mut logs, mut signers) = (KeyRing::default(), KeyRing::default());
    if let Ok(config) = Config::load(home) {
        let signer = FileSigner::load(&home.join(home::IDENTITY_KEY)).map_err(Failure::plain)?;
        let public = *signer.public_key().as_bytes();
        let key = |name: &str| VerifierKey::new(name, KeyUse::Text, &public).map_err(Failure::plain);
        logs.add(key(&config.origin())?);
        signers.add(key(config.party.as_str())?);
    }
    if let Some(path) = policy {
        let text = std::fs::read_to_string(path)?;
        let policy = Policy::parse(&text).map_err(|error| Failure::plain(format!("{}: {error}", path.display())))?;
        policy.logs().iter().for_each(|key| logs.add(key.clone()));
        policy.signers().iter().for_each(|key| signers.add(key.clone()));
    }
    if logs.iter().next().is_none() {
        let hint = "name the party's folder with --home, or a policy that has the log's key with --policy";
        return Err(Failure::hinted("there is no key to verify the checkpoint with", hint));
    }
    Ok((logs, signers))
}

/// The keys of the logs that this party has witnessed.
fn witnessed(home: &Path) -> Result<Vec<VerifierKey>, Failure> {
    let all = chain::witness::all(&home.join(attestation::WITNESS)).map_err(Failure::plain)?;
    Ok(all.into_iter().map(|known| known.key).collect())
}

impl Fsck {
    fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let folder = self.place.folder(home);
        self.place.view(home)?;
        let (mut logs, signers) = trusted(home, self.policy.as_deref())?;
        if self.place.folder.is_some() {
            // A copy of a peer's log: its key is the one that we witnessed it under.
            witnessed(home)?.into_iter().for_each(|key| logs.add(key));
        }
        let begun = std::time::Instant::now();
        let report = chain::fsck(&folder, &logs, self.signatures.then_some(&signers)).map_err(Failure::plain)?;
        let seconds = begun.elapsed().as_secs_f64();
        output.say(|| json(&report, seconds), || words(&report, seconds))?;
        if report.is_sound() {
            return Ok(());
        }
        Err(Failure::hinted(
            "the log is not as it was written",
            "stop the daemon and keep this folder as it is; take damaged files back from a copy",
        ))
    }
}

impl VerifyFork {
    fn run(self, home: &Path, output: Output) -> Result<(), Failure> {
        let bytes =
            std::fs::read(&self.file).map_err(|error| Failure::plain(format!("{}: {error}", self.file.display())))?;
        let refused = |error: &dyn std::fmt::Display| Failure::plain(format!("{}: {error}", self.file.display()));
        let evidence = ForkEvidence::parse(&bytes).map_err(|error| refused(&error))?;
        let mut keys = KeyRing::default();
        for text in &self.key {
            let key = VerifierKey::parse(text).map_err(|error| Failure::plain(format!("--key: {error}")))?;
            keys.add(key);
        }
        if self.key.is_empty() {
            witnessed(home)?.into_iter().for_each(|key| keys.add(key));
            if self.policy.is_some() || home.join(home::IDENTITY_KEY).exists() {
                trusted(home, self.policy.as_deref())?.0.iter().for_each(|key| keys.add(key.clone()));
            }
        }
        let (known, offered) = (evidence.known.checkpoint(), evidence.offered.checkpoint());
        // A key counts for the log whose name it bears, and for no other.
        let of_log: KeyRing = keys.iter().filter(|key| key.name() == known.origin).cloned().collect();
        if of_log.iter().next().is_none() {
            let text = format!("there is no key of the log {} to judge by", known.origin);
            return Err(Failure::hinted(text, "name it with --key, or a policy that has it with --policy"));
        }
        evidence.verify(&of_log).map_err(|error| refused(&error))?;
        output.say(
            || {
                serde_json::json!({
                    "convicts": known.origin,
                    "size": evidence.size(),
                    "roots": [known.root.to_string(), offered.root.to_string()],
                })
            },
            || {
                format!(
                    "{} is convicted: it has signed two histories, which differ in their first {} entries\n  one: {} entries, \
                     root {}\n  the other: {} entries, root {}",
                    known.origin,
                    evidence.size(),
                    known.size,
                    known.root,
                    offered.size,
                    offered.root
                )
            },
        )?;
        Ok(())
    }
}

impl Reconcile {
    async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let request = control::ReconcileRequest { peer: self.peer.clone(), grace_seconds: self.grace };
        let found = daemon.reconcile(request).await?.into_inner();
        output.say(
            || found.clone(),
            || {
                let mut lines = vec![format!(
                    "{} entries of ours and {} of {}: {}",
                    found.ours,
                    found.theirs,
                    self.peer,
                    if found.mismatches.is_empty() { "they agree" } else { "they do NOT agree" }
                )];
                let place = |index: Option<u64>| index.map_or_else(|| "-".to_owned(), |index| index.to_string());
                lines.extend(found.mismatches.iter().map(|found| {
                    let (ours, theirs) = (place(found.ours), place(found.theirs));
                    format!("  {} of job {} (ours {ours}, theirs {theirs}): {}", found.kind, found.job, found.what)
                }));
                lines.join("\n")
            },
        )?;
        if found.mismatches.is_empty() {
            return Ok(());
        }
        let hint = "ask the peer; what it recorded is signed by it, and `tacitly log tail` shows ours";
        Err(Failure::hinted(format!("{} mismatches", found.mismatches.len()), hint))
    }
}

fn json(report: &chain::Fsck, seconds: f64) -> serde_json::Value {
    let finding = |finding: &chain::Finding| serde_json::json!({ "file": finding.file, "entry": finding.entry, "what": finding.what });
    let signatures = report.signatures.as_ref();
    serde_json::json!({
        "log": report.origin,
        "sound": report.is_sound(),
        "entries": report.entries,
        "root": report.root.map(|root| root.to_string()),
        "signed_size": report.signed,
        "unfinished_bytes": report.unfinished_bytes,
        "tiles": report.tiles,
        "signatures": signatures.map(|check| serde_json::json!({ "good": check.good, "unknown": check.unknown })),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "seconds": seconds,
    })
}

fn words(report: &chain::Fsck, seconds: f64) -> String {
    let mut lines = vec![format!(
        "{} · {} entries, {} tiles, read in {seconds:.2} s: {}",
        report.origin,
        report.entries,
        report.tiles,
        if report.is_sound() { "all as written" } else { "NOT as written" }
    )];
    lines.push(match report.signed {
        Some(size) => format!("  checkpoint: the first {size} entries"),
        None => "  checkpoint: none".to_owned(),
    });
    if report.unfinished_bytes > 0 {
        let bytes = report.unfinished_bytes;
        lines.push(format!("  {bytes} bytes behind the last entry are a write under way, or one that was cut off"));
    }
    if let Some(check) = &report.signatures {
        lines.push(format!("  signatures: {} verify", check.good));
        let unknown = check
            .unknown
            .iter()
            .map(|(name, count)| format!("  signatures: {count} by {name} not checked, no key of it was given"));
        lines.extend(unknown);
    }
    lines.extend(report.findings.iter().map(|finding| format!("  {}: {}", finding.file.display(), finding.what)));
    lines.join("\n")
}
