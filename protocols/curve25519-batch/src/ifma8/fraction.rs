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
