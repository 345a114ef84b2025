//! The faces of the kinds of job: how the summary and the result of one are told to a person. A kind without a face is
//! told as its summary stands.
//!
//! | file | kinds |
//! |---|---|
//! | `psi.rs` | `intersect`, `align`, `cardinality` |

mod face;
mod psi;

use serde_json::{Map, Value};

use crate::rpc::control::Job;
use face::{Face, Lines, PLAIN};

const FACES: [Face; 1] = [psi::FACE];

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

/// The summary of a job, line by line: a name and a text.
pub(crate) fn summary(job: &Job) -> Lines {
    (face(&job.kind).summary)(&summary_of(job))
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
