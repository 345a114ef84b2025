//! The backend for every CPU: 64-bit integers, one point at a time, safe code.

mod elligator;
mod field;
mod fraction;
mod ladder;

use sha2::block_api::compress512;
use zeroize::Zeroizing;

use crate::expand;
use crate::secret_scalar::Multiplier;
use field::Field;
use fraction::Fraction;

/// For each of `uniform` the u-coordinate of `8m` times the point it maps to before its cofactor is cleared.
pub(crate) fn hash_mul_encode(multiplier: &Multiplier, uniform: &[[u8; 32]], out: &mut [[u8; 32]]) {
    let mut mapped: Zeroizing<Vec<Fraction>> =
        Zeroizing::new(uniform.iter().map(|uniform| elligator::map(hash_to_field(uniform))).collect());
    let u = fraction::quotients(&mut mapped);
    multiply_all(multiplier, &u, out);
}

/// The u-coordinate of `8m` times each point of `input`, all below the prime; 0 for points of small order.
pub(crate) fn mul_encode(multiplier: &Multiplier, input: &[[u8; 32]], out: &mut [[u8; 32]]) {
    let u: Vec<Field> = input.iter().map(Field::from_bytes).collect();
    multiply_all(multiplier, &u, out);
}

fn multiply_all(multiplier: &Multiplier, points: &[Field], out: &mut [[u8; 32]]) {
    let mut images: Zeroizing<Vec<Fraction>> =
        Zeroizing::new(points.iter().map(|u| ladder::multiply(multiplier, *u)).collect());
    for (out, u) in out.iter_mut().zip(fraction::quotients(&mut images).iter()) {
        *out = u.to_bytes();
    }
}

/// `hash_to_field` of RFC 9380 for a message of 32 bytes.
fn hash_to_field(message: &[u8; 32]) -> Field {
    let mut block = expand::FIRST;
    block[..32].copy_from_slice(message);
    let mut first = expand::AFTER_ZERO_BLOCK;
    compress512(&mut first, &[block]);

    let mut block = expand::SECOND;
    for (bytes, word) in block.chunks_exact_mut(8).zip(first) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    let mut second = expand::START;
    compress512(&mut second, &[block]);
    let [a, b, c, d, e, f, ..] = second;
    Field::from_words(&[f, e, d, c, b, a])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    #[test]
    fn messages_hash_to_the_field_as_the_rfc_says() {
        for message in oracle::numbers().iter().map(oracle::to_bytes) {
            let expected = expand::tests::hash_to_field(&message);
            assert_eq!(hash_to_field(&message).to_bytes(), oracle::to_bytes(&expected));
        }
    }
}
