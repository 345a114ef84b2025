//! The two batch functions: chunks over threads, each chunk to a backend.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use crate::ifma8::Ifma8;
use crate::secret_scalar::Multiplier;
use crate::{Backend, SecretScalar, portable};

/// Points per chunk. Enough to share one inversion, few enough to stay in the second-level cache.
const CHUNK: usize = 512;

/// The input at `index` is not the encoding of a point this crate multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value at index {index} does not encode a point of Curve25519, or one of small order")]
pub struct BadPoint {
    /// Its place in the input, the smallest if several are bad.
    pub index: usize,
}

/// The u-coordinate of `k` times the point that each of `uniform` hashes to.
///
/// Shapes: `uniform` and `out` are of one length.
/// Units:  each of `uniform` is a message of 32 bytes; the point is `encode_to_curve` of RFC 9380, suite
/// `curve25519_XMD:SHA-512_ELL2_NU_` under [`DST`](crate::DST), cofactor cleared; u-coordinates are 32 bytes, little
/// endian, below 2^255 − 19.
/// Learns: who sees `out` and not `key` learns nothing about `uniform` if it cannot decide Diffie–Hellman on
/// Curve25519; a point and its negative give the same bytes.
///
/// # Panics
/// If the lengths differ, which is a mistake of the caller.
pub fn hash_mul_encode(key: &SecretScalar, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
    hash_mul_encode_with(Backend::default_of_process(), key, uniform, out);
}

/// [`hash_mul_encode`] on a named backend; on the portable one if the CPU cannot run that
/// ([`Backend::is_available`]).
///
/// # Panics
/// If the lengths differ, which is a mistake of the caller.
pub fn hash_mul_encode_with(backend: Backend, key: &SecretScalar, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
    assert_eq!(uniform.len(), out.len(), "one place for each point");
    let kernel = Kernel::of(backend);
    in_chunks(uniform, out, |uniform, out| kernel.hash_mul_encode(key.on_hashes(), uniform, out));
}

/// The u-coordinate of `k` times each point of `input`, itself given by its u-coordinate.
///
/// Shapes: `input` and `out` are of one length.
/// Units:  u-coordinates as in [`hash_mul_encode`]. On the prime-order group the factor is `k`; on everything else
/// that is accepted, the quadratic twist included, it is the integer `8k'` with `k' = k / 8 mod ℓ`, 1 ≤ k' < ℓ.
/// Learns: as in [`hash_mul_encode`], also where `input` was chosen to learn something: `8k'` gives a point of small
/// order no image, and what is left of it is a group of prime order on the curve and on the twist.
/// Model:  points on the twist are multiplied, not refused; only a dishonest peer sends them.
///
/// # Errors
/// [`BadPoint`] with the smallest index at which `input` has bit 255 set, is not below 2^255 − 19, or is of small
/// order, so that its image would be 0. `out` then holds zeros.
///
/// # Panics
/// If the lengths differ, which is a mistake of the caller.
pub fn mul_encode(key: &SecretScalar, input: &[[u8; 32]], out: &mut [[u8; 32]]) -> Result<(), BadPoint> {
    mul_encode_with(Backend::default_of_process(), key, input, out)
}

/// [`mul_encode`] on a named backend; on the portable one if the CPU cannot run that ([`Backend::is_available`]).
///
/// # Errors
/// As [`mul_encode`].
///
/// # Panics
/// If the lengths differ, which is a mistake of the caller.
pub fn mul_encode_with(
    backend: Backend,
    key: &SecretScalar,
    input: &[[u8; 32]],
    out: &mut [[u8; 32]],
) -> Result<(), BadPoint> {
    assert_eq!(input.len(), out.len(), "one place for each point");
    let kernel = Kernel::of(backend);
    // A bad encoding ends the work there: only a point before it can still be the first bad one.
    let encoded = input.iter().position(|u| !is_canonical(u));
    let good = encoded.unwrap_or(input.len());
    in_chunks(&input[..good], &mut out[..good], |input, out| kernel.mul_encode(key.on_points(), input, out));
    match out[..good].iter().position(is_zero).or(encoded) {
        Some(index) => {
            out.fill([0; 32]);
            Err(BadPoint { index })
        }
        None => Ok(()),
    }
}

/// A backend that was found to run here.
#[derive(Clone, Copy)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ifma8(Ifma8),
}

impl Kernel {
    fn of(backend: Backend) -> Self {
        match backend {
            Backend::Portable => Self::Portable,
            // All backends agree bit for bit, so one that is not there is stood in for.
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma8 => Ifma8::detect().map_or(Self::Portable, Self::Ifma8),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Ifma8 => Self::Portable,
        }
    }

    fn hash_mul_encode(self, multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
        match self {
            Self::Portable => portable::hash_mul_encode(multiplier, uniform, out),
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8(ifma8) => ifma8.hash_mul_encode(multiplier, uniform, out),
        }
    }

    fn mul_encode(self, multiplier: &Multiplier, input: &[[u8; 32]], out: &mut [[u8; 32]]) {
        match self {
            Self::Portable => portable::mul_encode(multiplier, input, out),
            #[cfg(target_arch = "x86_64")]
            Self::Ifma8(ifma8) => ifma8.mul_encode(multiplier, input, out),
        }
    }
}

/// Runs `work` on chunks of `input` and `out`, spread over rayon's threads where there is more than one.
fn in_chunks(input: &[[u8; 32]], out: &mut [[u8; 32]], work: impl Fn(&[[u8; 32]], &mut [[u8; 32]]) + Sync) {
    if input.len() <= CHUNK {
        return work(input, out);
    }
    input.par_chunks(CHUNK).zip(out.par_chunks_mut(CHUNK)).for_each(|(input, out)| work(input, out));
}

/// Whether these bytes are a number below 2^255 − 19.
fn is_canonical(u: &[u8; 32]) -> bool {
    let above = u[31] == 0x7f && u[1..31].iter().all(|byte| *byte == 0xff) && u[0] >= 0xed;
    u[31] < 0x80 && !above
}

fn is_zero(u: &[u8; 32]) -> bool {
    u.iter().fold(0, |all, byte| all | byte) == 0
}
