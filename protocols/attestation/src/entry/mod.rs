//! Entries: what parties put on record, in a form that has no room for personal data.
//!
//! An entry is a signed note of two lines. The first names the schema, the second is JSON in one canonical form
//! (sorted keys, whole numbers, no floats, no null, no booleans; the form of [`Terms`]). The leaf of the log is the
//! exact bytes of the note with all its signatures.
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
mod field;
mod kinds;
mod number;
mod refusal;
mod signed;
mod text;

use std::collections::BTreeMap;

use tacitly_core::{MalformedTerms, PartyId, Terms};

use crate::note::MalformedNote;
use field::{Fields, put};
use refusal::Place;

pub(crate) use field::{Field, Record, record};

pub use digest::{ChainValue, Commitment, Digest, Fingerprint, LeafHash, TranscriptDigest, TreeRoot};
pub use kinds::{
    AgreementEntry, AnchorEntry, AnchorRule, Body, ContributionEntry, DatasetEntry, DisputeEntry, Erased,
    ErasureEntry, Kind, Limit, LogRange, MIN_BATCH_FOR_HITS, OpeningEntry, PadEntry, Participant, PartyEntry, PartyKey,
    Payment, PeerTranscript, Phase, PolicyEntry, PriceRule, QueryEntry, ResultEntry, ResultStatus, ServeEntry,
    ServeStatus, SettlementEntry, Sharing, Signers, TickEntry, TimeUnit, UnitRow,
};
pub use number::{Amount, Bucket, ByteCount, ChainNumber, Count, LogSize, Milliseconds, Time};
pub use refusal::{EntryRefusal, Reason};
pub use signed::{EntryFault, SignedEntry};
pub use text::{Code, Currency, Id, LegalName, Nonce, Origin, Period, Region, Registration, Software};

/// The first line of every entry.
pub const SCHEMA: &str = "tacitly-entry@v1";

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

/// Bytes that are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEntry {
    /// The envelope is not a note.
    #[error(transparent)]
    Note(#[from] MalformedNote),
    /// Longer than a log can hold.
    #[error("an entry has at most 65,535 bytes, not {0}")]
    TooLong(usize),
    /// The first line names another schema, or there are not two lines.
    #[error("an entry has two lines, the first of them \"{SCHEMA}\"")]
    Schema,
    /// The second line is not JSON of whole numbers, texts, lists and maps.
    #[error("the second line is not JSON of whole numbers, texts, lists and maps")]
    NotJson,
    /// The second line is not in canonical form.
    #[error("the second line is not in canonical form (sorted keys, no white space, no repeated key)")]
    NotCanonical,
    /// A field is not as the schema declares it.
    #[error(transparent)]
    Refused(#[from] EntryRefusal),
}

impl Entry {
    /// An entry of these contents.
    ///
    /// # Errors
    /// [`EntryRefusal`] if a field holds what its form or the [lint](crate::lint) refuses.
    pub fn new(header: Header, body: impl Into<Body>) -> Result<Self, EntryRefusal> {
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
        let terms = map.into_iter().fold(Terms::new(), |terms, (name, value)| terms.with(&name, value));
        // Reading it back is the one check, so nothing can be written that is not read.
        Self::of_terms(&terms)
    }

    /// Reads the text of an entry, both lines with their line feeds.
    ///
    /// # Errors
    /// [`MalformedEntry`].
    pub fn parse(text: &str) -> Result<Self, MalformedEntry> {
        let line = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n')?.strip_suffix('\n'));
        let line = line.filter(|line| !line.contains('\n')).ok_or(MalformedEntry::Schema)?;
        let terms = Terms::parse(line.as_bytes()).map_err(|malformed| match malformed {
            MalformedTerms::TooLong { found, .. } => MalformedEntry::TooLong(found),
            MalformedTerms::NotCanonical => MalformedEntry::NotCanonical,
            MalformedTerms::NotTerms | MalformedTerms::Field(_) => MalformedEntry::NotJson,
        })?;
        Ok(Self::of_terms(&terms)?)
    }

    fn of_terms(terms: &Terms) -> Result<Self, EntryRefusal> {
        let mut fields = Fields::new(&Place::Entry, terms.fields());
        let kind = fields.take("kind")?;
        let header = Header {
            id: fields.take("id")?,
            log: fields.take("log")?,
            by: fields.take("by")?,
            t: fields.take("t")?,
            nonce: fields.take("nonce")?,
            rel: fields.take("rel")?,
        };
        let body = Body::read(kind, &mut fields)?;
        fields.finish()?;
        body.check().or_else(|reason| Place::Entry.refuse(reason))?;
        let line = String::from_utf8(terms.canonical()).unwrap_or_default();
        Ok(Self { header, body, text: format!("{SCHEMA}\n{line}\n") })
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

    /// The earlier entries that it names, in its header and in its body.
    #[must_use]
    pub fn references(&self) -> Vec<LeafHash> {
        let mut leaves = self.header.rel.clone();
        leaves.extend(self.body.references());
        leaves
    }
}
