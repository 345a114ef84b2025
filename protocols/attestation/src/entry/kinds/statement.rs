//! What a kind of job states in words of its own, so that a new kind of job needs no new kind of entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tacitly_core::{PartyId, Value};

use super::meaning::{Meaning, Signers};
use crate::encoding::from_decimal;
use crate::entry::digest::{Commitment, Digest, Fingerprint, LeafHash};
use crate::entry::field::{Field, record, text_field};
use crate::entry::number::{ByteCount, Count, Time};
use crate::entry::refusal::{EntryRefusal, Place, Reason, ensure};
use crate::entry::text::{Code, Id};

/// The most fields of one statement.
pub const MAX_STATEMENT_FIELDS: usize = 64;

record! {
    /// What a kind of job puts on record beside agreement and result. The words are those of the job's kind: this crate
    /// checks their form, and says nothing about what they mean.
    pub struct StatementEntry {
        /// What is stated, such as `model-deployed`.
        topic: Code,
        /// About what.
        subject: StatementSubject,
        /// Who signs beside the one who records it, in the order of their names.
        signers: Vec<PartyId>,
        /// What is said about it.
        fields: StatementFields,
    }
    check signers_in_order
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementSubject {
    /// A job.
    Job(Id),
    /// A data set.
    Dataset(Fingerprint),
    /// An earlier entry in any log.
    Entry(LeafHash),
    /// Something that the job's kind has a name for.
    Code(Code),
}

impl StatementSubject {
    const FORM: &str =
        "what it is about (job: and a number, code: and a code, dataset-sha256: or leaf-sha256: and a hash)";

    /// Reads the text.
    ///
    /// # Errors
    /// [`Reason::Form`], or [`Reason::Personal`] if a code looks like something that must never be logged.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        match text.split_once(':') {
            Some(("job", id)) => Id::parse(id).map(Self::Job),
            Some(("code", code)) => Code::parse(code).map(Self::Code),
            Some(("dataset-sha256", _)) => Fingerprint::parse(text).map(Self::Dataset),
            Some(("leaf-sha256", _)) => LeafHash::parse(text).map(Self::Entry),
            _ => Err(Reason::Form(Self::FORM)),
        }
    }
}

impl fmt::Display for StatementSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(f, "job:{id}"),
            Self::Dataset(fingerprint) => fingerprint.fmt(f),
            Self::Entry(leaf) => leaf.fmt(f),
            Self::Code(code) => write!(f, "code:{code}"),
        }
    }
}

text_field!(StatementSubject, StatementSubject::FORM);

/// One value of a statement. Each form has one spelling, and none can be read as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementValue {
    /// How many: a number.
    Count(Count),
    /// A code.
    Code(Code),
    /// A party: `party:` and its name.
    Party(PartyId),
    /// What was numbered at random: `id:` and 32 hexadecimal digits.
    Id(Id),
    /// A moment: `time:` and milliseconds since 1970.
    Time(Time),
    /// A size: `bytes:` and a number.
    Bytes(ByteCount),
    /// The hash of something that is no secret among the readers of a log.
    Digest(Digest),
    /// A salted commitment.
    Commitment(Commitment),
    /// An earlier entry in any log.
    Entry(LeafHash),
    /// A data set.
    Dataset(Fingerprint),
    /// One to 128 codes, sorted.
    Codes(BTreeSet<Code>),
}

impl StatementValue {
    const FORM: &str =
        "a count, a code, a hash with its kind, a list of codes, or party:, id:, time: or bytes: and such a value";
}

impl Field for StatementValue {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let Some(text) = value.as_text() else {
            return match value.as_list() {
                Some(items) => codes(place, items).map(Self::Codes),
                None if value.as_integer().is_some() => Count::read(place, value).map(Self::Count),
                None => place.refuse(Reason::Form(Self::FORM)),
            };
        };
        let number = |digits: &str| from_decimal(digits).ok_or(Reason::Form(Self::FORM));
        let refused = |reason: Reason| place.refuse(reason);
        match text.split_once(':') {
            None => Code::read(place, value).map(Self::Code),
            Some(("party", name)) => PartyId::read(place, &name.into()).map(Self::Party),
            Some(("id", id)) => Id::read(place, &id.into()).map(Self::Id),
            Some(("time", digits)) => number(digits).and_then(Time::new).map(Self::Time).or_else(refused),
            Some(("bytes", digits)) => number(digits).and_then(ByteCount::new).map(Self::Bytes).or_else(refused),
            Some(("sha256", _)) => Digest::read(place, value).map(Self::Digest),
            Some(("salted-sha256", _)) => Commitment::read(place, value).map(Self::Commitment),
            Some(("leaf-sha256", _)) => LeafHash::read(place, value).map(Self::Entry),
            Some(("dataset-sha256", _)) => Fingerprint::read(place, value).map(Self::Dataset),
            Some(_) => place.refuse(Reason::Form(Self::FORM)),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Count(count) => count.write(),
            Self::Code(code) => code.write(),
            Self::Party(party) => Some(format!("party:{party}").into()),
            Self::Id(id) => Some(format!("id:{id}").into()),
            Self::Time(time) => Some(format!("time:{time}").into()),
            Self::Bytes(bytes) => Some(format!("bytes:{bytes}").into()),
            Self::Digest(digest) => digest.write(),
            Self::Commitment(commitment) => commitment.write(),
            Self::Entry(leaf) => leaf.write(),
            Self::Dataset(fingerprint) => fingerprint.write(),
            Self::Codes(codes) => Some(Value::List(codes.iter().filter_map(Code::write).collect())),
        }
    }
}

/// Reads a list of codes that has one order only.
fn codes(place: &Place<'_>, items: &[Value]) -> Result<BTreeSet<Code>, EntryRefusal> {
    let codes = Vec::<Code>::read(place, &Value::List(items.to_vec()))?;
    if codes.is_empty() || !codes.is_sorted_by(|a, b| a < b) {
        return place.refuse(Reason::Form("at least one code, sorted, each once"));
    }
    Ok(codes.into_iter().collect())
}

/// What a statement says: at most 64 named values. Names are codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementFields(BTreeMap<Code, StatementValue>);

impl StatementFields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same fields with one set.
    #[must_use]
    pub fn with(mut self, name: Code, value: StatementValue) -> Self {
        self.0.insert(name, value);
        self
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &Code) -> Option<&StatementValue> {
        self.0.get(name)
    }

    /// All fields, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Code, &StatementValue)> {
        self.0.iter()
    }

    fn leaves(&self) -> impl Iterator<Item = LeafHash> {
        self.0.values().filter_map(|value| match value {
            StatementValue::Entry(leaf) => Some(*leaf),
            _ => None,
        })
    }
}

impl Field for StatementFields {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let Some(map) = value.as_map() else { return place.refuse(Reason::Form("a map of named values")) };
        if map.len() > MAX_STATEMENT_FIELDS {
            return place.refuse(Reason::TooMany(MAX_STATEMENT_FIELDS));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in map {
            // A name that is no code may be a value that must not be logged, so the refusal does not repeat it.
            let code = Code::parse(name).or_else(|reason| place.refuse(reason))?;
            fields.insert(code, StatementValue::read(&Place::Field(place, name), value)?);
        }
        Ok(Self(fields))
    }

    fn write(&self) -> Option<Value> {
        let write = |(name, value): (&Code, &StatementValue)| Some((name.to_string(), value.write()?));
        Some(Value::Map(self.0.iter().filter_map(write).collect()))
    }
}

fn signers_in_order(entry: &StatementEntry) -> Result<(), Reason> {
    ensure(entry.signers.is_sorted_by(|a, b| a < b), "signers stand in the order of their names, each once")
}

impl Meaning for StatementEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(!self.signers.contains(&by), "who records a statement signs it anyway")
    }

    fn signers(&self, by: PartyId) -> Signers {
        Signers::all(self.signers.iter().copied().chain([by]))
    }

    fn references(&self) -> Vec<LeafHash> {
        let about = match &self.subject {
            StatementSubject::Entry(leaf) => Some(*leaf),
            _ => None,
        };
        about.into_iter().chain(self.fields.leaves()).collect()
    }
}
