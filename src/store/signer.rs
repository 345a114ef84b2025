//! The key file: the one way to use a private signing key.

use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::public_key::{FRAME, PublicKey, Signature, framed};
use super::seal::fill_random;
use super::signing::{Signer, SigningFailed};
use super::{StoreError, files};

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use data_encoding::BASE64;

    use super::super::public_key::{BadSignature, KeyId};
    use super::super::signing::NoteSigner;
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
