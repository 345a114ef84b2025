//! What all parties of a job agree before anything runs: everybody's offer, and one note about it, byte for byte the same
//! in every party's log and signed by all.
//!
//! Every party writes the note by itself, from the words that the leader brought it, and signs what it has written. Then it
//! shows what it was shown. A leader that shows two parties different terms or offers has signed both, and is named.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tacitly_attestation::entry::{
    AgreementEntry, Attendance, Body, Code, Count, Digest, Entry, Header, Id, LeafHash, Nonce, Origin, Participant,
    SignedEntry, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::NoteSignature;
use tacitly_core::{PartyId, TermsHash};

use super::collect::{Lasting, Need};
use super::consent::{SALT, Signatures, contributed, write_consent};
use super::core::{Core, about_job};
use super::kind::{JobKind, Offers};
use super::message::generated as pb;
use super::part::{Stop, bits};
use super::run::Run;
use super::state::State;
use super::terms::{JobTerms, PartyTerms};
use super::word::{Word, Words, digest_of};
use crate::attest::{entry_key, now, unfit};
use crate::codes::{self, Error};
use crate::store::{Consent, Decision, Job, JobChange, PartyChange, Signature};

/// The labels of the two words.
pub(super) const OFFERS: &str = "offers";
pub(super) const AGREEMENT: &str = "agreement";

/// What all parties have brought.
pub(super) struct Agreed {
    pub(super) offers: Offers,
    pub(super) contributions: BTreeMap<PartyId, Vec<u8>>,
}

/// One party's word, read and checked.
pub(super) struct Offered {
    pub(super) offer: Bytes,
    salt: Bytes,
    consent: Consent,
    dataset: Option<SignedEntry>,
    opening: Option<pb::Opening>,
}

/// Comes to an agreement with all parties of the attempt, and puts it on record.
pub(super) async fn agree(run: &Run, kind: &dyn JobKind, offer: Vec<u8>) -> Result<Agreed, Stop> {
    let (core, job) = (run.core(), run.job());
    let own = own_word(run, offer.clone()).await?;
    let words = run.collector().all(OFFERS, own, Lasting::Kept, Need::ALL).await?;
    let mut offered = BTreeMap::new();
    for (party, word) in &words {
        offered.insert(*party, read_word(core, job, *party, word).await?);
    }
    // What we said first stands, and others have built on it.
    if offered.get(&core.me()).is_none_or(|ours| ours.offer != offer) {
        let text = "our data or settings are not those that this job began with; submit it again";
        return Err(Error::new(codes::DATASET_CHANGED, text).into());
    }
    let offers: Offers = offered.iter().map(|(party, offered)| (*party, offered.offer.clone())).collect();
    let entry = write_entry(job, run.terms(), kind, &words, &offered, &offers)?;
    keep_words(run, &offered).await?;
    sign_with_all(run, &words, entry).await?;
    let contributions =
        offered.iter().map(|(party, offered)| (*party, contributed(&offered.consent).to_vec())).collect();
    Ok(Agreed { offers, contributions })
}

async fn own_word(run: &Run, offer: Vec<u8>) -> Result<Vec<u8>, Stop> {
    let (core, job, me) = (run.core(), run.job(), run.core().me());
    let consent_of = |party: PartyId| match &job.party(party)?.decision {
        Decision::Signed(consent) => Some(write_consent(consent)),
        Decision::Open | Decision::Refused => None,
    };
    let dataset = match run.terms().dataset_of(me) {
        Some(name) => core.datasets.attest(name).await?.map(|recorded| recorded.entry.encode()),
        None => None,
    };
    let opening = if job.leader == me {
        let party = core.recorder.recorded("party", "party").await?.map(|party| party.entry.leaf().0.0.to_vec());
        let (log, time) = (core.recorder.log().origin().to_owned(), now()?.get());
        Some(pb::Opening { log, time, party: party.unwrap_or_default().into() })
    } else {
        None
    };
    let word = pb::OfferWord {
        terms_hash: job.terms_hash.0.to_vec().into(),
        leader: consent_of(job.leader),
        consent: consent_of(me),
        salt: run.seed_same("salt of the offer").expose()[..SALT].to_vec().into(),
        offer: offer.into(),
        dataset: dataset.unwrap_or_default().into(),
        opening,
    };
    Ok(word.encode_to_vec())
}

/// Reads what a party has brought. Whoever was shown other terms shows that the leader signed both.
pub(super) async fn read_word(core: &Core, job: &Job, party: PartyId, word: &Word) -> Result<Offered, Stop> {
    let lie = |text: &str| Error::lie(party, text);
    let said = pb::OfferWord::decode(word.bytes.clone()).map_err(|_| lie("what it offers cannot be read"))?;
    let hash: [u8; 32] = said.terms_hash.as_ref().try_into().map_err(|_| lie("a hash of terms has 32 bytes"))?;
    let (signatures, leader) = (Signatures(core), said.leader.clone().unwrap_or_default());
    if hash != job.terms_hash.0 {
        let both = signatures.read_consent(job.id, TermsHash(hash), job.leader, &leader).await;
        return Err(match both {
            Ok(_) => Error::lie(job.leader, &format!("it has shown {party} other terms of the job than us")),
            Err(_) => lie("it takes part in a job on other terms, which nobody has proposed to it"),
        }
        .into());
    }
    let consent = signatures.read_consent(job.id, job.terms_hash, party, &said.consent.unwrap_or_default()).await?;
    let dataset = match said.dataset.as_ref() {
        [] => None,
        note => Some(read_dataset(core, party, note).await?),
    };
    Ok(Offered { offer: said.offer, salt: said.salt, consent, dataset, opening: said.opening })
}

/// The entry with the fingerprint of a party's data, which it has signed.
async fn read_dataset(core: &Core, party: PartyId, note: &[u8]) -> Result<SignedEntry, Stop> {
    let lie = |text: &str| Error::lie(party, text);
    let entry = SignedEntry::parse(note).map_err(|_| lie("the entry about its data cannot be read"))?;
    if entry.entry().header().by != party || !matches!(entry.entry().body(), Body::Dataset(_)) {
        return Err(lie("the entry that it shows is not about its data").into());
    }
    if !entry.is_signed_by(&entry_key(party, &Signatures(core).key_of(party).await?)?) {
        return Err(lie("the entry about its data is not signed by it").into());
    }
    Ok(entry)
}

/// Keeps the entries about the others' data, for certificates, and that they have signed the terms: a member hears of it
/// here.
async fn keep_words(run: &Run, offered: &BTreeMap<PartyId, Offered>) -> Result<(), Stop> {
    let (core, job) = (run.core(), run.job());
    let change = |(party, offered): (&PartyId, &Offered)| {
        let known = job.party(*party)?;
        let entry =
            offered.dataset.as_ref().map(SignedEntry::encode).filter(|entry| known.entry.as_ref() != Some(entry));
        let is_news = matches!(known.decision, Decision::Open);
        let decision = is_news.then(|| Decision::Signed(Box::new(offered.consent.clone())));
        let changes = *party != core.me() && (entry.is_some() || is_news);
        changes.then(|| PartyChange { entry, decision, ..PartyChange::of(*party) })
    };
    let parties: Vec<PartyChange> = offered.iter().filter_map(change).collect();
    let columns = columns(run).await?.filter(|columns| job.columns.as_ref() != Some(columns));
    if !parties.is_empty() || columns.is_some() {
        let running = State::Running.name();
        let change = JobChange { parties, columns, ..JobChange::by("daemon") };
        core.store.jobs().advance(job.id, &[running], running, change).await?;
    }
    Ok(())
}

/// The columns of our dataset that may leave in the result: those that our rules let out now, and in every earlier attempt.
async fn columns(run: &Run) -> Result<Option<Vec<String>>, Stop> {
    let (core, terms) = (run.core(), run.terms());
    let Some(name) = terms.dataset_of(core.me()) else { return Ok(None) };
    let dataset = core.store.datasets().get(name).await?;
    let others: Vec<PartyId> = terms.others(core.me()).collect();
    let mut columns = core.datasets.columns_allowed(&dataset, &others).await?;
    if let Some(earlier) = &run.job().columns {
        columns.retain(|column| earlier.contains(column));
    }
    Ok(Some(columns))
}

/// The note that all parties write: everything in it follows from the terms and from all words.
pub(super) fn write_entry(
    job: &Job,
    terms: &JobTerms,
    kind: &dyn JobKind,
    words: &Words,
    offered: &BTreeMap<PartyId, Offered>,
    offers: &Offers,
) -> Result<Entry, Error> {
    let lie = |text: &str| Error::lie(job.leader, text);
    let opening = offered.get(&job.leader).and_then(|leader| leader.opening.as_ref());
    let opening = opening.ok_or_else(|| lie("it does not say in which log the agreement is to stand"))?;
    let rel = match opening.party.as_ref() {
        [] => None,
        leaf => Some(LeafHash(Hash(leaf.try_into().map_err(|_| lie("the name of an entry has 32 bytes"))?))),
    };
    let drawn = |what: &str| -> [u8; 32] {
        let digest = Sha256::new_with_prefix(format!("tacitly-agreement-{what}-1\n"));
        digest.chain_update(job.terms_hash.0).chain_update(digest_of(words)).finalize().into()
    };
    let (id, nonce) = (drawn("id"), drawn("nonce"));
    let cut = |bytes: [u8; 32]| -> [u8; 16] { std::array::from_fn(|at| bytes[at]) };
    let header = Header {
        id: Id(cut(id)),
        log: Origin::parse(&opening.log).map_err(|_| lie("its log has no name that can be"))?,
        by: job.leader,
        t: Time::new(opening.time).map_err(|_| lie("its clock is out of range"))?,
        nonce: Nonce(cut(nonce)),
        rel: rel.into_iter().collect(),
    };
    let code = |text: &str| Code::parse(text).map_err(unfit);
    // The words themselves are under the hash of the terms; what is no code stays out of the log.
    let purpose = match terms.purpose.as_str() {
        "" => code("unstated"),
        words => code(words).or_else(|_| code("see-terms")),
    };
    let digest = |bytes: &[u8]| Digest(Hash(Sha256::digest(bytes).into()));
    let participant = |(party, asked): (&PartyId, &PartyTerms)| {
        let there = offered.get(party);
        let contribution = there.map(|offered| &offered.consent.contribution).filter(|bytes| !bytes.is_empty());
        let learns = match there {
            Some(_) => kind.learns(terms, Some(offers), *party),
            None => Vec::new(),
        };
        Ok(Participant {
            party: *party,
            role: code(&asked.role)?,
            dataset: there.and_then(|offered| offered.dataset.as_ref()).map(SignedEntry::leaf),
            contribution: contribution.map(|bytes| digest(bytes)),
            offer: there.map(|offered| digest(&[&offered.salt[..], &offered.offer].concat())),
            learns: learns.iter().map(|learned| code(learned.code)).collect::<Result<_, Error>>()?,
            attendance: if there.is_some() { Attendance::Signs } else { Attendance::Absent },
        })
    };
    let protocol = kind.protocol();
    let body = AgreementEntry {
        job: Id(job.id.to_bytes()),
        protocol: code(protocol.code)?,
        version: Count::new(protocol.version).map_err(unfit)?,
        terms: Digest(Hash(job.terms_hash.0)),
        purpose: purpose?,
        parties: terms.parties.iter().map(participant).collect::<Result<_, Error>>()?,
        limits: Vec::new(),
        expires: terms.expires.map(Time::new).transpose().map_err(unfit)?,
        price: None,
    };
    Entry::new(header, body).map_err(|error| Error::internal(error.to_string()))
}

async fn is_recorded(run: &Run, entry: &Entry) -> Result<bool, Error> {
    let known = run.core().recorder.recorded(&about_job(run.job().id), "agreement").await?;
    Ok(known.is_some_and(|known| known.entry.entry() == entry))
}

/// Signs the note, hears everybody's signature under it, and records it. Where it stands on record already, others may still
/// have to hear of ours.
async fn sign_with_all(run: &Run, words: &Words, entry: Entry) -> Result<(), Stop> {
    let (core, job) = (run.core(), run.job());
    run.show("putting the agreement on record");
    let ours = core.recorder.sign_note(SignedEntry::new(entry.clone()))?;
    let line = ours.signatures().last().map(ToString::to_string).unwrap_or_default();
    let shown = Shown::of(run.terms(), job.leader, words)?;
    let all = run.collector().all(AGREEMENT, shown.write(line).encode_to_vec(), Lasting::Kept, Need::ALL).await?;
    if is_recorded(run, &entry).await? {
        return Ok(());
    }
    let note = signed_by_all(core, job, (words, &shown), entry, &all).await?;
    core.recorder.record(&about_job(job.id), note).await?;
    Ok(())
}

/// The note with the signatures of all who have brought something. Whoever has shown, or says, two things is named.
pub(super) async fn signed_by_all(
    core: &Core,
    job: &Job,
    (words, shown): (&Words, &Shown),
    entry: Entry,
    all: &Words,
) -> Result<SignedEntry, Stop> {
    let mut note = SignedEntry::new(entry);
    for party in words.keys() {
        let lie = |text: &str| Error::lie(*party, text);
        let word = all.get(party).ok_or_else(|| Error::lie(job.leader, "an agreement lacks a signature"))?;
        let unreadable = || lie("its word about the agreement cannot be read");
        let said = pb::AgreementWord::decode(word.bytes.clone()).map_err(|_| unreadable())?;
        let theirs = Shown::read(&said).ok_or_else(unreadable)?;
        let signatures = Signatures(core);
        let by_leader = signatures.has_said(job.leader, job.id, OFFERS, &theirs.leader, &theirs.leader_signature);
        shown.compare(&theirs, (job.leader, *party), by_leader.await?, core.me())?;
        let wrong = || lie("the signature under the agreement is not its own, or is under another one");
        let signature = NoteSignature::parse(&said.signature).map_err(|_| wrong())?;
        note = note.with(signature).map_err(|_| wrong())?;
        if !note.is_signed_by(&entry_key(*party, &signatures.key_of(*party).await?)?) {
            return Err(wrong().into());
        }
    }
    Ok(note)
}

/// What a party was shown of the others' offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    present: Vec<u8>,
    leader: [u8; 32],
    leader_signature: Signature,
    offers: [u8; 32],
}

impl Shown {
    pub(super) fn of(terms: &JobTerms, leader: PartyId, words: &Words) -> Result<Self, Error> {
        let word = words.get(&leader).ok_or_else(|| Error::lie(leader, "its own offer is missing"))?;
        let there: BTreeSet<u32> =
            (0..).zip(terms.parties.keys()).filter(|(_, party)| words.contains_key(party)).map(|(at, _)| at).collect();
        Ok(Self {
            present: bits(&there),
            leader: word.digest(),
            leader_signature: word.signature,
            offers: digest_of(words),
        })
    }

    pub(super) fn write(&self, signature: String) -> pb::AgreementWord {
        pb::AgreementWord {
            present: self.present.clone().into(),
            leader: self.leader.to_vec().into(),
            leader_signature: self.leader_signature.to_string(),
            offers: self.offers.to_vec().into(),
            signature,
        }
    }

    fn read(word: &pb::AgreementWord) -> Option<Self> {
        Some(Self {
            present: word.present.to_vec(),
            leader: word.leader.as_ref().try_into().ok()?,
            leader_signature: word.leader_signature.parse().ok()?,
            offers: word.offers.as_ref().try_into().ok()?,
        })
    }

    /// Whether another party was shown the same. Who showed two things is named; where one of two must have lied and
    /// nobody can tell which, both are.
    fn compare(
        &self,
        theirs: &Self,
        (leader, party): (PartyId, PartyId),
        leader_said_it: bool,
        me: PartyId,
    ) -> Result<(), Error> {
        if !leader_said_it {
            return Err(Error::lie(party, "it shows an offer that the leader has not signed"));
        }
        if self.leader != theirs.leader {
            return Err(Error::lie(leader, &format!("it has shown {party} another offer than us")));
        }
        if self != theirs && leader == me {
            return Err(Error::lie(party, "it shows other offers than it was shown"));
        }
        if self != theirs {
            let text = format!("{leader} has shown {party} other offers than us, or {party} says so wrongly");
            return Err(Error::new(codes::PROTOCOL_DISPUTE, text).with(leader));
        }
        Ok(())
    }
}
