//! What two daemons say to each other about their logs, and by questions under standing jobs: bytes ↔ messages.

use bytes::Bytes;
use prost::Message as _;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use zeroize::Zeroizing;

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod generated {
    include!("generated/tacitly.attest.v1.rs");
}

use generated as pb;

pub(super) type Ask = pb::request::What;
pub(super) type Answer = pb::reply::What;

pub(super) fn encode_ask(ask: Ask) -> Bytes {
    pb::Request { what: Some(ask) }.encode_to_vec().into()
}

pub(super) fn encode_answer(answer: Answer) -> Bytes {
    pb::Reply { what: Some(answer) }.encode_to_vec().into()
}

pub(super) fn decode_ask(bytes: Bytes) -> Option<Ask> {
    pb::Request::decode(bytes).ok()?.what
}

pub(super) fn decode_answer(bytes: Bytes) -> Option<Answer> {
    pb::Reply::decode(bytes).ok()?.what
}

/// The last checkpoint that was cosigned, if there is one.
pub(super) fn cosigned(checkpoint: Option<&SignedCheckpoint>) -> Answer {
    let checkpoint = checkpoint.map(SignedCheckpoint::encode).unwrap_or_default();
    Answer::Cosigned(pb::Cosigned { checkpoint: checkpoint.into() })
}

/// The hashes of a proof; `None` if they are not whole.
pub(super) fn read_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.iter().copied().map(Hash).collect())
}

pub(super) fn write_hashes(hashes: &[Hash]) -> Bytes {
    hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into()
}

/// The most questions in one batch.
pub(crate) const MAX_QUESTIONS: usize = 4096;

/// Questions as they are sent: the signed entry, the seed of their salts, the questions.
#[derive(Clone, PartialEq)]
pub(super) struct Questions {
    pub(super) entry: Bytes,
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) questions: Vec<Bytes>,
}

/// What became of questions, as it is sent: the signed entry, and the answers with the seed of their salts.
#[derive(Clone, PartialEq)]
pub(super) struct Served {
    pub(super) entry: Bytes,
    pub(super) answers: Option<Answers>,
}

/// Answers, as they are sent and as they are kept.
#[derive(Clone, PartialEq)]
pub(super) struct Answers {
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) answers: Vec<Bytes>,
}

/// Questions as their asker keeps them.
pub(super) struct Asked {
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) questions: Vec<Bytes>,
    pub(super) authorisation_salt: Option<Zeroizing<[u8; 32]>>,
    pub(super) kept: Zeroizing<Vec<u8>>,
}

pub(super) fn encode_questions(questions: &Questions) -> Bytes {
    let Questions { entry, seed, questions } = questions;
    let seed = Bytes::copy_from_slice(&seed[..]);
    pb::Questions { entry: entry.clone(), seed, questions: questions.clone() }.encode_to_vec().into()
}

/// `None` if they cannot be read, are none or too many.
pub(super) fn decode_questions(bytes: Bytes) -> Option<Questions> {
    let pb::Questions { entry, seed, questions } = pb::Questions::decode(bytes).ok()?;
    let number = (1..=MAX_QUESTIONS).contains(&questions.len());
    number.then_some(Questions { entry, seed: read_seed(&seed)?, questions })
}

pub(super) fn encode_served(served: &Served) -> Bytes {
    let (seed, answers) = sealed_parts(served.answers.as_ref());
    pb::Served { entry: served.entry.clone(), seed, answers }.encode_to_vec().into()
}

/// `None` if they cannot be read, or are more than anybody asks for at once.
pub(super) fn decode_served(bytes: Bytes) -> Option<Served> {
    let pb::Served { entry, seed, answers } = pb::Served::decode(bytes).ok()?;
    Some(Served { entry, answers: read_answers(&seed, answers)? })
}

/// Answers as they are kept, sealed, beside the entry about them.
pub(super) fn encode_answers(answers: Option<&Answers>) -> Zeroizing<Vec<u8>> {
    let (seed, answers) = sealed_parts(answers);
    Zeroizing::new(pb::Served { entry: Bytes::new(), seed, answers }.encode_to_vec())
}

/// `None` if they are not what [`encode_answers`] wrote.
pub(super) fn decode_answers(bytes: &[u8]) -> Option<Option<Answers>> {
    let pb::Served { seed, answers, .. } = pb::Served::decode(bytes).ok()?;
    read_answers(&seed, answers)
}

pub(super) fn encode_asked(asked: &Asked) -> Zeroizing<Vec<u8>> {
    let copy = |salt: &Zeroizing<[u8; 32]>| Bytes::copy_from_slice(&salt[..]);
    let asked = pb::Asked {
        seed: copy(&asked.seed),
        questions: asked.questions.clone(),
        authorisation_salt: asked.authorisation_salt.as_ref().map(copy).unwrap_or_default(),
        kept: Bytes::copy_from_slice(&asked.kept),
    };
    Zeroizing::new(asked.encode_to_vec())
}

/// `None` if it is not what [`encode_asked`] wrote.
pub(super) fn decode_asked(bytes: &[u8]) -> Option<Asked> {
    let pb::Asked { seed, questions, authorisation_salt, kept } = pb::Asked::decode(bytes).ok()?;
    let salt = if authorisation_salt.is_empty() { None } else { Some(read_seed(&authorisation_salt)?) };
    Some(Asked { seed: read_seed(&seed)?, questions, authorisation_salt: salt, kept: kept.to_vec().into() })
}

fn sealed_parts(answers: Option<&Answers>) -> (Bytes, Vec<Bytes>) {
    answers.map(|Answers { seed, answers }| (Bytes::copy_from_slice(&seed[..]), answers.clone())).unwrap_or_default()
}

fn read_answers(seed: &[u8], answers: Vec<Bytes>) -> Option<Option<Answers>> {
    if seed.is_empty() && answers.is_empty() {
        return Some(None);
    }
    let number = (1..=MAX_QUESTIONS).contains(&answers.len());
    number.then_some(Some(Answers { seed: read_seed(seed)?, answers }))
}

fn read_seed(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    Some(Zeroizing::new(bytes.try_into().ok()?))
}
