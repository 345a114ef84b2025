//! A peer that lies. It has a certificate, a signing key and a connection like any other, follows jobs as it should, and
//! says what its script says in place of what an honest party would.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tacitly::attest::wire as logs;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::jobs::{CONSENT_CONTEXT, JobTerms, PartyTerms, WORD_CONTEXT, consented};
use tacitly::peers::{ENROLMENT_CONTEXT, ReadInvitation, enrolment_words, read_invitation, wire};
use tacitly::store::{FileSigner, JobId, NoteSigner, PublicKey, Signer};
use tacitly::test_bed::Party as Daemon;
use tacitly::transport::{
    Application, BootId, Connection, Entry, Envelope, Grpc, Hello, Lane, LinkError, Pin, Roster, Settings, TlsIdentity,
    Transport, WireRange,
};
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::entry::{self, Body, Header, Origin, SignedEntry};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::witness::AddCheckpoint;
use tacitly_core::{PartyId, Terms};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::actor::Actor;
use super::agreement::INTERSECT;
use super::heard::{fresh_identity, hear_alive};
use super::script::{Script, Seen};
use super::words::{Question, asked, await_answer, decoded, question};

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
    pub(crate) signer: Arc<FileSigner>,
    /// The daemon's signing key.
    pub(crate) victims_key: PublicKey,
    calls: AtomicU64,
    /// The terms that it signed last, with the daemon's consent to them.
    pub(crate) terms: Mutex<Option<(JobTerms, pb::Consent)>>,
}

impl Liar {
    /// Joins a daemon by one of its invitations.
    pub(crate) fn join(daemon: &Daemon, folder: &Path) -> Self {
        let signer = Arc::new(FileSigner::create(&folder.join("mallory.key")).unwrap());
        Self::enrol(daemon, &fresh_identity(NAME.parse().unwrap()), signer)
    }

    /// The same party joins another daemon.
    pub(crate) fn also_joins(&self, daemon: &Daemon) -> Self {
        Self::enrol(daemon, &self.identity(), self.signer.clone())
    }

    fn enrol(daemon: &Daemon, identity: &TlsIdentity, signer: Arc<FileSigner>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let me: PartyId = NAME.parse().unwrap();
        let identity_of_daemon = daemon.tacitly(&["identity", "show"]).unwrap();
        let ReadInvitation { inviter, token, .. } = read_invitation(&daemon.invite(NAME).unwrap()).unwrap();
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
            victims_key: identity_of_daemon["key"].as_str().unwrap().parse().unwrap(),
            calls: AtomicU64::new(0),
            terms: Mutex::default(),
        };
        let application = liar.application(me, token, identity.pin());
        liar.runtime.block_on(liar.transport(liar.identity()).enrol(&inviter, application)).unwrap();
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
            lane: Lane::ONLY,
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
    pub(crate) fn put(
        &self,
        identity: TlsIdentity,
        questions: impl IntoIterator<Item = Question>,
    ) -> Vec<Option<Bytes>> {
        self.runtime.block_on(async {
            let mut connection = self.call_as(identity, SignedDuration::ZERO).await.unwrap();
            let mut answers = Vec::new();
            for (id, question) in (1..).zip(questions) {
                connection.send(question.request(id)).await.unwrap();
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
                connection.send(asked(ask).request(id)).await.unwrap();
            }
            let mut answers = Vec::new();
            while answers.len() < count {
                answers.push(decoded(await_answer(&mut connection).await));
            }
            answers
        })
    }

    /// A word that this pin is ours, signed for this purpose; it replaces older ones at once or stands beside them.
    pub(crate) fn rotation(&self, context: &str, pin: &str, replaces: bool) -> Question {
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
        self.proposal_with(|terms| terms.parties.get_mut(&self.victim).unwrap().dataset = Some(dataset.to_owned()))
    }

    /// A well-signed proposal for the daemon's dataset `ids`, with something changed.
    pub(crate) fn proposal_with(&self, change: impl FnOnce(&mut JobTerms)) -> Ask {
        let (me, victim) = (self.signer.public_key(), self.victims_key);
        let party = |role: &str, key: PublicKey| PartyTerms {
            role: role.to_owned(),
            key,
            dataset: Some("ids".to_owned()),
            receives: true,
        };
        let mut terms = JobTerms {
            job: JobId::fresh(),
            kind: "intersect".to_owned(),
            leader: self.me,
            parties: [(self.me, party("proposer", me)), (self.victim, party("approver", victim))].into(),
            params: Terms::new().with("key", vec!["cn-mobile"]),
            purpose: String::new(),
            nonce: [5; 16],
            expires: None,
        };
        change(&mut terms);
        let (job, consent) = (terms.job, self.consent(CONSENT_CONTEXT, &terms));
        Ask::Propose(pb::Propose {
            job: job.to_string(),
            terms: terms.to_terms().canonical().into(),
            consent: Some(consent),
        })
    }

    /// Our signature under terms, made for a context, and under what we add to those of an intersection: behind a salt how
    /// many rows we have, and that we do not learn the size first.
    pub(crate) fn consent(&self, context: &str, terms: &JobTerms) -> pb::Consent {
        let contribution = match terms.kind.as_str() {
            INTERSECT => [&[7; 16][..], &1000u64.to_be_bytes(), &[0]].concat(),
            _ => Vec::new(),
        };
        let signed = consented(terms.job, terms.to_terms().hash(), &contribution);
        let signature = self.signer.sign(context, &signed).unwrap().to_string();
        pb::Consent { signature, contribution: contribution.into() }
    }

    /// Our word under a label, well signed.
    pub(crate) fn word(&self, job: JobId, label: &str, bytes: Bytes) -> pb::Word {
        let signed = tacitly::jobs::said(job, label, &Sha256::digest(&bytes).into());
        let signature = self.signer.sign(WORD_CONTEXT, &signed).unwrap().to_string();
        pb::Word { party: NAME.to_owned(), bytes, signature }
    }

    /// The line of a note's signature under this entry, in this name.
    pub(crate) fn line(&self, name: &str, note: &SignedEntry) -> String {
        let mut note = note.clone();
        let key = VerifierKey::new(name, KeyUse::Text, self.signer.public_key().as_bytes()).unwrap();
        note.sign(&key, &NoteSigner(self.signer.clone())).unwrap();
        note.signatures().last().unwrap().to_string()
    }

    /// Follows the daemon's next job by this script, until the returned task is aborted.
    pub(crate) fn play(self: &Arc<Self>, script: Script, seen: Arc<Mutex<Seen>>) -> JoinHandle<()> {
        self.runtime.spawn(Actor::new(self.clone(), script, seen).play())
    }
}
