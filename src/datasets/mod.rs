//! Data that jobs may use: files registered once and tables handed over for one job, what each is on record as, who may
//! ask what of them, and what is opened of them or destroyed.
//!
//! | file | holds |
//! |---|---|
//! | `register.rs` | [`Datasets`]: add, list, remove, rules; reading keys, writing rows |
//! | `frames.rs` | [`Frames`]: tables in memory, each for one job |
//! | `openings.rs` | [`Openings`]: one record, or the lawful basis, opened to an arbiter |
//! | `versions.rs` | every version of a dataset on record, and its erasure |
//! | `fingerprint.rs` | what is read and stated about a version: fingerprint, period, basis |
//! | `input.rs`, `output.rs` | a registered file to read; rows of it to write |
//! | `settings.rs`, `view.rs` | how a file is read, in words and as the store keeps it; a dataset as its owner sees it |
//!
//! The room knows no kind of job: which kinds and limits a rule may name is told when it is made.

mod fingerprint;
mod frames;
mod input;
mod openings;
mod output;
mod register;
mod settings;
#[cfg(test)]
mod tests;
mod versions;
mod view;

pub use frames::Frames;
#[cfg(test)]
pub(crate) use input::GiveUp;
pub(crate) use input::{Input, Progress};
pub use openings::{OpenBasis, OpenRecord, OpenedBasis, OpenedRecord, Openings};
pub(crate) use output::RowsOut;
pub use register::Datasets;
pub(crate) use register::Names;
pub(crate) use settings::key_spec;
pub(crate) use view::peer_named;
pub use view::{DatasetView, NewDataset, RuleChange, RuleView};
