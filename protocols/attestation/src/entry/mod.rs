//! Entries: what parties put on record, in a form that has no room for personal data.
//!
//! An entry is a signed note of two lines. The first names the schema, the second is JSON in one canonical form
//! (sorted keys, whole numbers, no floats, no null, no booleans; the form of [`Terms`](tacitly_core::Terms)). The leaf
//! of the log is the exact bytes of the note with all its signatures.
//!
//! ```text
//! tacitly-entry@v1
//! {"by":"bank-a","id":"…","interval_ms":60000,"kind":"tick","log":"bank-a.example/log","nonce":"…","rel":[],"t":…}
//!
//! — bank-a …
//! ```
//!
//! Values become types on the way in and go through the same reader on the way out, so that an entry with a field
//! outside its declared form can neither be read nor be made. A refusal names the field and never shows the value.

mod digest;
pub(crate) mod field;
mod kinds;
mod line;
mod malformed;
mod number;
mod refusal;
mod signed;
mod text;

use std::collections::BTreeMap;

use tacitly_core::PartyId;

pub use field::MAX_ITEMS;
use field::put;
use refusal::Place;

pub(crate) use field::{Record, record};
pub(crate) use line::{read_line, write_line};
pub(crate) use refusal::ensure;

pub use digest::{ChainValue, Commitment, Digest, Fingerprint, LeafHash, TranscriptDigest, TreeRoot};
pub use kinds::{
    AgreementEntry, AnchorEntry, AnchorRule, Attendance, Body, ContributionEntry, DatasetEntry, DisputeEntry, Erased,
    ErasureEntry, Kind, Limit, LogRange, MAX_PARTIES, MAX_STATEMENT_FIELDS, MIN_BATCH_FOR_HITS, OpeningEntry, PadEntry,
    Participant, PartyEntry, PartyKey, Payment, PeerTranscript, Phase, PolicyEntry, PriceRule, QueryEntry, ResultEntry,
    ResultStatus, RevocationEntry, ServeEntry, ServeStatus, SettlementEntry, Sharing, Signers, StatementEntry,
    StatementFields, StatementSubject, StatementValue, TickEntry, TimeUnit, UnitRow,
};
pub use malformed::{MAX_TEXT_BYTES, MalformedEntry, SCHEMA};
pub use number::{Amount, Bucket, ByteCount, ChainNumber, Count, LogSize, Milliseconds, Time};
pub use refusal::{EntryRefusal, Reason};
pub use signed::{EntryFault, SignedEntry};
pub use text::{Code, Currency, Id, LegalName, Nonce, Origin, Period, Region, Registration, Software};

/// What every entry says, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub id: Id,
    /// The log it is written to.
    pub log: Origin,
    /// Who records it.
    pub by: PartyId,
    /// When, by the recorder's clock.
    pub t: Time,
    /// What keeps its leaf hash from being guessed.
    pub nonce: Nonce,
    /// Earlier entries, in any log, that it comes after.
    pub rel: Vec<LeafHash>,
}

/// An entry that keeps to the schema, not yet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    header: Header,
    body: Body,
    text: String,
}

impl Entry {
    /// An entry of these contents.
    ///
    /// # Errors
    /// [`MalformedEntry::Refused`] if a field holds what its form or the [lint](crate::lint) refuses,
    /// [`MalformedEntry::TooLong`].
    pub fn new(header: Header, body: impl Into<Body>) -> Result<Self, MalformedEntry> {
        let body = body.into();
        let mut map = BTreeMap::new();
        put(&mut map, "kind", &body.kind());
        put(&mut map, "id", &header.id);
        put(&mut map, "log", &header.log);
        put(&mut map, "by", &header.by);
        put(&mut map, "t", &header.t);
        put(&mut map, "nonce", &header.nonce);
        put(&mut map, "rel", &header.rel);
        body.write(&mut map);
        // Reading it back is the one check, so nothing can be written that is not read.
        Self::parse(&format!("{SCHEMA}\n{}", write_line(map)))
    }

    /// Reads the text of an entry, both lines with their line feeds.
    ///
    /// # Errors
    /// [`MalformedEntry`].
    pub fn parse(text: &str) -> Result<Self, MalformedEntry> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(MalformedEntry::TooLong(text.len()));
        }
        let line = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n')).ok_or(MalformedEntry::Schema)?;
        read_line(line, |fields| {
            let kind = fields.take("kind")?;
            let header = Header {
                id: fields.take("id")?,
                log: fields.take("log")?,
                by: fields.take("by")?,
                t: fields.take("t")?,
                nonce: fields.take("nonce")?,
                rel: fields.take("rel")?,
            };
            let body = Body::read(kind, fields)?;
            body.check(header.by).or_else(|reason| Place::Entry.refuse(reason))?;
            if body.signers(header.by).fewest() > MAX_PARTIES {
                return Place::Entry.refuse(Reason::Inconsistent("more than 128 parties would have to sign"));
            }
            Ok(Self { header, body, text: text.to_owned() })
        })
    }

    /// What is signed: both lines with their line feeds.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What every entry says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What this kind of entry says.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Whose signatures it needs.
    #[must_use]
    pub fn signers(&self) -> Signers {
        self.body.signers(self.header.by)
    }

    /// Whether it belongs into this log of `owner`: its header says so, or it is an agreement that `owner` signs and
    /// another party leads.
    #[must_use]
    pub fn belongs_in(&self, log: &str, owner: PartyId) -> bool {
        let own_log = self.header.log.as_str() == log;
        match &self.body {
            _ if self.header.by == owner => own_log,
            Body::Agreement(agreement) => !own_log && agreement.is_signed_by(owner),
            _ => false,
        }
    }

    /// The earlier entries that it names, in its header and in its body.
    #[must_use]
    pub fn references(&self) -> Vec<LeafHash> {
        let mut leaves = self.header.rel.clone();
        leaves.extend(self.body.references());
        leaves
    }
}
