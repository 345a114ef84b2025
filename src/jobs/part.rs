//! What an attempt is made of: parts, each of them one protocol session, and the ways in which an attempt ends early.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tacitly_core::{Checkpoint, Fault, Misuse, Party, PartyId, Seed, Terms, TermsHash};
use zeroize::Zeroizing;

use crate::codes::Error;
use crate::session::{PeerTranscripts, SessionLimits, Transcript};

/// Why work on an attempt ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// Somebody else has moved the job, or the daemon stops: there is nothing left to do here.
    Stopped,
    /// The link to a party was given up.
    Lost(Error),
    /// A party's process is another one now: the attempt is void, the next one may begin at once.
    Restarted,
    /// The job cannot end well.
    Failed(Error),
}

impl<T: Into<Error>> From<T> for Stop {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// One part of a job: a protocol session that is over as a whole, or not at all. It is data, and says all that its kind
/// needs beside input, seed and checkpoints, so that a part can be given to whoever computes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What this part is for. The parts of a phase are counted from 0.
    pub phase: String,
    /// Which part of the phase.
    pub part: u32,
    /// Whose side of it this is.
    pub me: PartyId,
    /// With whom.
    pub peers: BTreeSet<PartyId>,
    /// The protocol's own terms, which all parties of the part have alike.
    pub terms: Terms,
    /// Where its randomness comes from.
    pub seed: TaskSeed,
    /// What its session may take on each of its links.
    #[serde(default)]
    pub limits: SessionLimits,
}

/// Where the randomness of a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSeed {
    /// It is the same in every attempt: two answers to one question would tell more than one.
    Same,
    /// No other attempt has it: one mask over two values would show their difference.
    Fresh,
}

/// What one part works on: a value of its kind.
pub struct Input(Box<dyn Any + Send>);

/// What a part works on, read on a thread that may block when its turn comes.
pub type Inputs = Arc<dyn Fn(&Task) -> Result<Input, Stop> + Send + Sync>;

/// The party of one part.
pub type PartParty = Box<dyn Party<Output = PartOutput>>;

/// How a kind of job makes the parties of its parts.
pub(super) type MakeParty = Arc<dyn Fn(&Task, Input, Seed, Vec<Checkpoint>) -> Result<PartParty, Fault> + Send + Sync>;

/// How the parts of a phase are shown while they run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// What a part is called, such as `bucket`; nothing for a phase that has one part.
    pub part: &'static str,
    /// Units of each part.
    pub units: u64,
    /// The stage of the session in which units are done.
    pub stage: &'static str,
    /// Units of the phases before and of all phases.
    pub before: u64,
    /// Units of all phases.
    pub total: u64,
}

/// What one part gave us; [`Mapped`](tacitly_core::Mapped) makes it of a protocol's answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PartOutput {
    /// Items that we learned something about.
    pub items: u64,
    /// The part of our result of this number, if it is one.
    pub result: Option<Zeroizing<Vec<u8>>>,
    /// We send nothing after this output, so that what went over the session is whole by now.
    pub is_last_word: bool,
}

/// With what an attempt ends well here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Parts of our result, which have been kept by now; 0 if we receive nothing.
    pub parts: u32,
    /// Items of our result.
    pub items: u64,
    /// What its owner is shown of the job beside that.
    pub figures: Map<String, Value>,
}

/// What is kept of a part that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) items: u64,
    pub(super) peers: BTreeMap<PartyId, Exchanged>,
}

/// What went over the sessions with one party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchanged {
    pub(super) sent: Side,
    pub(super) received: Side,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Side {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) digest: [u8; 32],
}

/// Which parts of each phase are over somewhere.
pub(super) type PartsOver = BTreeMap<String, BTreeSet<u32>>;

impl Task {
    /// The part's name: of its secrets, its checkpoints and its session.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", self.phase, self.part)
    }

    /// The hash of the protocol's own terms, as its session tag has it.
    #[must_use]
    pub fn terms_hash(&self) -> TermsHash {
        self.terms.hash()
    }

    /// The task as bytes, for whoever computes it.
    ///
    /// # Errors
    /// [`codes::INTERNAL`](crate::codes::INTERNAL): never, since a task is plain data.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::internal(error.to_string()))
    }

    /// Reads a task.
    ///
    /// # Errors
    /// [`codes::INTERNAL`](crate::codes::INTERNAL) if the bytes are none.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::internal(format!("a task cannot be read: {error}")))
    }
}

impl Input {
    /// A value that the kind of the part understands.
    pub fn of(value: impl Any + Send) -> Self {
        Self(Box::new(value))
    }

    /// The value.
    ///
    /// # Errors
    /// [`Misuse::Input`] if it is of another type: the kind has made it for another part.
    pub fn take<T: Any>(self) -> Result<T, Fault> {
        let other = |_| Misuse::Input("another kind of input was made for this part");
        Ok(*self.0.downcast().map_err(other)?)
    }
}

impl Over {
    pub(super) fn of(items: u64, transcripts: &BTreeMap<PartyId, PeerTranscripts>) -> Self {
        let exchanged = |(party, transcripts): (&PartyId, &PeerTranscripts)| {
            (*party, Exchanged { sent: Side::of(&transcripts.sent), received: Side::of(&transcripts.received) })
        };
        Self { items, peers: transcripts.iter().map(exchanged).collect() }
    }
}

impl Side {
    fn of(transcript: &Transcript) -> Self {
        Self { frames: transcript.frames, bytes: transcript.bytes, digest: transcript.digest }
    }
}

/// A set of small numbers as bits, the first one lowest.
pub(super) fn bits(set: &BTreeSet<u32>) -> Vec<u8> {
    let mut bytes = vec![0; set.last().map_or(0, |last| *last as usize / 8 + 1)];
    set.iter().for_each(|number| bytes[*number as usize / 8] |= 1 << (number % 8));
    bytes
}

/// The set that these bits are.
pub(super) fn of_bits(bytes: &[u8]) -> BTreeSet<u32> {
    let numbers = (0u32..).zip(bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)));
    numbers.filter(|(_, is_set)| *is_set).map(|(number, _)| number).collect()
}

/// All sessions with each party as one: frames and bytes added up, and a digest of their digests in order.
pub(super) fn together<'a>(parts: impl Iterator<Item = &'a Over>) -> BTreeMap<PartyId, Exchanged> {
    let mut digests: BTreeMap<PartyId, [Sha256; 2]> = BTreeMap::new();
    let mut all: BTreeMap<PartyId, Exchanged> = BTreeMap::new();
    for (party, exchanged) in parts.flat_map(|part| &part.peers) {
        let start = || Sha256::new_with_prefix(b"tacitly-transcripts-of-parts-1\n");
        let digests = digests.entry(*party).or_insert_with(|| [start(), start()]);
        let sum = all.entry(*party).or_default();
        let sides = [(&mut sum.sent, &exchanged.sent), (&mut sum.received, &exchanged.received)];
        for ((sum, side), digest) in sides.into_iter().zip(digests) {
            sum.frames += side.frames;
            sum.bytes += side.bytes;
            digest.update(side.digest);
        }
    }
    for (party, [sent, received]) in digests {
        if let Some(sum) = all.get_mut(&party) {
            (sum.sent.digest, sum.received.digest) = (sent.finalize().into(), received.finalize().into());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tacitly_core::Dyadic;

    use super::*;
    use crate::session::Window;

    #[test]
    fn a_task_is_read_as_it_was_written_and_other_bytes_are_none() {
        let peers = ["bank", "shop"].map(|name| name.parse().unwrap());
        let map = BTreeMap::from([("x".to_owned(), tacitly_core::Value::from(Dyadic::from(-3)))]);
        let terms = Terms::new().with("rows", 7).with("list", vec!["a", "b"]).with("inner", map);
        let me = "lender".parse().unwrap();
        let window = Some(Window { frames: 4, bytes: 1 << 16 });
        let limits = SessionLimits { window, patience: Some(Duration::from_millis(2500)) };
        let task =
            Task { phase: "main".into(), part: 7, me, peers: peers.into(), terms, seed: TaskSeed::Fresh, limits };
        let read = Task::of_bytes(&task.to_bytes().unwrap()).unwrap();
        assert_eq!((read.terms_hash(), &read), (task.terms_hash(), &task));
        assert!(Task::of_bytes(b"{}").is_err());
    }

    #[test]
    fn parts_that_are_over_are_written_as_bits() {
        for set in [vec![], vec![0], vec![7, 8, 9], vec![3, 1000]] {
            let set: BTreeSet<u32> = set.into_iter().collect();
            assert_eq!(of_bits(&bits(&set)), set);
        }
    }

    #[test]
    fn what_one_side_sent_in_all_parts_is_what_the_other_received() {
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let side = |byte| Side { frames: 1, bytes: u64::from(byte), digest: [byte; 32] };
        let at = |peer, sent, received| Over {
            items: 0,
            peers: BTreeMap::from([(peer, Exchanged { sent: side(sent), received: side(received) })]),
        };
        let here = together([at(shop, 1, 2), at(shop, 3, 4)].iter());
        let there = together([at(bank, 2, 1), at(bank, 4, 3)].iter());
        assert_eq!(here[&shop].sent, there[&bank].received);
        assert_eq!(here[&shop].received, there[&bank].sent);
        assert_eq!((here[&shop].sent.bytes, here[&shop].received.bytes), (4, 6));
        let swapped = together([at(shop, 3, 4), at(shop, 1, 2)].iter());
        assert_ne!(swapped[&shop].sent.digest, here[&shop].sent.digest, "their order counts");
    }
}
