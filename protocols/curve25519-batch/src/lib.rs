//! Many Curve25519 points times one secret scalar: bytes in and bytes out, no point type crosses.
//!
//! | function | gives |
//! |---|---|
//! | [`hash_mul_encode`] | the u-coordinate of `k` times the point that each 32 bytes hash to |
//! | [`mul_encode`] | the u-coordinate of `k` times each point given by its u-coordinate |
//! | [`SecretScalar`] | `k`, and the scalar that takes `k` off again |
//! | [`Backend`] | which code computes it: `portable`, or `ifma8` on CPUs with AVX-512 IFMA |
//!
//! The hash is `encode_to_curve` of RFC 9380, suite `curve25519_XMD:SHA-512_ELL2_NU_`, under [`DST`]. All backends
//! give the same bytes on every input. Scalars and points are handled in constant time; see the README of this crate
//! for the formulas, the bounds behind them and what was measured.
//!
//! ```
//! use rand::SeedableRng;
//! use tacitly_curve25519_batch::{SecretScalar, hash_mul_encode, mul_encode};
//!
//! let mut rng = rand::rngs::ChaCha20Rng::seed_from_u64(1); // a test's; a party draws from its secret seed
//! let (a, b) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
//! let items = [[1; 32], [2; 32]];
//!
//! let (mut once, mut a_then_b, mut b_then_a) = ([[0; 32]; 2], [[0; 32]; 2], [[0; 32]; 2]);
//! hash_mul_encode(&a, &items, &mut once);
//! mul_encode(&b, &once, &mut a_then_b)?;
//! hash_mul_encode(&b, &items, &mut once);
//! mul_encode(&a, &once, &mut b_then_a)?;
//! assert_eq!(a_then_b, b_then_a);
//! # Ok::<(), tacitly_curve25519_batch::BadPoint>(())
//! ```

mod backend;
mod batch;
mod expand;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(target_arch = "x86_64")]
mod ifma8;
#[cfg(test)]
mod oracle;
mod portable;
mod secret_scalar;

pub use backend::{Backend, BackendRefused};
pub use batch::{BadPoint, hash_mul_encode, hash_mul_encode_with, mul_encode, mul_encode_with};
pub use expand::DST;
pub use secret_scalar::SecretScalar;
