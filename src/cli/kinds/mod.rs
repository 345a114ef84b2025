//! The faces of the kinds of job: how the summary and the result of one are told to a person. A kind without a face is
//! told as its summary stands.
//!
//! | file | kinds |
//! |---|---|
//! | `psi.rs` | `intersect`, `align`, `cardinality`, and `tacitly psi` |

pub(crate) mod psi;

use serde_json::{Map, Value};

use crate::rpc::control::Job;

/// Words and what stands beside them.
type Lines = Vec<(String, String)>;

/// How jobs of some kinds are told.
pub(crate) struct Face {
    /// Their names.
    kinds: &'static [&'static str],
    /// The result, of so many items.
    result: fn(items: u64) -> String,
    /// Whether a result consists of rows of the receiver's dataset.
    has_rows: fn(kind: &str) -> bool,
    /// The summary, a name of at most eight characters and a text each.
    summary: fn(&Map<String, Value>) -> Lines,
}

const FACES: [Face; 1] = [psi::FACE];

/// Of a kind that this program knows nothing of.
const PLAIN: Face = Face { kinds: &[], result: |items| format!("{items} items"), has_rows: |_| true, summary: plain };

fn face(kind: &str) -> &'static Face {
    FACES.iter().find(|face| face.kinds.contains(&kind)).unwrap_or(&PLAIN)
}

/// What the kind shows of a job: an object, empty if it shows nothing.
pub(crate) fn summary_of(job: &Job) -> Map<String, Value> {
    serde_json::from_str(&job.summary).unwrap_or_default()
}

/// The result of a job, of so many items.
pub(crate) fn result(job: &Job, items: u64) -> String {
    (face(&job.kind).result)(items)
}

/// Whether this party gets rows from a job, as far as can be told.
pub(crate) fn gets_rows(job: &Job, me: &str) -> bool {
    (face(&job.kind).has_rows)(&job.kind) && job.parties.iter().any(|party| party.party == me && party.receives)
}

/// The summary of a job, line by line: a name and a text.
pub(crate) fn summary(job: &Job) -> Vec<(String, String)> {
    (face(&job.kind).summary)(&summary_of(job))
}

fn plain(summary: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    summary.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_without_a_face_is_told_as_its_summary_stands() {
        let job = Job {
            kind: "tally".to_owned(),
            summary: r#"{"rounds":3,"note":"all there"}"#.to_owned(),
            ..Job::default()
        };
        let lines = [("note", "all there"), ("rounds", "3")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(summary(&job), lines);
        assert_eq!(result(&job, 7), "7 items");
    }
}
