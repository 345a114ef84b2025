//! What this party puts on record, and how it gets into its attestation log. *Sign before serve*: an entry is durable in
//! the log before what it attests takes place.
//!
//! | file | holds |
//! |---|---|
//! | `recorder.rs` | entries signed, put down, and found again |
//! | `reader.rs` | to whom something under an entry is opened |
//! | `outbox.rs` | their way from the ledger into the log, each at the place that was committed before |

mod outbox;
mod reader;
mod recorder;

pub(crate) use reader::Reader;
pub(crate) use recorder::{Recorded, Recorder, entry_key, now, random, unfit};
