//! Whom a verifier trusts: which logs, which witnesses, how many of them, and whose signatures under entries.
//!
//! The text is C2SP tlog-policy with one line of our own, `signer`, for the keys that sign entries and certificates:
//!
//! ```text
//! signer bank-a+9c5a4f0f+AX…
//! log    bank-a.example/log+1f2e3d4c+AT…
//! witness shop-b    shop-b.example/witness+0a1b2c3d+BG…
//! witness regulator regulator.example/witness+99aabbcc+BK…
//! group  outside 2 shop-b regulator
//! quorum outside
//! ```
//!
//! Without its `signer` lines it is a policy that every tlog-policy tool reads.

mod parse;
mod rule;

use std::collections::BTreeSet;

use crate::checkpoint::SignedCheckpoint;
use crate::entry::Digest;
use crate::hash::Hash;
use crate::note::{BadSignature, KeyRing, VerifierKey};

use parse::Parsed;
use rule::Rule;

pub use parse::{MalformedPolicy, PolicyFault};
pub use rule::Witness;

/// Trusted logs, witnesses and signers, and the quorum of witnesses that makes a checkpoint valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(Parsed);

/// How a checkpoint stands under a policy that knows its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// The witnesses that cosigned, in the policy's order, with their times in seconds since 1970.
    pub cosigned: Vec<(String, u64)>,
    /// How many witnesses the policy names.
    pub of: usize,
    /// Whether they suffice.
    pub quorum: Quorum,
}

/// Whether enough witnesses cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// The policy asks for none.
    NotAsked,
    /// Enough did.
    Met,
    /// Too few did.
    Missed,
}

/// A checkpoint that a policy does not accept, whoever cosigned it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// The policy names no log of that origin.
    #[error("the policy names no log of the checkpoint's origin")]
    UnknownLog,
    /// The log's own signature is missing.
    #[error("the log has not signed the checkpoint")]
    NotSigned,
    /// A signature in the log's name does not verify.
    #[error("the log's signature does not verify")]
    LogSignature,
    /// A signature in a witness's name does not verify.
    #[error("a cosignature does not verify: {0}")]
    Cosignature(BadSignature),
}

impl Policy {
    /// The longest text that is read, in bytes: of 128 parties each a signer, a log and a witness with the longest names.
    pub const MAX_BYTES: usize = parse::MAX_BYTES;

    /// The most lines that are read, comments and empty lines not counted. Each of 128 parties may have two keys of every
    /// kind, such as before and after a rotation.
    pub const MAX_LINES: usize = parse::MAX_LINES;

    /// Reads a policy's text.
    ///
    /// # Errors
    /// [`MalformedPolicy`] naming the line.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        parse::policy(text).map(Self)
    }

    /// The policy of a consortium: any `needed` of the witnesses, or none asked if there are none. Their names are chosen by
    /// the caller; the group of all is called `_all`.
    ///
    /// # Errors
    /// [`MalformedPolicy`] if a name or key does not fit its place.
    pub fn consortium(
        signers: &[VerifierKey],
        logs: &[VerifierKey],
        witnesses: &[Witness],
        needed: usize,
    ) -> Result<Self, MalformedPolicy> {
        let mut lines: Vec<String> = signers.iter().map(|key| format!("signer {key}")).collect();
        lines.extend(logs.iter().map(|key| format!("log {key}")));
        lines.extend(witnesses.iter().map(|witness| format!("witness {} {}", witness.name, witness.key)));
        if witnesses.is_empty() {
            lines.push("quorum none".to_owned());
        } else {
            let names: Vec<&str> = witnesses.iter().map(|witness| witness.name.as_str()).collect();
            lines.push(format!("group _all {needed} {}", names.join(" ")));
            lines.push("quorum _all".to_owned());
        }
        Self::parse(&(lines.join("\n") + "\n"))
    }

    /// The same policy with keys that count no more, and the seconds since 1970 from which on.
    ///
    /// # Errors
    /// [`MalformedPolicy`] for more lines than a policy has.
    pub fn with_revoked(&self, revoked: &[(VerifierKey, u64)]) -> Result<Self, MalformedPolicy> {
        let lines: Vec<String> = revoked.iter().map(|(key, since)| format!("revoked {key} {since}\n")).collect();
        Self::parse(&format!("{}{}", self.canonical(), lines.concat()))
    }

    /// From when on what is signed with this public key counts no more, in seconds since 1970; `None`: it counts.
    #[must_use]
    pub fn revoked_since(&self, public: &[u8; 32]) -> Option<u64> {
        self.0.revoked.get(public).copied()
    }

    /// By when enough witnesses had cosigned, if enough have: whatever stands in that tree is older.
    #[must_use]
    pub fn witnessed_by(&self, cosigned: &[(String, u64)]) -> Option<u64> {
        let mut times: Vec<u64> = cosigned.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        let enough = |until: u64| {
            let by_then = cosigned.iter().filter(|(_, time)| *time <= until).map(|(name, _)| name.as_str());
            self.quorum(by_then) == Quorum::Met
        };
        times.into_iter().find(|time| enough(*time))
    }

    /// The policy without comments, addresses and spare white space: what a certificate carries and [`Self::digest`]
    /// covers.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// Names this policy in entries.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Hash::of(self.0.canonical.as_bytes()))
    }

    /// The keys that may sign entries and certificates.
    #[must_use]
    pub fn signers(&self) -> &KeyRing {
        &self.0.signers
    }

    /// The keys of the logs; a log's key bears its origin as name.
    #[must_use]
    pub fn logs(&self) -> &KeyRing {
        &self.0.logs
    }

    /// The witnesses, in the order of the text.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.0.witnesses
    }

    /// Whether cosignatures of exactly these witnesses, by their names, suffice.
    #[must_use]
    pub fn quorum<'n>(&self, cosigned: impl IntoIterator<Item = &'n str>) -> Quorum {
        let Some(quorum) = self.0.quorum else { return Quorum::NotAsked };
        let cosigned: BTreeSet<&str> = cosigned.into_iter().collect();
        // Members come before their groups, so one pass settles every rule.
        let mut met: Vec<bool> = Vec::with_capacity(self.0.rules.len());
        for rule in &self.0.rules {
            met.push(match rule {
                Rule::Witness(witness) => cosigned.contains(self.0.witnesses[*witness].name.as_str()),
                Rule::Group { needed, members } => members.iter().filter(|member| met[**member]).count() >= *needed,
            });
        }
        if met[quorum] { Quorum::Met } else { Quorum::Missed }
    }

    /// Verifies a checkpoint's signatures: the log's must be there, and every cosignature of a known witness hold.
    ///
    /// # Errors
    /// [`CheckpointFault`]. Too few cosignatures are no fault here: the caller decides what [`Quorum::Missed`] means.
    pub fn judge(&self, signed: &SignedCheckpoint) -> Result<QuorumStatus, CheckpointFault> {
        let origin = &signed.checkpoint().origin;
        let of_log: KeyRing = self.0.logs.iter().filter(|key| key.name() == origin).cloned().collect();
        if of_log.iter().next().is_none() {
            return Err(CheckpointFault::UnknownLog);
        }
        if signed.verify(&of_log).map_err(|_| CheckpointFault::LogSignature)?.is_empty() {
            return Err(CheckpointFault::NotSigned);
        }
        let of_witnesses: KeyRing = self.0.witnesses.iter().map(|witness| witness.key.clone()).collect();
        let verified = signed.verify(&of_witnesses).map_err(CheckpointFault::Cosignature)?;
        let times = |witness: &Witness| {
            let found = verified.iter().find(|verified| *verified.key == witness.key)?;
            // Whoever has the key writes what time he likes: it shows nobody's age, its own least of all.
            let counts = self.revoked_since(witness.key.public()).is_none();
            counts.then_some((witness.name.clone(), found.time?))
        };
        let cosigned: Vec<(String, u64)> = self.0.witnesses.iter().filter_map(times).collect();
        let quorum = self.quorum(cosigned.iter().map(|(name, _)| name.as_str()));
        Ok(QuorumStatus { cosigned, of: self.0.witnesses.len(), quorum })
    }
}
