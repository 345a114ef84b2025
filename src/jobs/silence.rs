//! Watches over an attempt that waits for others: its place is free for other jobs meanwhile, and a phase in which nothing
//! moves ends.
//!
//! A party that reads for an hour, or computes for one, is not silent: it says that it is at work when it is asked. Who waits
//! for others itself says since when nothing has moved there, so that a member follows what its leader hears.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::asking;
use super::core::Core;
use super::message::{Answer, Ask, generated as pb};
use super::running::RunningJob;
use crate::codes::{self, Error};
use crate::store::Job;

/// How often we look.
const LOOK: Duration = Duration::from_millis(100);
/// An attempt for which nothing has come for so long rests.
pub(super) const RESTS_AFTER: Duration = Duration::from_millis(250);
/// The longest time that an answer takes.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// Returns once others have said nothing for as long as may be, with whom we waited for.
pub(super) async fn silence(core: &Arc<Core>, job: &Job, work: &RunningJob) -> Error {
    // The leader names who is silent; members hear it from the leader, unless it is silent itself.
    let patience = if job.leader == core.me() { core.settings.idle } else { core.settings.idle.mul_f64(1.25) };
    let pause = core.settings.idle / 4;
    let mut outage = Outage::default();
    let (mut asked, mut asks, mut answered) = (Instant::now(), JoinSet::new(), BTreeSet::new());
    loop {
        tokio::select! {
            Some(Ok((party, still))) = asks.join_next() => match still {
                Some(still) => {
                    work.meter.has_sign(still);
                    answered.insert(party);
                }
                None => drop(answered.remove(&party)),
            },
            () = sleep(LOOK) => {}
        }
        if work.meter.still() >= RESTS_AFTER {
            core.places.rest(job.id);
        } else {
            core.places.wake(job.id);
        }
        let awaited = work.meter.awaited();
        // The reconnect window says how long a link may be down.
        let down_since = awaited.iter().filter_map(|party| core.peers.link_down_since(*party)).min();
        let silent = outage.forgive(down_since, work.meter.silent());
        if silent >= patience {
            return lost(&awaited, &answered, silent, &work.progress().stage);
        } else if silent >= pause && asked.elapsed() >= pause && asks.is_empty() {
            asked = Instant::now();
            asks = ask(core, job, work.attempt, &awaited);
        }
    }
}

/// How long a link was down the last time while nothing moved. That one is forgiven, and those before it are not: a link
/// that comes back again and again and brings nothing is no better than one that is silent.
#[derive(Default)]
struct Outage(Duration);

impl Outage {
    fn forgive(&mut self, down_since: Option<Instant>, silent: Duration) -> Duration {
        if let Some(since) = down_since {
            self.0 = since.elapsed();
        }
        // Something has moved since.
        self.0 = self.0.min(silent);
        silent - self.0
    }
}

/// Asks everybody we wait for, and can ask, since when nothing has moved there.
fn ask(core: &Arc<Core>, job: &Job, attempt: u32, awaited: &BTreeSet<PartyId>) -> JoinSet<(PartyId, Option<Duration>)> {
    let mut asks = JoinSet::new();
    for party in awaited.iter().copied().filter(|party| core.peers.has_link(*party)) {
        let (core, present) = (core.clone(), pb::Present { job: job.id.to_string(), attempt });
        asks.spawn(async move {
            let answer = timeout(LONGEST_ANSWER, asking::once(&core.peers, party, Ask::Present(present))).await;
            let still = match answer {
                Ok(Some(Answer::AtWork(at_work))) => Some(Duration::from_millis(at_work.still_ms)),
                _ => None,
            };
            (party, still)
        });
    }
    asks
}

/// Whoever does not even answer is named before those who wait themselves.
fn lost(awaited: &BTreeSet<PartyId>, answered: &BTreeSet<PartyId>, silent: Duration, stage: &str) -> Error {
    let who = awaited.difference(answered).next().or_else(|| awaited.first()).copied();
    let names: Vec<String> = awaited.iter().map(ToString::to_string).collect();
    let text = format!("nothing moved for {} s while we waited for {}", silent.as_secs(), names.join(", "));
    Error { who, ..Error::new(codes::PEER_LOST, text) }.during(stage)
}
