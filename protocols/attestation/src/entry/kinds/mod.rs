//! What each kind of entry says, who must sign it, and which earlier entries it rests on.

mod after;
mod before;
mod during;
mod meaning;
mod setup;
mod statement;
mod upkeep;

use std::collections::BTreeMap;

use tacitly_core::{PartyId, Value};

use super::digest::LeafHash;
use super::field::{Fields, Record, choice};
use super::refusal::{EntryRefusal, Reason};
use super::text::Id;
use meaning::Meaning;

pub use after::{
    ContributionEntry, DisputeEntry, Erased, ErasureEntry, LogRange, OpeningEntry, Payment, PeerTranscript,
    ResultEntry, ResultStatus, SettlementEntry, Sharing, UnitRow,
};
pub use before::{AgreementEntry, Attendance, DatasetEntry, Limit, Participant, PriceRule};
pub use during::{MIN_BATCH_FOR_HITS, QueryEntry, ServeEntry, ServeStatus};
pub use meaning::{MAX_PARTIES, Signers};
pub use setup::{AnchorRule, PartyEntry, PartyKey, PolicyEntry, RevocationEntry};
pub use statement::{MAX_STATEMENT_FIELDS, StatementEntry, StatementFields, StatementSubject, StatementValue};
pub use upkeep::{AnchorEntry, PadEntry, TickEntry, TimeUnit};

/// When in the life of a job an entry is made: three of the six questions that a court asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Who takes part at all, and under which rules.
    Setup,
    /// What was fixed before the job ran.
    Before,
    /// What happened while it ran.
    During,
    /// What came of it.
    After,
    /// What a log writes for its own sake.
    Upkeep,
}

/// Declares the kinds: one line each, so that none can be forgotten anywhere.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($body:ty) = $text:literal, $phase:ident;)*) => {
        choice! {
            /// The kind of an entry.
            pub enum Kind: "a kind of entry that this version knows" { $($(#[$doc])* $kind = $text,)* }
        }

        impl Kind {
            /// Every kind, in the order of a job's life.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// When in the life of a job it is made.
            #[must_use]
            pub fn phase(self) -> Phase {
                match self { $(Self::$kind => Phase::$phase,)* }
            }
        }

        /// What an entry says beside its header.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Body { $($(#[$doc])* $kind($body),)* }

        impl Body {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            pub(super) fn read(kind: Kind, fields: &mut Fields<'_>) -> Result<Self, EntryRefusal> {
                match kind { $(Kind::$kind => <$body>::read_fields(fields).map(Self::$kind),)* }
            }

            pub(super) fn write(&self, map: &mut BTreeMap<String, Value>) {
                match self { $(Self::$kind(body) => body.write_fields(map),)* }
            }

            pub(super) fn check(&self, by: PartyId) -> Result<(), Reason> {
                match self { $(Self::$kind(body) => body.check().and_then(|()| body.check_recorder(by)),)* }
            }

            pub(super) fn signers(&self, by: PartyId) -> Signers {
                match self { $(Self::$kind(body) => body.signers(by),)* }
            }

            pub(super) fn references(&self) -> Vec<LeafHash> {
                match self { $(Self::$kind(body) => body.references(),)* }
            }
        }

        $(impl From<$body> for Body {
            fn from(body: $body) -> Self {
                Self::$kind(body)
            }
        })*
    };
}

impl Body {
    /// The job that it is about, if it is about one.
    #[must_use]
    pub fn job(&self) -> Option<Id> {
        match self {
            Self::Agreement(agreement) => Some(agreement.job),
            Self::Query(query) => Some(query.job),
            Self::Serve(serve) => Some(serve.job),
            Self::Result(result) => Some(result.job),
            Self::Statement(statement) => match statement.subject {
                StatementSubject::Job(job) => Some(job),
                _ => None,
            },
            _ => None,
        }
    }
}

kinds! {
    /// Who a party is and which keys are its own.
    Party(PartyEntry) = "party", Setup;
    /// The rules of the consortium.
    Policy(PolicyEntry) = "policy", Setup;
    /// That a key is not to be trusted any more.
    Revocation(RevocationEntry) = "revocation", Setup;
    /// The fingerprint of a data set.
    Dataset(DatasetEntry) = "dataset", Before;
    /// What all parties of a job agreed.
    Agreement(AgreementEntry) = "agreement", Before;
    /// A question, or a batch of them, by the one who asks.
    Query(QueryEntry) = "query", During;
    /// What became of it, by the one who answers.
    Serve(ServeEntry) = "serve", During;
    /// What a kind of job states in words of its own.
    Statement(StatementEntry) = "statement", During;
    /// What came out of a job, as one party saw it.
    Result(ResultEntry) = "result", After;
    /// How much each party contributed over a period.
    Contribution(ContributionEntry) = "contribution", After;
    /// Who pays whom for it.
    Settlement(SettlementEntry) = "settlement", After;
    /// An objection to an earlier entry.
    Dispute(DisputeEntry) = "dispute", After;
    /// That something committed was shown to somebody.
    Opening(OpeningEntry) = "opening", After;
    /// That salts or records behind earlier commitments were destroyed.
    Erasure(ErasureEntry) = "erasure", After;
    /// That a checkpoint was anchored on a blockchain.
    Anchor(AnchorEntry) = "anchor", Upkeep;
    /// A sign of life.
    Tick(TickEntry) = "tick", Upkeep;
    /// Nothing, so that the size of the log says less.
    Pad(PadEntry) = "pad", Upkeep;
}
