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
    /// Draws a seed.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// A seed that was sealed before, or a test's.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// From a job's seed, the seed that is **the same in every attempt**: for a session that must send the same bytes
    /// again when it is tried again, because two different answers to one question would tell more than one.
    #[must_use]
    pub fn same(&self, label: &str) -> Self {
        self.hashed(b"tacitly-seed-same-1\n", &[], label)
    }

    /// From a job's seed, the seed of **one attempt and one try** of a member: for a session that must never use its
    /// randomness again, because one mask over two values shows their difference.
    ///
    /// `attempt` counts the job's attempts, `try_number` how often this member began within the attempt.
    #[must_use]
    pub fn fresh(&self, label: &str, attempt: u32, try_number: u32) -> Self {
        self.hashed(b"tacitly-seed-fresh-1\n", &[attempt, try_number], label)
    }

    /// From a session's seed, the independent seed for one purpose within the session. It lives as long as the seed it
    /// comes from: a job's own seed is split by [`Seed::same`] or [`Seed::fresh`].
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        self.hashed(b"tacitly-seed-1\n", &[], label)
    }

    fn hashed(&self, domain: &[u8], numbers: &[u32], label: &str) -> Self {
        let mut hash = Sha256::new().chain_update(domain).chain_update(self.0.as_ref());
        numbers.iter().for_each(|number| hash.update(number.to_be_bytes()));
        hash.update((label.len() as u64).to_be_bytes());
        Self(Zeroizing::new(hash.chain_update(label).finalize().into()))
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
    use std::collections::BTreeSet;

    use super::*;
    use rand::Rng;

    fn job() -> Seed {
        Seed::from_bytes([7; 32])
    }

    #[test]
    fn purposes_are_independent_and_repeatable() {
        let first = |label| job().derive(label).into_rng().next_u64();
        assert_eq!(first("scalar"), first("scalar"));
        assert_ne!(first("scalar"), first("order"));
        // Sealed seeds and published vectors hold: these are the bytes of version 1.
        assert_eq!(job().derive("scalar").expose()[..4], [87, 15, 39, 201]);
    }

    #[test]
    fn two_attempts_share_all_of_same_and_nothing_of_fresh() {
        // What two attempts and two tries of a member draw, as the sessions draw it.
        let drawn = |seed: Seed| {
            let mut bytes = vec![0; 4096];
            seed.into_rng().fill_bytes(&mut bytes);
            bytes
        };
        let labels = ["all", "bucket 1", "bucket 2", ""];
        let mut blocks = BTreeSet::new();
        let mut count = 0;
        for label in labels {
            assert_eq!(drawn(job().same(label)), drawn(job().same(label)));
            let mut streams = vec![drawn(job().same(label)), drawn(job().derive(label))];
            for (attempt, try_number) in (0..8).flat_map(|attempt| (0..8).map(move |number| (attempt, number))) {
                assert_eq!(
                    job().fresh(label, attempt, try_number).expose(),
                    job().fresh(label, attempt, try_number).expose()
                );
                streams.push(drawn(job().fresh(label, attempt, try_number)));
            }
            // Two streams agree in about one byte of 256, as independent ones do; the bounds are eight deviations wide.
            for (at, one) in streams.iter().enumerate() {
                for other in &streams[..at] {
                    let equal = one.iter().zip(other).filter(|(a, b)| a == b).count();
                    assert!(equal < 16 + 8 * 4, "{equal} bytes in the same place");
                }
            }
            for block in streams.iter().flat_map(|stream| stream.chunks_exact(32)) {
                blocks.insert(block.to_vec());
                count += 1;
            }
        }
        assert_eq!(blocks.len(), count, "no 32 bytes appear twice, at any place");
    }

    #[test]
    fn numbers_and_labels_do_not_run_into_each_other() {
        let all = [
            job().fresh("a", 1, 0),
            job().fresh("a", 0, 1),
            job().fresh("a", 256, 0),
            job().fresh("a", 1, 256),
            job().fresh("\0a", 1, 0),
            job().fresh("a\0", 1, 0),
            job().same("a"),
            job().same("a\0"),
            job().derive("a"),
        ];
        let distinct: BTreeSet<[u8; 32]> = all.iter().map(|seed| *seed.expose()).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
