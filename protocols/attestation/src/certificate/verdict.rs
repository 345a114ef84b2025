//! What a certificate proves, in the order in which a court asks: when, where, who; before, during, after.

use std::collections::BTreeSet;
use std::fmt;

use tacitly_core::PartyId;

use super::Manifest;
use crate::entry::{
    AgreementEntry, AnchorEntry, Body, Entry, Header, LeafHash, Origin, PartyEntry, Phase, QueryEntry, ServeEntry, Time,
};
use crate::hash::Hash;
use crate::policy::{Policy, Quorum, QuorumStatus};

/// A certificate that holds, and what it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose keys it was verified with.
    pub trust: Trust,
    /// What it says about itself, in the issuer's name.
    pub manifest: Manifest,
    /// The policy in the certificate, whoever's keys were used.
    pub policy: Policy,
    /// How far it reaches.
    pub levels: Levels,
    /// The entry it is about, then the attached ones, each named by one before it.
    pub entries: Vec<Proven>,
}

/// Whose keys a certificate was verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// With a policy that the verifier brought along.
    Given,
    /// With the policy in the certificate itself: it shows that the file is consistent, and that whoever holds these
    /// keys signed it. Who that is, the verifier must know from elsewhere.
    Snapshot,
}

/// How far a certificate reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Who signed the entry, all that it needs among them.
    pub signed: BTreeSet<PartyId>,
    /// Where it stands in its log, if that is shown.
    pub included: Option<Included>,
    /// Which witnesses cosigned the tree. The level is reached if [`Quorum::Met`].
    pub witnessed: Option<QuorumStatus>,
    /// Whether the tree was anchored on a chain.
    pub anchored: Anchoring,
}

/// The highest level that a certificate reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Signed, and nothing shows that it stands in a log: its signers can have made it at any time.
    Stated,
    /// It stands in a log.
    Included,
    /// It stands in a log whose tree enough witnesses have cosigned.
    Witnessed,
    /// That tree was anchored on a chain.
    Anchored,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Included => "included",
            Self::Witnessed => "witnessed",
            Self::Anchored => "anchored",
        }
    }
}

/// Where an entry stands in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The log.
    pub log: Origin,
    /// The index of the entry.
    pub index: u64,
    /// The size of the tree that it was shown in.
    pub size: u64,
    /// The root of that tree.
    pub root: Hash,
}

/// Whether a tree was anchored on a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchoring {
    /// Nothing says so.
    None,
    /// The certificate has a proof that nobody has checked: bring a verifier for that chain.
    NotChecked,
    /// It was, and the proof holds.
    Proven {
        /// Where.
        anchor: Box<AnchorEntry>,
        /// Whether the block can be undone.
        finality: Finality,
    },
}

/// Whether it is shown that a block is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Its validators' seals were verified.
    Proven,
    /// Its receipt was verified, and nothing offline says that the block is final.
    NotProven,
}

/// An entry whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its hash as a leaf.
    pub leaf: LeafHash,
    /// What it says.
    pub entry: Entry,
    /// Who signed it.
    pub signed: BTreeSet<PartyId>,
}

/// Something that the entry of a certificate rests on and that the certificate does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The agreement that the result or the question names is not attached.
    Agreement(LeafHash),
    /// The question that the answer names is not attached.
    Query(LeafHash),
    /// The agreement names a data set of this party by its entry, which is not attached.
    Dataset {
        /// Whose.
        party: PartyId,
        /// Which.
        leaf: LeafHash,
    },
}

/// A question that a certificate is about, as far as it shows it: the entry of one of the two at least.
#[derive(Clone, Copy, Debug)]
pub struct Question<'v> {
    /// What was asked, and by whom.
    pub query: Option<(&'v Header, &'v QueryEntry)>,
    /// What became of it, and who says so.
    pub serve: Option<(&'v Header, &'v ServeEntry)>,
}

impl Verdict {
    /// The agreement on the job that the certificate is about: its entry itself, or the one that its result or its question
    /// names.
    #[must_use]
    pub fn agreement(&self) -> Option<&AgreementEntry> {
        let named = match self.entries.first()?.entry.body() {
            Body::Agreement(agreement) => return Some(agreement),
            Body::Result(result) => result.agreement,
            Body::Query(_) | Body::Serve(_) => self.question()?.query?.1.agreement,
            _ => return None,
        };
        match self.find(named)?.body() {
            Body::Agreement(agreement) => Some(agreement),
            _ => None,
        }
    }

    /// The question that the certificate is about, if it is about one.
    #[must_use]
    pub fn question(&self) -> Option<Question<'_>> {
        let main = self.entries.first()?;
        match main.entry.body() {
            Body::Query(query) => {
                let answers = self.entries.iter().find_map(|proven| match proven.entry.body() {
                    Body::Serve(serve) if serve.query == main.leaf => Some((proven.entry.header(), serve)),
                    _ => None,
                });
                Some(Question { query: Some((main.entry.header(), query)), serve: answers })
            }
            Body::Serve(serve) => {
                let asked = self.find(serve.query).and_then(|entry| match entry.body() {
                    Body::Query(query) => Some((entry.header(), query)),
                    _ => None,
                });
                Some(Question { query: asked, serve: Some((main.entry.header(), serve)) })
            }
            _ => None,
        }
    }

    fn find(&self, leaf: LeafHash) -> Option<&Entry> {
        self.entries.iter().find(|proven| proven.leaf == leaf).map(|proven| &proven.entry)
    }

    /// What the entry rests on and the certificate does not show: there are names for it, and no word of what it says.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let Some(agreement) = self.agreement() else {
            return match self.entries.first().map(|proven| proven.entry.body()) {
                Some(Body::Result(result)) => vec![Gap::Agreement(result.agreement)],
                Some(Body::Query(query)) => vec![Gap::Agreement(query.agreement)],
                Some(Body::Serve(serve)) => match self.question().and_then(|question| question.query) {
                    Some((_, query)) => vec![Gap::Agreement(query.agreement)],
                    None => vec![Gap::Query(serve.query)],
                },
                _ => Vec::new(),
            };
        };
        let shown: BTreeSet<LeafHash> = self.entries.iter().map(|proven| proven.leaf).collect();
        let named = agreement.parties.iter().filter_map(|party| Some((party.party, party.dataset?)));
        let missing = named.filter(|(_, leaf)| !shown.contains(leaf));
        missing.map(|(party, leaf)| Gap::Dataset { party, leaf }).collect()
    }

    /// *Time*, as the recorder, the witnesses and the issuer state it: the recorder's in milliseconds, the witnesses'
    /// by name in seconds since 1970. Witnesses give the latest time at which the entry can have been made.
    #[must_use]
    pub fn time(&self) -> (Option<Time>, &[(String, u64)], Time) {
        let recorded = self.entries.first().map(|proven| proven.entry.header().t);
        let cosigned = self.levels.witnessed.as_ref().map_or(&[][..], |standing| &standing.cosigned);
        (recorded, cosigned, self.manifest.issued)
    }

    /// *Place*, as far as it is shown: the log and the index. Where each party runs stands in [`Self::persons`].
    #[must_use]
    pub fn place(&self) -> Option<&Included> {
        self.levels.included.as_ref()
    }

    /// *Person*: who signed anything, with the party's own statement of its name, keys, program and region if that
    /// entry is attached.
    #[must_use]
    pub fn persons(&self) -> Vec<(PartyId, Option<&PartyEntry>)> {
        let parties: BTreeSet<PartyId> = self.entries.iter().flat_map(|proven| proven.signed.iter().copied()).collect();
        let statement = |party: &PartyId| {
            self.entries.iter().find_map(|proven| match proven.entry.body() {
                Body::Party(statement) if proven.entry.header().by == *party => Some(statement),
                _ => None,
            })
        };
        parties.iter().map(|party| (*party, statement(party))).collect()
    }

    /// *Before*: who takes part under which rules, with which data, and what was agreed.
    pub fn before(&self) -> impl Iterator<Item = &Proven> {
        self.entries.iter().filter(|proven| matches!(proven.entry.kind().phase(), Phase::Setup | Phase::Before))
    }

    /// *During*: what was asked and answered.
    pub fn during(&self) -> impl Iterator<Item = &Proven> {
        self.entries.iter().filter(|proven| proven.entry.kind().phase() == Phase::During)
    }

    /// *After*: what came of it, and what the log did for its own sake.
    pub fn after(&self) -> impl Iterator<Item = &Proven> {
        self.entries.iter().filter(|proven| matches!(proven.entry.kind().phase(), Phase::After | Phase::Upkeep))
    }
}

impl Levels {
    /// Whether enough witnesses cosigned, as the policy asks.
    #[must_use]
    pub fn is_witnessed(&self) -> bool {
        self.witnessed.as_ref().is_some_and(|standing| standing.quorum == Quorum::Met)
    }

    /// The highest level that is reached.
    #[must_use]
    pub fn reached(&self) -> Level {
        match (&self.included, &self.anchored) {
            (None, _) => Level::Stated,
            (Some(_), Anchoring::Proven { .. }) => Level::Anchored,
            (Some(_), _) if self.is_witnessed() => Level::Witnessed,
            (Some(_), _) => Level::Included,
        }
    }
}

impl fmt::Display for Levels {
    /// One line, such as `signed by bank-a, shop-b; included at 7 of 200; witnessed 2 of 2; not anchored`. Below
    /// [`Level::Included`] it says that all is only stated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.signed.iter().map(PartyId::as_str).collect();
        write!(f, "signed by {}", names.join(", "))?;
        match &self.included {
            Some(Included { index, size, .. }) => write!(f, "; included at {index} of {size}")?,
            None => f.write_str("; stated, not included")?,
        }
        match &self.witnessed {
            Some(QuorumStatus { cosigned, of, quorum }) => {
                write!(f, "; witnessed {} of {of}", cosigned.len())?;
                f.write_str(match quorum {
                    Quorum::Met => "",
                    Quorum::Missed => " (too few)",
                    Quorum::NotAsked => " (none asked)",
                })?;
            }
            None => f.write_str("; not witnessed")?,
        }
        f.write_str(match self.anchored {
            Anchoring::None => "; not anchored",
            Anchoring::NotChecked => "; anchor not checked",
            Anchoring::Proven { finality: Finality::Proven, .. } => "; anchored",
            Anchoring::Proven { finality: Finality::NotProven, .. } => "; anchored, finality not proven",
        })
    }
}
