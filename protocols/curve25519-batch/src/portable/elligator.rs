//! The map from field elements to the curve.

use subtle::ConditionallySelectable;

use super::field::Field;
use super::fraction::Fraction;

/// The coefficient of v² = u³ + A·u² + u.
const A: u64 = 486_662;

/// The u-coordinate that `r` maps to: Elligator 2 with the non-square 2, as RFC 9380 has it for curve25519.
///
/// With d = 1 + 2r² the first candidate is u = −A/d. It is on the curve if u³ + A·u² + u is a square, or, times the
/// square d⁴ and the square −1, if A·d·(d² − 2A²r²) is. Otherwise the other candidate −u − A = −2Ar²/d is. 2 is not a
/// square, so d is never 0.
pub(super) fn map(r: Field) -> Fraction {
    let twice_square = r.square().times(2);
    let d = (Field::ONE + twice_square).reduced();
    let on_curve = ((d.square() - twice_square.times(A * A)) * d).times(A).is_square();
    let numerator = Field::conditional_select(&twice_square.times(A), &Field::small(A), on_curve);
    Fraction { numerator, denominator: d.negated() }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::super::field::Field;
    use super::super::fraction::quotients;
    use super::super::ladder;
    use super::*;
    use crate::{SecretScalar, oracle};

    fn mapped(numbers: &[BigUint]) -> Vec<[u8; 32]> {
        let mut fractions: Vec<_> = numbers.iter().map(|r| map(Field::from_bytes(&oracle::to_bytes(r)))).collect();
        quotients(&mut fractions).iter().map(|u| u.to_bytes()).collect()
    }

    #[test]
    fn the_map_gives_the_published_points() {
        let mut one = [0; 32];
        one[0] = 1;
        let one = SecretScalar::from_bytes(&one).unwrap();
        for vector in oracle::rfc_9380().1 {
            let u = mapped(&[vector.u]);
            assert_eq!(u, [oracle::to_bytes(&vector.mapped)]);
            let point = ladder::multiply(one.on_hashes(), Field::from_bytes(&u[0]));
            assert_eq!(quotients(&mut [point])[0].to_bytes(), oracle::to_bytes(&vector.point));
        }
    }

    #[test]
    fn the_map_is_the_one_of_the_rfc_everywhere() {
        let numbers = oracle::numbers();
        let expected: Vec<_> = numbers.iter().map(|r| oracle::to_bytes(&oracle::map_to_curve(r))).collect();
        assert_eq!(mapped(&numbers), expected);
    }
}
