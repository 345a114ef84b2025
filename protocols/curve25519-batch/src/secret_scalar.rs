//! One party's secret multiplier.

use curve25519_dalek::Scalar;
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// One party's secret multiplier `k`, 1 ≤ k < 2^252, below the order ℓ of the prime-order group.
///
/// Not `Clone`, `Debug`, `PartialEq`; wiped on drop.
///
/// Hashed points and received points need different integers, both multiples of 8 so that a point's part of small
/// order never shows: `8k` on the hash before its cofactor is cleared, and `8k'` with `k' = k / 8 mod ℓ` on a point
/// of the prime-order group, where it acts as `k`. A ladder multiplies by the 252 bits of `k` or `k'` and doubles
/// three times, always 255 doublings. A scalar for which `k`, `k'` or their counterparts in [`Self::stripping`] do not
/// fit 252 bits is not used; at random that happens once in 2^125.
#[derive(ZeroizeOnDrop)]
pub struct SecretScalar {
    scalar: Scalar,
    on_hashes: Multiplier,
    on_points: Multiplier,
    /// The same two for [`Self::stripping`].
    stripping: [Multiplier; 2],
}

impl SecretScalar {
    /// A fresh scalar, uniform in the range named above.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut wide = Zeroizing::new([0; 64]);
        loop {
            rng.fill_bytes(wide.as_mut());
            if let Some(found) = Self::new(Scalar::from_bytes_mod_order_wide(&wide)) {
                return found;
            }
        }
    }

    /// The scalar with these little-endian bytes, as [`Self::expose`] gave them; `None` for zero, for anything that is
    /// not below ℓ, and for the few values that are never drawn.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Self::new(Option::from(Scalar::from_canonical_bytes(*bytes))?)
    }

    /// The bytes, for sealing them at rest.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.scalar.as_bytes()
    }

    /// The scalar that undoes this one: what was multiplied by `self` and then by others, and now by this, is as if
    /// multiplied by the others only. Its ladder multiplies by `8 · ((8k)⁻¹ mod ℓ)`, unclamped.
    #[must_use]
    pub fn stripping(&self) -> Self {
        let [on_hashes, on_points] = &self.stripping;
        Self {
            scalar: self.scalar.invert(),
            on_hashes: on_hashes.again(),
            on_points: on_points.again(),
            stripping: [self.on_hashes.again(), self.on_points.again()],
        }
    }

    /// What a ladder multiplies hashes by, before their cofactor is cleared.
    pub(crate) fn on_hashes(&self) -> &Multiplier {
        &self.on_hashes
    }

    /// What a ladder multiplies received points by.
    pub(crate) fn on_points(&self) -> &Multiplier {
        &self.on_points
    }

    fn new(scalar: Scalar) -> Option<Self> {
        if scalar == Scalar::ZERO {
            return None;
        }
        let [on_hashes, on_points] = multipliers(&scalar)?;
        Some(Self { scalar, on_hashes, on_points, stripping: multipliers(&scalar.invert())? })
    }
}

/// `k` and `k / 8 mod ℓ`, if both fit 252 bits.
fn multipliers(scalar: &Scalar) -> Option<[Multiplier; 2]> {
    let eighth = scalar.div_by_2().div_by_2().div_by_2();
    Some([Multiplier::new(scalar)?, Multiplier::new(&eighth)?])
}

/// An integer `m`, 1 ≤ m < 2^252. Ladders multiply by `8m`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Multiplier([u8; 32]);

impl Multiplier {
    /// Bits that [`Self::bits`] gives.
    pub(crate) const BITS: usize = 252;

    fn new(scalar: &Scalar) -> Option<Self> {
        let multiplier = Self(scalar.to_bytes());
        (multiplier.0[31] >> 4 == 0).then_some(multiplier)
    }

    /// The same integer, for the scalar that undoes its owner.
    fn again(&self) -> Self {
        Self(self.0)
    }

    /// The bits of `m`, each 0 or 1, the most significant first.
    pub(crate) fn bits(&self) -> impl Iterator<Item = u8> {
        (0..Self::BITS).rev().map(|bit| self.0[bit / 8] >> (bit % 8) & 1)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;

    use super::*;

    fn small(value: u8) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0] = value;
        bytes
    }

    #[test]
    fn a_scalar_comes_back_from_its_bytes() {
        let scalar = SecretScalar::random(&mut ChaCha20Rng::seed_from_u64(1));
        let again = SecretScalar::from_bytes(scalar.expose()).unwrap();
        assert_eq!(again.expose(), scalar.expose());
        assert_eq!(again.on_points.0, scalar.on_points.0);
    }

    #[test]
    fn zero_and_what_is_not_below_the_order_are_refused() {
        // ℓ − 1, ℓ and 2^256 − 1.
        let order = Scalar::ZERO - Scalar::ONE;
        let mut above = order.to_bytes();
        above[0] += 1;
        for bytes in [small(0), above, [0xff; 32]] {
            assert!(SecretScalar::from_bytes(&bytes).is_none());
        }
        // ℓ − 1 needs a bit more than the ladder takes.
        assert!(SecretScalar::from_bytes(&order.to_bytes()).is_none());
    }

    #[test]
    fn eight_times_the_multiplier_for_points_acts_as_the_scalar() {
        let scalar = SecretScalar::random(&mut ChaCha20Rng::seed_from_u64(2));
        let eighth = Scalar::from_canonical_bytes(scalar.on_points.0).unwrap();
        assert_eq!(eighth * Scalar::from(8u8), scalar.scalar);
        assert_eq!(scalar.on_hashes.0, *scalar.expose());
    }

    #[test]
    fn stripping_twice_gives_the_scalar_back() {
        let scalar = SecretScalar::random(&mut ChaCha20Rng::seed_from_u64(3));
        assert_eq!(scalar.stripping().stripping().expose(), scalar.expose());
        assert_ne!(scalar.stripping().expose(), scalar.expose());
    }
}
