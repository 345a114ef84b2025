//! A peer that lies. It has a certificate, a signing key and a connection like any other, follows jobs as it should, and
//! says what its script says in place of what an honest party would.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use tacitly::attest::wire as logs;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::jobs::{CONSENT_CONTEXT, JobTerms, Kind, RECEIPT_CONTEXT, WHOLE, attempt_label, consented};
use tacitly::peers::{ENROLMENT_CONTEXT, enrolment_words, read_invitation, wire};
use tacitly::session::Retagged;
use tacitly::store::{FileSigner, JobId, NoteSigner, Signer};
use tacitly::transport::{
    Application, BootId, Connection, Entry, Envelope, Grpc, Hello, LinkError, Notice, Pin, Roster, Settings,
    TlsIdentity, Transport, Window, WireRange,
};
use tacitly::trial::Party as Daemon;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::entry::{self, Body, Header, Origin, SignedEntry};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::witness::AddCheckpoint;
use tacitly_core::{Frame, Party, PartyId, Seed, SessionTag, Terms};
use tacitly_psi::{Flow, Member, PsiParty, PsiTerms};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::body::is_answers;
use super::heard::{BEAT, canonical, fresh_identity, hear_alive};
use super::script::{Script, Seen};
use super::words::{asked, await_answer, decoded, question, said};

/// Our number for every session: there is one at a time.
const CHANNEL: u64 = 1;

/// The name under which the liar is pinned.
pub(crate) const NAME: &str = "mallory";

/// A peer of one daemon, played by the test.
pub(crate) struct Liar {
    pub(crate) me: PartyId,
    /// The daemon.
    pub(crate) victim: PartyId,
    /// Where the daemon listens.
    pub(crate) address: SocketAddr,
    pub(crate) roster: Arc<Roster>,
    pub(crate) runtime: Runtime,
    pub(crate) certificate: String,
    pub(crate) key: String,
    signer: Arc<FileSigner>,
    calls: AtomicU64,
    /// The terms that it signed last.
    terms: Mutex<Option<JobTerms>>,
}

impl Liar {
    /// Joins a daemon by one of its invitations.
    pub(crate) fn join(daemon: &Daemon, folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let me: PartyId = NAME.parse().unwrap();
        let identity = fresh_identity(me);
        let signer = Arc::new(FileSigner::create(&folder.join("mallory.key")).unwrap());
        let invitation = daemon.tacitly(&["peer", "invite"]).unwrap();
        let (inviter, token) = read_invitation(invitation["code"].as_str().unwrap()).unwrap();
        let roster = Arc::new(Roster::new());
        let address = Some(inviter.address.clone());
        roster.set(inviter.party, Entry { pins: vec![inviter.pin], address, proxy: None });
        let liar = Self {
            me,
            victim: inviter.party,
            address: inviter.address.parse().unwrap(),
            roster,
            runtime,
            certificate: identity.certificate_pem().to_owned(),
            key: identity.key_pem().to_string(),
            signer,
            calls: AtomicU64::new(0),
            terms: Mutex::default(),
        };
        let application = liar.application(me, token, identity.pin());
        liar.runtime.block_on(liar.transport(identity).enrol(&inviter, application)).unwrap();
        liar
    }

    /// A well-signed application to join the daemon under this name.
    pub(crate) fn application(&self, name: PartyId, token: Bytes, pin: Pin) -> Application {
        let signature = self.signer.sign(ENROLMENT_CONTEXT, &enrolment_words(name, self.victim, pin)).unwrap();
        let identity_key = self.signer.public_key().to_string().into();
        Application { token, identity_key, address: None, signature: signature.to_string().into() }
    }

    /// The identity that the daemon has pinned.
    pub(crate) fn identity(&self) -> TlsIdentity {
        TlsIdentity::from_pem(&self.certificate, &self.key).unwrap()
    }

    /// A transport that shows this identity and knows the daemon.
    pub(crate) fn transport(&self, identity: TlsIdentity) -> Grpc {
        Grpc::new(identity, self.roster.clone(), None, Settings::default())
    }

    /// A connection on which both sides have introduced themselves, this one as a fresh process.
    pub(crate) async fn call(&self) -> Result<Connection, LinkError> {
        self.call_as(self.identity(), SignedDuration::ZERO).await
    }

    /// The same, with this certificate, and with its clock so far ahead.
    pub(crate) async fn call_as(&self, identity: TlsIdentity, ahead: SignedDuration) -> Result<Connection, LinkError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut connection = self.transport(identity).dial(self.victim).await?;
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&number.to_be_bytes());
        let hello = Hello {
            wire: WireRange::OURS,
            features: [].into(),
            software: "mallory 6.6.6".to_owned(),
            party: self.me,
            boot: BootId(boot),
            connection: number,
            lost: 0,
            window: Window { frames: 64, bytes: 8 << 20 },
            clock: Some(Timestamp::now() + ahead),
        };
        connection.send(Envelope::Hello(hello)).await?;
        match connection.receive().await? {
            Envelope::Hello(_) => Ok(connection),
            other => panic!("no greeting but {other:?}"),
        }
    }

    /// Calls with its clock so far ahead, and keeps the connection until the returned task is aborted.
    pub(crate) fn stays(&self, ahead: SignedDuration) -> JoinHandle<()> {
        let mut connection = self.runtime.block_on(self.call_as(self.identity(), ahead)).unwrap();
        self.runtime.spawn(async move { while hear_alive(&mut connection).await.is_ok() {} })
    }

    /// Asks the daemon one thing about jobs, on a connection of its own.
    pub(crate) fn ask(&self, ask: Ask) -> Answer {
        decoded(self.put(self.identity(), [asked(ask)]).remove(0))
    }

    /// Puts one question to the daemon after the other, with this certificate; nothing is the answer of a busy service.
    pub(crate) fn put(&self, identity: TlsIdentity, questions: impl IntoIterator<Item = Bytes>) -> Vec<Option<Bytes>> {
        self.runtime.block_on(async {
            let mut connection = self.call_as(identity, SignedDuration::ZERO).await.unwrap();
            let mut answers = Vec::new();
            for (id, body) in (1..).zip(questions) {
                connection.send(Envelope::Request { id, body }).await.unwrap();
                answers.push(await_answer(&mut connection).await);
            }
            answers
        })
    }

    /// Asks the daemon all of this at once.
    pub(crate) fn ask_at_once(&self, asks: Vec<Ask>) -> Vec<Answer> {
        self.runtime.block_on(async {
            let mut connection = self.call().await.unwrap();
            let count = asks.len();
            for (id, ask) in (1..).zip(asks) {
                connection.send(Envelope::Request { id, body: asked(ask) }).await.unwrap();
            }
            let mut answers = Vec::new();
            while answers.len() < count {
                answers.push(decoded(await_answer(&mut connection).await));
            }
            answers
        })
    }

    /// A word that this pin is ours, signed for this purpose; it replaces older ones at once or stands beside them.
    pub(crate) fn rotation(&self, context: &str, pin: &str, replaces: bool) -> Bytes {
        let mut rotate = wire::Rotate { pin: pin.to_owned(), replaces, grace_seconds: 0, signature: String::new() };
        let words = format!("{}\n{}\n{pin}\n{replaces}\n0", self.me, self.victim);
        rotate.signature = self.signer.sign(context, words.as_bytes()).unwrap().to_string();
        question("peers", &wire::Request { what: Some(wire::request::What::Rotate(rotate)) })
    }

    /// An entry of its log with this body, well signed.
    pub(crate) fn entry(&self, like: &Header, body: impl Into<Body>) -> Vec<u8> {
        let log = Origin::parse("tacitly/mallory").unwrap();
        let mut note = SignedEntry::new(entry::Entry::new(Header { by: self.me, log, ..like.clone() }, body).unwrap());
        let key = VerifierKey::new(NAME, KeyUse::Text, self.signer.public_key().as_bytes()).unwrap();
        note.sign(&key, &NoteSigner(self.signer.clone())).unwrap();
        note.encode()
    }

    /// Has the daemon, as witness, cosign that its log has this tree.
    pub(crate) fn is_witnessed(&self, size: u64, root: Hash) {
        let origin = "tacitly/mallory".to_owned();
        let key = VerifierKey::new(&origin, KeyUse::Text, self.signer.public_key().as_bytes()).unwrap();
        let mut checkpoint = SignedCheckpoint::new(&Checkpoint { origin, size, root, extensions: Vec::new() }).unwrap();
        checkpoint.sign(&key, &NoteSigner(self.signer.clone())).unwrap();
        let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint }.encode().into();
        let asked = logs::request::What::AddCheckpoint(logs::AddCheckpoint { request });
        let asked = question("attest", &logs::Request { what: Some(asked) });
        let answer = logs::Reply::decode(self.put(self.identity(), [asked]).remove(0).unwrap()).unwrap();
        match answer.what.unwrap() {
            logs::reply::What::Witnessed(logs::Witnessed { status: 200, .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    /// A well-signed proposal for this dataset of the daemon's.
    pub(crate) fn proposal(&self, dataset: &str) -> Ask {
        let job = JobId::fresh().to_string();
        let mut receivers = vec![self.me, self.victim];
        receivers.sort_unstable();
        let terms = JobTerms {
            job: job.clone(),
            kind: Kind::Intersect,
            proposer: self.me,
            approver: self.victim,
            proposer_dataset: "ids".to_owned(),
            approver_dataset: dataset.to_owned(),
            proposer_rows: 40,
            key: vec!["cn-mobile".to_owned()],
            receivers,
            purpose: String::new(),
        };
        let terms = terms.to_terms();
        let consent = Some(self.consent(CONSENT_CONTEXT, &terms));
        Ask::Propose(pb::Propose { job, terms: terms.canonical().into(), consent })
    }

    /// Our signature under terms, made for a context.
    fn consent(&self, context: &str, terms: &Terms) -> pb::Consent {
        let signature = self.signer.sign(context, &consented(terms.hash(), &[])).unwrap().to_string();
        pb::Consent { signature, contribution: Bytes::new() }
    }

    /// Follows the daemon's next job by this script, until the returned task is aborted.
    pub(crate) fn play(self: &Arc<Self>, script: Script, seen: Arc<Mutex<Seen>>) -> JoinHandle<()> {
        let actor = Actor {
            liar: self.clone(),
            script,
            seen,
            terms: self.terms.lock().unwrap().clone(),
            attempt: 0,
            session: None,
            out: VecDeque::new(),
            requests: 0,
        };
        self.runtime.spawn(actor.play())
    }
}

/// The session of one attempt.
struct Session {
    tag: SessionTag,
    /// The daemon's number for it.
    channel: Option<u64>,
    party: Retagged<PsiParty>,
    consumed: u64,
}

/// How a conversation ended.
enum Over {
    /// The script wants it so.
    HungUp,
    /// The daemon hung up, or the connection broke.
    Gone,
}

struct Actor {
    liar: Arc<Liar>,
    script: Script,
    seen: Arc<Mutex<Seen>>,
    terms: Option<JobTerms>,
    attempt: u32,
    session: Option<Session>,
    out: VecDeque<Envelope>,
    requests: u64,
}

impl Actor {
    async fn play(mut self) {
        loop {
            let Ok(connection) = self.liar.clone().call().await else { return };
            self.session = None;
            self.out.clear();
            if let Some(job) = self.script.nudges.take() {
                // The attempt that the one before us had begun.
                let standing = pb::Standing { job, attempt: 1, ..self.standing(pb::Task::None) };
                self.ask(Ask::Standing(standing));
            }
            match self.converse(connection).await {
                Over::HungUp if !self.script.stays_away => {}
                _ => return,
            }
        }
    }

    async fn converse(&mut self, mut connection: Connection) -> Over {
        let mut beat = interval(BEAT);
        loop {
            while let Some(envelope) = self.out.pop_front() {
                if connection.send(envelope).await.is_err() {
                    return Over::Gone;
                }
            }
            tokio::select! {
                _ = beat.tick() => self.out.push_back(Envelope::Heartbeat),
                heard = connection.receive() => match heard {
                    Ok(envelope) => if let Some(over) = self.hear(envelope) {
                        return over;
                    },
                    Err(_) => return Over::Gone,
                },
            }
        }
    }

    fn hear(&mut self, envelope: Envelope) -> Option<Over> {
        match envelope {
            Envelope::Request { id, body } => {
                let wire::Question { service, body } = wire::Question::decode(body).unwrap();
                if service != "jobs" {
                    let body = if service == "attest" { self.answer_about_logs(body) } else { Bytes::new() };
                    self.out.push_front(Envelope::Response { id, outcome: Ok(said(body)) });
                    return None;
                }
                let ask = pb::Request::decode(body).unwrap().what.unwrap();
                if self.script.forgets && self.attempt == 1 && matches!(ask, Ask::Countersign(_)) {
                    self.attempt = 0;
                    return Some(Over::HungUp);
                }
                let body = pb::Reply { what: Some(self.answer(ask)) }.encode_to_vec().into();
                // The answer goes out before whatever the question has brought about.
                self.out.push_front(Envelope::Response { id, outcome: Ok(said(body)) });
            }
            Envelope::SessionOpen { session, channel } => {
                if let Some(ours) = self.session.as_mut().filter(|ours| ours.tag == session) {
                    ours.channel = Some(channel);
                    if self.script.abandons {
                        let notice = Notice::new(Notice::ABANDONED, "");
                        self.out.push_back(Envelope::SessionEnd { session, channel: CHANNEL, notice });
                        return None;
                    }
                    self.pump();
                }
            }
            Envelope::SessionFrame { frame, .. } => return self.take(frame),
            Envelope::SessionEnd { notice, .. } => self.seen.lock().unwrap().told.push(notice.code().to_owned()),
            Envelope::Bye(_) => return Some(Over::Gone),
            _ => {}
        }
        None
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Propose(proposal) => {
                let canonical = Terms::parse(&proposal.terms).unwrap();
                self.terms = Some(JobTerms::from_terms(&canonical).unwrap());
                self.liar.terms.lock().unwrap().clone_from(&self.terms);
                let consent = Some(self.liar.consent(self.script.context, &canonical));
                return Answer::Decided(pb::Decided { job: proposal.job, consent, refused: None });
            }
            Ask::Begin(_) => return Answer::Standing(pb::Standing { free: true, ..self.standing(pb::Task::None) }),
            Ask::Start(start) if self.script.dawdles => {
                (self.attempt, self.session) = (start.attempt, None);
                return Answer::Standing(self.standing(pb::Task::Computing));
            }
            Ask::Start(start) => {
                if start.attempt == self.attempt {
                    return Answer::Standing(self.standing(pb::Task::Computing));
                }
                (self.attempt, self.session) = (start.attempt, None);
                let items = (self.script.items)(self.attempt).len() as u64;
                let (job, attempt) = (start.job, start.attempt);
                let ready = pb::Ready { job, attempt, items, ..pb::Ready::default() };
                self.ask(Ask::Ready((self.script.ready)(ready)));
                return Answer::Standing(self.standing(pb::Task::Computing));
            }
            Ask::Ready(_) if self.script.forgets && self.attempt == 0 => return Answer::Pending(pb::Pending {}),
            Ask::Countersign(_) if self.script.forgets && self.attempt == 0 => return Answer::Busy(pb::Busy {}),
            Ask::Ready(_) if self.script.has_signed.is_some() => {}
            Ask::Ready(ready) if self.session.is_none() && !self.script.dawdles => self.open(ready.items),
            Ask::Ready(pb::Ready { draw: Some(draw), .. }) => self.seen.lock().unwrap().draws.push(draw),
            Ask::Ready(ready) if self.session.is_none() => self.open(ready.items),
            Ask::Countersign(asked) => {
                if let Some(lie) = self.script.has_signed {
                    let entry = lie(&self.liar, &SignedEntry::parse(&asked.entry).unwrap()).into();
                    self.ask(Ask::Countersign(pb::Countersign { job: asked.job, entry }));
                }
                return self.countersign(&asked.entry);
            }
            Ask::Standing(standing) if standing.state == "suspended" => {
                let state = standing.state;
                return Answer::Standing(pb::Standing { state, ..self.standing(pb::Task::None) });
            }
            Ask::Standing(standing) if standing.reason.is_none() && standing.state != "done" => {
                // Without a session it is another process than the one that began: it waits for the daemon to begin again.
                let forgot = self.session.is_none() && !self.script.dawdles;
                return Answer::Standing(self.standing(if forgot { pb::Task::None } else { pb::Task::Computing }));
            }
            Ask::Standing(standing) => {
                let code = standing.reason.map(|reason| reason.code).unwrap_or_default();
                self.seen.lock().unwrap().told.push(code);
            }
            Ask::Stop(_) => return Answer::Standing(self.standing(pb::Task::None)),
            _ => {}
        }
        Answer::Ack(pb::Ack {})
    }

    fn answer_about_logs(&self, asked: Bytes) -> Bytes {
        use logs::reply::What as Answer;
        use logs::request::What as Ask;
        let answer = match logs::Request::decode(asked).unwrap().what.unwrap() {
            Ask::LastCosigned(_) if self.script.contradicts => Answer::Cosigned(logs::Cosigned::default()),
            Ask::AddCheckpoint(_) if self.script.contradicts => {
                let mut seen = self.seen.lock().unwrap();
                seen.asked_to_cosign += 1;
                let body = format!("{}\n", 1 + seen.asked_to_cosign % 2).into_bytes().into();
                Answer::Witnessed(logs::Witnessed { status: 409, body })
            }
            Ask::Copy(asked) => Answer::Copied((self.script.copied)(asked)),
            Ask::Kept(_) => Answer::Noted(logs::Noted {}),
            _ => Answer::Unknown(logs::Unknown {}),
        };
        logs::Reply { what: Some(answer) }.encode_to_vec().into()
    }

    /// How the job stands here, as the daemon is told.
    fn standing(&self, task: pb::Task) -> pb::Standing {
        let job = self.terms.as_ref().map(|terms| terms.job.clone()).unwrap_or_default();
        let state = "running".to_owned();
        pb::Standing { job, state, attempt: self.attempt, task: task.into(), ..pb::Standing::default() }
    }

    fn countersign(&self, entry: &[u8]) -> Answer {
        let mut note = SignedEntry::parse(entry).unwrap();
        let name = if self.script.signs_agreements { NAME } else { "somebody-else" };
        let key = VerifierKey::new(name, KeyUse::Text, self.liar.signer.public_key().as_bytes()).unwrap();
        note.sign(&key, &NoteSigner(self.liar.signer.clone())).unwrap();
        let signature = note.signatures().last().unwrap().to_string();
        Answer::Countersigned(pb::Countersigned { signature })
    }

    fn ask(&mut self, ask: Ask) {
        self.requests += 1;
        self.out.push_back(Envelope::Request { id: self.requests, body: asked(ask) });
    }

    /// Opens this attempt's session with a party that is honest about its set.
    fn open(&mut self, theirs: u64) {
        let job = self.terms.as_ref().unwrap();
        let items = canonical(&(self.script.items)(self.attempt));
        let (me, victim) = (self.liar.me, self.liar.victim);
        let members = [Member::new(me, items.len() as u64), Member::new(victim, theirs)];
        let key: Vec<&str> = job.key.iter().map(String::as_str).collect();
        let terms = PsiTerms::new(Flow::Intersect, members, &job.receivers, &key, &job.job).unwrap();
        let hash = terms.to_terms().hash();
        let tag = SessionTag::of(&hash, &attempt_label(WHOLE, self.attempt));
        let party = PsiParty::new(terms, me, WHOLE, items, Seed::from_bytes([6; 32]), None).unwrap();
        let party = Retagged::new(party, SessionTag::of(&hash, WHOLE), tag);
        self.session = Some(Session { tag, channel: None, party, consumed: 0 });
        self.out.push_back(Envelope::SessionOpen { session: tag, channel: CHANNEL });
    }

    fn take(&mut self, frame: Frame) -> Option<Over> {
        self.seen.lock().unwrap().received.entry(self.attempt).or_default().push(frame.clone());
        if self.script.hangs_up && self.attempt == 1 && is_answers(&frame.body) {
            return Some(Over::HungUp);
        }
        let session = self.session.as_mut()?;
        // The daemon is honest; what it sends before it hears of a lie is fit for an honest party.
        session.party.receive(self.liar.victim, frame).unwrap();
        session.consumed += 1;
        let (channel, consumed) = (session.channel.unwrap(), session.consumed);
        if !self.script.never_ends {
            self.out.push_back(Envelope::SessionAcknowledgement { channel, consumed });
        }
        self.pump();
        None
    }

    /// Sends what there is to send, as the script wants it.
    fn pump(&mut self) {
        let Some(session) = self.session.as_mut() else { return };
        let Some(channel) = session.channel else { return };
        if session.party.poll_checkpoint().is_some() {
            session.party.stored();
        }
        let mut seen = self.seen.lock().unwrap();
        while let Some(frame) = session.party.poll_send(self.liar.victim) {
            for frame in (self.script.lie)(self.attempt, frame) {
                seen.sent.entry(self.attempt).or_default().push(frame.clone());
                self.out.push_back(Envelope::SessionFrame { channel, frame });
            }
        }
        let Some(outcome) = session.party.output() else { return };
        seen.outcome = Some(outcome);
        drop(seen);
        if self.script.never_ends {
            return;
        }
        let (session, notice) = (session.tag, Notice::new(Notice::COMPLETE, ""));
        self.out.push_back(Envelope::SessionEnd { session, channel: CHANNEL, notice });
        let terms = self.terms.as_ref().unwrap();
        let receipts = if terms.receives(self.liar.me) {
            let signature = self.liar.signer.sign(RECEIPT_CONTEXT, &terms.to_terms().hash().0).unwrap().to_string();
            vec![pb::Receipt { party: NAME.to_owned(), signature }]
        } else {
            Vec::new()
        };
        let standing = pb::Standing { receipts, ..self.standing(pb::Task::Computed) };
        self.ask(Ask::Standing(standing));
    }
}
