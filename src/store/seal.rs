//! The sealing envelope: what is secret at rest is encrypted, bound to its row, and tagged with how and by which key.
//!
//! ```text
//! algorithm (1) · key id (8) · nonce (24) · ciphertext · tag (16)
//! ```
//!
//! The algorithm and the key id stand in front of every blob, so another algorithm is an addition and a blob under an
//! old key says so. Both are authenticated, together with the purpose of the value and the row it belongs to: a blob
//! that is moved to another row, or taken for another kind of value, does not open.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{SealFault, SealingKeyId, StoreError};

const ALGORITHM: u8 = 1;
const KEY_ID: usize = SealingKeyId::BYTES;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Seals and opens values with one key (XChaCha20-Poly1305, a fresh random nonce for each value).
///
/// Not `Clone` nor `Debug`; the key is wiped on drop.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    id: SealingKeyId,
}

impl Sealer {
    /// A sealer with this key. To have a key, see [`SealingKey`](super::SealingKey).
    #[must_use]
    pub fn new(key: impl Into<Zeroizing<[u8; 32]>>) -> Self {
        let key = key.into();
        let digest = Sha256::new().chain_update(b"tacitly-sealing-key-id-1\n").chain_update(key.as_ref()).finalize();
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Self { cipher: XChaCha20Poly1305::new((&*key).into()), id: SealingKeyId(id) }
    }

    /// The name of the key.
    #[must_use]
    pub fn key_id(&self) -> SealingKeyId {
        self.id
    }

    /// Seals a value for one `purpose` and one `row`.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the system gives no randomness, [`StoreError::Invalid`] if the value is too long for
    /// one blob (256 GiB).
    pub fn seal(&self, purpose: &str, row: &[&str], plaintext: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut blob = Vec::with_capacity(HEADER + plaintext.len() + TAG);
        blob.push(ALGORITHM);
        blob.extend_from_slice(&self.id.0);
        let mut nonce = XNonce::default();
        fill_random(&mut nonce)?;
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plaintext);
        let bound = bound_to(self.id, purpose, row);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &bound, (&mut blob[HEADER..]).into())
            .map_err(|_| StoreError::invalid("a value to seal", "it is too long"))?;
        blob.extend_from_slice(&tag);
        Ok(blob)
    }

    /// Opens what [`Sealer::seal`] made for the same purpose and row.
    ///
    /// # Errors
    /// [`SealFault`] if it is anything else.
    pub fn open(&self, purpose: &str, row: &[&str], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let (header, sealed) = blob.split_at_checked(HEADER).ok_or(SealFault::Truncated)?;
        let (body, tag) = sealed.split_last_chunk::<TAG>().ok_or(SealFault::Truncated)?;
        if header[0] != ALGORITHM {
            return Err(SealFault::UnknownAlgorithm(header[0]));
        }
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&header[1..=KEY_ID]);
        if id != self.id.0 {
            return Err(SealFault::OtherKey(SealingKeyId(id)));
        }
        let mut nonce = XNonce::default();
        nonce.copy_from_slice(&header[1 + KEY_ID..]);
        let mut plaintext = Zeroizing::new(body.to_vec());
        self.cipher
            .decrypt_inout_detached(
                &nonce,
                &bound_to(self.id, purpose, row),
                plaintext.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| SealFault::NotAuthentic)?;
        Ok(plaintext)
    }
}

/// The associated data: every part with its length, so that no two lists of parts read alike.
fn bound_to(key: SealingKeyId, purpose: &str, row: &[&str]) -> Vec<u8> {
    let mut bound = b"tacitly-seal-1\n".to_vec();
    bound.push(ALGORITHM);
    bound.extend_from_slice(&key.0);
    for part in std::iter::once(&purpose).chain(row) {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    bound
}

/// Fills `bytes` from the system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    SysRng.try_fill_bytes(bytes).map_err(|error| StoreError::Key {
        origin: "the system's random number generator".to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::SealingKey;
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(SealingKey::from_bytes([byte; 32]))
    }

    #[test]
    fn a_sealed_value_opens_only_for_its_purpose_row_and_key() {
        let ours = sealer(1);
        let blob = ours.seal("seed", &["job-1", "a"], b"secret").unwrap();
        assert_eq!(*ours.open("seed", &["job-1", "a"], &blob).unwrap(), b"secret");
        for (purpose, row) in [
            ("result", &["job-1", "a"][..]),
            ("seed", &["job-2", "a"]),
            ("seed", &["job-1"]),
            ("seed", &["job-1a", ""]),
            ("seed", &["job-1", "a", ""]),
        ] {
            assert_eq!(ours.open(purpose, row, &blob).unwrap_err(), SealFault::NotAuthentic, "{purpose} {row:?}");
        }
        assert_eq!(
            sealer(2).open("seed", &["job-1", "a"], &blob).unwrap_err(),
            SealFault::OtherKey(ours.key_id()),
            "another key is told from damage"
        );
    }

    #[test]
    fn no_changed_or_shortened_blob_opens() {
        let sealer = sealer(1);
        let blob = sealer.seal("seed", &["job-1"], b"secret").unwrap();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            let fault = sealer.open("seed", &["job-1"], &changed).unwrap_err();
            match at {
                0 => assert_eq!(fault, SealFault::UnknownAlgorithm(0)),
                1..=8 => assert!(matches!(fault, SealFault::OtherKey(_)), "byte {at}: {fault}"),
                _ => assert_eq!(fault, SealFault::NotAuthentic, "byte {at}"),
            }
            let fault = sealer.open("seed", &["job-1"], &blob[..at]).unwrap_err();
            assert!(matches!(fault, SealFault::Truncated | SealFault::NotAuthentic), "{at} bytes: {fault}");
        }
    }

    #[test]
    fn equal_values_seal_to_different_blobs() {
        let sealer = sealer(1);
        assert_ne!(sealer.seal("seed", &[], b"secret").unwrap(), sealer.seal("seed", &[], b"secret").unwrap());
    }
}
