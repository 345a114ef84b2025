//! Datasets and rules in words: what an operator asks, and what it sees.

use std::path::PathBuf;

use tacitly_core::PartyId;

use crate::codes::{self, Error};
use crate::store::{Dataset, Rule, StoredFingerprint};

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
    /// Whether whoever replaces it may set rules: those that are there stand for the new file, too.
    pub confirms_rules: bool,
    /// Peers that get a rule without limits, if they have none.
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

/// A rule as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView {
    /// The party that it is for.
    pub peer: String,
    /// The rule in full.
    pub json: String,
    /// Whether it was given for another file than the dataset now is, so that a person decides each job.
    pub is_of_another_file: bool,
}

impl RuleView {
    fn of(rule: Rule) -> Self {
        let Rule { peer, rule, is_of_another_file, .. } = rule;
        Self { peer: peer.to_string(), json: rule.to_string(), is_of_another_file }
    }
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
    /// Its rules.
    pub rules: Vec<RuleView>,
    /// When it was added.
    pub added: String,
    /// The days that its data describe; empty: nothing is stated.
    pub period: String,
    /// The commitment to its lawful basis; empty: none was given.
    pub basis: String,
}

impl DatasetView {
    /// The dataset as its owner sees it, with its rules and what is stated of its present version.
    pub(super) fn of(dataset: &Dataset, rules: Vec<Rule>, version: Option<StoredFingerprint>) -> Self {
        let (period, basis) = version.map(|version| (version.period, version.basis)).unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Self {
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
            rules: rules.into_iter().map(RuleView::of).collect(),
            added: dataset.replaced_at.unwrap_or(dataset.added_at).to_string(),
            period: period.unwrap_or_default(),
            basis: basis.unwrap_or_default(),
        }
    }
}

/// The columns of a dataset.
pub(super) fn columns_of(dataset: &Dataset) -> Vec<&str> {
    dataset.columns.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect()
}

/// A peer by its name.
///
/// # Errors
/// [`codes::PEER_UNKNOWN`] for what can be no party's name.
pub(crate) fn peer_named(name: &str) -> Result<PartyId, Error> {
    name.parse().map_err(|_| Error::new(codes::PEER_UNKNOWN, "a peer's name is a party name"))
}
