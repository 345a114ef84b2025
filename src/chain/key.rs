//! A key that signs notes, with the name that stands on the line.

use std::fmt;

use tacitly_attestation::note::{KeyUse, MalformedKey, Signer, VerifierKey};

/// A named private key, wherever it is kept: a log's, or a witness's.
pub struct NoteKey {
    public: VerifierKey,
    sign: Sign,
}

type Sign = Box<dyn Fn(&[u8]) -> Result<[u8; 64], SigningRefused> + Send + Sync>;

/// The key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SigningRefused(String);

impl NoteKey {
    /// The key named `name`, for one use, that `signer` signs with and whose public half is `public`.
    ///
    /// # Errors
    /// [`MalformedKey`] if the name is none or the bytes are no key.
    pub fn new<S>(name: &str, key_use: KeyUse, public: &[u8; 32], signer: S) -> Result<Self, MalformedKey>
    where
        S: Signer + Send + Sync + 'static,
        S::Error: fmt::Display,
    {
        let public = VerifierKey::new(name, key_use, public)?;
        let sign = move |message: &[u8]| signer.sign(message).map_err(|error| SigningRefused(error.to_string()));
        Ok(Self { public, sign: Box::new(sign) })
    }

    /// What others verify with.
    #[must_use]
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }
}

impl Signer for NoteKey {
    type Error = SigningRefused;

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningRefused> {
        (self.sign)(message)
    }
}
