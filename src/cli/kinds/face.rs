//! How the summary and the result of a job are told, by its kind.

use serde_json::{Map, Value};

/// Names of at most eight characters, and the text beside each.
pub(crate) type Lines = Vec<(String, String)>;

/// How jobs of some kinds are told.
pub(crate) struct Face {
    /// Their names.
    pub(super) kinds: &'static [&'static str],
    /// The result, of so many items.
    pub(super) result: fn(items: u64) -> String,
    /// The summary.
    pub(super) summary: fn(&Map<String, Value>) -> Lines,
}

/// Of a kind that this program knows nothing of.
pub(super) const PLAIN: Face = Face { kinds: &[], result: |items| format!("{items} items"), summary: plain };

fn plain(summary: &Map<String, Value>) -> Lines {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    summary.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}
