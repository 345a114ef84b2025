//! The keys that sign notes, and their text form (`vkey`).

use std::fmt;

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::key_name::is_key_name;
use crate::encoding::{base64, from_base64, from_hex_exact, hex};

/// Signs messages with a private Ed25519 key, wherever that is kept: in a file, in a module, behind a service.
pub trait Signer {
    /// Why a signature cannot be had.
    type Error;

    /// The Ed25519 signature of exactly these bytes (RFC 8032, without context or pre-hash).
    ///
    /// # Errors
    /// If the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], Self::Error>;
}

impl Signer for SigningKey {
    type Error = std::convert::Infallible;

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], Self::Error> {
        Ok(ed25519_dalek::Signer::sign(self, message).to_bytes())
    }
}

/// What a key signs. The same public key has another key id for each use, so no signature can be taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUse {
    /// The note's text itself (signature type 0x01): entries, checkpoints, certificates.
    Text,
    /// The text with a time before it (signature type 0x04): a witness's cosignature of a checkpoint.
    Cosignature,
}

impl KeyUse {
    fn type_byte(self) -> u8 {
        match self {
            Self::Text => 0x01,
            Self::Cosignature => 0x04,
        }
    }
}

/// A named public key. Its text form is `name+id+base64(type, key)`.
///
/// Source: C2SP signed-note.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_use: KeyUse,
    id: u32,
    public: VerifyingKey,
}

/// The text is not a verifier key that can be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// Not of the form `name+id+base64`.
    #[error("a verifier key has the form name+id+base64, with the id in eight lower-case hexadecimal digits")]
    Form,
    /// The name is empty, too long, or holds white space, control characters or plus signs.
    #[error("a key name has 1 to 255 bytes without white space, control characters and plus signs")]
    Name,
    /// A kind of key that this version cannot verify.
    #[error("keys of type {0:#04x} are not supported: use Ed25519 (0x01), or 0x04 for a cosigner")]
    Type(u8),
    /// The id does not belong to the name and the key.
    #[error("the key id does not belong to this name and key")]
    Id,
    /// The 32 bytes are no Ed25519 key, or one of the few that verify signatures of everybody.
    #[error("the 32 bytes are not an Ed25519 public key that can be trusted")]
    Point,
}

impl VerifierKey {
    /// The key named `name` with the given 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// [`MalformedKey::Name`] or [`MalformedKey::Point`].
    pub fn new(name: &str, key_use: KeyUse, public: &[u8; 32]) -> Result<Self, MalformedKey> {
        let public = VerifyingKey::from_bytes(public).map_err(|_| MalformedKey::Point)?;
        Self::with(name, key_use, public)
    }

    /// The same of a key that was read before.
    ///
    /// # Errors
    /// [`MalformedKey::Name`]; [`MalformedKey::Point`] for a weak key.
    pub fn with(name: &str, key_use: KeyUse, public: VerifyingKey) -> Result<Self, MalformedKey> {
        if !is_key_name(name) {
            return Err(MalformedKey::Name);
        }
        if public.is_weak() {
            return Err(MalformedKey::Point);
        }
        let id = key_id(name, key_use.type_byte(), public.as_bytes());
        Ok(Self { name: name.to_owned(), key_use, id, public })
    }

    /// The key named `name` whose private half is `private`.
    ///
    /// # Errors
    /// [`MalformedKey::Name`].
    pub fn of(name: &str, key_use: KeyUse, private: &SigningKey) -> Result<Self, MalformedKey> {
        Self::with(name, key_use, private.verifying_key())
    }

    /// Reads the text form, usually from a configuration.
    ///
    /// # Errors
    /// [`MalformedKey`].
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let (name, rest) = text.split_once('+').ok_or(MalformedKey::Form)?;
        let (id, key) = rest.split_once('+').ok_or(MalformedKey::Form)?;
        let id = from_hex_exact(id).map(u32::from_be_bytes).ok_or(MalformedKey::Form)?;
        let typed = from_base64(key).ok_or(MalformedKey::Form)?;
        let (kind, public) = typed.split_first().ok_or(MalformedKey::Form)?;
        let key_use = match kind {
            0x01 => KeyUse::Text,
            0x04 => KeyUse::Cosignature,
            other => return Err(MalformedKey::Type(*other)),
        };
        let public = public.try_into().map_err(|_| MalformedKey::Form)?;
        let key = Self::new(name, key_use, public)?;
        if key.id == id { Ok(key) } else { Err(MalformedKey::Id) }
    }

    /// Its name, which for a party is the party's and for a log is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn key_use(&self) -> KeyUse {
        self.key_use
    }

    /// The short number by which signature lines name it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    /// Whether `signature` is this key's for exactly `message`, by the strict rules under which every verifier agrees.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.public.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// The first four bytes of `SHA-256(name, LF, type, key)`.
fn key_id(name: &str, type_byte: u8, public: &[u8; 32]) -> u32 {
    let digest =
        Sha256::new().chain_update(name).chain_update(b"\n").chain_update([type_byte]).chain_update(public).finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.key_use.type_byte()][..], self.public()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id.to_be_bytes()), base64(&typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}
