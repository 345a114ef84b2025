//! The map from field elements to the curve.

use super::field::{Digits, Lifted};
use super::fraction::Fraction;
use super::power;

/// The coefficient of v² = u³ + A·u² + u.
const A: u64 = 486_662;

/// Registers whose Legendre symbols are computed at once.
pub(super) const TOGETHER: usize = 4;

/// The u-coordinate that each number maps to: Elligator 2, by the formulas of the portable backend.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn map(numbers: &[Digits; TOGETHER]) -> [Fraction; TOGETHER] {
    let mut fractions = [Fraction { numerator: Digits::small(A), denominator: Digits::small(0) }; TOGETHER];
    let mut criteria = *numbers;
    for ((criterion, fraction), number) in criteria.iter_mut().zip(&mut fractions).zip(numbers) {
        let square = number.square();
        let twice_square = square.plus(&square);
        fraction.denominator = Lifted::small(-1).minus(&twice_square).carried();
        let d = Lifted::small(1).plus(&twice_square).carried();
        let twice_square = twice_square.carried();
        let cofactor = d.square_lifted().minus(&twice_square.times_small(A * A)).carried();
        *criterion = cofactor.times(&d).carried().times_small(A).carried();
        // The candidate for the case that the first is not on the curve.
        fraction.numerator = twice_square.times_small(A).carried();
    }
    let symbols = power::symbols(criteria);
    for (symbol, fraction) in symbols.iter().zip(&mut fractions) {
        fraction.numerator = Digits::select(symbol.is_minus_one(), &Digits::small(A), &fraction.numerator);
    }
    fractions
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::super::fraction::quotients;
    use super::super::tests::{bytes, digits, on_ifma8};
    use super::super::{LANES, ladder};
    use super::*;
    use crate::{SecretScalar, oracle};

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn mapped(numbers: &[BigUint]) -> Vec<Digits> {
        let mut registers = [Digits::small(0); TOGETHER];
        for (register, numbers) in registers.iter_mut().zip(numbers.chunks(LANES)) {
            *register = digits(numbers);
        }
        quotients(&mut map(&registers)).to_vec()
    }

    #[test]
    fn the_map_gives_the_published_points_in_every_lane() {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
        fn test() {
            let mut one = [0; 32];
            one[0] = 1;
            let one = SecretScalar::from_bytes(&one).unwrap();
            for vector in oracle::rfc_9380().1 {
                for u in mapped(&vec![vector.u; TOGETHER * LANES]) {
                    assert_eq!(bytes(u), [oracle::to_bytes(&vector.mapped); LANES]);
                    let point = quotients(&mut [ladder::multiply(one.on_hashes(), &u)])[0];
                    assert_eq!(bytes(point), [oracle::to_bytes(&vector.point); LANES]);
                }
            }
        }
        on_ifma8(test);
    }

    #[test]
    fn the_map_is_the_one_of_the_rfc_everywhere() {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
        fn test() {
            for numbers in oracle::numbers().chunks(TOGETHER * LANES) {
                let found: Vec<_> = mapped(numbers).into_iter().flat_map(|u| bytes(u)).collect();
                for (found, r) in found.iter().zip(numbers) {
                    assert_eq!(*found, oracle::to_bytes(&oracle::map_to_curve(r)));
                }
            }
        }
        on_ifma8(test);
    }
}
