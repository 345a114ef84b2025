//! The Montgomery ladder on u-coordinates.

use std::arch::x86_64::__mmask8;
use std::hint::black_box;

use super::field::{Digits, Fixed, Lifted};
use super::fraction::Fraction;
use crate::secret_scalar::Multiplier;

/// (A + 2) / 4 of the curve.
const CURVE: u64 = 121_666;

/// A u-coordinate x/z as x + z and x − z, the form in which both formulas begin.
#[derive(Clone, Copy)]
struct Point {
    sum: Digits,
    difference: Digits,
}

/// The fraction x/z of the u-coordinate of `8m` times the point with this one, on the curve or on its twist.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn multiply(multiplier: &Multiplier, u: &Digits) -> Fraction {
    let one = Digits::small(1);
    let (low, high) = (Point { sum: one, difference: one }, Point::affine(u));
    let mut rungs = Rungs { low, high };
    let apart = black_box(Fixed::new(u));
    let mut swapped = 0;
    for bit in multiplier.bits().chain([0; 3]) {
        step(&mut rungs, &apart, mask(swapped ^ bit));
        swapped = bit;
    }
    rungs.low.fraction()
}

/// Two points that are a third apart.
struct Rungs {
    low: Point,
    high: Point,
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline(never)]
fn step(Rungs { low, high }: &mut Rungs, apart: &Fixed, swap: __mmask8) {
    let x_plus_z = Digits::select(swap, &low.sum, &high.sum);
    let x_minus_z = Digits::select(swap, &low.difference, &high.difference);

    let plus_square = x_plus_z.square_lifted();
    let minus_square = x_minus_z.square();
    let cross = high.difference.times_lifted(&low.sum);
    let plus_digits = plus_square.carried();
    let product = plus_square.minus(&minus_square).carried();
    let minus_digits = minus_square.carried();
    let other_cross = high.sum.times(&low.difference);
    let factor = minus_square.plus_times_small(&product, CURVE).carried();
    let doubled_x = plus_digits.times_lifted(&minus_digits);
    let difference = cross.minus(&other_cross).carried();
    let sum = cross.plus(&other_cross).carried();
    let doubled_z = product.times(&factor);
    let difference_square = difference.square().carried();
    let sum_x = sum.square_lifted();
    *low = Point { sum: doubled_x.plus(&doubled_z).carried(), difference: doubled_x.minus(&doubled_z).carried() };
    let sum_z = difference_square.times_fixed(apart);
    *high = Point { sum: sum_x.plus(&sum_z).carried(), difference: sum_x.minus(&sum_z).carried() };
}

impl Point {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn affine(u: &Digits) -> Self {
        let u = u.to_columns();
        Self { sum: Lifted::small(1).plus(&u).carried(), difference: Lifted::small(-1).plus(&u).carried() }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn fraction(&self) -> Fraction {
        let sum = self.sum.to_lifted();
        let difference = self.difference.to_columns();
        Fraction { numerator: sum.plus(&difference).carried(), denominator: sum.minus(&difference).carried() }
    }
}

/// All lanes if `bit` is 1, none if it is 0, without a branch that the compiler could see.
fn mask(bit: u8) -> __mmask8 {
    black_box(0u8.wrapping_sub(bit))
}
