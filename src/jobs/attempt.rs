//! One attempt at a job: read our data, agree with all parties on what they bring, run the parts, keep what we receive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tacitly_core::{PartyId, Seed};
use zeroize::Zeroizing;

use super::agreement;
use super::allowed::still_allow;
use super::collect::{Lasting, Need};
use super::core::{Core, terms_of};
use super::ends::Ends;
use super::kind::Kinds;
use super::message::generated as pb;
use super::part::{MakeParty, PartsOver, Stop, bits, of_bits};
use super::parts::over;
use super::run::Run;
use super::running::RunningJob;
use super::state::State;
use crate::codes::{self, Error};
use crate::store::{Job, JobChange};

/// Runs one attempt to its end: what we receive is kept by then, and what came of it is on record.
pub(super) async fn attempt(
    core: &Arc<Core>,
    kinds: &Kinds,
    job: &Job,
    attempt: (u32, BTreeSet<PartyId>),
    work: &RunningJob,
) -> Result<(), Stop> {
    let terms = terms_of(job)?;
    let receivers: Vec<_> = job.parties.iter().filter(|party| party.receives && !party.left_out).collect();
    let kind = kinds.find(&terms.kind)?.clone();
    let is_for_us = matches!(&receivers[..], [only] if only.party == core.me()) && !kind.serves(&terms);
    if is_for_us && Run::summary(core, job).await?.is_some() {
        // The process ended between our result and its receipt: there is nothing left to compute.
        Ends(core).record_done(job).await?;
        return Ok(());
    }
    still_allow(core, &terms, &*kind).await?;
    let seed = seed(core, job).await?;
    let maker = kind.clone();
    let make_party: MakeParty = Arc::new(move |task, input, seed, kept| maker.party(task, input, seed, kept));
    let quorum = kind.quorum(&terms);
    let run = Run::new(core.clone(), job.clone(), quorum, attempt, work.clone(), (seed, make_party))?;
    let prepared = kind.clone().prepare(run.clone()).await?;
    // Reading may have taken long; the rules of this moment count.
    still_allow(core, &terms, &*kind).await?;
    run.show("waiting for the others to read their data");
    let agreed = agreement::agree(&run, &*kind, prepared.offer()).await?;
    let over_there = ready(&run).await?;
    let run = run.agreed(over_there, agreed.contributions);
    let summary = tokio::select! {
        biased;
        broken = run.membership().broken() => {
            return Err(Error::new(codes::PROTOCOL_VIOLATION, broken.to_string()).with(broken.who).into());
        }
        summary = prepared.run(run.clone(), agreed.offers) => summary?,
    };
    if kind.serves(&terms) && summary.parts > 0 {
        return Err(Error::internal("the set-up of a service has no result").into());
    }
    run.keep_summary(&summary).await?;
    Ends(core).record_done(job).await?;
    Ok(())
}

/// The job's seed: drawn once, and sealed before it is used.
async fn seed(core: &Core, job: &Job) -> Result<Seed, Stop> {
    if let Some(seed) = core.store.secrets().seed(job.id).await? {
        return Ok(seed);
    }
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(bytes.as_mut()).map_err(|_| Error::new(codes::SYSTEM, "the system gives no randomness"))?;
    let running = State::Running.name();
    let change = JobChange { seed: Some(Seed::from_bytes(*bytes)), ..JobChange::by("daemon") };
    core.store.jobs().advance(job.id, &[running], running, change).await?;
    Ok(Seed::from_bytes(*bytes))
}

/// Everybody is at this attempt and ready. Returns which parts are over at the others.
async fn ready(run: &Run) -> Result<BTreeMap<PartyId, PartsOver>, Stop> {
    let mut ours = PartsOver::new();
    for (phase, part) in over(run.core(), run.job()).await?.into_keys() {
        ours.entry(phase).or_default().insert(part);
    }
    let phases = ours.into_iter().map(|(name, parts)| pb::Phase { name, over: bits(&parts).into() }).collect();
    let word = pb::ReadyWord { phases }.encode_to_vec();
    let words = run.collector().all(&format!("ready {}", run.attempt()), word, Lasting::OfAttempt, Need::ALL).await?;
    let mut there = BTreeMap::new();
    for (party, word) in words.into_iter().filter(|(party, _)| *party != run.me()) {
        let said = pb::ReadyWord::decode(word.bytes).map_err(|_| Error::lie(party, "its word cannot be read"))?;
        let over = said.phases.into_iter().map(|phase| (phase.name, of_bits(&phase.over))).collect();
        there.insert(party, over);
    }
    Ok(there)
}
