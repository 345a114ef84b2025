//! What peers hear that ask about logs, honest ones and others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::policy::{self, Policy};
use tacitly_attestation::witness::AddCheckpoint;
use tacitly_core::PartyId;
use tempfile::TempDir;

use super::message::{Answer, Ask, decode_answer, encode_ask, generated as pb};
use super::queries::tests::{Party, question, under};
use super::queries::{Begin, Checked, Decision, Question};
use super::*;
use crate::chain::{ChainError, Log, LogName, Mirror, NoteKey, Witness};
use crate::evidence;
use crate::peers::tests::{Bank, id};
use crate::peers::{Background, Handler};
use crate::store::{FileSigner, MAX_ROSTER_MEMBERS, NewPeer, NoteSigner, Signer, Store};
use crate::transport::MemoryHub;

/// The origin of the bank's log.
const OURS: &str = "tacitly/bank";
/// Logs of one peer that are witnessed.
const MOST_LOGS: u64 = 16;

/// A bank with a log, and the key of the shop that it has pinned.
struct World {
    attestation: Arc<Attestation>,
    log: Log,
    bank: Arc<dyn Signer>,
    shop: Arc<dyn Signer>,
    store: Arc<Store>,
    folder: TempDir,
}

impl World {
    /// `mirrors` may keep copies of the bank's log.
    async fn new(mirrors: BTreeSet<PartyId>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let Bank { peers, store, signer: bank } =
            Bank::open(&MemoryHub::new(), folder.path(), Duration::from_secs(60)).await;
        let shop: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.path().join("shop.key")).unwrap());
        let new = NewPeer { id: id("shop"), address: None, signing_key: shop.public_key(), pins: Vec::new() };
        store.peers().add(new, "operator").await.unwrap();
        let key = |name: &str, purpose| {
            NoteKey::new(name, purpose, bank.public_key().as_bytes(), NoteSigner(bank.clone())).unwrap()
        };
        let log = Log::open(&folder.path().join("log"), key(OURS, KeyUse::Text)).unwrap();
        let cosigns = key(&witness_name(id("bank")), KeyUse::Cosignature);
        let record = Record {
            signer: bank.clone(),
            log: log.clone(),
            witness: Witness::open(&folder.path().join("witness"), &folder.path().join("evidence"), cosigns).unwrap(),
            external: Vec::new(),
            mirrors,
            copies: None,
            profile: ProfileSettings { retention_days: 1, ..ProfileSettings::default() },
        };
        let attestation = Arc::new(Attestation::new(record, &store, &peers, &Background::default()));
        Self { attestation, log, bank, shop, store, folder }
    }

    /// What `party` hears; nothing: it is to come again.
    async fn hears(&self, party: &str, ask: Ask) -> Option<Answer> {
        let answer = self.attestation.clone().answer(id(party), encode_ask(ask)).await;
        answer.map(|answer| decode_answer(answer).expect("an answer can be read"))
    }

    /// The status with which the shop hears of its wish to have this cosigned.
    async fn status(&self, party: &str, request: Bytes) -> u32 {
        match self.hears(party, Ask::AddCheckpoint(pb::AddCheckpoint { request })).await {
            Some(Answer::Witnessed(answer)) => answer.status,
            other => panic!("{other:?}"),
        }
    }
}

/// A checkpoint of this log that bears this party's signature.
fn signed(signer: &Arc<dyn Signer>, origin: &str, size: u64, root: u8) -> SignedCheckpoint {
    let key = VerifierKey::new(origin, KeyUse::Text, signer.public_key().as_bytes()).unwrap();
    let stated = Checkpoint { origin: origin.to_owned(), size, root: Hash([root; 32]), extensions: Vec::new() };
    let mut checkpoint = SignedCheckpoint::new(&stated).unwrap();
    checkpoint.sign(&key, &NoteSigner(signer.clone())).unwrap();
    checkpoint
}

fn request(checkpoint: SignedCheckpoint) -> Bytes {
    AddCheckpoint { old: 0, proof: Vec::new(), checkpoint }.encode().into()
}

#[tokio::test]
async fn only_a_peers_own_logs_are_cosigned_each_with_one_history_and_not_without_end() {
    let world = World::new(BTreeSet::new()).await;
    let (shop, log) = (&world.shop, "tacitly/shop");
    assert_eq!(world.status("shop", Bytes::from_static(b"old 1\n")).await, 400, "half a request");
    let stolen = request(signed(&world.bank, log, 1, 1));
    assert_ne!(world.status("shop", stolen).await, 200, "not signed by the shop");
    assert_eq!(world.status("stranger", request(signed(shop, log, 1, 1))).await, 500, "nobody has pinned it");
    assert_eq!(world.status("shop", request(signed(shop, log, 1, 1))).await, 200);
    assert_eq!(world.status("shop", request(signed(shop, log, 1, 2))).await, 409, "another tree of the same size");

    let last = |origin: &str| Ask::LastCosigned(pb::LastCosigned { origin: origin.to_owned() });
    let cosigned = |checkpoint: Vec<u8>| Some(Answer::Cosigned(pb::Cosigned { checkpoint: checkpoint.into() }));
    match world.hears("shop", last(log)).await {
        Some(Answer::Cosigned(shown)) => {
            let shown = SignedCheckpoint::parse(&shown.checkpoint).unwrap();
            assert_eq!(shown.checkpoint(), signed(shop, log, 1, 1).checkpoint());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.hears("shop", last("tacitly/other")).await, cosigned(Vec::new()));
    assert_eq!(world.hears("shop", last("")).await, None, "no name of a log");
    assert_eq!(world.hears("stranger", last(log)).await, None);

    for number in 1..MOST_LOGS {
        assert_eq!(world.status("shop", request(signed(shop, &format!("{log}/{number}"), 1, 1))).await, 200);
    }
    assert_ne!(world.status("shop", request(signed(shop, &format!("{log}/{MOST_LOGS}"), 1, 1))).await, 200);
}

#[tokio::test]
async fn what_another_has_seen_of_our_log_beyond_its_end_stops_the_log_and_a_forgery_does_not() {
    let world = World::new(BTreeSet::new()).await;
    let ours = LogName::of(world.log.key().public());
    let seen = |log: &[u8], checkpoint: Vec<u8>| {
        Ask::Gossip(pb::Gossip { log: log.to_vec().into(), checkpoint: checkpoint.into() })
    };
    let nothing = Some(Answer::Cosigned(pb::Cosigned::default()));
    assert_eq!(world.hears("shop", seen(&[7; 32], Vec::new())).await, Some(Answer::Unknown(pb::Unknown {})));
    assert_eq!(world.hears("shop", seen(&[7; 31], Vec::new())).await, None, "no name of a log");
    assert_eq!(world.hears("shop", seen(&ours.0, b"tacitly/bank\n".to_vec())).await, None, "no checkpoint");
    let forged = signed(&world.shop, OURS, 5, 1).encode();
    assert_eq!(world.hears("shop", seen(&ours.0, forged)).await, nothing);
    assert!(world.log.refusal().is_none(), "we have not signed that");

    let signed_elsewhere = signed(&world.bank, OURS, 5, 1).encode();
    assert_eq!(world.hears("shop", seen(&ours.0, signed_elsewhere)).await, nothing);
    assert!(matches!(world.log.refusal(), Some(ChainError::Behind { known: 5, ours: 0, .. })));
}

#[tokio::test]
async fn a_copy_of_our_log_is_kept_by_those_who_are_entitled_and_cosigned_with_a_key_of_its_own() {
    let copy = |origin: &str, from: u64, size: u64| Ask::Copy(pb::CopyFrom { origin: origin.to_owned(), from, size });
    let not_entitled = Some(Answer::NotEntitled(pb::NotEntitled {}));
    let stranger = World::new(BTreeSet::new()).await;
    stranger.log.append(b"an entry".to_vec()).await.unwrap();
    assert_eq!(stranger.hears("shop", copy(OURS, 0, 1)).await, not_entitled);

    let world = World::new([id("shop")].into()).await;
    world.log.append(b"an entry".to_vec()).await.unwrap();
    let checkpoint = world.log.signed(1).await.unwrap();
    assert_eq!(world.hears("shop", copy("tacitly/other", 0, 1)).await, not_entitled);
    assert_eq!(world.hears("shop", copy(OURS, 0, 9)).await, None, "there are no nine entries");
    match world.hears("shop", copy(OURS, 0, 1)).await {
        Some(Answer::Copied(copied)) => assert_eq!(copied.entries, [Bytes::from("an entry")]),
        other => panic!("{other:?}"),
    }

    // What the shop has signed with as a witness, and a key of its own for this.
    let folder = tempfile::tempdir().unwrap();
    let mirror: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.path().join("mirror.key")).unwrap());
    let mut copy = Mirror::open(&folder.path().join("copy"), world.log.key().public()).unwrap();
    copy.add([b"an entry".as_slice()], &[], &checkpoint).unwrap();
    let kept = |signer: &Arc<dyn Signer>, stated: &SignedCheckpoint| {
        let public = signer.public_key();
        let name = mirror_name(id("shop"));
        let key = NoteKey::new(&name, KeyUse::Cosignature, public.as_bytes(), NoteSigner(signer.clone())).unwrap();
        let line = copy.cosign(&key, 1_795_000_000).unwrap().unwrap().to_string();
        Ask::MirrorCosignature(pb::MirrorCosignature {
            checkpoint: stated.encode().into(),
            line,
            key: public.as_bytes().to_vec().into(),
        })
    };
    assert_eq!(stranger.hears("shop", kept(&mirror, &checkpoint)).await, not_entitled);
    assert_eq!(world.hears("shop", kept(&world.shop, &checkpoint)).await, None, "its key as a witness");
    let forged = signed(&world.shop, OURS, 1, 1);
    assert_eq!(world.hears("shop", kept(&mirror, &forged)).await, None, "we have not signed that");
    assert_eq!(world.hears("shop", kept(&mirror, &checkpoint)).await, Some(Answer::Noted(pb::Noted {})));
}

#[tokio::test]
async fn a_peer_is_shown_what_concerns_it_and_what_cannot_be_read_is_not_followed() {
    let world = World::new(BTreeSet::new()).await;
    let entries = || Ask::Entries(pb::EntriesFrom { from: 0, origin: String::new(), size: 0 });
    assert_eq!(world.hears("shop", entries()).await, Some(Answer::Entries(pb::Entries::default())), "an empty log");
    world.log.append(b"an entry about somebody else".to_vec()).await.unwrap();
    let checkpoint = world.log.signed(1).await.unwrap().encode().into();
    let shown = pb::Entries { checkpoint, next: 1, ..pb::Entries::default() };
    assert_eq!(world.hears("shop", entries()).await, Some(Answer::Entries(shown)));
    let answer = world.attestation.clone().answer(id("shop"), Bytes::from_static(&[0xff; 9])).await;
    assert_eq!(answer, None);
}

#[tokio::test]
async fn a_question_has_a_certificate_on_either_side_that_says_in_one_sentence_what_became_of_it() {
    let world = World::new(BTreeSet::new()).await;
    let lender = Party::open(world.folder.path(), "lender").await;
    let new = NewPeer { id: id("lender"), address: None, signing_key: lender.key(), pins: Vec::new() };
    world.store.peers().add(new, "operator").await.unwrap();
    let (asked, answers) = (question("k", &["who?"]), world.attestation.queries());
    let asked = Question { responder: id("bank"), ..asked };
    let Begin::Ask(begun) = lender.queries.asker.begin(&under(), asked).await.unwrap() else { panic!() };
    let heard = answers.responder.check(id("lender"), &lender.key(), &under(), begun.request()).await.unwrap();
    let Checked::New(checked) = heard else { panic!() };
    let decision = Decision::Answer { answers: vec![Bytes::from_static(b"me")], units: 3, charges: vec![] };
    let served = answers.responder.serve(*checked, decision).await.unwrap().reply;
    let answer = lender.queries.asker.finish(*begun, &world.bank.public_key(), served).await.unwrap();

    let certificate = world.attestation.evidence_of_query(&answer.query.to_string()).await.unwrap();
    let verdict = evidence::check(&certificate, None).unwrap();
    let said = evidence::question(&verdict).unwrap();
    let job = under().job;
    let wanted = format!(
        "lender asked bank one question under job {job}, for the purpose credit-review; bank answered and counted 3 × answer"
    );
    assert_eq!(said, wanted);
    assert_eq!(verdict.levels.included.as_ref().unwrap().log.as_str(), OURS);
    assert!(evidence::summary(&verdict)["question"].as_str() == Some(&wanted));
    // The other side's evidence is about its own entry, in its own log.
    let (main, related) = lender.queries.on_record(&answer.query.to_string()).await.unwrap();
    assert_eq!((main.entry.leaf(), related.len()), (answer.leaf, 1));
    let none = world.attestation.evidence_of_query("0123").await.unwrap_err();
    assert_eq!(none.code, crate::codes::EVIDENCE_NONE);
}

#[test]
fn a_policy_holds_the_most_members_of_consortia_beside_128_peers_with_the_longest_names() {
    let name = |at: u64| format!("the-longest-names-of-members-{at:03}");
    let key = |name: &str, key_use, at: u64| {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&at.to_be_bytes());
        VerifierKey::of(name, key_use, &SigningKey::from_bytes(&secret)).unwrap()
    };
    let signers: Vec<VerifierKey> = (0..=MAX_ROSTER_MEMBERS + 128).map(|at| key(&name(at), KeyUse::Text, at)).collect();
    let witness =
        |at| policy::Witness { name: name(at), key: key(&witness_name(id(&name(at))), KeyUse::Cosignature, at) };
    let witnesses: Vec<policy::Witness> = (0..128).map(witness).collect();
    let log = key(OURS, KeyUse::Text, 1_000);
    Policy::consortium(&signers, &[log], &witnesses, 65).unwrap();
}
