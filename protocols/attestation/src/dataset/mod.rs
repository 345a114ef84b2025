//! The fingerprint of a data set, made before anybody asks, from which one record can be opened alone.
//!
//! Record `i` has its own salt, `HMAC-SHA-256(seed, i)`; its leaf is `SHA-256(0x00, salt, record)`; over the leaves
//! stands an RFC 6962 tree. The fingerprint is `SHA-256("tacitly-dataset-1\n", rows, root)`, so it binds the exact
//! number of rows and hides it. To open a record its owner shows it with its salt and its path; every other record
//! stays behind its own salt.
//!
//! The records stand in the order in which the owner pushes them. That a record is *not* in the data set cannot be
//! shown this way; it would take a second tree over sorted records.

mod fingerprint;
mod opening;

pub use fingerprint::{DatasetSeed, Fingerprinter, RecordLeaf, RecordLeaves};
pub use opening::{MalformedOpening, Opener, OpenerFault, Opening, OpeningFault};
