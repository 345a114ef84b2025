//! What moves a job, and what a step asks of the world.

use std::collections::BTreeSet;
use std::time::Duration;

use tacitly_core::PartyId;

use super::super::state::State;
use super::job::Standing;
use crate::codes::Error;
use crate::store::{Consent, Signature};

/// What a peer, a person, a rule, a clock or a task says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// This process takes the job up: it is new, or the daemon has just started.
    Started,
    /// The leader's proposal was written down here and is answered.
    Noted,
    /// The daemon begins nothing more.
    Draining,
    /// A person approves; `consent` is our signature.
    Approved {
        consent: Box<Consent>,
        by: String,
    },
    /// A person, or a rule that has changed, ends the job.
    Ended {
        state: State,
        why: Error,
        by: String,
    },
    /// A person resumes a suspended job.
    Resumed {
        by: String,
    },
    /// A person has a service pause here, or go on.
    Paused {
        by: String,
    },
    Unpaused {
        by: String,
    },
    /// A party has decided.
    Decided {
        from: PartyId,
        decision: Decided,
    },
    /// The leader asks whether there is room for an attempt, or tells us to begin it.
    Begin {
        attempt: u32,
    },
    Start {
        attempt: u32,
        with: BTreeSet<PartyId>,
        place: bool,
    },
    /// The leader gives an attempt up.
    Stop {
        attempt: u32,
    },
    /// How the job stands at another party, as it says itself or as it answers a word of ours.
    Standing {
        from: PartyId,
        standing: Standing,
        answers: Option<Message>,
    },
    /// Another party does not know the job.
    Unknown {
        from: PartyId,
    },
    /// The link to a party was given up.
    Lost {
        who: PartyId,
        why: Error,
    },
    /// It is our turn in the queue of this turn: the place is ours.
    Place {
        turn: u64,
    },
    /// The task of an attempt has ended.
    Finished {
        attempt: u32,
        how: Finish,
        quick: bool,
    },
    /// A timer of ours.
    Woke {
        turn: u64,
    },
}

/// What a party answers to a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Signed(Box<Consent>),
    Refused(Error),
    /// A person decides later.
    Pending,
}

/// How the task of an attempt ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Our part is done; with our receipt if we receive, whose result is stored by now.
    Computed(Option<Signature>),
    /// The attempt is void, by nobody's fault: a process is another one, or others wait for our place.
    Void,
    /// The link to a party was given up.
    Lost { who: PartyId, why: Error },
    /// The job cannot end well.
    Failed(Error),
}

/// What a step asks of the world. Rows are written first, in one transaction; only then comes the rest, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A row of the ledger.
    Write(Write),
    /// Says something to a party until it answers; a later word of the same kind takes its place.
    Tell { to: PartyId, message: Message },
    /// Queues for a running place; [`Event::Place`] says that it is ours.
    SeekPlace { turn: u64 },
    /// Gives the place back, or leaves the queue.
    LeavePlace,
    /// Begins the task of an attempt, which ends with [`Event::Finished`].
    Run { attempt: u32, with: BTreeSet<PartyId> },
    /// Ends the task of the attempt that computes, without a word.
    StopTask,
    /// Says [`Event::Woke`] after a while.
    Wake { turn: u64, after: Pause },
    /// Begins to serve: answers, asks and keeps the service up.
    Serve,
    /// Ends what [`Effect::Serve`] began, without a word.
    StopServing,
    /// Puts on record that the job is over without a result, or that a service is over.
    RecordEnd,
    /// Answers the party whose word this step is about.
    Answer { free: bool },
}

/// How long a timer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Until a party that has a place must have answered.
    Answer,
    /// Before the next attempt: longer, the more of them were in vain.
    Again { in_vain: u32 },
    /// For parties that the job can do without.
    Late,
    /// Before a party is asked again how the job stands.
    Glance,
    /// The same, while the job waits for a person.
    Rarely,
}

/// A row of the ledger that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// The state; `by` stands in the audit trail.
    State {
        state: State,
        failure: Option<Error>,
        by: String,
    },
    /// The set-up of a service is over, and goes on record; the secrets of its attempts are wiped.
    Serving {
        by: String,
    },
    /// The job ends here; secrets are wiped, and a result is released if it ends well.
    End {
        state: State,
        failure: Option<Error>,
        by: String,
    },
    /// An attempt begins.
    Attempt(u32),
    Consent {
        party: PartyId,
        consent: Box<Consent>,
    },
    Refused {
        party: PartyId,
    },
    LeftOut {
        party: PartyId,
    },
    Receipt {
        party: PartyId,
        receipt: Signature,
    },
}

/// What one party says to another about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The terms, for a decision.
    Propose,
    /// What we have decided.
    Decided,
    /// Is there room for this attempt?
    Begin { attempt: u32 },
    /// Take a place and begin.
    Start { attempt: u32, with: BTreeSet<PartyId> },
    /// This attempt is given up.
    Stop { attempt: u32 },
    /// How the job stands here.
    Standing,
}

/// What kind of word it is: a later one of the same kind takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Terms,
    Decision,
    Attempt,
    Standing,
}

impl Message {
    pub(crate) fn slot(&self) -> Slot {
        match self {
            Self::Propose => Slot::Terms,
            Self::Decided => Slot::Decision,
            Self::Begin { .. } | Self::Start { .. } | Self::Stop { .. } => Slot::Attempt,
            Self::Standing => Slot::Standing,
        }
    }
}

impl Pause {
    /// The time, where timers run: with `chance` from 0 to 1 for parties that must not stay in step.
    pub(crate) fn time(self, chance: f64) -> Duration {
        match self {
            Self::Answer => Duration::from_secs(5),
            Self::Again { in_vain } => {
                let longest = Duration::from_millis(20 << in_vain.min(7)).min(Duration::from_secs(2));
                longest.mul_f64(0.25 + 0.75 * chance.clamp(0.0, 1.0))
            }
            Self::Late => Duration::from_secs(10),
            Self::Glance => Duration::from_secs(5),
            Self::Rarely => Duration::from_secs(600),
        }
    }
}
