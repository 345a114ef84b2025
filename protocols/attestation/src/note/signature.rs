//! One signature line of a note.

use std::fmt;

use super::key_name::is_key_name;
use super::{KeyUse, Signer, VerifierKey};
use crate::encoding::{base64, from_base64};

/// What a signature line holds: who claims to have signed, and the signature, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

/// The line is not a signature line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signature line is an em dash, a key name and the base64 of a key id and a signature, with single spaces")]
pub struct MalformedSignature;

impl NoteSignature {
    /// The longest line that is read: room for every post-quantum signature in use.
    const MAX_LINE: usize = 16 << 10;

    /// Signs a note's text.
    ///
    /// The key must be of [`KeyUse::Text`] and belong to `signer`; a signature made with another does not verify.
    ///
    /// # Errors
    /// What the signer refuses.
    pub fn sign<S: Signer + ?Sized>(text: &str, key: &VerifierKey, signer: &S) -> Result<Self, S::Error> {
        Ok(Self::of(key, signer.sign(text.as_bytes())?.to_vec()))
    }

    /// Signs a checkpoint's text as a witness that saw no larger consistent tree at `time`, in seconds since 1970.
    ///
    /// The key must be of [`KeyUse::Cosignature`] and belong to `signer`.
    ///
    /// # Errors
    /// What the signer refuses.
    ///
    /// Source: C2SP tlog-cosignature, Ed25519 (`cosignature/v1`).
    pub(crate) fn cosign<S: Signer + ?Sized>(
        text: &str,
        time: u64,
        key: &VerifierKey,
        signer: &S,
    ) -> Result<Self, S::Error> {
        let signature = signer.sign(cosigned(text, time).as_bytes())?;
        Ok(Self::of(key, [&time.to_be_bytes()[..], &signature].concat()))
    }

    fn of(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), key_id: key.id(), bytes }
    }

    /// Reads a line without its line feed.
    ///
    /// # Errors
    /// [`MalformedSignature`] for everything that this type does not print.
    pub fn parse(line: &str) -> Result<Self, MalformedSignature> {
        let parts = || {
            let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
            if line.len() > Self::MAX_LINE || !is_key_name(name) {
                return None;
            }
            let bytes = from_base64(signature)?;
            let (key_id, bytes) = bytes.split_first_chunk()?;
            let key_id = u32::from_be_bytes(*key_id);
            (!bytes.is_empty()).then(|| Self { name: name.to_owned(), key_id, bytes: bytes.to_vec() })
        };
        parts().ok_or(MalformedSignature)
    }

    /// The name of the key that claims to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key that claims to have signed.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// Verifies under `key`. Returns the time that a cosignature states, `Some(None)` for a signature of the text
    /// alone, `None` if it does not hold.
    pub(super) fn verified(&self, text: &str, key: &VerifierKey) -> Option<Option<u64>> {
        match key.key_use() {
            KeyUse::Text => {
                let signature = self.bytes.as_slice().try_into().ok()?;
                key.verifies(text.as_bytes(), signature).then_some(None)
            }
            KeyUse::Cosignature => {
                let (time, signature) = self.bytes.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let signature = signature.try_into().ok()?;
                // The format ends at 2^63 - 1 seconds, so that every language can hold the number.
                let holds = time <= i64::MAX as u64 && key.verifies(cosigned(text, time).as_bytes(), signature);
                holds.then_some(Some(time))
            }
        }
    }
}

/// What a witness signs: a header for domain separation, the time, the checkpoint's text.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.key_id.to_be_bytes()[..], &self.bytes].concat();
        write!(f, "— {} {}", self.name, base64(&signature))
    }
}
