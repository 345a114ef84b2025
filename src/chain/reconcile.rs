//! Two logs held against each other: what two parties recorded of the jobs that they did together.
//!
//! A log shows what was recorded, never that all was. Both sides record each job and each question, so what one of them
//! left out or wrote otherwise is found here.

use std::collections::BTreeMap;

use tacitly_attestation::entry::{
    AgreementEntry, Body, Id, LeafHash, QueryEntry, ResultEntry, ServeEntry, Sharing, SignedEntry,
};
use tacitly_core::PartyId;

/// An entry with its place in its log.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: SignedEntry,
}

/// Something that the two logs do not say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The kind of entry.
    pub kind: &'static str,
    /// The job.
    pub job: Id,
    /// Where it stands in our log.
    pub ours: Option<u64>,
    /// Where it stands in theirs.
    pub theirs: Option<u64>,
    /// What differs.
    pub what: String,
}

/// What a comparison has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Entries of ours that were compared.
    pub ours: u64,
    /// Entries of theirs.
    pub theirs: u64,
    /// What does not agree, job by job.
    pub mismatches: Vec<Mismatch>,
}

/// Whether both sides must have something to say about an entry of `by` when it did a job with `with`.
#[must_use]
pub fn concerns(entry: &SignedEntry, with: PartyId) -> bool {
    match entry.entry().body() {
        // Who was absent has nothing of it in its log.
        Body::Agreement(agreement) => agreement.is_signed_by(with),
        Body::Result(result) => result.peers.iter().any(|peer| peer.peer == with),
        Body::Query(query) => query.responder == with,
        Body::Serve(serve) => serve.asker == with,
        _ => false,
    }
}

/// Compares what `me` recorded of its jobs with `peer` with what `peer` recorded of its jobs with `me`; of our questions
/// also what the peer has signed and handed to us, as `handed` has it. Entries that are missing on one side count only if
/// the other's is not younger than `settled`, in milliseconds since 1970: the other side may be about to record its own.
#[must_use]
pub fn reconcile(
    me: PartyId,
    ours: &[Placed],
    peer: PartyId,
    theirs: &[Placed],
    handed: &[SignedEntry],
    settled: u64,
) -> Reconciled {
    let (our, their) = (Side::of(ours, peer), Side::of(theirs, me));
    let mut found = Found { settled, mismatches: Vec::new() };
    found.pairs("agreement", &our.agreements, &their.agreements, |(here, a), (there, b)| {
        // One agreement stands byte for byte in the logs of all its parties; where each records its own, what it says is
        // compared.
        let (ours, theirs) = (here.entry.entry().header(), there.entry.entry().header());
        let one_note = ours.by == theirs.by && ours.log == theirs.log;
        let same = (&a.protocol, a.version, &a.terms, &a.purpose) == (&b.protocol, b.version, &b.terms, &b.purpose);
        let fields = [
            (!same, "protocol, terms or purpose differ"),
            (a.parties != b.parties, "the parties, their roles or their data sets differ"),
            (a.limits != b.limits || a.expires != b.expires, "the limits differ"),
            (a.price != b.price, "the price differs"),
            (one_note && here.entry.leaf() != there.entry.leaf(), "the leader had each of us sign another note"),
        ];
        fields.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what.to_owned())
    });
    found.pairs("result", &our.results, &their.results, |(_, a), (_, b)| results(me, a, peer, b));
    found.questions(&our.queries, &their.serves, &by_question(handed), Direction::WeAsked);
    found.questions(&their.queries, &our.serves, &BTreeMap::new(), Direction::TheyAsked);
    found.mismatches.sort_by_key(|mismatch| (mismatch.job.0, mismatch.kind));
    Reconciled { ours: our.count, theirs: their.count, mismatches: found.mismatches }
}

fn results(me: PartyId, ours: &ResultEntry, peer: PartyId, theirs: &ResultEntry) -> Option<String> {
    if ours.status != theirs.status {
        return Some(format!("we say {}, they say {}", ours.status, theirs.status));
    }
    let with = |result: &ResultEntry, who| result.peers.iter().find(|known| known.peer == who).cloned();
    if let (Some(to_them), Some(to_us)) = (with(ours, peer), with(theirs, me)) {
        if (to_them.sent, to_them.sent_bytes) != (to_us.received, to_us.received_bytes) {
            return Some("what we sent is not what they received".to_owned());
        }
        if (to_them.received, to_them.received_bytes) != (to_us.sent, to_us.sent_bytes) {
            return Some("what we received is not what they sent".to_owned());
        }
    }
    let joint = |result: &ResultEntry| result.sharing == Some(Sharing::Joint);
    (joint(ours) && joint(theirs) && ours.output != theirs.output).then(|| "the joint outputs differ".to_owned())
}

/// What a peer has answered to our questions, by their leaves.
fn by_question(handed: &[SignedEntry]) -> BTreeMap<LeafHash, (&SignedEntry, &ServeEntry)> {
    let serves = handed.iter().filter_map(|entry| match entry.entry().body() {
        Body::Serve(serve) => Some((serve.query, (entry, serve))),
        _ => None,
    });
    serves.collect()
}

/// What is wrong with the answers in the responder's log to one question; `handed` is the one that we were given.
fn answers(
    entry: &QueryEntry,
    served: &[(&Placed, &ServeEntry)],
    handed: Option<&(&SignedEntry, &ServeEntry)>,
) -> Option<(u64, String)> {
    let (answer, serve) = served.first()?;
    if let Some((second, _)) = served.get(1) {
        return Some((second.index, format!("the question was answered {} times", served.len())));
    }
    let same = (serve.job, serve.commitment, serve.batch, &serve.purpose)
        == (entry.job, entry.commitment, entry.batch, &entry.purpose);
    if !same {
        return Some((answer.index, "the answer is to another question than was asked".to_owned()));
    }
    let (_, given) = handed.filter(|(note, _)| note.leaf() != answer.entry.leaf())?;
    let count = |serve: &ServeEntry| format!("{} × {}", serve.units, serve.unit);
    let what = if (serve.units, &serve.unit) == (given.units, &given.unit) {
        format!("their log has another answer ({}) than the one that they gave us ({})", serve.status, given.status)
    } else {
        format!("their log counts {} for the answer, and what they gave us {}", count(serve), count(given))
    };
    Some((answer.index, what))
}

/// What stands in one log, by what the other log must answer it with.
struct Side<'e> {
    agreements: BTreeMap<Id, (&'e Placed, &'e AgreementEntry)>,
    results: BTreeMap<Id, (&'e Placed, &'e ResultEntry)>,
    queries: BTreeMap<LeafHash, (&'e Placed, &'e QueryEntry)>,
    serves: BTreeMap<LeafHash, Vec<(&'e Placed, &'e ServeEntry)>>,
    count: u64,
}

impl<'e> Side<'e> {
    /// The entries that concern `with`. Of entries repeated about one thing the newest counts.
    fn of(entries: &'e [Placed], with: PartyId) -> Self {
        let mut side = Self {
            agreements: BTreeMap::new(),
            results: BTreeMap::new(),
            queries: BTreeMap::new(),
            serves: BTreeMap::new(),
            count: 0,
        };
        for placed in entries.iter().filter(|placed| concerns(&placed.entry, with)) {
            side.count += 1;
            match placed.entry.entry().body() {
                Body::Agreement(entry) => drop(side.agreements.insert(entry.job, (placed, entry))),
                Body::Result(entry) => drop(side.results.insert(entry.job, (placed, entry))),
                Body::Query(entry) => drop(side.queries.insert(placed.entry.leaf(), (placed, entry))),
                Body::Serve(entry) => side.serves.entry(entry.query).or_default().push((placed, entry)),
                _ => {}
            }
        }
        side
    }
}

enum Direction {
    WeAsked,
    TheyAsked,
}

struct Found {
    settled: u64,
    mismatches: Vec<Mismatch>,
}

impl Found {
    fn settled(&self, placed: &Placed) -> bool {
        placed.entry.entry().header().t.get() <= self.settled
    }

    fn pairs<T>(
        &mut self,
        kind: &'static str,
        ours: &BTreeMap<Id, (&Placed, &T)>,
        theirs: &BTreeMap<Id, (&Placed, &T)>,
        differ: impl Fn((&Placed, &T), (&Placed, &T)) -> Option<String>,
    ) {
        for (job, (our, entry)) in ours {
            match theirs.get(job) {
                Some((their, other)) => {
                    if let Some(what) = differ((our, entry), (their, other)) {
                        let (ours, theirs) = (Some(our.index), Some(their.index));
                        self.mismatches.push(Mismatch { kind, job: *job, ours, theirs, what });
                    }
                }
                None if self.settled(our) => {
                    let what = "it is in our log and not in theirs".to_owned();
                    self.mismatches.push(Mismatch { kind, job: *job, ours: Some(our.index), theirs: None, what });
                }
                None => {}
            }
        }
        for (job, (their, _)) in theirs.iter().filter(|(job, _)| !ours.contains_key(job)) {
            if self.settled(their) {
                let what = "it is in their log and not in ours".to_owned();
                self.mismatches.push(Mismatch { kind, job: *job, ours: None, theirs: Some(their.index), what });
            }
        }
    }

    /// Questions in the asker's log, and the answers in the other's; those that the asker was `handed`, if we are it.
    fn questions(
        &mut self,
        asked: &BTreeMap<LeafHash, (&Placed, &QueryEntry)>,
        served: &BTreeMap<LeafHash, Vec<(&Placed, &ServeEntry)>>,
        handed: &BTreeMap<LeafHash, (&SignedEntry, &ServeEntry)>,
        direction: Direction,
    ) {
        let place = |asked: Option<u64>, served: Option<u64>| match direction {
            Direction::WeAsked => (asked, served),
            Direction::TheyAsked => (served, asked),
        };
        for (leaf, (query, entry)) in asked {
            let (answer, what) = match served.get(leaf) {
                Some(served) => match answers(entry, served, handed.get(leaf)) {
                    Some((answer, what)) => (Some(answer), what),
                    None => continue,
                },
                None if !self.settled(query) => continue,
                None if handed.contains_key(leaf) => {
                    (None, "they gave us an answer that their log does not have".to_owned())
                }
                None => (None, "the question was recorded by the asker alone".to_owned()),
            };
            let (ours, theirs) = place(Some(query.index), answer);
            self.mismatches.push(Mismatch { kind: "query", job: entry.job, ours, theirs, what });
        }
        for (answer, entry) in served.iter().filter(|(leaf, _)| !asked.contains_key(leaf)).flat_map(|(_, all)| all) {
            if self.settled(answer) {
                let (ours, theirs) = place(None, Some(answer.index));
                let what = "an answer is recorded, and the asker's log has no such question".to_owned();
                self.mismatches.push(Mismatch { kind: "serve", job: entry.job, ours, theirs, what });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tacitly_attestation::commitment::{Salt, Subject, commit};
    use tacitly_attestation::entry::{Bucket, Code, Count, Entry, Header, Nonce, Origin, ServeStatus, Time};
    use tacitly_attestation::hash::Hash;

    use super::*;

    fn party(name: &str) -> PartyId {
        name.parse().unwrap()
    }

    fn entry(by: &str, body: impl Into<Body>) -> SignedEntry {
        let header = Header {
            id: Id([1; 16]),
            log: Origin::parse(&format!("tacitly/{by}")).unwrap(),
            by: party(by),
            t: Time::new(1_795_000_000_000).unwrap(),
            nonce: Nonce([2; 16]),
            rel: vec![],
        };
        SignedEntry::new(Entry::new(header, body).unwrap())
    }

    fn query() -> SignedEntry {
        entry(
            "bank",
            QueryEntry {
                job: Id([3; 16]),
                agreement: LeafHash(Hash([4; 32])),
                query: Id([5; 16]),
                commitment: commit(Subject::Query, &Salt::new([6; 32]), b"who?"),
                batch: Bucket::of(1),
                responder: party("shop"),
                authorisation: None,
                purpose: Code::parse("credit-review").unwrap(),
            },
        )
    }

    fn serve(query: &SignedEntry, units: u64, salt: u8) -> SignedEntry {
        let Body::Query(asked) = query.entry().body() else { panic!() };
        let body = ServeEntry {
            job: asked.job,
            query: query.leaf(),
            asker: party("bank"),
            commitment: asked.commitment,
            batch: asked.batch,
            purpose: asked.purpose.clone(),
            status: ServeStatus::Served,
            reason: None,
            answer: Some(commit(Subject::Answer, &Salt::new([salt; 32]), b"me")),
            unit: Code::parse("answer").unwrap(),
            units: Count::new(units).unwrap(),
            hits: None,
            hits_commitment: None,
        };
        entry("shop", body)
    }

    /// What the bank finds, which has asked `query` and was handed these, in a log of the shop with these.
    fn found(query: &SignedEntry, theirs: &[SignedEntry], handed: &[SignedEntry], settled: u64) -> Vec<String> {
        let placed = |entries: &[SignedEntry]| {
            let placed = (0..).zip(entries).map(|(index, entry)| Placed { index, entry: entry.clone() });
            placed.collect::<Vec<_>>()
        };
        let ours = placed(std::slice::from_ref(query));
        let found = reconcile(party("bank"), &ours, party("shop"), &placed(theirs), handed, settled);
        found.mismatches.into_iter().map(|mismatch| mismatch.what).collect()
    }

    #[test]
    fn what_a_peer_handed_out_is_held_against_what_its_log_says() {
        let query = query();
        let (one, five) = (serve(&query, 1, 7), serve(&query, 5, 7));
        let handed = std::slice::from_ref(&one);
        let alike = found(&query, handed, handed, u64::MAX);
        assert!(alike.is_empty(), "{alike:?}");
        for (theirs, what) in [
            (vec![five], "their log counts 5 × answer for the answer, and what they gave us 1 × answer"),
            (
                vec![serve(&query, 1, 8)],
                "their log has another answer (served) than the one that they gave us (served)",
            ),
            (vec![one.clone(), serve(&query, 1, 8)], "the question was answered 2 times"),
            (vec![], "they gave us an answer that their log does not have"),
        ] {
            assert_eq!(found(&query, &theirs, handed, u64::MAX), [what]);
        }
        assert_eq!(found(&query, &[], &[], u64::MAX), ["the question was recorded by the asker alone"]);
        assert!(found(&query, &[], handed, 0).is_empty(), "a moment ago");
    }
}
