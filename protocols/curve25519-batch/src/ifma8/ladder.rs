//! The Montgomery ladder on u-coordinates.

use std::arch::x86_64::__mmask8;
use std::hint::black_box;

use super::field::{Columns, Digits, Fixed, Lifted};
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
    let (mut low, mut high) = (Point { sum: one, difference: one }, Point::affine(u));
    let apart = Fixed::new(u);
    let mut swapped = 0;
    for bit in multiplier.bits() {
        // `high` is one point ahead of `low`, or behind; the bit tells which of the two is doubled. Their sum does not
        // change when they change places, so only what is doubled is selected.
        let doubled = Point::select(mask(swapped ^ bit), &low, &high);
        swapped = bit;
        (low, high) = (doubled.doubled(), low.plus(&high, &apart));
    }
    Point::select(mask(swapped), &low, &high).doubled().doubled().doubled_fraction()
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
    fn select(mask: __mmask8, a: &Self, b: &Self) -> Self {
        Self {
            sum: Digits::select(mask, &a.sum, &b.sum),
            difference: Digits::select(mask, &a.difference, &b.difference),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn doubled(&self) -> Self {
        let (x, z) = self.doubled_columns();
        Self { sum: x.plus(&z).carried(), difference: x.minus(&z).carried() }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn doubled_fraction(&self) -> Fraction {
        let (x, z) = self.doubled_columns();
        Fraction { numerator: x.carried(), denominator: z.carried() }
    }

    /// x and z of the double.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn doubled_columns(&self) -> (Lifted, Columns) {
        let sum = self.sum.square_lifted();
        let difference = self.difference.square();
        let product = sum.minus(&difference).carried();
        let factor = difference.plus_times_small(&product, CURVE).carried();
        (sum.carried().times_lifted(&difference.carried()), product.times(&factor))
    }

    /// The sum with a point that differs from this one by the point `apart`.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    #[inline]
    fn plus(&self, other: &Self, apart: &Fixed) -> Self {
        let cross = other.difference.times_lifted(&self.sum);
        let other_cross = other.sum.times(&self.difference);
        let difference = cross.minus(&other_cross).carried().square().carried();
        let x = cross.plus(&other_cross).carried().square_lifted();
        let z = difference.times_fixed(apart);
        Self { sum: x.plus(&z).carried(), difference: x.minus(&z).carried() }
    }
}

/// All lanes if `bit` is 1, none if it is 0, without a branch that the compiler could see.
fn mask(bit: u8) -> __mmask8 {
    black_box(0u8.wrapping_sub(bit))
}
