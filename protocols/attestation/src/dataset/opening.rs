//! One record shown, the others hidden.

use std::collections::BTreeMap;

use tacitly_core::{Terms, Value};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::fingerprint::{DatasetSeed, Fingerprinter, fingerprint, leaf};
use crate::encoding::{base64, from_base64, from_base64_exact};
use crate::entry::Fingerprint;
use crate::hash::Hash;
use crate::tree::{HashSource, Node, inclusion_nodes, prove_inclusion, root_from_inclusion};

/// The first line of every opening.
const SCHEMA: &str = "tacitly-opening@v1";

/// A record of a data set, with what shows that it belongs to the fingerprint.
///
/// It holds personal data: it goes to the arbiter and to nobody else, never into a log or a certificate.
/// Not `Clone`, `Debug` nor `PartialEq`; the record and its salt are wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Opening {
    index: u64,
    rows: u64,
    #[zeroize(skip)]
    path: Vec<Hash>,
    salt: [u8; 32],
    record: Vec<u8>,
}

/// The bytes are not an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an opening: \"{SCHEMA}\" on a line, then one line of canonical JSON (index, path, record, rows, salt)")]
pub struct MalformedOpening;

/// The opening does not belong to the fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not belong to the data set of this fingerprint")]
pub struct OpeningFault;

/// The records that streamed by are not those of the fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenerFault {
    /// The index lies outside the data set.
    #[error("there is no record {index}: the data set has {rows} rows")]
    NoSuchRecord {
        /// The place asked for, from 0.
        index: u64,
        /// The rows it should have.
        rows: u64,
    },
    /// More or fewer records than the data set has.
    #[error("{found} records, the data set has {rows} rows")]
    OtherRows {
        /// Records given.
        found: u64,
        /// The rows it should have.
        rows: u64,
    },
}

/// Makes an opening while the records stream by once more: nothing but the seed and the number of rows was kept.
pub struct Opener {
    index: u64,
    rows: u64,
    fingerprinter: Fingerprinter,
    kept: BTreeMap<Node, Option<Hash>>,
    salt: [u8; 32],
    record: Vec<u8>,
}

impl Opener {
    /// Opens the record at `index`, from 0, of a data set of `rows` records.
    ///
    /// # Errors
    /// [`OpenerFault::NoSuchRecord`].
    pub fn new(seed: &DatasetSeed, index: u64, rows: u64) -> Result<Self, OpenerFault> {
        if index >= rows {
            return Err(OpenerFault::NoSuchRecord { index, rows });
        }
        let kept = inclusion_nodes(index, rows).into_iter().map(|node| (node, None)).collect();
        Ok(Self { index, rows, fingerprinter: Fingerprinter::new(seed), kept, salt: [0; 32], record: Vec::new() })
    }

    /// Takes the next record, in the order and with the bytes of the fingerprint.
    pub fn push(&mut self, record: &[u8]) {
        let wanted = self.fingerprinter.rows() == self.index;
        let kept = &mut self.kept;
        let salt = self.fingerprinter.push_with(record, |node, hash| {
            if let Some(place) = kept.get_mut(&node) {
                *place = Some(*hash);
            }
        });
        if wanted {
            self.salt = salt;
            self.record = record.to_vec();
        }
    }

    /// The opening and the fingerprint it belongs to.
    ///
    /// # Errors
    /// [`OpenerFault::OtherRows`].
    pub fn finish(mut self) -> Result<(Opening, Fingerprint), OpenerFault> {
        let other = OpenerFault::OtherRows { found: self.fingerprinter.rows(), rows: self.rows };
        if self.fingerprinter.rows() != self.rows {
            return Err(other);
        }
        let mut kept = Kept(&self.kept);
        let path = prove_inclusion(&mut kept, self.index, self.rows).map_err(|_| other)?;
        let record = std::mem::take(&mut self.record);
        let opening = Opening { index: self.index, rows: self.rows, path, salt: self.salt, record };
        self.salt.zeroize();
        Ok((opening, self.fingerprinter.fingerprint()))
    }
}

struct Kept<'k>(&'k BTreeMap<Node, Option<Hash>>);

impl HashSource for Kept<'_> {
    type Error = Node;

    fn hash(&mut self, node: Node) -> Result<Hash, Node> {
        self.0.get(&node).copied().flatten().ok_or(node)
    }
}

impl Opening {
    /// The most bytes of a record that an opening can carry.
    pub const MAX_RECORD: usize = 32 << 10;

    /// The place of the record in the data set, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The exact number of records in the data set.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The record, if it belongs to the data set of this fingerprint.
    ///
    /// # Errors
    /// [`OpeningFault`].
    pub fn verify(&self, whole: &Fingerprint) -> Result<&[u8], OpeningFault> {
        let root = root_from_inclusion(&leaf(&self.salt, &self.record), self.index, self.rows, &self.path);
        let found = root.map(|root| fingerprint(self.rows, &root)).map_err(|_| OpeningFault)?;
        if found == *whole { Ok(&self.record) } else { Err(OpeningFault) }
    }

    /// Writes it for the arbiter.
    ///
    /// # Errors
    /// [`MalformedOpening`] if the record is longer than [`Self::MAX_RECORD`].
    pub fn encode(&self) -> Result<Vec<u8>, MalformedOpening> {
        if self.record.len() > Self::MAX_RECORD {
            return Err(MalformedOpening);
        }
        let path: Vec<String> = self.path.iter().map(Hash::to_string).collect();
        let terms = Terms::new()
            .with("index", self.index)
            .with("path", path)
            .with("record", base64(&self.record))
            .with("rows", self.rows)
            .with("salt", base64(&self.salt));
        Ok([SCHEMA.as_bytes(), b"\n", &terms.canonical(), b"\n"].concat())
    }

    /// Reads an opening, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedOpening`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedOpening> {
        let line = bytes.strip_prefix(SCHEMA.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n")?.strip_suffix(b"\n"));
        let terms = line.and_then(|line| Terms::parse(line).ok()).ok_or(MalformedOpening)?;
        Self::of_terms(&terms).ok_or(MalformedOpening)
    }

    fn of_terms(terms: &Terms) -> Option<Self> {
        let path = terms.list("path").ok()?.iter().map(|hash| Hash::from_base64(hash.as_text()?));
        let record = from_base64(terms.text("record").ok()?).filter(|record| record.len() <= Self::MAX_RECORD)?;
        let salt = from_base64_exact(terms.text("salt").ok()?)?;
        let (index, rows) = (terms.get("index")?.as_integer()?, terms.get("rows").and_then(Value::as_integer)?);
        let opening = Self { index, rows, path: path.collect::<Option<_>>()?, salt, record };
        (terms.fields().count() == 5).then_some(opening)
    }
}
