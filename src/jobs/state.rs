//! The states of a job and who may move it from which to which.

use std::fmt;
use std::str::FromStr;

/// Where a job stands in this party's ledger. `docs/jobs.md` shows the table of [`State::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The terms are out; the approver has not decided.
    Proposed,
    /// Both sides have signed the same terms.
    Approved,
    /// An attempt is under way.
    Running,
    /// The peer was lost; either side may resume.
    Suspended,
    /// Every receiver has stored its result.
    Done,
    /// It cannot end well any more.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// The approver's rule or person said no.
    Refused,
    /// Its set-up is over everywhere, and it answers questions.
    Serving,
    /// It answers and asks nothing here, until our operator lets it go on.
    Paused,
    /// Somebody has ended a service.
    Revoked,
    /// The time of a service is over.
    Expired,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Proposed,
        Self::Approved,
        Self::Running,
        Self::Suspended,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Refused,
        Self::Serving,
        Self::Paused,
        Self::Revoked,
        Self::Expired,
    ];

    /// The name in the ledger, the API and the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Serving => "serving",
            Self::Paused => "paused",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// The states this one may be left for, with who moves the job.
    #[must_use]
    pub fn next(self) -> &'static [(Self, &'static str)] {
        match self {
            Self::Proposed => &[
                (Self::Approved, "the approver's rule or person"),
                (Self::Refused, "the approver's rule or person"),
                (Self::Cancelled, "either side"),
                (Self::Failed, "the daemon: our rule has changed, or the peer does not know the job"),
            ],
            Self::Approved => &[
                (Self::Running, "the daemons: everybody begins to read its data"),
                (Self::Suspended, "the daemon: a party is lost"),
                (Self::Cancelled, "either side"),
                (Self::Failed, "the daemon: data, rule or peer"),
            ],
            Self::Running => &[
                (Self::Done, "the daemon: every receiver has stored its result"),
                (Self::Serving, "the daemon: every party of a service has stored its set-up"),
                (Self::Revoked, "the daemon: a party has ended the service before our set-up was over"),
                (Self::Suspended, "the daemon: the peer is lost"),
                (Self::Failed, "the daemon: data, rule, disk, protocol or peer"),
                (Self::Cancelled, "either side"),
            ],
            Self::Suspended => &[
                (Self::Running, "either side: resume"),
                (Self::Cancelled, "either side"),
                (Self::Failed, "the daemon: our rule has changed, or the peer's job is over"),
                (Self::Done, "the daemon: the peer's receipt arrives late"),
                (Self::Serving, "the daemon: the same, of a service"),
            ],
            Self::Serving => &[
                (Self::Paused, "our side: pause"),
                (Self::Revoked, "either side: revoke; or the daemon: rule, data or peer"),
                (Self::Expired, "the daemon: its time is over"),
            ],
            Self::Paused => &[
                (Self::Serving, "our side: unpause"),
                (Self::Revoked, "either side: revoke; or the daemon: rule, data or peer"),
                (Self::Expired, "the daemon: its time is over"),
            ],
            Self::Done | Self::Failed | Self::Cancelled | Self::Refused | Self::Revoked | Self::Expired => &[],
        }
    }

    /// The states from which `self` may be reached, by name: what a compare-and-set on the ledger expects.
    #[must_use]
    pub fn previous(self) -> Vec<&'static str> {
        Self::ALL
            .into_iter()
            .filter(|state| state.next().iter().any(|(next, _)| *next == self))
            .map(Self::name)
            .collect()
    }

    /// Whether nothing can happen to the job any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.next().is_empty()
    }

    /// Whether the job is a service whose set-up is over.
    #[must_use]
    pub fn is_service(self) -> bool {
        matches!(self, Self::Serving | Self::Paused)
    }

    /// Whether nothing happens unless somebody acts: over, suspended, or a service.
    #[must_use]
    pub fn is_at_rest(self) -> bool {
        self.is_over() || self == Self::Suspended || self.is_service()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A state this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is in a state that this version does not know; a newer one wrote the ledger")]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.name() == name).ok_or(UnknownState)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_that_reads_back() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert_eq!("asleep".parse::<State>(), Err(UnknownState));
    }

    #[test]
    fn a_job_that_is_over_stays_over_and_a_person_can_end_every_other() {
        for state in State::ALL {
            let ended = if state.is_service() { State::Revoked } else { State::Cancelled };
            let can_be_ended = state.next().iter().any(|(next, _)| *next == ended);
            assert_eq!(can_be_ended, !state.is_over(), "{state}");
        }
        assert_eq!(State::Done.previous(), ["running", "suspended"]);
        assert_eq!(State::Serving.previous(), ["running", "suspended", "paused"]);
    }
}
