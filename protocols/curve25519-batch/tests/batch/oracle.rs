//! curve25519-dalek as the oracle, and the backends of this CPU.

use std::io::Write;
use std::sync::Once;

use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::{EdwardsPoint, Scalar};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use sha2::Sha512;
use tacitly_curve25519_batch::{Backend, BadPoint, DST, SecretScalar, hash_mul_encode_with, mul_encode_with};

/// The backends to test. Says aloud which one this CPU cannot run.
pub(crate) fn backends() -> Vec<Backend> {
    static SAID: Once = Once::new();
    for missing in Backend::ALL.into_iter().filter(|backend| !backend.is_available()) {
        SAID.call_once(|| {
            // The macros' output of a test that passes is hidden.
            #[allow(clippy::disallowed_methods, reason = "a skipped test must not pass in silence")]
            let mut terminal = std::io::stderr();
            writeln!(terminal, "SKIPPED: this CPU cannot run the backend {missing}; its tests ran without it").unwrap();
        });
    }
    Backend::available().collect()
}

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn random_bytes(rng: &mut ChaCha20Rng, count: usize) -> Vec<[u8; 32]> {
    let mut all = vec![[0; 32]; count];
    all.iter_mut().for_each(|bytes| rng.fill_bytes(bytes));
    all
}

/// Random numbers below 2^255 − 19: about half of them on the curve, half on the twist.
pub(crate) fn random_points(rng: &mut ChaCha20Rng, count: usize) -> Vec<[u8; 32]> {
    let mut all = random_bytes(rng, count);
    all.iter_mut().for_each(|u| u[31] &= 0x7f);
    all
}

pub(crate) fn small(value: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = value;
    bytes
}

/// 2^255 − 19 + `above`.
pub(crate) fn prime_plus(above: i16) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[31] = 0x7f;
    bytes[0] = u8::try_from(0xed + above).unwrap();
    bytes
}

pub(crate) fn hash_mul(backend: Backend, key: &SecretScalar, uniform: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut out = vec![[0xaa; 32]; uniform.len()];
    hash_mul_encode_with(backend, key, uniform, &mut out);
    out
}

pub(crate) fn mul(backend: Backend, key: &SecretScalar, input: &[[u8; 32]]) -> Result<Vec<[u8; 32]>, BadPoint> {
    let mut out = vec![[0xaa; 32]; input.len()];
    let result = mul_encode_with(backend, key, input, &mut out);
    if result.is_err() {
        assert!(out.iter().all(|u| *u == [0; 32]), "nothing half done leaves a failed call");
    }
    result.map(|()| out)
}

pub(crate) fn oracle_hash_mul(key: &SecretScalar, uniform: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let scalar = Scalar::from_canonical_bytes(*key.expose()).unwrap();
    uniform
        .iter()
        .map(|uniform| (EdwardsPoint::encode_to_curve::<Sha512>(&[uniform], &[DST]) * scalar).to_montgomery().0)
        .collect()
}

/// 8k' times each point, as integers: 0 for points of small order.
pub(crate) fn oracle_mul(key: &SecretScalar, input: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let eighth = Scalar::from_canonical_bytes(*key.expose()).unwrap() * Scalar::from(8u8).invert();
    let bytes = eighth.to_bytes();
    let bits = (0..253).rev().map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).chain([false; 3]);
    input.iter().map(|u| MontgomeryPoint(*u).mul_bits_be(bits.clone()).0).collect()
}
