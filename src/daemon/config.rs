//! `party.toml`: what an operator sets, with an environment override for every key.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Serialize};
use tacitly_attestation::entry::{LegalName, Origin, Reason, Region, Registration};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_core::PartyId;
use tacitly_psi::{BUCKET_ITEMS, MIN_BUCKET_ITEMS};
use tracing_subscriber::EnvFilter;

use crate::attest::{ExternalWitness, ProfileSettings};
use crate::transport::https::Place;

/// More compute threads than any machine has processors.
const MAX_THREADS: usize = 1024;

/// The file's name in a party's folder.
pub(crate) const FILE: &str = "party.toml";

/// A party's configuration. Every key can be overridden by the environment: `TACITLY_NETWORK__LISTEN` stands above
/// `listen` in `[network]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This party's name.
    pub party: PartyId,
    /// Where peers reach this party and how long links may be silent.
    #[serde(default)]
    pub network: Network,
    /// Where this party's own operators reach the daemon.
    #[serde(default)]
    pub control: Control,
    /// Where a Prometheus server reads figures.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where the ledger is and who may open its seals.
    #[serde(default)]
    pub store: StoreConfig,
    /// What a peer may use of this machine.
    #[serde(default)]
    pub limits: Limits,
    /// What goes on record.
    #[serde(default)]
    pub attestation: Attestation,
    /// What is logged and how.
    #[serde(default)]
    pub log: Log,
}

/// The `[network]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The one port for peers; absent: this party only dials.
    pub listen: Option<SocketAddr>,
    /// The address that invitations name, if it differs from `listen`.
    pub advertise: Option<String>,
    /// Seconds between heartbeats; two missed ones show `link down`.
    pub heartbeat_seconds: f64,
    /// Seconds a job waits for a lost link to come back.
    pub reconnect_window_seconds: f64,
}

/// The `[control]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The local socket, relative to the party's folder.
    pub socket: PathBuf,
    /// A loopback port for callers with a token, beside the socket; absent: none.
    pub listen: Option<SocketAddr>,
    /// The file with the digests of tokens, relative to the party's folder.
    pub tokens: PathBuf,
    /// Whether the control service describes itself (gRPC reflection), for tools such as grpcurl.
    pub reflection: bool,
}

/// The `[metrics]` table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// The port of `/metrics`; absent: none. It has neither TLS nor a password, and tells peers' names and job counts.
    pub listen: Option<SocketAddr>,
}

/// The `[store]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The SQLite file, relative to the party's folder.
    pub path: PathBuf,
    /// The file with the sealing key, relative to the party's folder.
    pub key: PathBuf,
    /// A command (program and arguments, no shell) that prints the sealing key instead: for a KMS or HSM.
    pub key_command: Option<Vec<String>>,
}

/// The `[limits]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Compute threads, 0 for one per processor.
    pub threads: usize,
    /// The curve kernel: `auto`, or a backend by its name, for tests and comparisons.
    pub kernel: String,
    /// Jobs with one peer that are not over, at the same time.
    pub jobs_per_peer: usize,
    /// Jobs that compute at the same time; others wait.
    pub running_jobs: usize,
    /// The largest set of distinct keys that is read for one job.
    pub items_per_job: u64,
    /// Mebibytes that one job may use for its rows; above it, it is worked off in buckets.
    pub memory_mib: u64,
    /// Mebibytes of memory for frames that programs hand over, 0 to take none.
    pub frame_mib: u64,
    /// Distinct keys of the larger side up to which a job runs in one piece, and above which in one bucket; 0: what
    /// `memory_mib` allows. Smaller buckets take less memory and disk for a resumption, and more padding.
    pub bucket_keys: u64,
    /// Requests of one peer that a service takes in a second, and new sessions of one peer; more wait. Questions under
    /// standing jobs are not counted: they wait for threads.
    pub requests_per_second: NonZeroU64,
    /// Megabits a second to one peer, and as many from it; 0 for no limit.
    pub megabits_per_second: u64,
    /// Proposals of one peer that are written down within an hour; more are refused.
    pub proposals_per_hour: u64,
    /// Mebibytes of entries that are kept of the logs of one party whose mirror this one is; on the disk they take a
    /// little more than twice as much.
    pub mirror_mib: u64,
    /// Hours a job may run without a pause.
    pub job_deadline_hours: f64,
    /// Minutes for which nothing may move in a job while it waits for others.
    pub idle_minutes: f64,
    /// Seconds that running jobs get to finish after SIGTERM.
    pub drain_seconds: u64,
}

/// The `[attestation]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attestation {
    /// The name of this party's attestation log; absent: `tacitly/` and the party. A log that is lost is followed by
    /// one of another name.
    pub origin: Option<String>,
    /// This party's registered name, in any script; absent: its name among its peers.
    pub legal_name: Option<String>,
    /// Its register number: `uscc:` or `lei:` and the number.
    pub registration: Option<String>,
    /// Where it runs: `CN`, `CN-BJ`.
    pub region: Option<String>,
    /// Days for which entries are kept.
    pub retention_days: u64,
    /// How many of the peers must have cosigned our log; 0: more than half of them.
    pub quorum: usize,
    /// Peers that may keep a whole copy of this log. They read every entry: who works with whom, when, on which terms.
    pub mirrors: BTreeSet<PartyId>,
    /// Peers whose logs this party keeps a copy of, if they let it.
    pub mirror_of: BTreeSet<PartyId>,
    /// Witnesses of this log who are no peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<WitnessConfig>,
}

/// An `[[attestation.witness]]`: somebody who runs `tacitly witness`, which prints these lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Host and port.
    pub address: String,
    /// The name in its certificate.
    pub name: PartyId,
    /// The pin of its TLS key.
    pub pin: String,
    /// What verifies its cosignatures, in the form NAME+ID+BASE64.
    pub key: String,
}

impl WitnessConfig {
    /// The witness; `None` if its pin or its key cannot be read, or the key is not one for cosignatures.
    #[must_use]
    pub fn witness(&self) -> Option<ExternalWitness> {
        let place = Place { address: self.address.clone(), party: self.name, pin: self.pin.parse().ok()? };
        let key = VerifierKey::parse(&self.key).ok().filter(|key| key.key_use() == KeyUse::Cosignature)?;
        Some(ExternalWitness { place, key })
    }
}

/// The `[log]` table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level, or directives as for `RUST_LOG`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Network {
    fn default() -> Self {
        Self { listen: None, advertise: None, heartbeat_seconds: 5.0, reconnect_window_seconds: 30.0 }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: "control.sock".into(), listen: None, tokens: "control.tokens".into(), reflection: false }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: "tacitly.db".into(), key: "party.key".into(), key_command: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: 0,
            kernel: "auto".to_owned(),
            jobs_per_peer: 50,
            running_jobs: 2,
            items_per_job: 1 << 32,
            memory_mib: 1024,
            frame_mib: 0,
            bucket_keys: 0,
            requests_per_second: const { NonZeroU64::new(200).unwrap() },
            megabits_per_second: 0,
            proposals_per_hour: 1000,
            mirror_mib: 4096,
            job_deadline_hours: 24.0,
            idle_minutes: 10.0,
            drain_seconds: 30,
        }
    }
}

impl Default for Attestation {
    fn default() -> Self {
        let (origin, legal_name, registration, region) = (None, None, None, None);
        Self {
            origin,
            legal_name,
            registration,
            region,
            retention_days: 1095,
            quorum: 0,
            mirrors: BTreeSet::new(),
            mirror_of: BTreeSet::new(),
            witness: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no `party.toml`.
    #[error("there is no {FILE} in {0}: run `tacitly init NAME --home {0}`, or name another folder with --home")]
    Missing(PathBuf),
    /// A key is misspelt, missing or of the wrong type; the text names file and key.
    #[error("{path}: {text}", path = .1.display(), text = super::malformed::told(.0))]
    Malformed(Box<figment::Error>, PathBuf),
    /// A value is out of its range.
    #[error("{path}: {key} {rule}", path = .path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

impl Config {
    /// Reads `party.toml` in the party's folder and lays the environment over it.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the key.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let config = Self::read(home)?;
        config.faults(home).into_iter().next().map_or(Ok(config), Err)
    }

    /// Reads `party.toml` and the environment as [`Config::load`] does, whatever the values are.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no file, or a key is misspelt, missing or of the wrong type.
    pub fn read(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE);
        if !path.is_file() {
            return Err(ConfigError::Missing(home.to_owned()));
        }
        let figment = Figment::new()
            .merge(Toml::file_exact(&path))
            .merge(Env::prefixed("TACITLY_").ignore(&["home", "skips", "log", "connect", "token_file"]).split("__"));
        figment.extract().map_err(|error| ConfigError::Malformed(Box::new(error), path))
    }

    /// Every value that is out of its range.
    #[must_use]
    pub fn faults(&self, home: &Path) -> Vec<ConfigError> {
        let (network, limits) = (&self.network, &self.limits);
        let demands = [
            (
                (0.05..=300.0).contains(&network.heartbeat_seconds),
                "network.heartbeat_seconds",
                "must be from 0.05 to 300",
            ),
            (
                (0.0..=86_400.0).contains(&network.reconnect_window_seconds),
                "network.reconnect_window_seconds",
                "must be from 0 to 86400",
            ),
            (limits.threads <= MAX_THREADS, "limits.threads", "must be from 0, for one per processor, to 1024"),
            (limits.running_jobs > 0, "limits.running_jobs", "must be at least 1"),
            (limits.jobs_per_peer > 0, "limits.jobs_per_peer", "must be at least 1"),
            (limits.memory_mib >= 64, "limits.memory_mib", "must be at least 64"),
            (
                limits.bucket_keys == 0 || (MIN_BUCKET_ITEMS..=BUCKET_ITEMS).contains(&limits.bucket_keys),
                "limits.bucket_keys",
                "must be 0 or from 256 to 1048576",
            ),
            (limits.proposals_per_hour > 0, "limits.proposals_per_hour", "must be at least 1"),
            (
                (0.001..=8760.0).contains(&limits.job_deadline_hours),
                "limits.job_deadline_hours",
                "must be from 0.001 to 8760",
            ),
            ((0.05..=10_080.0).contains(&limits.idle_minutes), "limits.idle_minutes", "must be from 0.05 to 10080"),
            (
                self.control.listen.is_none_or(|address| address.ip().is_loopback()),
                "control.listen",
                "must be a loopback address such as 127.0.0.1:7101, since this port has no TLS; from elsewhere, come \
                 through SSH",
            ),
            (
                Origin::parse(&self.origin()).is_ok(),
                "attestation.origin",
                "must be a name such as bank-a.example/log: a URL without its scheme",
            ),
            (
                self.attestation.witness.iter().all(|witness| witness.witness().is_some()),
                "attestation.witness",
                "must have a pin and a key as `tacitly witness` prints them",
            ),
            (
                optional(&self.attestation.legal_name, LegalName::parse).is_some(),
                "attestation.legal_name",
                "must be a registered name of 2 to 80 letters and digits",
            ),
            (
                optional(&self.attestation.registration, Registration::parse).is_some(),
                "attestation.registration",
                "must be uscc: or lei: and a number with right check characters",
            ),
            (
                optional(&self.attestation.region, Region::parse).is_some(),
                "attestation.region",
                "must be a country or a country and its province, such as CN or CN-BJ",
            ),
            (self.attestation.retention_days > 0, "attestation.retention_days", "must be at least 1"),
            (
                names_levels(&self.log.level),
                "log.level",
                "must be off, error, warn, info, debug or trace, or such a level behind parts of the program, as in \
                 info,tacitly::jobs=debug",
            ),
        ];
        let broken = demands.into_iter().filter(|(holds, ..)| !holds);
        broken.map(|(_, key, rule)| ConfigError::OutOfRange { path: home.join(FILE), key, rule }).collect()
    }

    /// What this party says of itself in its attestation log; what is out of range is left out.
    #[must_use]
    pub fn profile(&self) -> ProfileSettings {
        let Attestation { legal_name, registration, region, retention_days, quorum, .. } = &self.attestation;
        ProfileSettings {
            legal_name: optional(legal_name, LegalName::parse).flatten(),
            registration: optional(registration, Registration::parse).flatten(),
            region: optional(region, Region::parse).flatten(),
            retention_days: *retention_days,
            quorum: *quorum,
        }
    }

    /// Heartbeat interval.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs_f64(self.network.heartbeat_seconds)
    }

    /// How long a session waits for a lost link.
    #[must_use]
    pub fn reconnect_window(&self) -> Duration {
        Duration::from_secs_f64(self.network.reconnect_window_seconds)
    }

    /// This configuration with all defaults written out, as TOML: for `config print` and for `init`.
    ///
    /// # Errors
    /// If a value has no TOML form, which no value here lacks.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }

    /// The defaults for a new party.
    #[must_use]
    pub fn new(party: PartyId, listen: Option<SocketAddr>, advertise: Option<String>) -> Self {
        Self {
            party,
            network: Network { listen, advertise, ..Network::default() },
            control: Control::default(),
            metrics: Metrics::default(),
            store: StoreConfig::default(),
            limits: Limits::default(),
            attestation: Attestation::default(),
            log: Log::default(),
        }
    }

    /// The name of this party's attestation log.
    #[must_use]
    pub fn origin(&self) -> String {
        self.attestation.origin.clone().unwrap_or_else(|| format!("tacitly/{}", self.party))
    }
}

/// Whether a filter of log lines names levels only. A word that is none would be taken for a part of the program, and
/// everything else would fall silent.
fn names_levels(filter: &str) -> bool {
    let is_level =
        |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&&*word.to_ascii_lowercase());
    let is_whole = |directive: &str| directive.contains(['=', '[']) || is_level(directive.trim());
    EnvFilter::try_new(filter).is_ok() && filter.split(',').filter(|part| !part.trim().is_empty()).all(is_whole)
}

/// A value that may be absent, read; `None` if it is there and cannot be.
fn optional<T>(text: &Option<String>, read: impl Fn(&str) -> Result<T, Reason>) -> Option<Option<T>> {
    text.as_deref().map(read).transpose().ok()
}
