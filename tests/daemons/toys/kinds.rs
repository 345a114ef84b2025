//! Kinds of job that only these tests know: the engine, the ledger, the control service and evidence have never heard of
//! them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::RngExt as _;
use serde_json::{Map, json};
use tacitly::attestation::entry::{self, Count, StatementFields, StatementSubject, StatementValue};
use tacitly::codes::{self, Error};
use tacitly::core::{Checkpoint, Fault, Halt, Mapped, Party, PartyId, Roles, Script, Seed, SessionTag, Terms, Value};
use tacitly::intake::{ColumnKind, ColumnSpec, Missing, Selection};
use tacitly::jobs::{
    Input, Inputs, JobKind, JobTerms, Learned, Offers, PartOutput, PartParty, Pending, Prepared, Protocol, Quorum, Run,
    Shape, Shown, Stop, Summary, Task, TaskSeed,
};
use tacitly::session::{SessionLimits, Window};
use zeroize::Zeroizing;

/// What a sum of columns is called: its figure, and what is stated of it.
const SUM: &str = "sum";

/// All of them.
pub(crate) fn toys() -> Vec<Arc<dyn JobKind>> {
    vec![Arc::new(Add), Arc::new(Toss), Arc::new(Gather)]
}

/// Any number of parties add a column of theirs, and all who receive learn the sum. In several parts if asked, which run
/// from the last to the first; without some of the parties if `needed` says so.
pub(crate) struct Add;

/// Any number of parties toss a coin together. Nobody brings data.
pub(crate) struct Toss;

/// Any number of parties tell the one that leads a number of theirs, and hear the sum from it: members never speak with
/// each other. Nobody brings data but as a reason for rules.
pub(crate) struct Gather;

fn integer(terms: &JobTerms, name: &str) -> Option<u64> {
    terms.params.get(name).and_then(Value::as_integer)
}

/// One party of a sum: nobody sees a number that is not masked by everybody else.
pub(crate) fn adder(
    session: SessionTag,
    me: PartyId,
    others: BTreeSet<PartyId>,
    number: i64,
    mut random: impl FnMut() -> i64 + Send + 'static,
) -> Script<i64> {
    Script::new(Roles::new(session, me, others.clone()), async move |mailbox| {
        mailbox.progress("sharing", 0, others.len() as u64);
        let mut kept = number;
        for party in &others {
            let share = random();
            kept = kept.wrapping_sub(share);
            mailbox.send(*party, share.to_be_bytes().to_vec());
        }
        let eight = |party: PartyId, body: &[u8]| -> Result<i64, Halt> {
            let bytes = body.try_into().map_err(|_| mailbox.blame(party, "not-eight-bytes", None))?;
            Ok(i64::from_be_bytes(bytes))
        };
        mailbox.round(1);
        for party in &others {
            kept = kept.wrapping_add(eight(*party, &mailbox.receive(*party).await?)?);
        }
        mailbox.round(2);
        mailbox.broadcast(kept.to_be_bytes().to_vec());
        let mut sum = kept;
        for party in &others {
            sum = sum.wrapping_add(eight(*party, &mailbox.receive(*party).await?)?);
        }
        mailbox.progress("sharing", others.len() as u64, others.len() as u64);
        Ok(sum)
    })
}

/// One party of a sum that the leader makes.
fn gatherer(session: SessionTag, me: PartyId, peers: BTreeSet<PartyId>, leads: bool, number: i64) -> Script<i64> {
    Script::new(Roles::new(session, me, peers.clone()), async move |mailbox| {
        let eight = |party: PartyId, body: &[u8]| -> Result<i64, Halt> {
            let bytes = body.try_into().map_err(|_| mailbox.blame(party, "not-eight-bytes", None))?;
            Ok(i64::from_be_bytes(bytes))
        };
        let mut sum = number;
        if !leads {
            mailbox.broadcast(number.to_be_bytes().to_vec());
        }
        mailbox.round(1);
        for party in &peers {
            let heard = eight(*party, &mailbox.receive(*party).await?)?;
            sum = if leads { sum.wrapping_add(heard) } else { heard };
        }
        if leads {
            mailbox.round(2);
            mailbox.broadcast(sum.to_be_bytes().to_vec());
        }
        Ok(sum)
    })
}

/// A party whose answer becomes a part of the job's result.
fn kept(party: Script<i64>, receives: bool) -> impl Party<Output = PartOutput> {
    Mapped::new(party, move |sum| {
        let result = receives.then(|| Zeroizing::new(format!("{sum}\n").into_bytes()));
        PartOutput { items: sum.cast_unsigned(), result, is_last_word: false }
    })
}

/// The terms of a sum's sessions: who receives it, and who leads where somebody does.
fn session(protocol: &str, terms: &JobTerms) -> Terms {
    let receivers: Vec<String> = terms.receivers().iter().map(ToString::to_string).collect();
    Terms::new()
        .with("protocol", protocol)
        .with("job", terms.job.to_string())
        .with("leader", terms.leader.as_str())
        .with("receivers", receivers)
}

fn receives(task: &Task) -> bool {
    let receivers = task.terms.get("receivers").and_then(Value::as_list).unwrap_or_default();
    receivers.iter().any(|party| party.as_text() == Some(task.me.as_str()))
}

/// One party of one part of a sum.
fn sum(task: &Task, input: Input, seed: Seed) -> Result<PartParty, Fault> {
    let (tag, mut rng) = (SessionTag::of(&task.terms_hash(), &task.label()), seed.into_rng());
    let party = adder(tag, task.me, task.peers.clone(), input.take()?, move || rng.random());
    Ok(Box::new(kept(party, receives(task))))
}

/// Puts a sum on record: it is about columns, and small enough for a count of an entry.
async fn state_sum(run: &Run, sum: i64) -> Result<(), Stop> {
    let unfit = |why: entry::Reason| Error::internal(why.to_string());
    let code = |text: &str| entry::Code::parse(text).map_err(unfit);
    let magnitude = StatementValue::Count(Count::new(sum.unsigned_abs()).map_err(unfit)?);
    let sign = StatementValue::Code(code(if sum < 0 { "negative" } else { "positive" })?);
    let fields = StatementFields::default().with(code("magnitude")?, magnitude).with(code("sign")?, sign);
    let subject = StatementSubject::Job(entry::Id(run.terms().job.to_bytes()));
    run.state(code(SUM)?, subject, fields).await.map(drop)
}

/// What both kinds do once their numbers are there: a sum for each part.
struct Ready {
    numbers: Vec<i64>,
    column: &'static str,
}

impl Prepared for Ready {
    fn offer(&self) -> Vec<u8> {
        (self.numbers.len() as u64).to_be_bytes().to_vec()
    }

    fn run(self: Box<Self>, run: Run, offers: Offers) -> Pending<'static, Result<Summary, Stop>> {
        Box::pin(async move {
            if offers.values().any(|offer| *offer != self.offer()) {
                return Err(Error::new(codes::TERMS_DIFFER, "the parties bring different numbers of parts").into());
            }
            let parts = self.numbers.len() as u32;
            let task = |part| {
                let (phase, me, peers) = ("sum".to_owned(), run.me(), run.others());
                let (terms, limits) = (session(self.column, run.terms()), SessionLimits::default());
                Task { phase, part, me, peers, terms, seed: TaskSeed::Fresh, limits }
            };
            // From the last to the first, and each as bytes on its way to whoever computes it.
            let tasks = (0..parts).rev().map(|part| Task::of_bytes(&task(part).to_bytes()?));
            let tasks = tasks.collect::<Result<Vec<_>, Error>>()?;
            let (numbers, receives) = (self.numbers, run.terms().receives(run.me()));
            let inputs: Inputs = Arc::new(move |task| Ok(Input::of(numbers[task.part as usize])));
            let sums = run.parts(tasks, Shown::default(), inputs).await?;
            let sum = sums.iter().fold(0i64, |sum, part| sum.wrapping_add(part.cast_signed()));
            let mut figures = Map::new();
            if receives {
                figures.insert(self.column.to_owned(), json!(sum));
                if self.column == SUM {
                    state_sum(&run, sum).await?;
                }
            }
            figures.insert("parties".to_owned(), json!(run.with().len()));
            Ok(Summary { parts: if receives { parts } else { 0 }, items: u64::from(parts), figures })
        })
    }
}

impl JobKind for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "toy-add", version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn check(&self, terms: &JobTerms) -> Result<(), Error> {
        let needed = integer(terms, "needed").unwrap_or(terms.parties.len() as u64);
        if terms.parties.values().any(|party| party.dataset.is_none()) || needed < 2 {
            return Err(Error::new(codes::BAD_REQUEST, "every party of a sum brings a dataset"));
        }
        Ok(())
    }

    fn quorum(&self, terms: &JobTerms) -> Quorum {
        integer(terms, "needed").map_or(Quorum::All, |needed| Quorum::AtLeast(needed as usize))
    }

    fn learns(&self, terms: &JobTerms, _: Option<&Offers>, who: PartyId) -> Vec<Learned> {
        let sum = Learned { code: "sum", sentence: "the sum of everybody's numbers".to_owned() };
        if terms.receives(who) { vec![sum] } else { Vec::new() }
    }

    fn party(&self, task: &Task, input: Input, seed: Seed, _: Vec<Checkpoint>) -> Result<PartParty, Fault> {
        sum(task, input, seed)
    }

    fn prepare(self: Arc<Self>, run: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        Box::pin(async move {
            let kind = ColumnKind::Decimal { places: 0 };
            let spec = ColumnSpec { column: "amount".into(), kind, missing: Missing::Error };
            let read = run.columns(vec![spec], Selection::All).await?;
            let amounts = read.columns.columns()[0].decimals().unwrap_or_default().to_vec();
            let parts = integer(run.terms(), "parts").unwrap_or(1).max(1) as usize;
            let part = |part| amounts.iter().skip(part).step_by(parts).sum();
            Ok(Box::new(Ready { numbers: (0..parts).map(part).collect(), column: SUM }) as Box<dyn Prepared>)
        })
    }
}

impl JobKind for Toss {
    fn name(&self) -> &'static str {
        "toss"
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "toy-toss", version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn check(&self, terms: &JobTerms) -> Result<(), Error> {
        if terms.parties.values().any(|party| party.dataset.is_some()) {
            return Err(Error::new(codes::BAD_REQUEST, "nobody brings data to a toss"));
        }
        Ok(())
    }

    fn learns(&self, _: &JobTerms, _: Option<&Offers>, _: PartyId) -> Vec<Learned> {
        vec![Learned { code: "coin", sentence: "which way the coin fell".to_owned() }]
    }

    fn party(&self, task: &Task, input: Input, seed: Seed, _: Vec<Checkpoint>) -> Result<PartParty, Fault> {
        sum(task, input, seed)
    }

    fn prepare(self: Arc<Self>, run: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        let number = run.seed_same("our coin").into_rng().random();
        Box::pin(async move { Ok(Box::new(Ready { numbers: vec![number], column: "coin" }) as Box<dyn Prepared>) })
    }
}

/// What a party of [`Gather`] does once its number is there.
struct Gathering(i64);

impl Prepared for Gathering {
    fn offer(&self) -> Vec<u8> {
        Vec::new()
    }

    fn run(self: Box<Self>, run: Run, _: Offers) -> Pending<'static, Result<Summary, Stop>> {
        Box::pin(async move {
            let leader = run.terms().leader;
            let peers = if run.me() == leader { run.others() } else { BTreeSet::from([leader]) };
            let (phase, terms) = ("gather".to_owned(), session("gather", run.terms()));
            // The leader has many links, and holds little of each.
            let limits = SessionLimits { window: Some(Window { frames: 2, bytes: 1 << 12 }), patience: None };
            let task = Task { phase, part: 0, me: run.me(), peers, terms, seed: TaskSeed::Fresh, limits };
            let inputs: Inputs = Arc::new(move |_| Ok(Input::of(self.0)));
            run.parts(vec![task], Shown::default(), inputs).await?;
            Ok(Summary { parts: 1, items: 1, figures: Map::new() })
        })
    }
}

impl JobKind for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "toy-gather", version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn check(&self, _: &JobTerms) -> Result<(), Error> {
        Ok(())
    }

    fn learns(&self, _: &JobTerms, _: Option<&Offers>, _: PartyId) -> Vec<Learned> {
        vec![Learned { code: "sum", sentence: "the sum of everybody's numbers".to_owned() }]
    }

    fn party(&self, task: &Task, input: Input, _: Seed, _: Vec<Checkpoint>) -> Result<PartParty, Fault> {
        let (tag, leads) =
            (SessionTag::of(&task.terms_hash(), &task.label()), task.terms.text("leader") == Ok(task.me.as_str()));
        Ok(Box::new(kept(gatherer(tag, task.me, task.peers.clone(), leads, input.take()?), true)))
    }

    fn prepare(self: Arc<Self>, run: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        let number = run.me().as_str().len() as i64;
        Box::pin(async move { Ok(Box::new(Gathering(number)) as Box<dyn Prepared>) })
    }
}
