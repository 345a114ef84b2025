//! A job as its machine sees it: what the ledger keeps, and what a crash forgets.

use std::collections::{BTreeMap, BTreeSet};

use tacitly_core::PartyId;

use super::super::state::State;
use crate::codes::Error;
use crate::store::{Consent, Signature};

/// Who must sign and begin, and how many may be lost on the way. The leader is always among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// Every party, to the end.
    All,
    /// At least so many parties, the leader counted; the others may refuse, stay away or be lost.
    AtLeast(usize),
}

/// A job at one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// What the ledger keeps.
    pub(crate) ledger: Ledger,
    /// What this process knows beside it.
    pub(crate) work: Work,
}

/// What the ledger keeps of a job. It changes in the transaction of a step only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) me: PartyId,
    pub(crate) leader: PartyId,
    pub(crate) quorum: Quorum,
    /// It serves where another job is done.
    pub(crate) serves: bool,
    pub(crate) state: State,
    /// The last attempt that began here.
    pub(crate) attempt: u32,
    /// All parties, also this one.
    pub(crate) parties: BTreeMap<PartyId, Member>,
    /// Why the state is not as it should be.
    pub(crate) failure: Option<Error>,
}

/// One party of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// It says when what it keeps of the job is stored: a receiver its result, every party of a service its set-up.
    pub(crate) receives: bool,
    pub(crate) decision: Decision,
    /// The job goes on without it.
    pub(crate) left_out: bool,
    /// Its word that its result is stored.
    pub(crate) receipt: Option<Signature>,
}

/// What a party has decided about the terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Open,
    Signed(Box<Consent>),
    Refused,
}

/// What this process knows of a job beside its ledger. A crash forgets it; [`Event::Started`](super::Event::Started)
/// makes up for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) activity: Activity,
    /// The task of the last attempt came to its end.
    pub(crate) computed: bool,
    /// Attempts in a row that ended as soon as they had begun.
    pub(crate) in_vain: u32,
    /// Parties that did not answer the last attempt in time.
    pub(crate) silent: BTreeSet<PartyId>,
    /// Tells a timer of this activity from an earlier one's.
    pub(crate) turn: u64,
    /// The daemon begins nothing more.
    pub(crate) draining: bool,
}

/// What the job does at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Nothing, or waiting for others. No place is held.
    #[default]
    Idle,
    /// As leader: asks everybody for room. No place is held.
    Gathering { attempt: u32, with: BTreeSet<PartyId>, free: BTreeSet<PartyId> },
    /// As leader: everybody has room, and we wait for ours. No place is held.
    Queued { attempt: u32, with: BTreeSet<PartyId> },
    /// As leader: we hold a place, and everybody is told to take one.
    Starting { attempt: u32, with: BTreeSet<PartyId>, started: BTreeSet<PartyId> },
    /// The attempt computes; its place is held.
    Computing { attempt: u32, with: BTreeSet<PartyId> },
    /// As leader: a pause before the next attempt. No place is held.
    Pausing,
}

/// How a job stands at a party, as others are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: State,
    /// The last attempt that began there.
    pub(crate) attempt: u32,
    pub(crate) task: Task,
    /// It could take a place for this job at this moment.
    pub(crate) free: bool,
    /// Receipts that it has, its own among them.
    pub(crate) receipts: BTreeMap<PartyId, Signature>,
    /// Parties that the job goes on without.
    pub(crate) left_out: BTreeSet<PartyId>,
    /// Why it stands so.
    pub(crate) failure: Option<Error>,
}

/// The task of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// There is none: not begun, given up, or forgotten by a restart.
    None,
    Computing,
    /// It came to its end.
    Computed,
}

impl Quorum {
    /// How many parties of `all` it needs.
    #[must_use]
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::All => all,
            Self::AtLeast(needed) => needed.min(all),
        }
    }
}

impl Ledger {
    pub(crate) fn leads(&self) -> bool {
        self.me == self.leader
    }

    /// The other parties.
    pub(crate) fn others(&self) -> impl Iterator<Item = PartyId> + '_ {
        self.parties.keys().copied().filter(|party| *party != self.me)
    }

    /// The parties that have signed and are not left out.
    pub(crate) fn included(&self) -> BTreeSet<PartyId> {
        let included = |member: &Member| !member.left_out && matches!(member.decision, Decision::Signed(_));
        self.parties.iter().filter(|(_, member)| included(member)).map(|(party, _)| *party).collect()
    }

    /// How many parties the job needs.
    pub(crate) fn needed(&self) -> usize {
        self.quorum.of(self.parties.len())
    }

    /// Whether every receiver that is not left out has said that its result is stored.
    pub(crate) fn is_complete(&self) -> bool {
        // A member knows of the others' decisions only what the leader says at the end.
        let takes_part = |member: &&Member| !(self.leads() && member.decision == Decision::Open);
        let receivers = self.parties.values().filter(|member| member.receives && !member.left_out);
        let mut receivers = receivers.filter(takes_part).peekable();
        receivers.peek().is_some() && receivers.all(|member| member.receipt.is_some())
    }

    /// The parties that the job goes on without.
    pub(crate) fn left_out(&self) -> BTreeSet<PartyId> {
        self.parties.iter().filter(|(_, member)| member.left_out).map(|(party, _)| *party).collect()
    }

    pub(crate) fn receipts(&self) -> BTreeMap<PartyId, Signature> {
        self.parties.iter().filter_map(|(party, member)| Some((*party, member.receipt?))).collect()
    }
}

impl Job {
    /// A job as the ledger has it, in a process that has just learned of it.
    pub(crate) fn of(ledger: Ledger) -> Self {
        Self { ledger, work: Work::default() }
    }

    /// Whether a running place is held.
    pub(crate) fn holds_place(&self) -> bool {
        matches!(self.work.activity, Activity::Starting { .. } | Activity::Computing { .. })
    }

    /// Whether nothing comes of the job without another attempt: none computes or has, and nobody has a result.
    pub(crate) fn awaits_an_attempt(&self) -> bool {
        self.computing().is_none() && !self.work.computed && self.ledger.receipts().is_empty()
    }

    /// The attempt that computes here.
    pub(crate) fn computing(&self) -> Option<u32> {
        match self.work.activity {
            Activity::Computing { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// What others are told; `free` says whether a place could be taken.
    pub(crate) fn standing(&self, free: bool) -> Standing {
        let task = match (self.computing(), self.work.computed) {
            (Some(_), _) => Task::Computing,
            (None, true) => Task::Computed,
            (None, false) => Task::None,
        };
        Standing {
            state: self.ledger.state,
            attempt: self.ledger.attempt,
            task,
            free: free && !self.work.draining,
            receipts: self.ledger.receipts(),
            left_out: self.ledger.left_out(),
            failure: self.ledger.failure.clone(),
        }
    }
}
