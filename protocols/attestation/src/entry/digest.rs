//! Hashes in entries: each kind has a name of its own in front, so that none can stand in another's place, and so that
//! another algorithm is an addition and not a migration.

use std::fmt;

use super::field::text_field;
use super::refusal::Reason;
use crate::hash::Hash;

macro_rules! tagged {
    ($(#[$doc:meta])* $name:ident, $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Hash);

        impl $name {
            const FORM: &str = concat!("'", $tag, "' and the base64 of 32 bytes");

            /// Reads the name of the kind and the base64 of the hash.
            ///
            /// # Errors
            /// [`Reason::Form`].
            pub fn parse(text: &str) -> Result<Self, Reason> {
                let hash = text.strip_prefix($tag).and_then(Hash::from_base64);
                hash.map(Self).ok_or(Reason::Form(Self::FORM))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $tag, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        text_field!($name, <$name>::FORM);
    };
}

tagged!(
    /// The SHA-256 of something that is no secret among the readers of a log: a program, a schema, a formula, terms.
    Digest,
    "sha256:"
);
tagged!(
    /// The hash of an entry as a leaf of a log.
    LeafHash,
    "leaf-sha256:"
);
tagged!(
    /// The root of a log's tree.
    TreeRoot,
    "tree-sha256:"
);
tagged!(
    /// A salted commitment: it shows nothing until its salt is given ([`commitment`](crate::commitment)).
    Commitment,
    "salted-sha256:"
);
tagged!(
    /// The salted fingerprint of a data set ([`dataset`](crate::dataset)).
    Fingerprint,
    "dataset-sha256:"
);
tagged!(
    /// The running hash of what went over a link in one direction ([`transcript`](crate::transcript)).
    TranscriptDigest,
    "transcript-sha256:"
);

/// A value of a blockchain as that chain writes it: `0x` and the lower-case hexadecimal of 20 or 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainValue(String);

impl ChainValue {
    const FORM: &str = "0x and 40 or 64 lower-case hexadecimal digits";

    /// Reads the text.
    ///
    /// # Errors
    /// [`Reason::Form`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let digits = text.strip_prefix("0x").filter(|digits| matches!(digits.len(), 40 | 64));
        let plain = |digits: &str| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits.is_some_and(plain) { Ok(Self(text.to_owned())) } else { Err(Reason::Form(Self::FORM)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_field!(ChainValue, ChainValue::FORM);
