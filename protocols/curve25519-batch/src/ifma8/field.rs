//! Eight integers modulo p = 2^255 − 19 in five registers, in digits of 52 bits.
//!
//! The multiplier of these CPUs takes the low 52 bits of two numbers and adds the low or the high 52 bits of their
//! product to a third number. With digits of 52 bits both halves fall on the weight of a digit, and what a register
//! holds above bit 52 needs no masking, as the multiplier does not see it. Three types carry the bounds:
//!
//! | type | holds | bounds |
//! |---|---|---|
//! | [`Digits`] | what is multiplied; bits above 52 of the registers 0 to 3 mean nothing | digit 4 < 2^47 + 2^13 |
//! | [`Columns`] | sums of halves of products, each whole register | < 2^59; products < 2^56 |
//! | [`Lifted`] | a product plus 1024p, from which a product can be subtracted | 2^57 − 2^15 to 2^58 |
//!
//! Sums and differences are made of columns; one carry brings them back to digits. Digits of 52 bits leave no slack, so
//! the carry is exact: it goes from the top around to the bottom, then up, and ends in digit 4, which has slack. What
//! passes the top is worth 2^255 = 19, or 2^260 = 608 modulo p.

use std::arch::x86_64::{
    __mmask8, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpeq_epi64_mask, _mm512_cmplt_epu64_mask,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_or_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
};

use zeroize::Zeroize;

use super::lanes::Lanes;

const LOW_47: u64 = (1 << 47) - 1;
const LOW_52: u64 = (1 << 52) - 1;

/// 2^255 modulo p.
const PAST_255: u64 = 19;

/// 2^260 modulo p.
const PAST_260: u64 = 608;

/// 1024p in columns.
const LIFT: [u64; 5] = [(1 << 57) - 32 * PAST_260, (1 << 57) - 32, (1 << 57) - 32, (1 << 57) - 32, (1 << 57) - 32];

/// Half of it.
const HALF_LIFT: [u64; 5] = [LIFT[0] / 2, LIFT[1] / 2, LIFT[2] / 2, LIFT[3] / 2, LIFT[4] / 2];

/// Eight numbers modulo p that can be multiplied.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Digits([Lanes; 5]);

/// Eight numbers modulo p as sums of columns of weight 2^(52i).
#[derive(Clone, Copy)]
pub(super) struct Columns([Lanes; 5]);

/// Columns from which a product can be subtracted.
#[derive(Clone, Copy)]
pub(super) struct Lifted([Lanes; 5]);

impl Digits {
    /// The number `value`, below 2^52, in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn small(value: u64) -> Self {
        debug_assert!(value <= LOW_52);
        let zero = _mm512_setzero_si512();
        Self([all(value), zero, zero, zero, zero])
    }

    /// The number `2^(52i)` in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn power_of_radix(i: usize) -> Self {
        let mut digits = [_mm512_setzero_si512(); 5];
        digits[i] = all(1);
        Self(digits)
    }

    /// Numbers below 2^255, given as little-endian words.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn from_words(words: [Lanes; 4]) -> Self {
        let [a, b, c, d] = words;
        let digits = Self([
            a,
            or(right::<52>(a), left::<12>(b)),
            or(right::<40>(b), left::<24>(c)),
            or(right::<28>(c), left::<36>(d)),
            right::<16>(d),
        ]);
        digits.debug_assert_bound();
        digits
    }

    /// Numbers of 384 bits modulo p, given as little-endian words.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn from_wide_words(words: [Lanes; 6]) -> Self {
        let [a, b, c, d, e, f] = words;
        let (low_52, past) = (all(LOW_52), all(PAST_260));
        let top_bits = right::<44>(f);
        let columns = [
            and(a, low_52),
            and(or(right::<52>(a), left::<12>(b)), low_52),
            and(or(right::<40>(b), left::<24>(c)), low_52),
            and(or(right::<28>(c), left::<36>(d)), low_52),
            and(or(right::<16>(d), left::<48>(e)), low_52),
        ];
        // Bits 260 to 311, 312 to 363 and 364 to 383; the last 20 times 608 have no high half.
        let (fifth, sixth) = (right::<4>(e), or(right::<56>(e), left::<8>(f)));
        Columns([
            low(columns[0], fifth, past),
            low(high(columns[1], fifth, past), sixth, past),
            low(high(columns[2], sixth, past), top_bits, past),
            columns[3],
            columns[4],
        ])
        .carried()
    }

    /// The little-endian words of the numbers below p.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn to_words(self) -> [Lanes; 4] {
        let [a, b, c, d, e] = self.canonical();
        [
            or(a, left::<52>(b)),
            or(right::<12>(b), left::<40>(c)),
            or(right::<24>(c), left::<28>(d)),
            or(right::<36>(d), left::<16>(e)),
        ]
    }

    /// The lanes in which the number is 0.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn is_zero(self) -> __mmask8 {
        let [a, b, c, d, e] = self.canonical();
        equal(or(or(a, b), or(c, or(d, e))), _mm512_setzero_si512())
    }

    /// The lanes in which the number is −1, which is 2^255 − 20.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn is_minus_one(self) -> __mmask8 {
        let [a, b, c, d, e] = self.canonical();
        let middle = and(and(b, c), d);
        equal(a, all(LOW_52 - PAST_255)) & equal(middle, all(LOW_52)) & equal(e, all(LOW_47))
    }

    /// The digits of the numbers below p, each alone in its register.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn canonical(self) -> [Lanes; 5] {
        self.debug_assert_bound();
        let low_52 = all(LOW_52);
        let [a, b, c, d, e] = self.0;
        let mut digits = [and(a, low_52), and(b, low_52), and(c, low_52), and(d, low_52), e];
        // The numbers are below 2^255 + 2^221, so below 2p, and p or more exactly if adding 19 passes 2^255.
        let mut passes = all(PAST_255);
        for digit in &digits[..4] {
            passes = right::<52>(add(*digit, passes));
        }
        passes = right::<47>(add(digits[4], passes));
        debug_assert!(are_below(passes, 2));
        digits[0] = low(digits[0], passes, all(PAST_255));
        for i in 0..4 {
            digits[i + 1] = add(digits[i + 1], right::<52>(digits[i]));
            digits[i] = and(digits[i], low_52);
        }
        digits[4] = and(digits[4], all(LOW_47));
        digits
    }

    /// `b` in the lanes of `mask`, `a` in the others.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn select(mask: __mmask8, a: &Self, b: &Self) -> Self {
        let select = |i: usize| _mm512_mask_blend_epi64(mask, a.0[i], b.0[i]);
        Self([select(0), select(1), select(2), select(3), select(4)])
    }

    /// The same numbers as columns.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn to_columns(self) -> Columns {
        self.times_small(1)
    }

    /// The same numbers as columns, lifted.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn to_lifted(self) -> Lifted {
        Lifted(add_columns(&columns(LIFT), &self.to_columns().0))
    }

    /// The product with `other`.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn times(&self, other: &Self) -> Columns {
        Columns(product([_mm512_setzero_si512(); 5], self, other))
    }

    /// The product with `other`, lifted.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn times_lifted(&self, other: &Self) -> Lifted {
        Lifted(product(columns(LIFT), self, other))
    }

    /// The product with a number that was prepared for it.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn times_fixed(&self, fixed: &Fixed) -> Columns {
        let digits = &self.0;
        let mut sums = [_mm512_setzero_si512(); 6];
        for (digit, shifted) in digits.iter().zip(&fixed.0) {
            for (i, other) in shifted.0.iter().enumerate() {
                sums[i] = low(sums[i], *digit, *other);
                sums[i + 1] = high(sums[i + 1], *digit, *other);
            }
        }
        // The last column is made of five high halves of products with a digit 4: below 2^50.
        let [a, b, c, d, e, top] = sums;
        let past = all(PAST_260);
        Columns([low(a, top, past), high(b, top, past), c, d, e])
    }

    /// The square.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn square(&self) -> Columns {
        Columns(square([_mm512_setzero_si512(); 5], self))
    }

    /// The square, lifted.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn square_lifted(&self) -> Lifted {
        Lifted(square(columns(HALF_LIFT), self))
    }

    /// The product with a number below 2^40.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn times_small(&self, factor: u64) -> Columns {
        Columns([_mm512_setzero_si512(); 5]).plus_times_small(self, factor)
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn debug_assert_bound(&self) {
        debug_assert!(are_below(self.0[4], (1 << 47) + (1 << 13)), "digit 4 is out of bounds");
    }
}

/// Five multiples of one number, 2^(52i) times it, so that products with it have no column above the fifth.
pub(super) struct Fixed([Digits; 5]);

impl Fixed {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn new(number: &Digits) -> Self {
        let shifted = |i| number.times(&Digits::power_of_radix(i)).carried();
        Self([*number, shifted(1), shifted(2), shifted(3), shifted(4)])
    }
}

impl Columns {
    /// The sum with a `factor` below 2^40 times a number.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn plus_times_small(self, number: &Digits, factor: u64) -> Self {
        number.debug_assert_bound();
        debug_assert!(factor < 1 << 40);
        let [a, b, c, d, e] = self.0;
        let digits = &number.0;
        let (factor, zero) = (all(factor), _mm512_setzero_si512());
        // Digit 4 times the factor is below 2^88, so what passes the top is below 2^36, and 2^46 times 608.
        let top = high(zero, digits[4], factor);
        Self([
            low(low(a, digits[0], factor), top, all(PAST_260)),
            low(high(b, digits[0], factor), digits[1], factor),
            low(high(c, digits[1], factor), digits[2], factor),
            low(high(d, digits[2], factor), digits[3], factor),
            low(high(e, digits[3], factor), digits[4], factor),
        ])
    }

    /// The sum with `other`.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn plus(self, other: &Self) -> Self {
        Self(add_columns(&self.0, &other.0))
    }

    /// The same numbers as digits.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn carried(self) -> Digits {
        carry(self.0)
    }
}

impl Lifted {
    /// The number `value` in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn small(value: i32) -> Self {
        let mut columns = columns(LIFT);
        columns[0] = all(LIFT[0].wrapping_add_signed(value.into()));
        Self(columns)
    }

    /// The sum with a product.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn plus(&self, other: &Columns) -> Columns {
        Columns(add_columns(&self.0, &other.0))
    }

    /// The difference from a product, or twice one.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn minus(&self, other: &Columns) -> Columns {
        debug_assert!(other.0.iter().all(|column| are_below(*column, (1 << 57) - (1 << 15))), "too much to subtract");
        let minus = |i: usize| _mm512_sub_epi64(self.0[i], other.0[i]);
        Columns([minus(0), minus(1), minus(2), minus(3), minus(4)])
    }

    /// The same numbers as digits.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    pub(super) fn carried(&self) -> Digits {
        carry(self.0)
    }
}

/// The product of `a` and `b` on top of `start`, folded to five columns below 2^56 more than `start`.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn product(start: [Lanes; 5], a: &Digits, b: &Digits) -> [Lanes; 5] {
    a.debug_assert_bound();
    b.debug_assert_bound();
    let mut sums = wide(start);
    // At most nine halves meet in a column.
    for (i, a) in a.0.iter().enumerate() {
        for (j, b) in b.0.iter().enumerate() {
            sums[i + j] = low(sums[i + j], *a, *b);
            sums[i + j + 1] = high(sums[i + j + 1], *a, *b);
        }
    }
    folded(sums)
}

/// The square of `a` on top of twice `half_start`.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn square(half_start: [Lanes; 5], a: &Digits) -> [Lanes; 5] {
    a.debug_assert_bound();
    let [a, b, c, d, e] = a.0;
    let mut sums = wide(half_start);
    // Products of two different digits count twice. Digit 4 can be doubled before, the others only after.
    for (i, x, y) in [(1, a, b), (2, a, c), (3, a, d), (3, b, c), (4, b, d), (5, c, d)] {
        sums[i] = low(sums[i], x, y);
        sums[i + 1] = high(sums[i + 1], x, y);
    }
    for sum in &mut sums[..7] {
        *sum = add(*sum, *sum);
    }
    let twice_e = add(e, e);
    for (i, x, y) in [
        (0, a, a),
        (2, b, b),
        (4, c, c),
        (6, d, d),
        (8, e, e),
        (4, a, twice_e),
        (5, b, twice_e),
        (6, c, twice_e),
        (7, d, twice_e),
    ] {
        sums[i] = low(sums[i], x, y);
        sums[i + 1] = high(sums[i + 1], x, y);
    }
    folded(sums)
}

/// Ten columns of a product modulo p in five.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn folded(sums: [Lanes; 10]) -> [Lanes; 5] {
    let [a, b, c, d, e, f, g, h, i, j] = sums;
    // The upper columns are sums of up to nine halves. Carried, each is seen by the multiplier as a digit. Digit 4 of
    // either factor is below 2^47 + 2^13, so the last is at most 2^42 + 2^10, and 608 times it has no high half.
    let g = add(g, right::<52>(f));
    let h = add(h, right::<52>(g));
    let i = add(i, right::<52>(h));
    let j = add(j, right::<52>(i));
    debug_assert!(are_below(j, (1 << 42) + (1 << 11)), "the top of a product is out of bounds");
    let past = all(PAST_260);
    [
        low(a, f, past),
        low(high(b, f, past), g, past),
        low(high(c, g, past), h, past),
        low(high(d, h, past), i, past),
        low(high(e, i, past), j, past),
    ]
}

/// Columns below 2^59 as digits.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn carry(columns: [Lanes; 5]) -> Digits {
    debug_assert!(columns.iter().all(|column| are_below(*column, 1 << 59)), "a column is out of bounds");
    let [a, b, c, d, e] = columns;
    // At most 12 bits pass 2^255, then 2^7 each digit; digit 4 takes the last of it.
    let a = low(a, right::<47>(e), all(PAST_255));
    let b = add(b, right::<52>(a));
    let c = add(c, right::<52>(b));
    let d = add(d, right::<52>(c));
    let e = add(and(e, all(LOW_47)), right::<52>(d));
    Digits([a, b, c, d, e])
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn add_columns(a: &[Lanes; 5], b: &[Lanes; 5]) -> [Lanes; 5] {
    let add = |i: usize| add(a[i], b[i]);
    [add(0), add(1), add(2), add(3), add(4)]
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn wide([a, b, c, d, e]: [Lanes; 5]) -> [Lanes; 10] {
    let zero = _mm512_setzero_si512();
    [a, b, c, d, e, zero, zero, zero, zero, zero]
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn columns([a, b, c, d, e]: [u64; 5]) -> [Lanes; 5] {
    [all(a), all(b), all(c), all(d), all(e)]
}

/// `sum` plus the low half of the product.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn low(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
    _mm512_madd52lo_epu64(sum, a, b)
}

/// `sum` plus the high half of the product.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn high(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
    _mm512_madd52hi_epu64(sum, a, b)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn add(a: Lanes, b: Lanes) -> Lanes {
    _mm512_add_epi64(a, b)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn and(a: Lanes, b: Lanes) -> Lanes {
    _mm512_and_si512(a, b)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn or(a: Lanes, b: Lanes) -> Lanes {
    _mm512_or_si512(a, b)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn right<const BITS: u32>(a: Lanes) -> Lanes {
    _mm512_srli_epi64::<BITS>(a)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn left<const BITS: u32>(a: Lanes) -> Lanes {
    _mm512_slli_epi64::<BITS>(a)
}

/// `number` in every lane.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn all(number: u64) -> Lanes {
    _mm512_set1_epi64(number as i64)
}

/// The lanes in which two registers are equal.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn equal(a: Lanes, b: Lanes) -> __mmask8 {
    _mm512_cmpeq_epi64_mask(a, b)
}

/// Whether every lane is below `bound`; for assertions.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn are_below(a: Lanes, bound: u64) -> bool {
    _mm512_cmplt_epu64_mask(a, all(bound)) == 0xff
}

#[cfg(test)]
mod tests;
