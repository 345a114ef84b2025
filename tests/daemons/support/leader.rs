//! A party that leads jobs of several daemons and is in the middle of all that they say to each other. It may show each
//! of them something else, and do as it likes with what one sends to another through it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::jobs::{CONSENT_CONTEXT, JobTerms, PartyTerms};
use tacitly::peers::wire;
use tacitly::relay::wire as relay;
use tacitly::store::{JobId, PublicKey, Signer as _};
use tacitly::test_bed::{Party as Daemon, until};
use tacitly::transport::{Connection, Envelope, Settings};
use tacitly_attestation::entry::{Code, Entry, SignedEntry};
use tacitly_core::{Frame, PartyId, SessionTag, Terms};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

use super::agreement::Offers;
use super::heard::BEAT;
use super::liar::{Liar, NAME};
use super::words::{Question, asked, decoded, question, said};

/// The labels of words.
const OFFERS: &str = "offers";
const AGREEMENT: &str = "agreement";

/// A leader of jobs of these daemons, played by the test.
pub(crate) struct Leader(BTreeMap<PartyId, Arc<Liar>>);

/// What one member is shown.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) terms: JobTerms,
    /// What the leader brings, in the kind's words.
    pub(crate) offer: Bytes,
    /// For which purpose the job is, in the note that the leader signs; nothing: for that of the terms.
    pub(crate) purpose: Option<&'static str>,
}

/// What becomes of a piece that one member brings for another: it may be changed, held, or given to somebody else, and
/// answered at once.
pub(crate) type Trick = Box<dyn FnMut(&mut Vec<relay::Piece>) -> Option<relay::Outcome> + Send>;

/// A question under way, and where its answer goes.
type Asked = (Question, oneshot::Sender<Bytes>);

/// A job that it leads. Dropped, it hangs up.
pub(crate) struct Led {
    table: Arc<Table>,
    tasks: Vec<JoinHandle<()>>,
}

/// What has been said in it.
struct Table {
    me: Arc<Liar>,
    faces: BTreeMap<PartyId, Face>,
    time: u64,
    /// By label: the words of members, and all words as each member was shown them.
    said: Mutex<BTreeMap<String, BTreeMap<PartyId, pb::Word>>>,
    shown: Mutex<BTreeMap<(String, PartyId), Vec<pb::Word>>>,
    trick: Mutex<Trick>,
    lines: BTreeMap<PartyId, UnboundedSender<Asked>>,
}

impl Leader {
    /// Becomes a peer of all of them.
    pub(crate) fn of(daemons: &[&Daemon], folder: &Path) -> Self {
        let first = Liar::join(daemons[0], folder);
        let others: Vec<Liar> = daemons[1..].iter().map(|daemon| first.also_joins(daemon)).collect();
        Self([first].into_iter().chain(others).map(|liar| (liar.victim, Arc::new(liar))).collect())
    }

    /// Everybody's key, its own among them.
    pub(crate) fn keys(&self) -> BTreeMap<PartyId, PublicKey> {
        let me = self.any();
        let members = self.0.iter().map(|(member, liar)| (*member, liar.victims_key));
        members.chain([(me.me, me.signer.public_key())]).collect()
    }

    /// It at one of the daemons, whichever.
    pub(crate) fn any(&self) -> &Arc<Liar> {
        self.0.values().next().unwrap()
    }

    /// Terms of a new job of all, to each of whom it brings this dataset, if any. Everybody receives.
    pub(crate) fn terms(&self, kind: &str, dataset: Option<&str>) -> JobTerms {
        let party = |(party, key): (PartyId, PublicKey)| {
            (party, PartyTerms { role: "party".to_owned(), key, dataset: dataset.map(str::to_owned), receives: true })
        };
        JobTerms {
            job: JobId::fresh(),
            kind: kind.to_owned(),
            leader: self.any().me,
            parties: self.keys().into_iter().map(party).collect(),
            params: Terms::new(),
            purpose: String::new(),
            nonce: [5; 16],
            expires: None,
        }
    }

    /// Begins to lead a job that each member sees by this face. Nothing is proposed yet.
    pub(crate) fn leads(&self, face: impl Fn(PartyId) -> Face, trick: Trick) -> Led {
        let (lines, ends): (BTreeMap<_, _>, Vec<_>) = self
            .0
            .keys()
            .map(|member| {
                let (line, end) = unbounded_channel();
                ((*member, line), (*member, end))
            })
            .unzip();
        let table = Arc::new(Table {
            me: self.any().clone(),
            faces: self.0.keys().map(|member| (*member, face(*member))).collect(),
            time: Timestamp::now().as_millisecond().try_into().unwrap(),
            said: Mutex::default(),
            shown: Mutex::default(),
            trick: Mutex::new(trick),
            lines,
        });
        let converse = |(member, end): (PartyId, _)| {
            let liar = &self.0[&member];
            let connection = liar.runtime.block_on(liar.call_as(liar.identity(), SignedDuration::ZERO)).unwrap();
            liar.runtime.spawn(table.clone().converse(member, connection, end))
        };
        let tasks = ends.into_iter().map(converse).collect();
        Led { table, tasks }
    }
}

impl Face {
    /// An honest one.
    pub(crate) fn of(terms: &JobTerms, offer: &[u8]) -> Self {
        Self { terms: terms.clone(), offer: Bytes::copy_from_slice(offer), purpose: None }
    }
}

impl Led {
    /// Proposes to every member. Returns whether each has decided at once.
    pub(crate) fn propose(&self) -> Vec<bool> {
        let propose = |(member, face): (&PartyId, &Face)| {
            let ask = Ask::Propose(pb::Propose {
                job: face.terms.job.to_string(),
                terms: face.terms.to_terms().canonical().into(),
                consent: Some(self.table.me.consent(CONSENT_CONTEXT, &face.terms)),
            });
            match self.ask(*member, ask) {
                Answer::Pending(_) => false,
                Answer::Decided(pb::Decided { consent: Some(_), .. }) => true,
                other => panic!("{member}: {other:?}"),
            }
        };
        self.table.faces.iter().map(propose).collect()
    }

    /// Begins the first attempt, with all of them, as soon as there is room.
    pub(crate) fn start(&self) {
        for (member, face) in &self.table.faces {
            let with: Vec<String> = face.terms.parties.keys().map(ToString::to_string).collect();
            let job = face.terms.job.to_string();
            let begun = until(|| {
                let start = Ask::Start(pb::Start { job: job.clone(), attempt: 1, with: with.clone() });
                match self.ask(*member, start) {
                    Answer::Standing(standing) => (standing.task() == pb::Task::Computing).then_some(()),
                    other => panic!("{member}: {other:?}"),
                }
            });
            assert!(begun.is_some(), "{member} does not begin");
        }
    }

    fn ask(&self, member: PartyId, ask: Ask) -> Answer {
        let asked = self.table.ask(member, asked(ask));
        let reply = self.table.me.runtime.block_on(asked).expect("the daemon hung up");
        match wire::Reply::decode(reply).unwrap().what.unwrap() {
            wire::reply::What::Body(body) => decoded(Some(body)),
            wire::reply::What::Busy(_) => panic!("{member} is busy"),
        }
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _aborted = self.table.me.runtime.block_on(task);
        }
    }
}

impl Table {
    /// Says what is to be said to a member, and answers it, until it hangs up.
    async fn converse(self: Arc<Self>, member: PartyId, mut line: Connection, mut asked: UnboundedReceiver<Asked>) {
        let (mut answering, mut awaited, mut asked_so_far) = (JoinSet::new(), BTreeMap::new(), 0);
        let mut beat = interval(BEAT);
        loop {
            let envelope = tokio::select! {
                _ = beat.tick() => Envelope::Heartbeat,
                Some((question, back)) = asked.recv() => {
                    asked_so_far += 1;
                    awaited.insert(asked_so_far, back);
                    question.request(asked_so_far)
                }
                Some(Ok((id, answer))) = answering.join_next() => Envelope::Response { id, outcome: Ok(said(answer)) },
                heard = line.receive() => {
                    match heard {
                        Ok(Envelope::Request { id, service, body }) => {
                            let table = self.clone();
                            answering.spawn(async move { (id, table.answer(member, &service, body).await) });
                        }
                        Ok(Envelope::Response { id, outcome: Ok(body) }) => {
                            let _nobody_waits = awaited.remove(&id).map(|back: oneshot::Sender<Bytes>| back.send(body));
                        }
                        Ok(Envelope::SessionOpen { session, channel, .. }) => {
                            for envelope in brings_nothing(session, channel) {
                                if line.send(envelope).await.is_err() {
                                    return;
                                }
                            }
                        }
                        Ok(_) => {}
                        Err(_) => return,
                    }
                    continue;
                }
            };
            if line.send(envelope).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, member: PartyId, question: Question) -> Option<Bytes> {
        let (back, answer) = oneshot::channel();
        self.lines[&member].send((question, back)).ok()?;
        answer.await.ok()
    }

    /// What it answers a member; nothing to what is about logs.
    async fn answer(&self, member: PartyId, service: &str, body: Bytes) -> Bytes {
        match service {
            "jobs" => {
                let ask = pb::Request::decode(body).unwrap().what.unwrap();
                pb::Reply { what: Some(self.hear(member, ask)) }.encode_to_vec().into()
            }
            "relay" => self.hand_on(relay::Piece::decode(body).unwrap()).await,
            _ => Bytes::new(),
        }
    }

    fn hear(&self, member: PartyId, ask: Ask) -> Answer {
        let (label, word) = match ask {
            Ask::Collect(pb::Collect { label, word, .. }) => (label, word),
            Ask::Present(_) => return Answer::AtWork(pb::AtWork { still_ms: 0 }),
            // Whatever a member says of the job, it goes on here.
            _ => return Answer::Standing(self.standing(member)),
        };
        let mut said = locked(&self.said);
        let words = said.entry(label.clone()).or_default();
        words.insert(member, word.unwrap());
        if words.len() < self.faces.len() {
            return Answer::Pending(pb::Pending {});
        }
        let words = words.clone();
        drop(said);
        Answer::Words(pb::Words { words: self.show(member, &label, words) })
    }

    /// How the job stands here, as a member is told.
    fn standing(&self, member: PartyId) -> pb::Standing {
        let (job, state) = (self.faces[&member].terms.job.to_string(), "running".to_owned());
        pb::Standing { job, state, attempt: 1, task: pb::Task::Computing.into(), ..pb::Standing::default() }
    }

    /// All words under a label as a member is shown them: the same whenever it asks.
    fn show(&self, member: PartyId, label: &str, mut words: BTreeMap<PartyId, pb::Word>) -> Vec<pb::Word> {
        let place = (label.to_owned(), member);
        if let Some(shown) = locked(&self.shown).get(&place) {
            return shown.clone();
        }
        let face = &self.faces[&member];
        words.insert(self.me.me, self.me.word(face.terms.job, label, self.own(member, label)));
        let shown: Vec<pb::Word> = words.into_values().collect();
        locked(&self.shown).insert(place, shown.clone());
        shown
    }

    /// Its own word, as this member sees it.
    fn own(&self, member: PartyId, label: &str) -> Bytes {
        let Face { terms, offer, purpose } = &self.faces[&member];
        let bytes = match label {
            OFFERS => {
                let consent = Some(self.me.consent(CONSENT_CONTEXT, terms));
                let log = format!("tacitly/{NAME}");
                let word = pb::OfferWord {
                    terms_hash: terms.to_terms().hash().0.to_vec().into(),
                    leader: consent.clone(),
                    consent,
                    offer: offer.clone(),
                    dataset: Bytes::new(),
                    salt: vec![9; 16].into(),
                    opening: Some(pb::Opening { log, time: self.time, party: Bytes::new() }),
                };
                word.encode_to_vec()
            }
            AGREEMENT => {
                let offers = Offers::read(locked(&self.shown)[&(OFFERS.to_owned(), member)].clone());
                let mut body = offers.body(terms);
                purpose.iter().for_each(|purpose| body.purpose = Code::parse(purpose).unwrap());
                let note = SignedEntry::new(Entry::new(offers.header(terms), body).unwrap());
                offers.shown(terms, self.me.line(NAME, &note)).encode_to_vec()
            }
            label if label.starts_with("ready ") => pb::ReadyWord::default().encode_to_vec(),
            _ => Vec::new(),
        };
        bytes.into()
    }

    /// Hands a piece on, or whatever it makes of it.
    async fn hand_on(&self, piece: relay::Piece) -> Bytes {
        let mut pieces = vec![piece];
        let says = (locked(&self.trick))(&mut pieces);
        let mut answer = Bytes::new();
        for piece in pieces {
            let Ok(to) = piece.to.parse::<PartyId>() else { continue };
            let Some(reply) = self.ask(to, question("relay", &piece)).await else { continue };
            if let Some(wire::reply::What::Body(body)) = wire::Reply::decode(reply).unwrap().what {
                answer = body;
            }
        }
        let says = says.map(|outcome| relay::Answer { outcome: outcome.into() }.encode_to_vec().into());
        says.unwrap_or(answer)
    }
}

/// The leader's own part in a session that a member has opened under this number: two messages, and no more.
fn brings_nothing(session: SessionTag, channel: u64) -> [Envelope; 3] {
    let message = move |sequence| {
        let frame = Frame { session, sequence, body: Bytes::copy_from_slice(&0i64.to_be_bytes()) };
        Envelope::SessionFrame { channel, frame, consumed: 0 }
    };
    let window = Settings::default().window;
    [Envelope::SessionOpen { session, channel, window }, message(0), message(1)]
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
