//! Files that jobs may use: registered once, read for every job, written out for a receiver.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tacitly_core::{PartyId, TermsHash};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::fingerprints;
use super::frames::Frames;
use super::limits::LIMITS;
use super::plan::Room;
use super::sets::{Input, Progress, Set};
use super::stored::StoredRows;
use super::terms::Kind;
use crate::codes::{self, Trouble};
use crate::intake::{
    self, Budget, Duplicates, Encoding, FileDigest, Format, Inspection, Invalid, KeyColumn, KeySpec, OutputFormat,
    Profile, Report, Selection, Source, Survey,
};
use crate::policy::{Change, Known, Rule, difference};
use crate::store::{
    Dataset, DatasetKey, JobId, NewDataset as StoredDataset, NewFingerprint, Store, StoreError, check_dataset_name,
};

/// The bytes of a result that wait for a slow reader, in pieces.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// The datasets of one party.
pub struct Datasets {
    pub(super) store: Arc<Store>,
    pub(super) frames: Arc<Frames>,
    room: Room,
    recording: Mutex<()>,
    ruling: Mutex<()>,
}

/// A dataset to register.
#[derive(Clone, Debug, Default)]
pub struct NewDataset {
    /// Its name.
    pub name: String,
    /// The file, by its whole path.
    pub path: PathBuf,
    /// `csv` or `parquet`; empty: by the file's ending.
    pub format: String,
    /// `utf-8`, `gbk` or `gb18030`; empty: UTF-8.
    pub encoding: String,
    /// The CSV delimiter; empty: a comma.
    pub delimiter: String,
    /// Key columns with their profiles.
    pub keys: Vec<(String, String)>,
    /// `error`, `first` or `all`; empty: error.
    pub duplicates: String,
    /// `error` or `skip`; empty: error.
    pub invalid: String,
    /// Whether a dataset of this name is replaced.
    pub replace: bool,
    /// Peers that get a rule without limits.
    pub allow: Vec<String>,
    /// The days that its data describe, `2026-01-01/2026-03-31`; empty: nothing is stated.
    pub period: String,
    /// The document with its lawful basis, by its whole path; empty: none is given.
    pub basis: PathBuf,
    /// Whether the first line of a CSV file is a row: its columns are `column_1`, `column_2`, …
    pub no_header: bool,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChange {
    /// It is another one now.
    Set {
        /// The rule in full.
        json: String,
        /// What the change did to the rule there was, field by field; empty for a first rule.
        difference: Vec<String>,
    },
    /// It was taken away.
    Removed,
    /// There was none to take away.
    None,
}

/// A dataset as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetView {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: String,
    /// `csv` or `parquet`.
    pub format: String,
    /// Key columns with their profiles.
    pub keys: Vec<(String, String)>,
    /// All columns.
    pub columns: Vec<String>,
    /// Rows of the file.
    pub rows: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Its digest.
    pub sha256: String,
    /// What happens to repeated keys.
    pub duplicates: String,
    /// What happens to invalid keys.
    pub invalid: String,
    /// Rules by peer, as JSON.
    pub rules: Vec<(String, String)>,
    /// When it was added.
    pub added: String,
    /// The days that its data describe; empty: nothing is stated.
    pub period: String,
    /// The commitment to its lawful basis; empty: none was given.
    pub basis: String,
}

/// How a dataset's file is read, as the store keeps it.
#[derive(Serialize, Deserialize)]
struct Settings {
    duplicates: Duplicates,
    invalid: Invalid,
}

impl Datasets {
    pub(super) fn new(store: Arc<Store>, room: Room, frame_memory: usize) -> Self {
        Self {
            store,
            frames: Arc::new(Frames::new(frame_memory)),
            room,
            recording: Mutex::default(),
            ruling: Mutex::default(),
        }
    }

    /// What one job may use for its rows.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Registers a file: reads it, takes its fingerprint, checks every row by the rules given, and remembers its SHA-256.
    /// Of the document with the lawful basis only a commitment is kept. Returns the dataset and a report of counts for
    /// its owner.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for settings that do not exist or a basis that cannot be read, [`codes::DATASET_INPUT`] with file, line and column,
    /// [`codes::DATASET_EXISTS`], [`codes::PEER_UNKNOWN`] or trouble of the store.
    pub(super) async fn add(&self, new: NewDataset, by: &str) -> Result<(DatasetView, String), Trouble> {
        // What needs no file is checked before one is read, which may take long.
        let before = self.before(&new.name, new.replace).await?;
        let source = Source { format: format_of(&new)?, path: new.path };
        let spec = KeySpec {
            columns: key_columns(&new.keys)?,
            duplicates: named(&new.duplicates, "duplicates are error, first or all")?,
            invalid: named(&new.invalid, "invalid rows are error or skip")?,
        };
        let period = fingerprints::period(&new.period)?;
        let peers = new.allow.iter().map(|peer| self.peer(peer)).collect::<Result<Vec<_>, _>>()?;
        for peer in &peers {
            self.store.peer(*peer).await?;
        }
        let (room, folder) = (self.room, self.folder());
        let (Survey { inspection: inspected, report }, fingerprint, source, spec) = blocking(move || {
            let basis = if new.basis.as_os_str().is_empty() { None } else { Some(fingerprints::basis(&new.basis)?) };
            let budget = Budget::of_bytes(room.memory);
            let (survey, fingerprint) = fingerprints::survey(&source, &spec, Some(&folder), &budget)?;
            Ok((survey, NewFingerprint { period, basis, ..fingerprint }, source, spec))
        })
        .await?;
        let format = json(&source.format)?;
        let stored = stored(new.name, source.path, format, &inspected, &spec)?;
        let dataset = self.store.add_dataset(stored, &fingerprint, new.replace, by).await?;
        let changed = self.open_to(&dataset, &peers, by).await?;
        tracing::info!(dataset = dataset.name, rows = dataset.rows, distinct = report.distinct, "registered");
        let mut told = report.to_string();
        if let Some(warning) = nobody(&report) {
            told += &format!("\nwarning: {warning}");
        }
        told += &changed;
        if let Some(before) = before {
            told += &self.what_stays(&before, &dataset, &peers).await?;
        }
        Ok((self.view(&dataset).await?, told))
    }

    /// The dataset that is to be replaced, if there is one.
    async fn before(&self, name: &str, replace: bool) -> Result<Option<Dataset>, Trouble> {
        check_dataset_name(name)?;
        match self.store.dataset(name).await {
            Ok(_) if !replace => Err(StoreError::already_exists("dataset", name).into()),
            Ok(before) => Ok(Some(before)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the owner should know who replaces a dataset: rules stay, whatever the new file holds.
    async fn what_stays(&self, before: &Dataset, now: &Dataset, allowed: &[PartyId]) -> Result<String, Trouble> {
        let mut told = String::new();
        let key = |dataset: &Dataset| {
            let keys = dataset.keys.iter().map(|key| format!("{}={}", key.column, key.profile));
            keys.collect::<Vec<_>>().join(", ")
        };
        if before.keys != now.keys {
            told += &format!("\nnote: the key was {} and is now {}", key(before), key(now));
        }
        let rules = self.store.rules(Some(&now.name)).await?;
        let others = rules.iter().map(|rule| rule.peer).filter(|peer| !allowed.contains(peer));
        let peers: Vec<String> = others.map(|peer| peer.to_string()).collect();
        if !peers.is_empty() {
            told += &format!(
                "\nnote: the rules stay as they were, for {}; `tacitly dataset deny {} PEER` takes one away",
                peers.join(", "),
                now.name
            );
        }
        Ok(told)
    }

    /// Held while a fingerprint is put on record, so that none is put there twice.
    pub(super) async fn recording(&self) -> MutexGuard<'_, ()> {
        self.recording.lock().await
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// All datasets with their rules.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn list(&self) -> Result<Vec<DatasetView>, Trouble> {
        let mut views = Vec::new();
        for dataset in self.store.datasets().await? {
            match self.view(&dataset).await {
                Ok(view) => views.push(view),
                // It was forgotten since, as frames are when their job is over.
                Err(error) if error.code == codes::DATASET_UNKNOWN => {}
                Err(error) => return Err(error),
            }
        }
        Ok(views)
    }

    /// Gives each peer the widest rule of this moment. Returns what that changes of the rules there were.
    async fn open_to(&self, dataset: &Dataset, peers: &[PartyId], by: &str) -> Result<String, Trouble> {
        let _one_change_at_a_time = self.ruling.lock().await;
        let (columns, kinds) = (columns_of(dataset), Kind::ALL.map(Kind::name));
        let rule = Rule::open(&Known { kinds: &kinds, columns: &columns, limits: &LIMITS });
        let mut told = String::new();
        for peer in peers {
            if let Some(old) = self.rule(&dataset.name, *peer).await? {
                for line in difference(&old, &rule, &LIMITS) {
                    told += &format!("\nnote: the rule for {peer} changes: {line}");
                }
            }
            self.store.set_rule(&dataset.name, *peer, json(&rule)?, None, by).await?;
        }
        Ok(told)
    }

    /// Changes the rule for a peer as JSON says, or takes it away if `json` is empty. What the JSON omits stays as it
    /// was; a first rule begins as the widest one of this moment.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a change that cannot be read or that could never allow anything, [`codes::DATASET_UNKNOWN`], [`codes::PEER_UNKNOWN`] or
    /// trouble of the store.
    pub(super) async fn set_rule(
        &self,
        dataset: &str,
        peer: &str,
        json: &str,
        by: &str,
    ) -> Result<RuleChange, Trouble> {
        let peer = self.peer(peer)?;
        let known = self.store.dataset(dataset).await?;
        self.store.peer(peer).await?;
        let _one_change_at_a_time = self.ruling.lock().await;
        if json.is_empty() {
            return match self.store.remove_rule(dataset, peer, by).await {
                Ok(()) => Ok(RuleChange::Removed),
                Err(StoreError::NotFound { .. }) => Ok(RuleChange::None),
                Err(error) => Err(error.into()),
            };
        }
        let (columns, kinds) = (columns_of(&known), Kind::ALL.map(Kind::name));
        let known = Known { kinds: &kinds, columns: &columns, limits: &LIMITS };
        let change = Change::read(json, &known).map_err(|why| Trouble::new(codes::BAD_REQUEST, why))?;
        if let Some(moment) = change.expires().filter(|moment| *moment <= self.store.now()) {
            let text = format!("the rule would have ended at {moment}, which is over; name a later moment, or none");
            return Err(Trouble::new(codes::BAD_REQUEST, text));
        }
        let old = self.rule(dataset, peer).await?;
        let rule = change.merge(old.as_ref().unwrap_or(&Rule::open(&known)));
        let stored = self.store.set_rule(dataset, peer, self::json(&rule)?, rule.expires, by).await?;
        let difference = old.map_or_else(Vec::new, |old| difference(&old, &rule, &LIMITS));
        Ok(RuleChange::Set { json: stored.rule.to_string(), difference })
    }

    /// The columns of a result of a job with a peer: those asked for, or all that our rule for the peer lets out and the
    /// file still has. Without a rule there are none.
    ///
    /// # Errors
    /// [`codes::REFUSED_BY_RULE`] with the first column that the rule withholds, or if it withholds every column.
    pub(super) async fn columns_out(
        &self,
        dataset: &Dataset,
        peer: PartyId,
        asked: Vec<String>,
    ) -> Result<Vec<String>, Trouble> {
        let allowed = self.rule(&dataset.name, peer).await?.unwrap_or_default().columns;
        if let Some(withheld) = asked.iter().find(|column| !allowed.contains(column)) {
            let text = format!("the rule for {peer} withholds column {withheld:?} from results");
            return Err(Trouble::new(codes::REFUSED_BY_RULE, text));
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        let there = columns_of(dataset);
        let columns: Vec<_> = allowed.into_iter().filter(|column| there.contains(&column.as_str())).collect();
        if columns.is_empty() {
            let text = format!("no rule for {peer} lets a column of {} into results", dataset.name);
            return Err(Trouble::new(codes::REFUSED_BY_RULE, text));
        }
        Ok(columns)
    }

    /// Our rule for a peer, if it has one.
    pub(super) async fn rule(&self, dataset: &str, peer: PartyId) -> Result<Option<Rule>, Trouble> {
        let Some(stored) = self.store.rule(dataset, peer).await? else { return Ok(None) };
        let rule = serde_json::from_value(stored.rule);
        rule.map(Some).map_err(|error| Trouble::internal(format!("a stored rule cannot be read: {error}")))
    }

    /// The file of a dataset with everything that reading it takes.
    pub(super) fn input(&self, dataset: &Dataset) -> Result<Input, Trouble> {
        let (source, spec, digest) = reading(&self.frames, dataset)?;
        Ok(Input { source, spec, digest, rows: dataset.rows, room: self.room, folder: self.folder() })
    }

    /// Reads the distinct keys of a dataset and makes sure that the file is the one registered. `job` gives them their
    /// places if they do not fit into memory.
    pub(super) async fn read(
        &self,
        dataset: &Dataset,
        most: u64,
        job: TermsHash,
        progress: Progress,
    ) -> Result<Set, Trouble> {
        let input = self.input(dataset)?;
        let set = blocking(move || Ok(input.read(&job, &progress)?)).await?;
        let (items, most) = (set.items(), most.min(tacitly_psi::MAX_ITEMS));
        if items > most {
            let text = format!("{} has {items} distinct keys, at most {most} fit into one job", dataset.name);
            return Err(Trouble::new(codes::TOO_MANY_ROWS, text));
        }
        Ok(set)
    }

    /// Streams the rows of a job's result as a file.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a format that does not exist, [`codes::RESULT_NONE`] if the result is a size, or
    /// trouble of the store.
    pub(super) async fn write(
        &self,
        dataset: Dataset,
        job: JobId,
        columns: Vec<String>,
        format: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Trouble>> + Send + use<>, Trouble> {
        let format = match format {
            "" | "csv" => OutputFormat::Csv { delimiter: intake::Delimiter::COMMA, header: true },
            "parquet" => OutputFormat::Parquet,
            _ => return Err(Trouble::new(codes::BAD_REQUEST, "a result is written as csv or parquet")),
        };
        let stored = StoredRows::of(self.store.clone(), job, self.room.memory).await?;
        let (source, _, digest) = reading(&self.frames, &dataset)?;
        let output = intake::Output { columns, format };
        let memory = self.room.memory;
        let (pieces, stream) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let writer = io::BufWriter::with_capacity(PIECE, Pieces(pieces.clone()));
            let budget = Budget::of_bytes(memory);
            let written = if stored.is_aligned() {
                let pieces = stored.in_order();
                intake::write_pieces(&source, Some(&digest), pieces, &output, &budget, writer)
            } else {
                stored.marked(dataset.rows).and_then(|rows| {
                    let selection = Selection::Marked(rows);
                    Ok(intake::write_rows(&source, Some(&digest), &selection, &output, &budget, writer)?)
                })
            };
            if let Err(trouble) = written {
                let _reader_gone = pieces.blocking_send(Err(trouble));
            }
        });
        Ok(ReceiverStream::new(stream))
    }

    /// Where what does not fit into memory is laid aside: beside the store.
    fn folder(&self) -> PathBuf {
        self.store.path().parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    pub(super) fn peer(&self, name: &str) -> Result<PartyId, Trouble> {
        name.parse().map_err(|_| Trouble::new(codes::PEER_UNKNOWN, "a peer's name is a party name"))
    }

    pub(super) async fn view(&self, dataset: &Dataset) -> Result<DatasetView, Trouble> {
        let rules = self.store.rules(Some(&dataset.name)).await?;
        let stated = self.store.fingerprint(&dataset.name, None).await?.map(|version| (version.period, version.basis));
        let (period, basis) = stated.unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Ok(DatasetView {
            name: dataset.name.clone(),
            path: dataset.path.display().to_string(),
            format: text(&dataset.format["kind"]),
            keys: dataset.keys.iter().map(|key| (key.column.clone(), key.profile.clone())).collect(),
            columns: dataset.columns.as_array().map(|names| names.iter().map(text).collect()).unwrap_or_default(),
            rows: dataset.rows,
            size: dataset.size,
            sha256: dataset.digest.clone(),
            duplicates: text(&dataset.settings["duplicates"]),
            invalid: text(&dataset.settings["invalid"]),
            rules: rules.into_iter().map(|rule| (rule.peer.to_string(), rule.rule.to_string())).collect(),
            added: dataset.replaced_at.unwrap_or(dataset.added_at).to_string(),
            period: period.unwrap_or_default(),
            basis: basis.unwrap_or_default(),
        })
    }
}

fn columns_of(dataset: &Dataset) -> Vec<&str> {
    dataset.columns.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect()
}

/// A writer whose pieces go to a stream; a reader that is gone ends the writing.
struct Pieces(mpsc::Sender<Result<Bytes, Trouble>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A dataset as the store keeps it.
pub(super) fn stored(
    name: String,
    path: PathBuf,
    format: serde_json::Value,
    inspected: &Inspection,
    spec: &KeySpec,
) -> Result<StoredDataset, Trouble> {
    let key = |of: &KeyColumn| DatasetKey { column: of.column.clone(), profile: of.profile.to_string() };
    Ok(StoredDataset {
        name,
        path,
        format,
        columns: json!(inspected.columns.iter().map(|column| &column.name).collect::<Vec<_>>()),
        keys: spec.columns.iter().map(key).collect(),
        settings: json(&Settings { duplicates: spec.duplicates, invalid: spec.invalid })?,
        rows: inspected.rows,
        size: inspected.digest.size,
        digest: digest_text(&inspected.digest),
    })
}

/// What is wrong with a file that can be read and has nothing to take part.
fn nobody(report: &Report) -> Option<String> {
    match (report.rows, report.distinct) {
        (0, _) => Some("the file has no rows, so every job with it finds nothing".to_owned()),
        (rows, 0) => Some(format!("not one of {rows} rows has a key that can take part, so every job finds nothing")),
        _ => None,
    }
}

/// How a registered file is read, and what it must hash to.
fn reading(frames: &Frames, dataset: &Dataset) -> Result<(Source, KeySpec, FileDigest), Trouble> {
    let unreadable = |error: serde_json::Error| Trouble::internal(format!("a stored dataset cannot be read: {error}"));
    let format = match frames.format_of(dataset)? {
        Some(frame) => frame,
        None => serde_json::from_value(dataset.format.clone()).map_err(unreadable)?,
    };
    let settings: Settings = serde_json::from_value(dataset.settings.clone()).map_err(unreadable)?;
    let keys: Vec<_> = dataset.keys.iter().map(|key| (key.column.clone(), key.profile.clone())).collect();
    let spec = KeySpec { columns: key_columns(&keys)?, duplicates: settings.duplicates, invalid: settings.invalid };
    let digits = dataset.digest.strip_prefix("sha256:").unwrap_or_default();
    let digest = json!({ "size": dataset.size, "sha256": digits });
    let digest = serde_json::from_value(digest).map_err(unreadable)?;
    Ok((Source { path: dataset.path.clone(), format }, spec, digest))
}

fn digest_text(digest: &FileDigest) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest.sha256))
}

fn format_of(new: &NewDataset) -> Result<Format, Trouble> {
    let bad = |text: String| Trouble::new(codes::BAD_REQUEST, text);
    let ending = new.path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = if new.format.is_empty() && ending == "parquet" { "parquet" } else { new.format.as_str() };
    match name {
        "parquet" if new.no_header => {
            Err(bad("a Parquet file always names its columns; leave out no-header".to_owned()))
        }
        "parquet" => Ok(Format::Parquet),
        "" | "csv" => {
            let encoding: Encoding = named(&new.encoding, "encodings are utf-8, gbk and gb18030")?;
            // A tab is hard to type at a prompt.
            let written = if ["tab", "\\t"].contains(&new.delimiter.as_str()) { "\t" } else { new.delimiter.as_str() };
            let mut characters = written.chars();
            let delimiter = match (characters.next(), characters.next()) {
                (None, _) => intake::Delimiter::COMMA,
                (Some(delimiter), None) => {
                    delimiter.try_into().map_err(|error: intake::BadDelimiter| bad(error.to_string()))?
                }
                _ => return Err(bad("a delimiter is one character, or tab".to_owned())),
            };
            Ok(Format::Csv { encoding, delimiter, header: !new.no_header })
        }
        _ => Err(bad("formats are csv and parquet".to_owned())),
    }
}

pub(super) fn key_columns(keys: &[(String, String)]) -> Result<Vec<KeyColumn>, Trouble> {
    if keys.is_empty() {
        return Err(Trouble::new(codes::BAD_REQUEST, "a dataset has at least one key column, COLUMN=PROFILE"));
    }
    let column = |(column, profile): &(String, String)| {
        let unknown = |error: intake::UnknownProfile| Trouble::new(codes::BAD_REQUEST, error.to_string());
        Ok(KeyColumn { column: column.clone(), profile: profile.parse::<Profile>().map_err(unknown)? })
    };
    keys.iter().map(column).collect()
}

/// A setting by its name; the default if it is empty.
pub(super) fn named<T: Default + for<'de> Deserialize<'de>>(name: &str, known: &str) -> Result<T, Trouble> {
    if name.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_value(name.into()).map_err(|_| Trouble::new(codes::BAD_REQUEST, known))
}

pub(super) fn json(value: &impl Serialize) -> Result<serde_json::Value, Trouble> {
    serde_json::to_value(value).map_err(|error| Trouble::internal(error.to_string()))
}

/// Runs work that reads files or computes for long, away from the threads that serve the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::internal("reading a file ended unexpectedly"))?
}
