//! Why a certificate is refused: a stable code for programs, a sentence for people.

use std::fmt;

/// Why a certificate does not hold. The codes are stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// The file is not a certificate: its envelope, sections or manifest cannot be read.
    Malformed,
    /// The policy in it cannot be read.
    Policy,
    /// The entry cannot be read, or is not the one that the manifest names.
    Entry,
    /// A signature that the entry needs is missing or does not verify.
    EntrySignature,
    /// An attached entry cannot be read, is not named by the others, or repeats one.
    Related,
    /// A signature that an attached entry needs is missing or does not verify.
    RelatedSignature,
    /// The proof cannot be read, or is of another log than the entry.
    Proof,
    /// The policy does not know the log.
    LogUnknown,
    /// The log's signature is missing or does not verify.
    LogSignature,
    /// The entry does not stand where the proof says.
    Inclusion,
    /// A witness's signature does not verify.
    Cosignature,
    /// Fewer witnesses than the given policy demands, or no proof at all.
    Quorum,
    /// A signature is by a key that was revoked, and nothing shows that it is older.
    Revoked,
    /// The anchor's proof does not hold.
    Anchor,
    /// The issuer's signature is missing or does not verify: something in the file was changed.
    Issuer,
}

impl RefusalCode {
    /// The code as programs see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Policy => "policy",
            Self::Entry => "entry",
            Self::EntrySignature => "entry-signature",
            Self::Related => "related",
            Self::RelatedSignature => "related-signature",
            Self::Proof => "proof",
            Self::LogUnknown => "log-unknown",
            Self::LogSignature => "log-signature",
            Self::Inclusion => "inclusion",
            Self::Cosignature => "cosignature",
            Self::Quorum => "quorum",
            Self::Revoked => "revoked",
            Self::Anchor => "anchor",
            Self::Issuer => "issuer",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A certificate that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// Which rule it breaks.
    pub code: RefusalCode,
    /// What was seen, without values of fields.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string() }
    }

    /// Made to be curried into `map_err`.
    pub(super) fn of<E: fmt::Display>(code: RefusalCode) -> impl Fn(E) -> Self {
        move |error| Self::new(code, error)
    }
}
