//! One step of a job: the state as it changes, and the effects in their order.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

use super::super::state::State;
use super::effect::{Effect, Message, Pause, Write};
use super::job::{Activity, Decision, Job, Standing};
use crate::codes::{self, Error};
use crate::store::Signature;

/// A step that is being made.
pub(super) struct Step {
    pub(super) job: Job,
    pub(super) effects: Vec<Effect>,
}

impl Step {
    pub(super) fn of(job: Job) -> Self {
        Self { job, effects: Vec::new() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.job.ledger.state.is_over()
    }

    pub(super) fn is(&self, state: State) -> bool {
        self.job.ledger.state == state
    }

    /// Whether the set-up of a service is over, and the service is not.
    pub(super) fn is_service(&self) -> bool {
        self.job.ledger.state.is_service()
    }

    /// Whether attempts may begin.
    pub(super) fn may_run(&self) -> bool {
        matches!(self.job.ledger.state, State::Approved | State::Running)
    }

    /// Changes a row, here and in the ledger.
    pub(super) fn write(&mut self, write: Write) {
        let ledger = &mut self.job.ledger;
        match &write {
            Write::State { state, failure, .. } | Write::End { state, failure, .. } => {
                ledger.state = *state;
                ledger.failure.clone_from(failure);
            }
            Write::Serving { .. } => (ledger.state, ledger.failure) = (State::Serving, None),
            Write::Attempt(attempt) => ledger.attempt = *attempt,
            Write::Consent { party, consent } => {
                if let Some(member) = ledger.parties.get_mut(party) {
                    member.decision = Decision::Signed(consent.clone());
                }
            }
            Write::Refused { party } => {
                if let Some(member) = ledger.parties.get_mut(party) {
                    (member.decision, member.left_out) = (Decision::Refused, true);
                }
            }
            Write::LeftOut { party } => {
                if let Some(member) = ledger.parties.get_mut(party) {
                    member.left_out = true;
                }
            }
            Write::Receipt { party, receipt } => {
                if let Some(member) = ledger.parties.get_mut(party) {
                    member.receipt = Some(*receipt);
                }
            }
        }
        self.effects.push(Effect::Write(write));
    }

    pub(super) fn state(&mut self, state: State, failure: Option<Error>, by: &str) {
        self.write(Write::State { state, failure, by: by.to_owned() });
    }

    pub(super) fn tell(&mut self, to: PartyId, message: Message) {
        self.effects.push(Effect::Tell { to, message });
    }

    /// Says how the job stands: a member to the leader, the leader to every member.
    pub(super) fn notify_standing(&mut self) {
        let ledger = &self.job.ledger;
        let to: Vec<PartyId> = if ledger.leads() {
            // Who has not decided hears the terms first, and then only that there is nothing to decide any more.
            let hears = |party: &PartyId| match ledger.parties[party].decision {
                Decision::Signed(_) => true,
                Decision::Open => ledger.state.is_over(),
                Decision::Refused => false,
            };
            ledger.others().filter(hears).collect()
        } else {
            vec![ledger.leader]
        };
        to.into_iter().for_each(|to| self.tell(to, Message::Standing));
    }

    pub(super) fn wake(&mut self, after: Pause) {
        self.effects.push(Effect::Wake { turn: self.job.work.turn, after });
    }

    /// Begins another activity. Timers of the one before no longer count; its place and its task go with it unless the
    /// next one holds them, too.
    pub(super) fn enter(&mut self, activity: Activity) {
        let (held, computed) = (self.job.holds_place(), self.job.computing().is_some());
        let queued = matches!(self.job.work.activity, Activity::Queued { .. });
        self.job.work.activity = activity;
        self.job.work.turn += 1;
        if computed && self.job.computing().is_none() {
            self.effects.push(Effect::StopTask);
        }
        if (held || queued) && !self.job.holds_place() {
            self.effects.push(Effect::LeavePlace);
        }
    }

    /// Ends the job here without a result, and tells the others. Whatever ends a service before its time revokes it.
    pub(super) fn end(&mut self, state: State, why: Error, by: &str) {
        if self.is_over() {
            return;
        }
        self.enter(Activity::Idle);
        self.stop_serving();
        let state = match state {
            _ if !self.is_service() => state,
            State::Expired => state,
            _ if why.code == codes::TERMS_EXPIRED => State::Expired,
            _ => State::Revoked,
        };
        self.write(Write::End { state, failure: Some(why), by: by.to_owned() });
        self.effects.push(Effect::RecordEnd);
        self.notify_standing();
    }

    /// Waits for a person or a peer: somebody was lost.
    pub(super) fn suspend(&mut self, why: Error, by: &str) {
        if self.is_over() || self.is(State::Suspended) {
            return;
        }
        self.enter(Activity::Idle);
        self.job.work.computed = false;
        self.state(State::Suspended, Some(why), by);
        self.notify_standing();
    }

    /// Ends the job well if it is complete. A task that computes is a moment behind the others: it comes to its own end
    /// first, so that what it has seen goes on record.
    pub(super) fn end_if_complete(&mut self, by: &str) {
        if self.job.computing().is_none() {
            self.end_complete(by);
        } else if !self.is_over() && self.is_complete() {
            self.wake(Pause::Answer);
        }
    }

    /// Every receiver that is not left out has said that its result is stored, we among them.
    pub(super) fn is_complete(&self) -> bool {
        let ledger = &self.job.ledger;
        let ours_is_missing =
            ledger.parties.get(&ledger.me).is_none_or(|me| me.receipt.is_none() && (me.receives || me.left_out));
        !ours_is_missing && ledger.is_complete()
    }

    /// Serves, if that is how the job stands and the daemon goes on.
    pub(super) fn serve(&mut self) {
        if self.is(State::Serving) && !self.job.work.draining {
            self.effects.push(Effect::Serve);
        }
    }

    /// Serves no more, if it did.
    pub(super) fn stop_serving(&mut self) {
        if self.is(State::Serving) {
            self.effects.push(Effect::StopServing);
        }
    }

    /// The one way to `done`, or to `serving` where the kind of job serves.
    pub(super) fn end_complete(&mut self, by: &str) {
        if self.is_over() || self.is_service() || !self.is_complete() {
            return;
        }
        self.enter(Activity::Idle);
        if self.job.ledger.leads() {
            let undecided = |party: &PartyId| self.job.ledger.parties[party].decision == Decision::Open;
            let late: Vec<PartyId> = self.job.ledger.others().filter(undecided).collect();
            late.into_iter().for_each(|party| self.write(Write::LeftOut { party }));
        }
        if self.job.ledger.serves {
            self.write(Write::Serving { by: by.to_owned() });
            self.serve();
            self.wake(Pause::Rarely);
        } else {
            self.write(Write::End { state: State::Done, failure: None, by: by.to_owned() });
        }
        self.notify_standing();
    }

    /// Takes receipts over that are new here. Returns whether there were any.
    pub(super) fn add_receipts(&mut self, receipts: &BTreeMap<PartyId, Signature>) -> bool {
        let new: Vec<(PartyId, Signature)> = receipts
            .iter()
            .filter(|(party, _)| **party != self.job.ledger.me)
            .filter(|(party, _)| {
                let member = self.job.ledger.parties.get(party);
                member.is_some_and(|member| member.receives && member.receipt.is_none())
            })
            .map(|(party, receipt)| (*party, *receipt))
            .collect();
        for (party, receipt) in &new {
            self.write(Write::Receipt { party: *party, receipt: *receipt });
        }
        !new.is_empty()
    }

    /// Answers whoever asked; `free` says whether we could take a place.
    pub(super) fn answer(&mut self, free: bool) {
        self.effects.push(Effect::Answer { free });
    }

    /// A service that is over at a party that takes part is over here, too. Returns whether it is.
    pub(super) fn follow_end_of_service(&mut self, from: PartyId, standing: &Standing) -> bool {
        let ledger = &self.job.ledger;
        let takes_part = ledger.included().contains(&from) || from == ledger.leader;
        // Where our set-up still goes on although all have told that theirs is stored, nobody waits for it any more.
        let is_ours = self.is_service() || (ledger.serves && self.is_complete());
        let is_over = is_ours && takes_part && standing.state.is_over() && !self.is_over();
        if is_over {
            self.follow_end(from, standing);
        }
        is_over
    }

    /// What another party's end of the job means for ours.
    pub(super) fn follow_end(&mut self, from: PartyId, standing: &Standing) {
        let why = standing.failure.clone().unwrap_or_else(|| {
            Error::new(codes::PEER_FAILED, format!("{from} ended the job without a reason")).with(from)
        });
        let state = match standing.state {
            State::Cancelled => State::Cancelled,
            State::Revoked | State::Expired if self.job.ledger.serves && self.is_complete() => standing.state,
            State::Refused if self.is(State::Proposed) => State::Refused,
            _ => State::Failed,
        };
        self.end(state, why, from.as_str());
    }
}
