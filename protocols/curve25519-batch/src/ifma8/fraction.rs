//! Many divisions for the price of one inversion, in each lane for itself.

use std::iter::zip;

use zeroize::{Zeroize, Zeroizing};

use super::field::Digits;

/// Eight numerators over eight denominators.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Fraction {
    pub(super) numerator: Digits,
    pub(super) denominator: Digits,
}

/// The value of every fraction, 0 where the denominator is 0. The denominators are spent.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn quotients(fractions: &mut [Fraction]) -> Zeroizing<Vec<Digits>> {
    // Montgomery's trick, as in the portable backend.
    let (zero, one) = (Digits::small(0), Digits::small(1));
    let mut product = one;
    let mut quotients = Zeroizing::new(Vec::with_capacity(fractions.len()));
    for Fraction { numerator, denominator } in fractions.iter_mut() {
        let is_zero = denominator.is_zero();
        *denominator = Digits::select(is_zero, denominator, &one);
        *numerator = Digits::select(is_zero, numerator, &zero);
        quotients.push(numerator.times(&product).carried());
        product = product.times(denominator).carried();
    }
    let [mut inverse] = super::power::inverses([product]);
    for (quotient, Fraction { denominator, .. }) in zip(quotients.iter_mut(), fractions).rev() {
        *quotient = quotient.times(&inverse).carried();
        inverse = inverse.times(denominator).carried();
    }
    quotients
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bytes, on_ifma8};
    use super::*;
    use num_bigint::BigUint;

    #[test]
    fn a_zero_denominator_gives_zero_and_spoils_no_other() {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
        fn test() {
            let digits = |numbers: [u8; 8]| super::super::tests::digits(&numbers.map(BigUint::from));
            let fraction =
                |numerator, denominator| Fraction { numerator: digits(numerator), denominator: digits(denominator) };
            let mut fractions = [
                fraction([6, 5, 0, 0, 9, 4, 7, 1], [3, 0, 0, 7, 1, 2, 7, 0]),
                fraction([8, 8, 8, 8, 8, 8, 8, 8], [0, 1, 2, 4, 8, 0, 1, 2]),
            ];
            let values = quotients(&mut fractions);
            assert_eq!(bytes(values[0]).map(|value| value[0]), [2, 0, 0, 0, 9, 2, 1, 0]);
            assert_eq!(bytes(values[1]).map(|value| value[0]), [0, 8, 4, 2, 1, 0, 8, 4]);
            assert!(quotients(&mut []).is_empty());
        }
        on_ifma8(test);
    }
}
