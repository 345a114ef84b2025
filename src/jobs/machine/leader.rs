//! The leader's steps: it brings the terms to everybody, numbers the attempts, and tells how the job stands.

use std::collections::BTreeSet;

use tacitly_core::PartyId;

use super::super::state::State;
use super::effect::{Decided, Effect, Message, Pause, Write};
use super::job::{Activity, Decision, Standing, Task};
use super::step::Step;
use crate::codes::{self, Error};

/// How many attempts in a row may end as soon as they began before the job waits for a person.
const MOST_IN_VAIN: u32 = 15;

/// Takes the job up: undecided parties hear the terms, and what can run runs.
pub(super) fn resume(step: &mut Step) {
    match step.job.ledger.state {
        State::Proposed => {
            propose(step);
            step.wake(Pause::Rarely);
            approve_if_decided(step);
        }
        State::Approved | State::Running => {
            propose(step);
            gather(step);
        }
        _ => {}
    }
}

/// Brings the terms to whoever has not decided.
fn propose(step: &mut Step) {
    let open = undecided(step);
    open.into_iter().for_each(|party| step.tell(party, Message::Propose));
}

/// A party has decided.
pub(super) fn decided(step: &mut Step, from: PartyId, decision: Decided) {
    let is_open = step.job.ledger.parties.get(&from).is_some_and(|member| member.decision == Decision::Open);
    if step.is_over() || step.is_service() || !is_open {
        return;
    }
    match decision {
        Decided::Pending => {}
        Decided::Signed(consent) => {
            step.write(Write::Consent { party: from, consent });
            approve_if_decided(step);
        }
        Decided::Refused(why) => {
            step.write(Write::Refused { party: from });
            if can_still_be(step) {
                approve_if_decided(step);
            } else {
                step.end(State::Refused, why, from.as_str());
            }
        }
    }
}

/// Nobody can be lost any more below what the job needs.
fn can_still_be(step: &Step) -> bool {
    let there = step.job.ledger.parties.values().filter(|member| !member.left_out).count();
    there >= step.job.ledger.needed()
}

fn undecided(step: &Step) -> Vec<PartyId> {
    let open = |party: &PartyId| step.job.ledger.parties[party].decision == Decision::Open;
    step.job.ledger.others().filter(open).collect()
}

/// Approved once everybody that still takes part has signed; where the job can do without some, they are waited for a
/// little.
fn approve_if_decided(step: &mut Step) {
    if step.may_run() && matches!(step.job.work.activity, Activity::Gathering { .. }) {
        // It comes late, and takes part from here on.
        step.enter(Activity::Idle);
        gather(step);
    }
    if !step.is(State::Proposed) {
        return;
    }
    if undecided(step).is_empty() {
        approve(step);
    } else if step.job.ledger.included().len() >= step.job.ledger.needed() {
        step.enter(Activity::Idle);
        step.wake(Pause::Late);
    }
}

fn approve(step: &mut Step) {
    let leader = step.job.ledger.leader.to_string();
    step.state(State::Approved, None, &leader);
    gather(step);
}

/// Asks everybody for room. Nobody holds a place while this goes on.
fn gather(step: &mut Step) {
    if !step.may_run() || step.job.work.draining || step.job.work.activity != Activity::Idle {
        return;
    }
    let ledger = &step.job.ledger;
    let attempt = ledger.attempt + 1;
    let mut with = ledger.included();
    // Parties that were silent are asked once more where the job cannot do without them.
    if with.len() - with.intersection(&step.job.work.silent).count() >= ledger.needed() {
        with.retain(|party| !step.job.work.silent.contains(party));
    }
    step.job.work.computed = false;
    let others: Vec<PartyId> = with.iter().copied().filter(|party| *party != step.job.ledger.me).collect();
    step.enter(Activity::Gathering { attempt, with, free: BTreeSet::new() });
    others.into_iter().for_each(|party| step.tell(party, Message::Begin { attempt }));
    if step.job.ledger.needed() < step.job.ledger.parties.len() {
        step.wake(Pause::Late);
    }
    seek_place_if_all_are_free(step);
}

fn seek_place_if_all_are_free(step: &mut Step) {
    let me = step.job.ledger.me;
    if let Activity::Gathering { attempt, with, free } = &step.job.work.activity
        && with.iter().all(|party| *party == me || free.contains(party))
    {
        let (attempt, with) = (*attempt, with.clone());
        step.enter(Activity::Queued { attempt, with });
        step.effects.push(Effect::SeekPlace { turn: step.job.work.turn });
    }
}

/// It is our turn: everybody takes a place now and begins.
pub(super) fn place(step: &mut Step) {
    let Activity::Queued { attempt, with } = step.job.work.activity.clone() else {
        // Granted to an activity that is over.
        step.effects.push(Effect::LeavePlace);
        return;
    };
    let others: Vec<PartyId> = with.iter().copied().filter(|party| *party != step.job.ledger.me).collect();
    step.enter(Activity::Starting { attempt, with: with.clone(), started: BTreeSet::new() });
    step.write(Write::Attempt(attempt));
    let leader = step.job.ledger.leader.to_string();
    step.state(State::Running, None, &leader);
    others.into_iter().for_each(|party| step.tell(party, Message::Start { attempt, with: with.clone() }));
    step.wake(Pause::Answer);
    run_if_all_have_started(step);
}

fn run_if_all_have_started(step: &mut Step) {
    let me = step.job.ledger.me;
    if let Activity::Starting { attempt, with, started } = &step.job.work.activity
        && with.iter().all(|party| *party == me || started.contains(party))
    {
        let (attempt, with) = (*attempt, with.clone());
        step.job.work.silent.clear();
        step.enter(Activity::Computing { attempt, with: with.clone() });
        step.effects.push(Effect::Run { attempt, with });
    }
}

/// Gives the attempt up and makes another one after a pause.
pub(super) fn again(step: &mut Step, quick: bool) {
    let void = match &step.job.work.activity {
        Activity::Starting { attempt, with, .. } | Activity::Computing { attempt, with } => {
            Some((*attempt, with.clone()))
        }
        _ => None,
    };
    if let Some((attempt, with)) = void {
        let me = step.job.ledger.me;
        with.into_iter().filter(|party| *party != me).for_each(|party| step.tell(party, Message::Stop { attempt }));
    }
    step.job.work.computed = false;
    step.job.work.in_vain = if quick { step.job.work.in_vain + 1 } else { 0 };
    let in_vain = step.job.work.in_vain;
    if in_vain > MOST_IN_VAIN {
        step.job.work.in_vain = 0;
        let text = format!("{in_vain} attempts in a row ended as soon as they had begun");
        let who = step.job.work.silent.first().copied().or_else(|| step.job.ledger.others().next());
        let why = Error { who, ..Error::new(codes::PEER_LOST, text) };
        step.suspend(why, "daemon");
        return;
    }
    pause(step);
}

/// Asks everybody again after a while.
fn pause(step: &mut Step) {
    step.enter(Activity::Pausing);
    let in_vain = step.job.work.in_vain;
    step.wake(Pause::Again { in_vain });
}

/// A timer of the present activity.
pub(super) fn woke(step: &mut Step) {
    match step.job.work.activity.clone() {
        // Whoever has not decided by now is not waited for, if the job can do without it.
        Activity::Idle if step.is(State::Proposed) => {
            if step.job.ledger.included().len() >= step.job.ledger.needed() {
                approve(step);
            } else {
                resume(step);
            }
        }
        Activity::Idle if step.may_run() => {
            // We have done our part: receipts are to come.
            step.notify_standing();
            step.wake(Pause::Glance);
        }
        Activity::Pausing => {
            step.enter(Activity::Idle);
            gather(step);
        }
        Activity::Gathering { attempt, with, free } => {
            let me = step.job.ledger.me;
            let there: BTreeSet<PartyId> = with.iter().copied().filter(|id| *id == me || free.contains(id)).collect();
            if there.len() >= step.job.ledger.needed() {
                step.enter(Activity::Gathering { attempt, with: there, free });
                seek_place_if_all_are_free(step);
            } else {
                step.wake(Pause::Late);
            }
        }
        Activity::Starting { with, started, .. } => {
            let me = step.job.ledger.me;
            step.job.work.silent = with.into_iter().filter(|id| *id != me && !started.contains(id)).collect();
            again(step, true);
        }
        // The step with our place could not be made: a full disk, say.
        Activity::Queued { .. } => pause(step),
        Activity::Idle | Activity::Computing { .. } => {}
    }
}

/// How the job stands at a member.
pub(super) fn standing(step: &mut Step, from: PartyId, standing: &Standing, answers: Option<&Message>) {
    if step.is_over() || !step.job.ledger.parties.contains_key(&from) {
        return;
    }
    if standing.state == State::Refused {
        let why = standing.failure.clone();
        let why = why.unwrap_or_else(|| Error::new(codes::REFUSED_BY_PERSON, "a party refused").with(from));
        return decided(step, from, Decided::Refused(why));
    }
    let news = step.add_receipts(&standing.receipts);
    step.end_if_complete(from.as_str());
    if step.follow_end_of_service(from, standing) || step.is_over() || step.is_complete() {
        return;
    }
    if news {
        // The other receivers hear of it, for their own end.
        step.notify_standing();
    }
    if standing.state.is_over() {
        member_ended(step, from, standing);
        return;
    }
    match step.job.work.activity.clone() {
        Activity::Gathering { attempt, with, mut free } if standing.free && standing.attempt < attempt => {
            free.insert(from);
            step.job.work.activity = Activity::Gathering { attempt, with, free };
            seek_place_if_all_are_free(step);
        }
        // It has no room, or holds an older attempt that ends: everybody is asked again a little later.
        Activity::Gathering { attempt, .. } if answers == Some(&Message::Begin { attempt }) => pause(step),
        Activity::Starting { attempt, with, mut started } if with.contains(&from) => {
            if standing.attempt == attempt && standing.task != Task::None {
                started.insert(from);
                step.job.work.activity = Activity::Starting { attempt, with, started };
                run_if_all_have_started(step);
            } else if matches!(answers, Some(Message::Start { attempt: asked, .. }) if *asked == attempt) {
                // Its room is gone. Nobody holds a place while it looks for another.
                again(step, true);
            }
        }
        // It has forgotten the attempt, or given it up.
        Activity::Computing { attempt, with }
            if with.contains(&from) && standing.attempt == attempt && standing.task == Task::None =>
        {
            again(step, true);
        }
        Activity::Idle if step.may_run() => {
            let owes_receipt =
                step.job.ledger.parties.get(&from).is_some_and(|member| member.receives && member.receipt.is_none());
            if !step.job.work.computed || (owes_receipt && standing.task == Task::None) {
                gather(step);
            }
        }
        // Its own word, and no answer to ours: somebody has resumed the job there.
        Activity::Idle if step.is(State::Suspended) && standing.state == State::Running && answers.is_none() => {
            step.state(State::Running, None, from.as_str());
            gather(step);
        }
        _ => {}
    }
}

/// The job is over at a member: for all, unless the job can do without it.
fn member_ended(step: &mut Step, from: PartyId, standing: &Standing) {
    if standing.state == State::Done {
        // It has all receipts, and has told them.
        return;
    }
    if standing.state == State::Cancelled {
        step.follow_end(from, standing);
        return;
    }
    leave_out_or(step, from, |step| step.follow_end(from, standing));
}

/// A party was lost: the job waits, unless it can do without it.
pub(super) fn lost(step: &mut Step, who: PartyId, why: Error) {
    if !step.may_run() {
        return;
    }
    leave_out_or(step, who, |step| step.suspend(why, "daemon"));
}

/// Goes on without a party if the job can; otherwise what `otherwise` says.
fn leave_out_or(step: &mut Step, party: PartyId, otherwise: impl FnOnce(&mut Step)) {
    if step.job.ledger.parties.get(&party).is_none_or(|member| member.left_out) {
        return;
    }
    let left = step.job.ledger.included().iter().filter(|other| **other != party).count();
    if left < step.job.ledger.needed() || !step.job.ledger.included().contains(&party) {
        otherwise(step);
        return;
    }
    // Its receipt, if it gave one, still counts; it is not waited for.
    let computes = step.job.computing().is_some();
    step.write(Write::LeftOut { party });
    step.end_if_complete("daemon");
    if step.is_over() || computes {
        // A session that can go on without it does, and one that cannot ends by itself.
        return;
    }
    if !matches!(step.job.work.activity, Activity::Idle) || !step.job.work.computed {
        step.enter(Activity::Idle);
        gather(step);
    }
}

/// The task of our attempt came to its end and there are receipts to come.
pub(super) fn await_receipts(step: &mut Step) {
    step.notify_standing();
    step.wake(Pause::Glance);
}

/// A person resumes the job.
pub(super) fn resumed(step: &mut Step, by: &str) {
    step.state(State::Running, None, by);
    gather(step);
}
