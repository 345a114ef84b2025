//! What a session costs beside a bare stream, and what many links cost a coordinator: two processes over loopback TLS.
//!
//! | file | holds |
//! |---|---|
//! | `lockstep.rs` | small rounds through driver, link and TLS, and through bare tonic, with their times |
//! | `star.rs` | many senders, one coordinator, its memory |
//! | `other.rs` | the process at the other end |
//! | `site.rs` | a party on loopback with its certificate; what a process has used |

mod lockstep;
mod other;
mod site;
mod star;

pub use lockstep::{Lockstep, LockstepFigures};
pub use other::Role;
pub use star::{Star, StarFigures};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A session did not come to its end.
    #[error(transparent)]
    Ended(#[from] crate::session::Ended),
    /// A link did not come up.
    #[error(transparent)]
    Link(#[from] crate::session::LinkError),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl BenchError {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// The middle one of some values; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
