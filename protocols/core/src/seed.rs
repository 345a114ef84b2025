//! The only randomness a party gets.

use rand::rngs::ChaCha20Rng;
use rand::{CryptoRng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// 32 secret random bytes from which one session draws all it needs.
///
/// Not `Clone`, `Debug`, `PartialEq`; wiped on drop. The same seed gives the same frames, which is how a session that
/// resumes after a crash sends the same bytes again.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Draws a fresh seed.
    pub fn fresh(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// A seed that was sealed before, or a test's.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The independent seed for one purpose.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let length = (label.len() as u64).to_be_bytes();
        let digest = Sha256::new()
            .chain_update(b"tacitly-seed-1\n")
            .chain_update(self.0.as_ref())
            .chain_update(length)
            .chain_update(label);
        Self(Zeroizing::new(digest.finalize().into()))
    }

    /// A generator over this seed (ChaCha20); the seed is spent.
    #[must_use]
    pub fn into_rng(self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.0)
    }

    /// The bytes, for sealing them at rest.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn purposes_are_independent_and_repeatable() {
        let first = |label| Seed::from_bytes([7; 32]).derive(label).into_rng().next_u64();
        assert_eq!(first("scalar"), first("scalar"));
        assert_ne!(first("scalar"), first("order"));
    }
}
