//! Signatures: the one way to use a private signing key, and the texts by which keys and signatures are written.
//!
//! Every text starts with its algorithm (`ed25519:…`), so that another one is an addition. What is signed is a context
//! and a message; a signature for one context is worth nothing in another:
//!
//! ```text
//! "tacitly-signature-1\n" · length of context (8 bytes, big-endian) · context · message
//! ```
//!
//! Notes of the attestation log (entries, checkpoints, cosignatures) are signed as their format has it, without a
//! context: [`NoteSigner`]. Their texts begin with a name of their own, and never as the above.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use tacitly_attestation::note::{KeyUse, MalformedKey, VerifierKey};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::seal::fill_random;
use super::{StoreError, files};

const ED25519: &str = "ed25519:";

const NO_KEY: MalformedText = MalformedText { what: "a public key", form: "the base64 of a 32-byte Ed25519 key" };

/// How everything begins that is signed for a context.
const FRAME: &[u8] = b"tacitly-signature-1\n";

/// Whoever can sign in this party's name: a key file now, a hardware module or a key service later.
pub trait Signer: Send + Sync {
    /// The name of the key.
    fn key_id(&self) -> KeyId {
        self.public_key().key_id()
    }

    /// The key that others verify with.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` for one `context`. May block.
    ///
    /// # Errors
    /// [`SigningFailed`] if the key cannot be reached. A key file, once read, always can.
    fn sign(&self, context: &str, message: &[u8]) -> Result<Signature, SigningFailed>;

    /// Signs the text of a note (C2SP signed-note). May block.
    ///
    /// # Errors
    /// [`SigningFailed`] as above, and for a text that would be a signature for some context.
    fn sign_note(&self, text: &[u8]) -> Result<Signature, SigningFailed>;
}

/// A party's key as it signs notes.
#[derive(Clone)]
pub struct NoteSigner(pub Arc<dyn Signer>);

impl tacitly_attestation::note::Signer for NoteSigner {
    type Error = SigningFailed;

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningFailed> {
        let Signature::Ed25519(signature) = self.0.sign_note(message)?;
        Ok(signature.to_bytes())
    }
}

/// The signing key cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SigningFailed(pub String);

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
        VerifierKey::new(party.as_str(), KeyUse::Text, self.as_bytes())
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

/// An Ed25519 key in a PKCS#8 PEM file that only its owner may read.
///
/// Not `Clone` nor `Debug`; the key is wiped on drop.
pub struct FileSigner(SigningKey);

impl FileSigner {
    /// Draws a new key and writes it to a new file.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] rather than to replace a file; [`StoreError::Io`], [`StoreError::DiskFull`];
    /// [`StoreError::Key`] if the system gives no randomness.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let mut secret = Zeroizing::new([0; 32]);
        fill_random(secret.as_mut())?;
        let key = SigningKey::from_bytes(&secret);
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| malformed(path))?;
        files::create_private(path, pem.as_bytes())?;
        Ok(Self(key))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`StoreError::Permissions`] if others may reach the file, [`StoreError::Key`] if it holds no Ed25519 key,
    /// [`StoreError::Io`] if it cannot be read.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let pem = files::read_private(path)?;
        SigningKey::from_pkcs8_pem(&pem).map(Self).map_err(|_| malformed(path))
    }
}

fn malformed(path: &Path) -> StoreError {
    StoreError::Key {
        origin: path.display().to_string(),
        why: "the file is damaged or another: it does not hold an Ed25519 private key in PKCS#8 PEM form; put it back \
              from your safe"
            .to_owned(),
    }
}

impl Signer for FileSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.0.verifying_key())
    }

    fn sign(&self, context: &str, message: &[u8]) -> Result<Signature, SigningFailed> {
        Ok(Signature::Ed25519(self.0.sign(&framed(context, message))))
    }

    fn sign_note(&self, text: &[u8]) -> Result<Signature, SigningFailed> {
        if text.starts_with(FRAME) {
            return Err(SigningFailed("a note does not begin as a signature for a context does".to_owned()));
        }
        Ok(Signature::Ed25519(self.0.sign(text)))
    }
}

fn framed(context: &str, message: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(byte: u8) -> FileSigner {
        FileSigner(SigningKey::from_bytes(&[byte; 32]))
    }

    #[test]
    fn a_signature_holds_for_its_key_context_and_message_only() {
        let ours = signer(1);
        let signature = ours.sign("terms", b"message").unwrap();
        let key = ours.public_key();
        assert_eq!(key.verify("terms", b"message", &signature), Ok(()));
        for (key, context, message) in [
            (key, "result", &b"message"[..]),
            (key, "terms", b"massage"),
            (key, "term", b"smessage"),
            (signer(2).public_key(), "terms", b"message"),
        ] {
            assert_eq!(key.verify(context, message, &signature), Err(BadSignature), "{context} {message:?}");
        }
    }

    #[test]
    fn a_note_is_signed_as_it_stands_and_never_as_a_signature_for_a_context() {
        use tacitly_attestation::note::Signer as _;
        let ours = NoteSigner(Arc::new(signer(1)));
        let key = signer(1).public_key();
        let PublicKey::Ed25519(verifying) = key;
        let signature = ours.sign(b"example.com/log\n").unwrap();
        verifying.verify_strict(b"example.com/log\n", &signature.into()).unwrap();
        assert!(ours.sign(&framed("terms", b"message")).is_err());
    }

    #[test]
    fn keys_names_and_signatures_read_back_from_their_texts() {
        let signer = signer(1);
        let signature = signer.sign("terms", b"message").unwrap();
        assert_eq!(signer.public_key().to_string().parse(), Ok(signer.public_key()));
        assert_eq!(signature.to_string().parse(), Ok(signature));
        assert_eq!(signer.key_id().to_string().parse(), Ok(signer.key_id()));
        assert!(signer.public_key().to_string().starts_with("ed25519:"));
    }

    #[test]
    fn texts_of_no_key_or_signature_are_refused() {
        let weak = format!("ed25519:{}", BASE64.encode(&[&[1][..], &[0; 31]].concat()));
        for text in ["", "ed25519:", "sm2:AAAA", "ed25519:AAAA", &weak, &weak[8..]] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
            assert!(text.parse::<Signature>().is_err(), "{text}");
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }
}
