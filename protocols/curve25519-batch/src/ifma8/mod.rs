//! The backend for x86-64 CPUs with AVX-512 IFMA: eight points at a time, one in each 64-bit lane of a register.
//!
//! This module and those below it are the only place of the crate with `unsafe`, for two reasons: a function compiled
//! for a CPU feature is called from code that is not ([`Ifma8`]), and registers are loaded and stored through pointers
//! ([`lanes`]). All intrinsics in between are safe to call where their features are enabled.
#![allow(unsafe_code)]

mod elligator;
mod field;
mod fraction;
mod ladder;
mod lanes;
mod power;
mod sha512;

use zeroize::Zeroizing;

use crate::secret_scalar::Multiplier;
use field::Digits;
use lanes::LANES;

/// The proof that this CPU has AVX-512 F, DQ, VL and IFMA. [`Self::detect`] alone makes one.
#[derive(Clone, Copy)]
pub(crate) struct Ifma8(());

impl Ifma8 {
    /// The proof, if it is true.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma"))
        .then_some(Self(()))
    }

    /// For each of `uniform` the u-coordinate of `8m` times the point it maps to before its cofactor is cleared.
    pub(crate) fn hash_mul_encode(self, multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
        // SAFETY: the function asks for nothing but the CPU features whose presence `self` proves.
        unsafe { hash_mul_encode(multiplier, uniform, out) }
    }

    /// The u-coordinate of `8m` times each point of `input`, all below the prime; 0 for points of small order.
    pub(crate) fn mul_encode(self, multiplier: &Multiplier, input: &[[u8; 32]], out: &mut [[u8; 32]]) {
        // SAFETY: the function asks for nothing but the CPU features whose presence `self` proves.
        unsafe { mul_encode(multiplier, input, out) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn hash_mul_encode(multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
    let mut mapped = Zeroizing::new(Vec::with_capacity(uniform.len().div_ceil(LANES)));
    for group in uniform.chunks(elligator::TOGETHER * LANES) {
        let mut numbers = [Digits::small(0); elligator::TOGETHER];
        for (number, group) in numbers.iter_mut().zip(group.chunks(LANES)) {
            *number = sha512::hash_to_field(lanes::words(group));
        }
        let registers = group.len().div_ceil(LANES);
        mapped.extend_from_slice(&elligator::map(&numbers)[..registers]);
    }
    let u = fraction::quotients(&mut mapped);
    multiply_all(multiplier, &u, out);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn mul_encode(multiplier: &Multiplier, input: &[[u8; 32]], out: &mut [[u8; 32]]) {
    let mut points = Vec::with_capacity(input.len().div_ceil(LANES));
    for group in input.chunks(LANES) {
        points.push(Digits::from_words(lanes::words(group)));
    }
    multiply_all(multiplier, &points, out);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn multiply_all(multiplier: &Multiplier, points: &[Digits], out: &mut [[u8; 32]]) {
    let mut images = Zeroizing::new(Vec::with_capacity(points.len()));
    for u in points {
        images.push(ladder::multiply(multiplier, u));
    }
    for (out, u) in out.chunks_mut(LANES).zip(fraction::quotients(&mut images).iter()) {
        lanes::write(&u.to_words(), out);
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::lanes::Lanes;
    use super::*;
    use crate::oracle;

    /// Runs a test that needs the CPU features of this backend, or says aloud that it does not.
    pub(super) fn on_ifma8(test: unsafe fn()) {
        if Ifma8::detect().is_some() {
            // SAFETY: the tests given ask for nothing but the CPU features that were just found.
            unsafe { test() }
        } else {
            use std::io::Write;
            // The macros' output of a test that passes is hidden.
            #[allow(clippy::disallowed_methods, reason = "a skipped test must not pass in silence")]
            let mut terminal = std::io::stderr();
            writeln!(terminal, "SKIPPED: this CPU lacks AVX-512 IFMA").expect("a terminal");
        }
    }

    /// The numbers of the lanes; below 2^255.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(super) fn digits(numbers: &[BigUint]) -> Digits {
        let bytes: Vec<_> = numbers.iter().map(oracle::to_bytes).collect();
        Digits::from_words(lanes::words(&bytes))
    }

    /// The bytes of the numbers in the lanes, below the prime.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(super) fn bytes(digits: Digits) -> [[u8; 32]; LANES] {
        let mut bytes = [[0; 32]; LANES];
        lanes::write(&digits.to_words(), &mut bytes);
        bytes
    }

    /// The number in each lane of registers that hold limbs of `bits` bits.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(super) fn numbers(registers: &[Lanes], bits: usize) -> [BigUint; LANES] {
        let mut limbs = [const { Vec::new() }; LANES];
        for register in registers {
            for (limbs, number) in limbs.iter_mut().zip(lanes::store(*register)) {
                limbs.push(number);
            }
        }
        limbs.map(|limbs| oracle::from_limbs(&limbs, bits))
    }
}
