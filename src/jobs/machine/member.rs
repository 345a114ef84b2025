//! A member's steps: it decides, follows the leader's attempts, and asks the leader to begin again.

use std::collections::BTreeSet;

use tacitly_core::PartyId;

use super::super::state::State;
use super::effect::{Effect, Message, Pause, Write};
use super::job::{Activity, Decision, Standing};
use super::step::Step;
use crate::codes::{self, Error};
use crate::store::Consent;

/// Takes the job up: the leader hears what it may have missed.
pub(super) fn resume(step: &mut Step) {
    match step.job.ledger.state {
        // A person decides; the leader may end the job before, and its word may be lost.
        State::Proposed => step.wake(Pause::Rarely),
        State::Suspended => {}
        State::Approved | State::Running => {
            notify_decision(step);
            step.notify_standing();
            step.wake(Pause::Glance);
        }
        State::Refused => notify_decision(step),
        _ => {}
    }
}

fn notify_decision(step: &mut Step) {
    let leader = step.job.ledger.leader;
    step.tell(leader, Message::Decided);
}

/// Waits for the leader's word, and asks when it does not come.
pub(super) fn wait(step: &mut Step) {
    step.wake(if step.may_run() { Pause::Glance } else { Pause::Rarely });
}

/// We sign.
pub(super) fn approve(step: &mut Step, consent: Box<Consent>, by: &str) {
    if !step.is(State::Proposed) {
        return;
    }
    let me = step.job.ledger.me;
    step.write(Write::Consent { party: me, consent });
    step.state(State::Approved, None, by);
    step.enter(Activity::Idle);
    notify_decision(step);
    step.wake(Pause::Glance);
}

/// We refuse.
pub(super) fn refuse(step: &mut Step, why: Error, by: &str) {
    let me = step.job.ledger.me;
    if step.job.ledger.parties[&me].decision == Decision::Open {
        step.write(Write::Refused { party: me });
    }
    step.end(State::Refused, why, by);
    notify_decision(step);
}

/// The leader asks for room.
pub(super) fn begin(step: &mut Step, attempt: u32) {
    // An older attempt ends first; its place is free a moment later, when the leader asks again.
    let older = step.job.computing().is_some_and(|ours| ours < attempt);
    let suspended = step.is(State::Suspended);
    if suspended {
        let leader = step.job.ledger.leader.to_string();
        step.state(State::Running, None, &leader);
    }
    if older || suspended {
        step.job.work.computed = false;
        step.enter(Activity::Idle);
        step.wake(Pause::Glance);
    }
    let free = step.may_run() && !older && attempt > step.job.ledger.attempt;
    step.answer(free);
}

/// The leader begins an attempt; `place` says whether we got one for it.
pub(super) fn start(step: &mut Step, attempt: u32, with: BTreeSet<PartyId>, place: bool) {
    if step.job.computing() == Some(attempt) {
        step.answer(true);
        return;
    }
    let newer = attempt > step.job.ledger.attempt && step.job.computing().is_none_or(|ours| ours < attempt);
    let follows = step.may_run() && newer && !step.job.work.draining && with.contains(&step.job.ledger.me);
    if step.job.computing().is_some() && follows {
        // The place of the older attempt goes with it; the leader asks again.
        step.job.work.computed = false;
        step.enter(Activity::Idle);
        step.wake(Pause::Glance);
        step.answer(true);
        return;
    }
    if !(follows && place) {
        if place && step.job.computing().is_none() {
            step.effects.push(Effect::LeavePlace);
        }
        step.answer(true);
        return;
    }
    step.job.work.computed = false;
    step.enter(Activity::Computing { attempt, with: with.clone() });
    step.write(Write::Attempt(attempt));
    let leader = step.job.ledger.leader.to_string();
    step.state(State::Running, None, &leader);
    step.effects.push(Effect::Run { attempt, with });
    step.answer(true);
}

/// The leader gives an attempt up.
pub(super) fn stop(step: &mut Step, attempt: u32) {
    if step.job.computing() == Some(attempt) || (step.job.work.computed && step.job.ledger.attempt == attempt) {
        step.job.work.computed = false;
        step.enter(Activity::Idle);
        step.wake(Pause::Glance);
    }
    step.answer(true);
}

/// Our attempt is void: the leader begins another one.
pub(super) fn again(step: &mut Step) {
    step.job.work.computed = false;
    step.enter(Activity::Idle);
    step.notify_standing();
    step.wake(Pause::Glance);
}

/// How the job stands at the leader.
pub(super) fn standing(step: &mut Step, from: PartyId, standing: &Standing) {
    if step.is_over() || from != step.job.ledger.leader {
        return;
    }
    let known = step.job.ledger.left_out();
    let left_out: Vec<PartyId> = standing.left_out.difference(&known).copied().collect();
    left_out.into_iter().for_each(|party| step.write(Write::LeftOut { party }));
    step.add_receipts(&standing.receipts);
    step.end_if_complete(from.as_str());
    if step.follow_end_of_service(from, standing) || step.is_over() || step.is_complete() {
        return;
    }
    match standing.state {
        State::Done | State::Serving | State::Paused => {
            // All others have their result, and nobody waits for us.
            let text = "the job was finished without this party, which could not be reached in time";
            step.end(State::Failed, Error::new(codes::LEFT_OUT, text).with(from), from.as_str());
        }
        state if state.is_over() => step.follow_end(from, standing),
        // Only what it says of this attempt or a later one counts: words may be late.
        State::Suspended if step.may_run() && standing.attempt >= step.job.ledger.attempt => {
            let why = standing.failure.clone();
            let why = why.unwrap_or_else(|| Error::new(codes::PEER_LOST, "a party was lost").with(from));
            step.suspend(why, from.as_str());
        }
        _ => {}
    }
}

/// A party was lost. Whoever it is, the leader decides what comes of it, unless it is the leader.
pub(super) fn lost(step: &mut Step, who: PartyId, why: Error) {
    if !step.may_run() {
        return;
    }
    if who == step.job.ledger.leader {
        step.suspend(why, "daemon");
    } else if step.job.computing().is_some() {
        again(step);
    }
}

/// A timer of the present activity: the leader is asked how the job stands.
pub(super) fn woke(step: &mut Step) {
    if step.job.work.activity != Activity::Idle {
        return;
    }
    if step.may_run() {
        step.notify_standing();
        step.wake(Pause::Glance);
    } else if step.is(State::Proposed) {
        step.notify_standing();
        step.wake(Pause::Rarely);
    }
}

/// The task of our attempt came to its end.
pub(super) fn await_end(step: &mut Step) {
    step.notify_standing();
    step.wake(Pause::Glance);
}

/// A person resumes the job.
pub(super) fn resumed(step: &mut Step, by: &str) {
    step.state(State::Running, None, by);
    step.enter(Activity::Idle);
    step.notify_standing();
    step.wake(Pause::Glance);
}
