//! For the tests of both backends: big integers, and the published vectors of the map.

use data_encoding::HEXLOWER;
use num_bigint::BigUint;
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};

/// 2^255 − 19.
pub(crate) fn prime() -> BigUint {
    (BigUint::from(1u8) << 255) - 19u8
}

/// A number as the sum of `limbs` of this many bits.
pub(crate) fn from_limbs(limbs: &[u64], bits: usize) -> BigUint {
    limbs.iter().rev().fold(BigUint::ZERO, |sum, limb| (sum << bits) + limb)
}

/// The 32 little-endian bytes of a number.
pub(crate) fn to_bytes(number: &BigUint) -> [u8; 32] {
    let mut bytes = number.to_bytes_le();
    bytes.resize(32, 0);
    bytes.try_into().expect("a number of 32 bytes")
}

/// Numbers below the prime: those about which code is wrong first, then random ones.
pub(crate) fn numbers() -> Vec<BigUint> {
    let small = (0..10u64).map(BigUint::from);
    let large = (1..10u64).map(|below| prime() - below);
    let powers = (1..255).map(|bit| BigUint::from(1u8) << bit);
    let runs = (1..255).map(|bit| (BigUint::from(1u8) << bit) - 1u8);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let random = (0..200).map(|_| {
        let mut bytes = [0; 64];
        rng.fill_bytes(&mut bytes);
        BigUint::from_bytes_le(&bytes) % prime()
    });
    small.chain(large).chain(powers).chain(runs).chain(random).collect()
}

/// The Legendre symbol of a number: 0, 1 or p − 1.
pub(crate) fn symbol(number: &BigUint) -> BigUint {
    number.modpow(&((prime() - 1u8) / 2u8), &prime())
}

/// The inverse; 0 for 0.
pub(crate) fn inverse(number: &BigUint) -> BigUint {
    number.modpow(&(prime() - 2u8), &prime())
}

/// RFC 9380, section 6.7.1 with Z = 2, followed step by step: the x-coordinate for `u`.
pub(crate) fn map_to_curve(u: &BigUint) -> BigUint {
    let (p, a) = (prime(), BigUint::from(486_662u32));
    let x1 = (&p - &a) * inverse(&((u * u * 2u8 + 1u8) % &p)) % &p;
    let g = ((&x1 * &x1 % &p) * (&x1 + &a) + &x1) % &p;
    if symbol(&g) <= BigUint::from(1u8) { x1 } else { (&p + &p - x1 - a) % p }
}

/// One published vector of `encode_to_curve`.
pub(crate) struct MapVector {
    pub(crate) message: String,
    /// What the message hashes to.
    pub(crate) u: BigUint,
    /// The x-coordinate before the cofactor is cleared.
    pub(crate) mapped: BigUint,
    /// The x-coordinate after the cofactor is cleared.
    pub(crate) point: BigUint,
}

/// The tag and the vectors of RFC 9380.
pub(crate) fn rfc_9380() -> (String, Vec<MapVector>) {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/rfc9380_curve25519_nu.json")).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let number = |value| BigUint::from_bytes_be(&HEXLOWER.decode(text(value).as_bytes()).expect("hexadecimal"));
    let vectors = file["vectors"].as_array().expect("a list").iter().map(|vector| MapVector {
        message: text(&vector["msg"]),
        u: number(&vector["u"]),
        mapped: number(&vector["q_x"]),
        point: number(&vector["p_x"]),
    });
    (text(&file["dst"]), vectors.collect())
}
