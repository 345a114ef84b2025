//! Many divisions for the price of one inversion.

use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use super::field::Field;

/// A numerator over a denominator.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Fraction {
    pub(super) numerator: Field,
    pub(super) denominator: Field,
}

/// The value of every fraction, 0 where the denominator is 0. The denominators are spent.
pub(super) fn quotients(fractions: &mut [Fraction]) -> Zeroizing<Vec<Field>> {
    // Montgomery's trick: the product of all denominators is inverted, then taken apart from the end. A zero would
    // spoil the product, so it is replaced by one, and its numerator by zero.
    let zero = Field::ZERO.to_bytes();
    let mut product = Field::ONE;
    let mut quotients = Zeroizing::new(Vec::with_capacity(fractions.len()));
    for Fraction { numerator, denominator } in fractions.iter_mut() {
        let is_zero = denominator.to_bytes().ct_eq(&zero);
        denominator.conditional_assign(&Field::ONE, is_zero);
        numerator.conditional_assign(&Field::ZERO, is_zero);
        quotients.push(*numerator * product);
        product = product * *denominator;
    }
    let mut inverse = product.inverse();
    for (quotient, Fraction { denominator, .. }) in quotients.iter_mut().zip(fractions).rev() {
        *quotient = *quotient * inverse;
        inverse = inverse * *denominator;
    }
    quotients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_denominator_gives_zero_and_spoils_no_other() {
        let fraction = |numerator, denominator| Fraction {
            numerator: Field::small(numerator),
            denominator: Field::small(denominator),
        };
        let mut fractions = [fraction(6, 3), fraction(5, 0), fraction(0, 0), fraction(0, 7), fraction(9, 1)];
        let values: Vec<_> = quotients(&mut fractions).iter().map(|value| value.to_bytes()[0]).collect();
        assert_eq!(values, [2, 0, 0, 0, 9]);
        assert!(quotients(&mut []).is_empty());
    }
}
