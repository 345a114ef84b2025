//! What the attestation of a party rests on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tacitly_attestation::entry::{LegalName, Region, Registration};
use tacitly_attestation::note::VerifierKey;
use tacitly_core::PartyId;

use crate::chain::{Log, NoteKey, Witness};
use crate::store::Signer;
use crate::transport::https::Place;

/// What a party puts its name to, where it goes on record, and who sees to it.
pub struct Record {
    /// The party's key.
    pub signer: Arc<dyn Signer>,
    /// Its attestation log.
    pub log: Log,
    /// It as a witness of others' logs.
    pub witness: Witness,
    /// Witnesses of its log who are no peers.
    pub external: Vec<ExternalWitness>,
    /// Peers that may keep a copy of its log.
    pub mirrors: BTreeSet<PartyId>,
    /// The copies that it keeps of others' logs, if it does.
    pub copies: Option<CopySettings>,
    /// What it says of itself.
    pub profile: ProfileSettings,
}

/// A witness that answers C2SP tlog-witness `add-checkpoint` over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalWitness {
    /// Where, and how it proves who it is.
    pub place: Place,
    /// What verifies its cosignatures.
    pub key: VerifierKey,
}

/// What this party keeps of others' logs.
pub struct CopySettings {
    /// Whose logs.
    pub of: BTreeSet<PartyId>,
    /// Where: a folder for each party, and in it one for each log.
    pub folder: PathBuf,
    /// What signs that all is there.
    pub key: Arc<NoteKey>,
    /// Bytes of entries that are kept of one party.
    pub limit: u64,
}

/// What a party says of itself in its attestation log.
#[derive(Clone, Debug, Default)]
pub struct ProfileSettings {
    /// Its registered name; absent: its name among its peers.
    pub legal_name: Option<LegalName>,
    /// Its register number.
    pub registration: Option<Registration>,
    /// Where it runs.
    pub region: Option<Region>,
    /// Days for which entries are kept.
    pub retention_days: u64,
    /// How many witnesses must have cosigned; 0: more than half of them.
    pub quorum: usize,
}
