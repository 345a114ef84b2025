//! What three parties say before a job runs, and who is named when one of them says two things.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tacitly_attestation::entry::{Entry, SignedEntry};
use tacitly_core::PartyId;

use super::super::agreement::{AGREEMENT, OFFERS, Shown, read_word, signed_by_all, write_entry};
use super::super::collect;
use super::super::consent::{WORD_CONTEXT, said, write_consent};
use super::super::kind::Offers;
use super::super::message::{Answer, generated as pb};
use super::super::part::Stop;
use super::super::state::State;
use super::super::terms::JobTerms;
use super::super::word::{Word, Words};
use super::office::{Office, Town, Toy, id};
use crate::attest::{entry_key, now};
use crate::codes::{self, Code, Error};
use crate::store::{Job, NoteSigner};

/// A job of three that the bank leads, as one of them sees it.
struct Table {
    town: Town,
    terms: JobTerms,
    office: Office,
    job: Job,
    /// The bank's clock.
    time: u64,
}

fn names() -> [PartyId; 3] {
    [id("bank"), id("lender"), id("shop")]
}

/// Whom a refusal names, and with which code.
fn blamed<T>(outcome: Result<T, Stop>) -> (PartyId, &'static Code, String) {
    match outcome {
        Err(Stop::Failed(Error { code, who, text, .. })) => (who.expect("somebody is named"), code, text),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not seen"),
    }
}

impl Table {
    async fn seen_by(me: &str) -> Self {
        let town = Town::of(&names());
        let terms = town.terms(id("bank"), &names().into());
        let office = town.open(id(me), Toy::reading()).await;
        let job = office.note(&terms, State::Running, &town.all_signed(&terms)).await;
        let time = now().unwrap().get();
        Self { town, terms, office, job, time }
    }

    /// A word of a party, signed by `signer`.
    fn word_by(&self, signer: PartyId, label: &str, bytes: Vec<u8>) -> Word {
        let digest = Sha256::digest(&bytes).into();
        let signature = self.town.keys[&signer].sign(WORD_CONTEXT, &said(self.terms.job, label, &digest)).unwrap();
        Word { bytes: bytes.into(), signature }
    }

    /// What a party brings to a job on `terms`, which `proposer` has signed for the bank.
    fn offer_on(&self, party: PartyId, terms: &JobTerms, proposer: PartyId, offer: &'static [u8]) -> Word {
        let opening = pb::Opening { log: "tacitly/bank".to_owned(), time: self.time, party: Bytes::new() };
        let word = pb::OfferWord {
            terms_hash: terms.to_terms().hash().0.to_vec().into(),
            leader: Some(write_consent(&self.town.consent(proposer, terms))),
            consent: Some(write_consent(&self.town.consent(party, terms))),
            salt: vec![7; 16].into(),
            offer: Bytes::from_static(offer),
            dataset: Bytes::new(),
            opening: (party == terms.leader).then_some(opening),
        };
        self.word_by(party, OFFERS, word.encode_to_vec())
    }

    fn offer(&self, party: &str, offer: &'static [u8]) -> Word {
        self.offer_on(id(party), &self.terms, id("bank"), offer)
    }

    /// What all three bring.
    fn offers(&self) -> Words {
        names().map(|name| (name, self.offer(name.as_str(), b"ten rows"))).into()
    }

    /// The note that follows from these words.
    async fn entry(&self, words: &Words) -> Entry {
        let mut offered = std::collections::BTreeMap::new();
        for (party, word) in words {
            offered.insert(*party, read_word(&self.office.core, &self.job, *party, word).await.unwrap());
        }
        let offers: Offers = offered.iter().map(|(party, offered)| (*party, offered.offer.clone())).collect();
        write_entry(&self.job, &self.terms, &*Toy::reading(), words, &offered, &offers).unwrap()
    }

    /// A party's signature under a note.
    fn line(&self, party: PartyId, entry: &Entry) -> String {
        let (key, mut note) = (self.town.keys[&party].clone(), SignedEntry::new(entry.clone()));
        note.sign(&entry_key(party, &key.public_key()).unwrap(), &NoteSigner(key)).unwrap();
        note.signatures().last().unwrap().to_string()
    }

    /// What a party says of the agreement that was shown these words.
    async fn signs(&self, party: &str, shown: &Words) -> Word {
        let entry = self.entry(shown).await;
        let shown = Shown::of(&self.terms, id("bank"), shown).unwrap();
        self.word_by(id(party), AGREEMENT, shown.write(self.line(id(party), &entry)).encode_to_vec())
    }

    /// What all three say who were shown the same.
    async fn all_sign(&self, shown: &Words) -> Words {
        let mut all = Words::new();
        for name in names() {
            all.insert(name, self.signs(name.as_str(), shown).await);
        }
        all
    }

    /// The agreement as this party makes it from what it was shown, and from what all say of it.
    async fn agree(&self, shown: &Words, all: &Words) -> Result<SignedEntry, Stop> {
        let entry = self.entry(shown).await;
        let seen = Shown::of(&self.terms, id("bank"), shown)?;
        signed_by_all(&self.office.core, &self.job, (shown, &seen), entry, all).await
    }

    async fn reads(&self, party: &str, word: &Word) -> Result<(), Stop> {
        read_word(&self.office.core, &self.job, id(party), word).await.map(drop)
    }
}

#[tokio::test]
async fn three_parties_that_were_shown_the_same_have_one_note_with_three_signatures() {
    let table = Table::seen_by("lender").await;
    let offers = table.offers();
    let note = table.agree(&offers, &table.all_sign(&offers).await).await.unwrap();
    assert_eq!(note.signatures().len(), 3);
    assert_eq!(*note.entry(), table.entry(&offers).await);
}

#[tokio::test]
async fn a_leader_that_signed_other_terms_for_another_is_named_and_whoever_made_them_up_itself() {
    let table = Table::seen_by("lender").await;
    let other = JobTerms { purpose: "something else".to_owned(), ..table.terms.clone() };
    let shown_twice = table.offer_on(id("shop"), &other, id("bank"), b"ten rows");
    let (who, code, text) = blamed(table.reads("shop", &shown_twice).await);
    assert_eq!((who, code), (id("bank"), codes::PROTOCOL_VIOLATION));
    assert!(text.contains("other terms") && text.contains("shop"), "{text}");
    let made_up = table.offer_on(id("shop"), &other, id("shop"), b"ten rows");
    assert_eq!(blamed(table.reads("shop", &made_up).await).0, id("shop"));
}

#[tokio::test]
async fn a_consent_or_an_entry_that_is_not_its_partys_own_names_the_party() {
    let table = Table::seen_by("lender").await;
    let honest = pb::OfferWord::decode(table.offer("shop", b"ten rows").bytes).unwrap();
    let of_bank = Some(write_consent(&table.town.consent(id("bank"), &table.terms)));
    for lie in [
        pb::OfferWord { consent: of_bank, ..honest.clone() },
        pb::OfferWord { consent: None, ..honest.clone() },
        pb::OfferWord { terms_hash: Bytes::from_static(b"short"), ..honest.clone() },
        pb::OfferWord { dataset: Bytes::from_static(b"no note"), ..honest },
    ] {
        let word = table.word_by(id("shop"), OFFERS, lie.encode_to_vec());
        assert_eq!(blamed(table.reads("shop", &word).await).0, id("shop"), "{lie:?}");
    }
}

#[tokio::test]
async fn a_leader_that_shows_two_members_different_offers_of_its_own_is_named_by_both() {
    for (me, other) in [("lender", "shop"), ("shop", "lender")] {
        let table = Table::seen_by(me).await;
        let here = table.offers();
        let mut there = here.clone();
        there.insert(id("bank"), table.offer("bank", b"twenty rows"));
        let mut all = table.all_sign(&here).await;
        all.insert(id(other), table.signs(other, &there).await);
        let (who, code, text) = blamed(table.agree(&here, &all).await);
        assert_eq!((who, code), (id("bank"), codes::PROTOCOL_VIOLATION), "{text}");
        assert!(text.contains(other), "{text}");
    }
}

#[tokio::test]
async fn a_member_whose_two_offers_differ_is_named_by_the_leader_and_in_dispute_elsewhere() {
    // The shop has said one thing, and shows that it was shown another.
    let outcome = async |me: &str| {
        let table = Table::seen_by(me).await;
        let here = table.offers();
        let mut there = here.clone();
        there.insert(id("shop"), table.offer("shop", b"twenty rows"));
        let mut all = table.all_sign(&here).await;
        all.insert(id("shop"), table.signs("shop", &there).await);
        blamed(table.agree(&here, &all).await)
    };
    let (who, code, text) = outcome("bank").await;
    assert_eq!((who, code), (id("shop"), codes::PROTOCOL_VIOLATION), "{text}");
    // Nobody else can tell whether the bank has shown it two things.
    let (_, code, text) = outcome("lender").await;
    assert_eq!(code, codes::PROTOCOL_DISPUTE);
    assert!(text.contains("bank") && text.contains("shop"), "{text}");
}

#[tokio::test]
async fn a_member_that_says_two_things_under_one_label_or_too_long_a_one_is_named_by_the_leader() {
    let table = Table::seen_by("bank").await;
    let job = &table.job;
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(600);
    let work = table.office.core.running.of(job.id).begin(1, until);
    let collect = |word: Word| pb::Collect {
        job: job.id.to_string(),
        attempt: 1,
        label: OFFERS.to_owned(),
        word: Some(word.write(id("shop"))),
    };
    let answer = async |word| collect::answer(&table.office.core, &work, job, id("shop"), &collect(word)).await;
    let first = table.offer("shop", b"ten rows");
    assert!(matches!(answer(first.clone()).await, Ok(Answer::Pending(_))));
    let twice = answer(table.offer("shop", b"twenty rows")).await.unwrap_err();
    assert_eq!((twice.code, twice.who), (codes::PROTOCOL_VIOLATION, Some(id("shop"))), "{twice}");
    let forged = answer(table.word_by(id("lender"), OFFERS, first.bytes.to_vec())).await.unwrap_err();
    assert_eq!((forged.code, forged.who), (codes::PROTOCOL_VIOLATION, Some(id("shop"))), "{forged}");
    // Longer than what fits into one answer with the words of the others.
    let long = answer(table.word_by(id("shop"), OFFERS, vec![7; 310 << 10])).await.unwrap_err();
    assert_eq!((long.code, long.who), (codes::PROTOCOL_VIOLATION, Some(id("shop"))), "{long}");
    assert!(long.text.contains("too long"), "{long}");
}

#[tokio::test]
async fn a_member_that_shows_an_offer_which_the_leader_never_signed_is_named() {
    let table = Table::seen_by("lender").await;
    let here = table.offers();
    let mut there = here.clone();
    // The bank's word, as the shop has written it.
    let bytes = table.offer("bank", b"twenty rows").bytes.to_vec();
    there.insert(id("bank"), table.word_by(id("shop"), OFFERS, bytes));
    let mut all = table.all_sign(&here).await;
    all.insert(id("shop"), table.signs("shop", &there).await);
    let (who, code, text) = blamed(table.agree(&here, &all).await);
    assert_eq!((who, code), (id("shop"), codes::PROTOCOL_VIOLATION), "{text}");
}

#[tokio::test]
async fn a_signature_under_another_note_or_of_another_party_names_whoever_sent_it() {
    let table = Table::seen_by("lender").await;
    let here = table.offers();
    let mut other = here.clone();
    other.insert(id("lender"), table.offer("lender", b"twenty rows"));
    let (entry, elsewhere) = (table.entry(&here).await, table.entry(&other).await);
    let shown = Shown::of(&table.terms, id("bank"), &here).unwrap();
    for line in [table.line(id("shop"), &elsewhere), table.line(id("bank"), &entry), "no signature".to_owned()] {
        let mut all = table.all_sign(&here).await;
        all.insert(id("shop"), table.word_by(id("shop"), AGREEMENT, shown.write(line.clone()).encode_to_vec()));
        let (who, code, text) = blamed(table.agree(&here, &all).await);
        assert_eq!((who, code), (id("shop"), codes::PROTOCOL_VIOLATION), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_leader_that_withholds_a_partys_signature_or_its_own_offer_is_named() {
    let table = Table::seen_by("lender").await;
    let here = table.offers();
    let mut all = table.all_sign(&here).await;
    all.remove(&id("shop"));
    assert_eq!(blamed(table.agree(&here, &all).await).0, id("bank"));
    let mut without = here.clone();
    without.remove(&id("bank"));
    let seen = Shown::of(&table.terms, id("bank"), &without).map_err(Stop::Failed);
    assert_eq!(blamed(seen).0, id("bank"));
    // A party that is there for one and missing for another: only the bank can have done that, or the shop lies about it.
    let mut two = here.clone();
    two.remove(&id("lender"));
    let mut all = table.all_sign(&here).await;
    let shown = Shown::of(&table.terms, id("bank"), &two).unwrap();
    let line = table.line(id("shop"), &table.entry(&here).await);
    all.insert(id("shop"), table.word_by(id("shop"), AGREEMENT, shown.write(line).encode_to_vec()));
    let (_, code, text) = blamed(table.agree(&here, &all).await);
    assert_eq!(code, codes::PROTOCOL_DISPUTE);
    assert!(text.contains("bank") && text.contains("shop"), "{text}");
}
