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
