//! What this party puts on record, and how it gets into its attestation log. *Sign before serve*: an entry is durable in
//! the log before what it attests takes place.
//!
//! | file | holds |
//! |---|---|
//! | `recorder.rs` | entries signed, put down, and found again |
//! | `outbox.rs` | their way from the ledger into the log, each at the place that was committed before |

mod outbox;
mod recorder;

pub(crate) use recorder::{Recorded, Recorder, entry_key, malformed, now, random, unfit};
