//! What a certificate says about itself.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

use crate::entry::{
    Id, Kind, LeafHash, MAX_PARTIES, MalformedEntry, Record, Software, Time, read_line, record, write_line,
};

/// The first line of every certificate.
pub(super) const SCHEMA: &str = "tacitly-evidence@v1";

/// The most earlier entries that a certificate carries: an agreement, and of each of its parties the data set and who it
/// is. The whole stays within [`Note::MAX_BYTES`](crate::note::Note::MAX_BYTES).
pub const MAX_RELATED: usize = 1 + 2 * MAX_PARTIES;

record! {
    /// What a certificate says about itself.
    pub struct Manifest {
        /// Its name.
        certificate: Id,
        /// When it was issued, by the issuer's clock.
        issued: Time,
        /// Who issued it.
        issuer: PartyId,
        /// The kind of the entry it is about.
        kind: Kind,
        /// The leaf hash of that entry.
        leaf: LeafHash,
        /// The program that wrote it.
        tool: Software,
    }
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let mut map = BTreeMap::new();
        self.write_fields(&mut map);
        write_line(map)
    }

    pub(super) fn parse(text: &str) -> Result<Self, MalformedEntry> {
        read_line(text, Self::read_fields)
    }
}
