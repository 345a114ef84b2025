//! Private set intersection as a kind of job: which rows two parties share.
//!
//! | file | holds |
//! |---|---|
//! | `kind.rs` | [`kinds`], [`names`]: what the engine is told, for each of the three flows |
//! | `settings.rs` | how this party runs one, and what its terms say |
//! | `attempt.rs` | one attempt: read our keys, agree on a way, run it in one piece or in buckets |
//! | `part.rs` | one session of the protocol as a part of a job |
//! | `contribution.rs` | what each side signs with the terms: its rows, and whether it learns the size first |
//! | `offer.rs`, `plan.rs` | what each side says of its set; in one piece or in buckets |
//! | `sets.rs` | our keys, in memory or spilled |
//! | `limits.rs`, `explain.rs` | the limits of a rule; what a person reads before approving |

mod attempt;
mod contribution;
mod explain;
mod kind;
mod limits;
mod offer;
mod part;
mod plan;
mod sets;
mod settings;

pub use kind::{kinds, names};
pub use settings::{Machine, Settings};
