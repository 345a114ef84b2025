//! The Montgomery ladder on u-coordinates.

use subtle::{Choice, ConditionallySelectable};

use super::field::Field;
use super::fraction::Fraction;
use crate::secret_scalar::Multiplier;

/// The fraction x/z of a u-coordinate; z is 0 for the neutral element.
#[derive(Clone, Copy)]
struct Point {
    x: Field,
    z: Field,
}

/// The u-coordinate of `8m` times the point with this one, on the curve or on its twist.
pub(super) fn multiply(multiplier: &Multiplier, u: Field) -> Fraction {
    let mut low = Point { x: Field::ONE, z: Field::ZERO };
    let mut high = Point { x: u, z: Field::ONE };
    let mut swapped = 0;
    for bit in multiplier.bits() {
        // `high` is one point ahead of `low`; the bit tells which of the two is doubled.
        Point::conditional_swap(&mut low, &mut high, Choice::from(swapped ^ bit));
        swapped = bit;
        (low, high) = (low.doubled(), low.plus(high, u));
    }
    Point::conditional_swap(&mut low, &mut high, Choice::from(swapped));
    let Point { x, z } = low.doubled().doubled().doubled();
    Fraction { numerator: x, denominator: z }
}

impl Point {
    fn doubled(self) -> Self {
        let sum = (self.x + self.z).square();
        let difference = (self.x - self.z).square();
        let product = sum - difference;
        // (A + 2) / 4 = 121666.
        Self { x: sum * difference, z: product * (difference + product.times(121_666)) }
    }

    /// The sum with a point that differs from this one by the point with u-coordinate `apart`.
    fn plus(self, other: Self, apart: Field) -> Self {
        let cross = (self.x + self.z) * (other.x - other.z);
        let other_cross = (self.x - self.z) * (other.x + other.z);
        Self { x: (cross + other_cross).square(), z: (cross - other_cross).square() * apart }
    }
}

impl ConditionallySelectable for Point {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self { x: Field::conditional_select(&a.x, &b.x, choice), z: Field::conditional_select(&a.z, &b.z, choice) }
    }
}
