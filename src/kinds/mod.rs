//! The kinds of job. Each is one folder, behind the engine's [`JobKind`](crate::jobs::JobKind): a new kind is its protocol
//! crate, its folder here, its line in the daemon's list, and its faces in `cli` and Python.
//!
//! | kind | computes |
//! |---|---|
//! | `bench` | the question that it was asked, for `tacitly bench serve` alone |
//! | `psi` | which rows two parties share: `intersect`, `align`, `cardinality` |

pub mod bench;
pub mod psi;

/// The names of all kinds of this version.
#[must_use]
pub fn names() -> Vec<&'static str> {
    psi::names().to_vec()
}
