//! The job machine: `step(job, event) -> (job, effects)`, for every kind of job and any number of parties.
//!
//! It is pure. An event is what a peer, a person, a rule, a clock or a task says; effects are rows to write, words to
//! say and tasks to begin. The rows of a step are one transaction, and come before everything else; whatever a crash
//! leaves unsaid or not begun is said or begun when [`Event::Started`] takes the job up again.
//!
//! - The leader is the only one that begins attempts, and numbers them. It asks everybody for room, waits for its own
//!   place, and tells everybody to begin: a place is held from there to the end of the task, and never while the job
//!   waits for a peer, a person or room elsewhere.
//! - There is one way to `done`: every receiver that is not left out has said that its result is stored. A job whose kind
//!   serves comes to `serving` by the same way, where every party has said that its set-up is stored; it holds no place,
//!   and serves again after every start until it is revoked or its time is over.
//! - Words may be lost, late and repeated: each names its attempt, and is answered with how the job stands here.

mod effect;
mod job;
mod leader;
mod member;
mod service;
mod step;
#[cfg(test)]
pub(super) mod tests;

pub use job::Quorum;

pub(crate) use effect::{Decided, Effect, Event, Finish, Message, Slot, Write};
pub(crate) use job::{Activity, Decision, Job, Ledger, Member, Standing, Task};

use self::step::Step;
use super::state::State;
use crate::codes::{self, Error};

/// One step. It accepts every event in every state; what does not fit changes nothing.
pub(crate) fn step(job: Job, event: Event) -> (Job, Vec<Effect>) {
    let mut step = Step::of(job);
    let leads = step.job.ledger.leads();
    match event {
        Event::Started => resume(&mut step),
        Event::Noted => member::wait(&mut step),
        Event::Draining => drain(&mut step),
        Event::Approved { consent, by } if !leads => member::approve(&mut step, consent, &by),
        Event::Approved { .. } => {}
        Event::Ended { state: State::Refused, why, by } if !leads => {
            if step.is(State::Proposed) {
                member::refuse(&mut step, why, &by);
            }
        }
        Event::Ended { state, why, by } => step.end(state, why, &by),
        Event::Resumed { by } if step.is(State::Suspended) => {
            if leads {
                leader::resumed(&mut step, &by)
            } else {
                member::resumed(&mut step, &by)
            }
        }
        Event::Resumed { .. } => {}
        Event::Paused { by } => service::pause(&mut step, &by),
        Event::Unpaused { by } => service::unpause(&mut step, &by),
        Event::Decided { from, decision } => {
            if leads {
                leader::decided(&mut step, from, decision);
            }
            step.answer(true);
        }
        Event::Begin { attempt } => member::begin(&mut step, attempt),
        Event::Start { attempt, with, place } => member::start(&mut step, attempt, with, place),
        Event::Stop { attempt } => member::stop(&mut step, attempt),
        Event::Standing { from, standing, answers } => {
            if leads {
                leader::standing(&mut step, from, &standing, answers.as_ref());
            } else {
                member::standing(&mut step, from, &standing);
            }
            step.answer(true);
        }
        Event::Unknown { from } => unknown(&mut step, from),
        Event::Lost { who, why } => lost(&mut step, who, why),
        Event::Place { turn } if leads && turn == step.job.work.turn => leader::place(&mut step),
        Event::Place { .. } if step.job.holds_place() => {}
        Event::Place { .. } => step.effects.push(Effect::LeavePlace),
        Event::Finished { attempt, how, quick } => finished(&mut step, attempt, how, quick),
        Event::Woke { turn } if turn == step.job.work.turn && step.is_service() => service::woke(&mut step),
        Event::Woke { turn } if turn == step.job.work.turn && step.job.computing().is_some() => {
            step.end_complete("daemon")
        }
        Event::Woke { turn } if turn == step.job.work.turn => {
            if leads {
                leader::woke(&mut step)
            } else {
                member::woke(&mut step)
            }
        }
        Event::Woke { .. } => {}
    }
    (step.job, step.effects)
}

/// Takes the job up. The process before this one may have ended a moment before it would have ended the job.
fn resume(step: &mut Step) {
    step.end_complete("daemon");
    if step.is_service() {
        service::resume(step);
    } else if step.job.ledger.leads() {
        leader::resume(step);
    } else {
        member::resume(step);
    }
}

fn drain(step: &mut Step) {
    step.job.work.draining = true;
    step.stop_serving();
    if step.job.computing().is_none() {
        step.enter(Activity::Idle);
    }
}

fn lost(step: &mut Step, who: tacitly_core::PartyId, why: Error) {
    if step.job.ledger.leads() {
        leader::lost(step, who, why);
    } else {
        member::lost(step, who, why);
    }
}

/// Another party does not know the job: it cannot go on there.
fn unknown(step: &mut Step, from: tacitly_core::PartyId) {
    let has_signed = |member: &Member| matches!(member.decision, Decision::Signed(_));
    if step.is_over() || !step.job.ledger.parties.get(&from).is_some_and(has_signed) {
        return;
    }
    let why = Error::new(codes::PEER_FAILED, format!("{from} does not know the job")).with(from);
    step.end(State::Failed, why, from.as_str());
}

/// The task of an attempt has ended.
fn finished(step: &mut Step, attempt: u32, how: Finish, quick: bool) {
    let leads = step.job.ledger.leads();
    if let Finish::Computed(Some(receipt)) = &how
        && !step.is_over()
    {
        // The result is stored, whatever has become of the attempt meanwhile.
        let (me, receipt) = (step.job.ledger.me, *receipt);
        if step.job.ledger.parties[&me].receipt.is_none() {
            step.write(Write::Receipt { party: me, receipt });
        }
    }
    if step.job.computing() == Some(attempt) && step.is_complete() {
        step.job.work.computed = matches!(how, Finish::Computed(_));
        step.enter(Activity::Idle);
    }
    if step.job.computing() != Some(attempt) {
        step.end_if_complete("daemon");
        return;
    }
    match how {
        Finish::Computed(_) => {
            step.job.work.in_vain = 0;
            step.job.work.activity = Activity::Idle;
            step.job.work.turn += 1;
            step.job.work.computed = true;
            step.effects.push(Effect::LeavePlace);
            if leads { leader::await_receipts(step) } else { member::await_end(step) }
        }
        Finish::Void if leads => leader::again(step, quick),
        Finish::Void => member::again(step),
        Finish::Lost { who, why } => {
            // Its task has ended already.
            if leads && step.job.ledger.quorum != Quorum::All {
                leader::lost(step, who, why);
                if step.job.computing() == Some(attempt) {
                    leader::again(step, quick);
                }
            } else {
                lost(step, who, why);
            }
        }
        Finish::Failed(why) => step.end(State::Failed, why, "daemon"),
    }
}
