//! Steps of a service whose set-up is over: it serves, pauses for one side, and hears of its end.

use super::super::state::State;
use super::effect::Pause;
use super::job::Activity;
use super::step::Step;

/// Resumes a service. Somebody may have ended it while nobody could be told.
pub(super) fn resume(step: &mut Step) {
    step.serve();
    ask(step);
}

/// Tells the others how the service stands here; how it stands there is the answer.
fn ask(step: &mut Step) {
    step.notify_standing();
    step.wake(Pause::Rarely);
}

/// A person has it pause at this party.
pub(super) fn pause(step: &mut Step, by: &str) {
    if step.is(State::Serving) {
        step.stop_serving();
        step.state(State::Paused, None, by);
    }
}

/// A person lets it go on.
pub(super) fn unpause(step: &mut Step, by: &str) {
    if step.is(State::Paused) {
        step.state(State::Serving, None, by);
        step.serve();
    }
}

/// A timer of ours: an end that somebody could not tell, because its process was gone, is learned of by asking.
pub(super) fn woke(step: &mut Step) {
    if step.job.work.activity == Activity::Idle {
        ask(step);
    }
}
