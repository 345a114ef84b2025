//! Keys that verify and signatures, and the texts by which they are written.
//!
//! Every text starts with its algorithm (`ed25519:…`), so that another one is an addition. What is signed is a context
//! and a message; a signature for one context is worth nothing in another:
//!
//! ```text
//! "tacitly-signature-1\n" · length of context (8 bytes, big-endian) · context · message
//! ```

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};
use tacitly_attestation::note::{KeyUse, MalformedKey, VerifierKey};
use tacitly_core::PartyId;

const ED25519: &str = "ed25519:";

const NO_KEY: MalformedText = MalformedText { what: "a public key", form: "the base64 of a 32-byte Ed25519 key" };

/// How everything begins that is signed for a context.
pub(super) const FRAME: &[u8] = b"tacitly-signature-1\n";

/// The signature is not by this key over this context and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

/// The text is not a key, a key's name or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is written \"ed25519:\" and {form}")]
pub struct MalformedText {
    what: &'static str,
    form: &'static str,
}

/// A key that verifies signatures; written `ed25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// Ed25519 (RFC 8032), verified strictly.
    Ed25519(VerifyingKey),
}

/// A signature; written `ed25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// Ed25519 (RFC 8032).
    Ed25519(ed25519_dalek::Signature),
}

/// The name of a key: the start of its digest; written `ed25519:` and 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyId {
    /// The name of an Ed25519 key.
    Ed25519([u8; 8]),
}

impl PublicKey {
    /// The name of this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let Self::Ed25519(key) = self;
        let digest = Sha256::new().chain_update(b"tacitly-signing-key-id-1\n").chain_update(key).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        KeyId::Ed25519(id)
    }

    /// The key with these 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// [`MalformedText`] if they are none, or one of the few under which anybody could sign.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, MalformedText> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak());
        key.map(Self::Ed25519).ok_or(NO_KEY)
    }

    /// The key as its party signs notes with it: entries, rosters.
    ///
    /// # Errors
    /// [`MalformedKey`] never for a key that was read.
    pub fn of_notes(&self, party: PartyId) -> Result<VerifierKey, MalformedKey> {
        let Self::Ed25519(key) = self;
        VerifierKey::with(party.as_str(), KeyUse::Text, *key)
    }

    /// The 32 bytes of the key (RFC 8032).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        let Self::Ed25519(key) = self;
        key.as_bytes()
    }

    /// Checks a signature over `message` for `context`.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not by this key over exactly these.
    pub fn verify(&self, context: &str, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let (Self::Ed25519(key), Signature::Ed25519(signature)) = (self, signature);
        key.verify_strict(&framed(context, message), signature).map_err(|_| BadSignature)
    }
}

/// What is signed for a context.
pub(super) fn framed(context: &str, message: &[u8]) -> Vec<u8> {
    let length = (context.len() as u64).to_be_bytes();
    [FRAME, &length[..], context.as_bytes(), message].concat()
}

impl FromStr for PublicKey {
    type Err = MalformedText;

    fn from_str(text: &str) -> Result<Self, MalformedText> {
        Self::from_bytes(&decoded(text).ok_or(NO_KEY)?)
    }
}

impl FromStr for Signature {
    type Err = MalformedText;

    fn from_str(text: &str) -> Result<Self, MalformedText> {
        let refused = MalformedText { what: "a signature", form: "the base64 of 64 bytes" };
        decoded::<64>(text).map(|bytes| Self::Ed25519(bytes.into())).ok_or(refused)
    }
}

impl FromStr for KeyId {
    type Err = MalformedText;

    fn from_str(text: &str) -> Result<Self, MalformedText> {
        let refused = MalformedText { what: "the name of a signing key", form: "16 hexadecimal digits" };
        let bytes = text.strip_prefix(ED25519).and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self::Ed25519).ok_or(refused)
    }
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text.strip_prefix(ED25519)?.as_bytes()).ok()?.try_into().ok()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ed25519(key) = self;
        write!(f, "{ED25519}{}", BASE64.encode(key.as_bytes()))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ed25519(signature) = self;
        write!(f, "{ED25519}{}", BASE64.encode(&signature.to_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ed25519(id) = self;
        write!(f, "{ED25519}{}", HEXLOWER.encode(id))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
