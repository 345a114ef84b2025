//! Integers modulo p = 2^255 − 19 in five limbs of 51 bits.
//!
//! Two types carry the bounds: a [`Field`] is what a multiplication leaves, a [`Sum`] what one addition or subtraction
//! makes of two of them. A multiplication takes either, so nothing is ever carried in between.

use std::ops::{Add, Mul, Sub};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

const LOW_51: u64 = (1 << 51) - 1;

/// A number modulo p, each limb below 2^51 + 2^13.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Field([u64; 5]);

/// A sum or difference of two [`Field`]s, each limb below 2^53.
#[derive(Clone, Copy)]
pub(super) struct Sum([u64; 5]);

/// 2p: added before subtracting a [`Field`], so that no limb goes below zero.
const TWICE_P: [u64; 5] = [(1 << 52) - 38, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2, (1 << 52) - 2];

impl Field {
    pub(super) const ZERO: Self = Self([0; 5]);
    pub(super) const ONE: Self = Self::small(1);

    /// A number below 2^51.
    pub(super) const fn small(value: u64) -> Self {
        assert!(value <= LOW_51);
        Self([value, 0, 0, 0, 0])
    }

    /// The number with these little-endian bytes; bit 255 is ignored.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self::from_255_bits(std::array::from_fn(|i| u64::from_le_bytes(words[i])))
    }

    /// A number of 384 bits modulo p, from words with the least significant first.
    pub(super) fn from_words(words: &[u64; 6]) -> Self {
        // 2^255 = 19 and 2^256 = 38 modulo p.
        let [a, b, c, d, e, f] = *words;
        let mut low = Self::from_255_bits([a, b, c, d]);
        low.0[0] += 19 * (d >> 63);
        let high = Self::from_255_bits([e, f, 0, 0]);
        (low + high.times(38)).reduced()
    }

    /// The number of four words with the least significant first; bit 255 is ignored.
    fn from_255_bits([a, b, c, d]: [u64; 4]) -> Self {
        Self([
            a & LOW_51,
            (a >> 51 | b << 13) & LOW_51,
            (b >> 38 | c << 26) & LOW_51,
            (c >> 25 | d << 39) & LOW_51,
            (d >> 12) & LOW_51,
        ])
    }

    /// The little-endian bytes of the number below p.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        // First below 2^255 + 2^20, so below 2p. Adding 19 then passes 2^255 exactly if the number is p or more.
        let mut limbs = self.0;
        let carry_around = |limbs: &mut [u64; 5]| {
            for i in 0..4 {
                limbs[i + 1] += limbs[i] >> 51;
                limbs[i] &= LOW_51;
            }
            let top = limbs[4] >> 51;
            limbs[4] &= LOW_51;
            limbs[0] += 19 * top;
        };
        carry_around(&mut limbs);
        let mut quotient = (limbs[0] + 19) >> 51;
        for limb in &limbs[1..] {
            quotient = (limb + quotient) >> 51;
        }
        debug_assert!(quotient <= 1);
        limbs[0] += 19 * quotient;
        for i in 0..4 {
            limbs[i + 1] += limbs[i] >> 51;
            limbs[i] &= LOW_51;
        }
        limbs[4] &= LOW_51;

        let [a, b, c, d, e] = limbs;
        let words = [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12];
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn square(self) -> Self {
        Sum(self.0).square()
    }

    /// This number times `factor`.
    pub(super) fn times(self, factor: u64) -> Self {
        Sum(self.0).times(factor)
    }

    /// −self.
    pub(super) fn negated(self) -> Self {
        (Self::ZERO - self).reduced()
    }

    /// The inverse; 0 for 0.
    pub(super) fn inverse(self) -> Self {
        // p − 2 = 2^255 − 21 = (2^250 − 1) · 2^5 + 11
        let (run, eleventh) = self.power_of_250_ones();
        run.squared_times(5) * eleventh
    }

    /// True unless this number is not a square.
    pub(super) fn is_square(self) -> Choice {
        // Euler: the power of (p − 1) / 2 = 2^254 − 10 = (2^250 − 1) · 2^4 + 6 is 1, 0 or −1.
        let (run, _) = self.power_of_250_ones();
        let sixth = self.square() * self;
        let symbol = run.squared_times(4) * sixth.square();
        !symbol.to_bytes().ct_eq(&Self::ONE.negated().to_bytes())
    }

    /// The powers of 2^250 − 1 and of 11.
    fn power_of_250_ones(self) -> (Self, Self) {
        let second = self.square();
        let ninth = second.squared_times(2) * self;
        let eleventh = ninth * second;
        let ones_5 = eleventh.square() * ninth;
        let ones_10 = ones_5.squared_times(5) * ones_5;
        let ones_20 = ones_10.squared_times(10) * ones_10;
        let ones_40 = ones_20.squared_times(20) * ones_20;
        let ones_50 = ones_40.squared_times(10) * ones_10;
        let ones_100 = ones_50.squared_times(50) * ones_50;
        let ones_200 = ones_100.squared_times(100) * ones_100;
        (ones_200.squared_times(50) * ones_50, eleventh)
    }

    fn squared_times(self, times: usize) -> Self {
        (0..times).fold(self, |power, _| power.square())
    }
}

impl ConditionallySelectable for Field {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(std::array::from_fn(|i| u64::conditional_select(&a.0[i], &b.0[i], choice)))
    }
}

impl Sum {
    pub(super) fn square(self) -> Field {
        self.debug_assert_bound();
        let [a, b, c, d, e] = self.0;
        let (a2, b2) = (2 * a, 2 * b);
        let (d19, e19) = (19 * d, 19 * e);
        carried([
            wide(a, a) + wide(b2, e19) + wide(2 * c, d19),
            wide(a2, b) + wide(2 * c, e19) + wide(d, d19),
            wide(a2, c) + wide(b, b) + wide(2 * d, e19),
            wide(a2, d) + wide(b2, c) + wide(e, e19),
            wide(a2, e) + wide(b2, d) + wide(c, c),
        ])
    }

    /// This number times `factor`, which is below 2^50.
    pub(super) fn times(self, factor: u64) -> Field {
        self.debug_assert_bound();
        debug_assert!(factor < 1 << 50);
        carried(self.0.map(|limb| wide(limb, factor)))
    }

    /// The same number as a [`Field`].
    pub(super) fn reduced(self) -> Field {
        self.times(1)
    }

    fn debug_assert_bound(self) {
        debug_assert!(self.0.iter().all(|limb| *limb < 1 << 53));
    }
}

impl From<Field> for Sum {
    fn from(field: Field) -> Self {
        Self(field.0)
    }
}

impl Add for Field {
    type Output = Sum;

    fn add(self, other: Self) -> Sum {
        Sum(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Field {
    type Output = Sum;

    fn sub(self, other: Self) -> Sum {
        Sum(std::array::from_fn(|i| self.0[i] + TWICE_P[i] - other.0[i]))
    }
}

impl<R: Into<Sum>> Mul<R> for Field {
    type Output = Field;

    fn mul(self, other: R) -> Field {
        Sum::from(self) * other
    }
}

impl<R: Into<Sum>> Mul<R> for Sum {
    type Output = Field;

    fn mul(self, other: R) -> Field {
        let other = other.into();
        self.debug_assert_bound();
        other.debug_assert_bound();
        let [a, b, c, d, e] = self.0;
        let [f, g, h, i, j] = other.0;
        // 2^255 = 19 modulo p; 19 · 2^53 fits a word.
        let (g19, h19, i19, j19) = (19 * g, 19 * h, 19 * i, 19 * j);
        carried([
            wide(a, f) + wide(b, j19) + wide(c, i19) + wide(d, h19) + wide(e, g19),
            wide(a, g) + wide(b, f) + wide(c, j19) + wide(d, i19) + wide(e, h19),
            wide(a, h) + wide(b, g) + wide(c, f) + wide(d, j19) + wide(e, i19),
            wide(a, i) + wide(b, h) + wide(c, g) + wide(d, f) + wide(e, j19),
            wide(a, j) + wide(b, i) + wide(c, h) + wide(d, g) + wide(e, f),
        ])
    }
}

fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// Brings column sums down to limbs. The columns of a product are below 77 · 2^106 < 2^113, the top one, which has no
/// factor 19, below 5 · 2^106; so every carry fits a word, and so does 19 times the last.
fn carried(mut columns: [u128; 5]) -> Field {
    let mut limbs = [0; 5];
    for i in 0..4 {
        debug_assert!(columns[i] < 1 << 114);
        columns[i + 1] += u128::from((columns[i] >> 51) as u64);
        limbs[i] = columns[i] as u64 & LOW_51;
    }
    debug_assert!(columns[4] < 1 << 110);
    limbs[4] = columns[4] as u64 & LOW_51;
    limbs[0] += 19 * (columns[4] >> 51) as u64;
    // Below 2^64 / 2^51 = 2^13.
    limbs[1] += limbs[0] >> 51;
    limbs[0] &= LOW_51;
    Field(limbs)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;
    use crate::oracle::{self, prime};

    const MOST_OF_FIELD: u64 = (1 << 51) + (1 << 13) - 1;
    const MOST_OF_SUM: u64 = (1 << 53) - 1;

    fn number(limbs: &[u64; 5]) -> BigUint {
        oracle::from_limbs(limbs, 51)
    }

    fn field(number: &BigUint) -> Field {
        Field::from_bytes(&oracle::to_bytes(number))
    }

    /// Every choice of limbs that are 0 or `most`.
    fn extremes(most: u64) -> impl Iterator<Item = [u64; 5]> {
        (0..32).map(move |choice| std::array::from_fn(|i| if choice >> i & 1 == 1 { most } else { 0 }))
    }

    #[track_caller]
    fn assert_is(field: Field, expected: BigUint) {
        let most = field.0.iter().max().unwrap();
        assert!(*most <= MOST_OF_FIELD, "a limb is out of bounds: {most:#x}");
        assert_eq!(field.to_bytes(), oracle::to_bytes(&(expected % prime())));
    }

    #[test]
    fn products_of_the_largest_limbs_are_right_and_in_bounds() {
        for a in extremes(MOST_OF_SUM) {
            assert_is(Sum(a).square(), number(&a) * number(&a));
            assert_is(Sum(a).times((1 << 50) - 1), number(&a) * ((1u64 << 50) - 1));
            assert_is(Sum(a).reduced(), number(&a));
            for b in extremes(MOST_OF_SUM) {
                assert_is(Sum(a) * Sum(b), number(&a) * number(&b));
            }
        }
    }

    #[test]
    fn sums_and_differences_of_the_largest_limbs_are_right_and_in_bounds() {
        for a in extremes(MOST_OF_FIELD) {
            assert_is(Field(a), number(&a));
            assert_is(Field(a).negated(), 4u8 * prime() - number(&a));
            for b in extremes(MOST_OF_FIELD) {
                let (sum, difference) = (Field(a) + Field(b), Field(a) - Field(b));
                assert!(sum.0.iter().chain(&difference.0).all(|limb| *limb <= MOST_OF_SUM));
                assert_is(sum.reduced(), number(&a) + number(&b));
                assert_is(difference.reduced(), number(&a) + 4u8 * prime() - number(&b));
            }
        }
    }

    #[test]
    fn bytes_come_back_below_the_prime() {
        for a in oracle::numbers() {
            assert_eq!(field(&a).to_bytes(), oracle::to_bytes(&a));
        }
        for above in 0..19u8 {
            assert_eq!(field(&(prime() + above)).to_bytes()[0], above);
        }
    }

    #[test]
    fn wide_words_are_reduced() {
        for a in oracle::numbers() {
            let wide: BigUint = (&a << 129u32) + (&a >> 126u32);
            let mut words = wide.to_u64_digits();
            words.resize(6, 0);
            assert_is(Field::from_words(&words.try_into().unwrap()), wide);
        }
        assert_is(Field::from_words(&[u64::MAX; 6]), (BigUint::from(1u8) << 384) - 1u8);
    }

    #[test]
    fn inverses_and_squares_are_those_of_big_integers() {
        for a in oracle::numbers() {
            assert_is(field(&a).inverse(), oracle::inverse(&a));
            let is_square = oracle::symbol(&a) <= BigUint::from(1u8);
            assert_eq!(bool::from(field(&a).is_square()), is_square);
        }
    }
}
