//! Many Curve25519 points times one secret scalar: bytes in, bytes out, no point type crosses.

use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::CryptoRng;
use rayon::prelude::*;
use sha2::Sha512;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The domain separation tag of the map to the curve.
pub const DST: &[u8] = b"tacitly-psi-1-curve25519_XMD:SHA-512_ELL2_NU_";

/// One party's secret multiplier. Not `Clone`, `Debug`, `PartialEq`; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretScalar {
    scalar: Scalar,
    /// `8k'` with `k' = k / 8 mod l`, little endian: the integer that the ladder takes.
    ladder: [u8; 32],
}

/// The input at `index` is not the encoding of a point this crate multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPoint {
    /// Its place in the input.
    pub index: usize,
}

impl SecretScalar {
    /// A fresh scalar, uniform in `1..l`.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        loop {
            let mut wide = [0; 64];
            rng.fill_bytes(&mut wide);
            let scalar = Scalar::from_bytes_mod_order_wide(&wide);
            wide.zeroize();
            if scalar == Scalar::ZERO {
                continue;
            }
            let eighth = scalar * Scalar::from(8u8).invert();
            let mut ladder = [0; 32];
            let mut carry = 0;
            for (out, byte) in ladder.iter_mut().zip(eighth.to_bytes()) {
                *out = byte << 3 | carry;
                carry = byte >> 5;
            }
            if ladder[31] < 0x80 {
                return Self { scalar, ladder };
            }
        }
    }
}

/// The u-coordinate of `k` times the point that each of `uniform` maps to.
pub fn hash_mul_encode(key: &SecretScalar, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
    assert_eq!(uniform.len(), out.len());
    out.par_chunks_mut(512).zip(uniform.par_chunks(512)).for_each(|(out, uniform)| {
        for (out, uniform) in out.iter_mut().zip(uniform) {
            let point = EdwardsPoint::encode_to_curve::<Sha512>(&[uniform], &[DST]);
            *out = (point * key.scalar).to_montgomery().0;
        }
    });
}

/// The u-coordinate of `k` times each point of `input`.
///
/// # Errors
/// [`BadPoint`] at the first input with bit 255 set, not below p, or of low order.
pub fn mul_encode(key: &SecretScalar, input: &[[u8; 32]], out: &mut [[u8; 32]]) -> Result<(), BadPoint> {
    assert_eq!(input.len(), out.len());
    let canonical =
        |u: &[u8; 32]| u[31] < 0x7f || (u[31] == 0x7f && (u[1..31].iter().any(|byte| *byte != 0xff) || u[0] < 0xed));
    if let Some(index) = input.iter().position(|u| !canonical(u)) {
        return Err(BadPoint { index });
    }
    out.par_chunks_mut(512).zip(input.par_chunks(512)).for_each(|(out, input)| {
        for (out, u) in out.iter_mut().zip(input) {
            let bits = (0..255).rev().map(|bit| key.ladder[bit / 8] >> (bit % 8) & 1 == 1);
            *out = MontgomeryPoint(*u).mul_bits_be(bits).0;
        }
    });
    match out.iter().position(|u| *u == [0; 32]) {
        Some(index) => Err(BadPoint { index }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_commute() {
        let mut rng = rand::rngs::SysRng;
        let mut rng = rand::rand_core::UnwrapErr(&mut rng);
        let (a, b) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
        let uniform: Vec<[u8; 32]> = (0..20).map(|i| [i; 32]).collect();
        let (mut once, mut ab, mut ba) = (vec![[0; 32]; 20], vec![[0; 32]; 20], vec![[0; 32]; 20]);
        hash_mul_encode(&a, &uniform, &mut once);
        mul_encode(&b, &once, &mut ab).unwrap();
        hash_mul_encode(&b, &uniform, &mut once);
        mul_encode(&a, &once, &mut ba).unwrap();
        assert_eq!(ab, ba);
    }
}
