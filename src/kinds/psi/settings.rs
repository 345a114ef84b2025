//! How this party runs its intersections, and one of the three flows with it.

use tacitly_psi::Flow;

use super::explain::Machine;
use super::plan::Room;

/// How this party runs its intersections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes that one job may use for rows.
    pub memory: usize,
    /// Distinct keys up to which a job runs in one piece, and in one bucket above; 0: what `memory` allows.
    pub bucket_keys: u64,
    /// The largest set of distinct keys that one job takes.
    pub items_per_job: u64,
    /// What this machine needs, for estimates.
    pub machine: Machine,
}

/// A kind of intersection, and how it is run here.
pub(super) struct Psi {
    pub(super) flow: Flow,
    pub(super) settings: Settings,
}

impl Psi {
    pub(super) fn room(&self) -> Room {
        Room { memory: self.settings.memory, bucket_keys: self.settings.bucket_keys }
    }
}
