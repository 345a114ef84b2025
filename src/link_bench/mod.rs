//! What a session costs beside a bare stream, and what many links cost a coordinator: two processes over loopback TLS.
//!
//! | file | holds |
//! |---|---|
//! | `lockstep.rs` | small rounds through driver, link and TLS, and through bare tonic, with their times |
//! | `star.rs` | many senders, one coordinator, its memory |
//! | `role.rs`, `other.rs` | what the process at the other end does; the process |
//! | `site.rs` | a party on loopback with its certificate; what a process has used |

mod error;
mod lockstep;
mod other;
mod role;
mod site;
mod star;

pub use error::BenchError;
pub use lockstep::{Lockstep, LockstepFigures};
pub use role::Role;
pub use star::{Star, StarFigures};
