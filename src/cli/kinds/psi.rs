//! How a private set intersection is told.

use serde_json::{Map, Value};

use super::face::{Face, Lines};

/// How an intersection is told.
pub(super) const FACE: Face =
    Face { kinds: &["intersect", "align", "cardinality"], result: |items| format!("{items} shared"), summary: lines };

/// What is known of both sets, and what to look at if nothing is shared.
fn lines(summary: &Map<String, Value>) -> Lines {
    let keys = summary.get("our_items").zip(summary.get("peer_items"));
    let keys = keys.map(|(ours, theirs)| ("keys", format!("{ours} here, {theirs} there")));
    let buckets = summary.get("buckets").map(|buckets| ("buckets", buckets.to_string()));
    let hint = summary.get("hint").and_then(Value::as_str).map(|hint| ("hint", hint.to_owned()));
    [keys, buckets, hint].into_iter().flatten().map(|(name, text)| (name.to_owned(), text)).collect()
}
