//! Fractions without floats.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

/// A signed dyadic number, ±num·2^-shift: what [`Terms`](crate::Terms) have for a rate, a bound or a scale.
///
/// Every value has one form: `num` is odd unless `shift` is 0, and zero is `{neg: false, num: 0, shift: 0}`. `num` is
/// below 2^64 and `shift` at most [`Dyadic::MAX_SHIFT`]. So equal values are equal structs with equal encodings, and
/// the order is that of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "Written")]
pub struct Dyadic {
    neg: bool,
    num: u64,
    shift: u32,
}

/// The three members as they stand in an encoding.
#[derive(Serialize)]
struct Written {
    neg: bool,
    num: u64,
    shift: u32,
}

/// A number that terms cannot hold, or not in this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedDyadic {
    /// More binary places than terms hold.
    #[error("a number with {0} binary places, at most {limit} are held", limit = Dyadic::MAX_SHIFT)]
    TooFine(u32),
    /// Written in another form than the one this value has.
    #[error("a number that is not in its one form: an odd numerator, or no binary places; zero without a sign")]
    NotCanonical,
}

impl Dyadic {
    /// The most binary places: as many as the smallest 64-bit float has, so that no rounding hides in a conversion.
    pub const MAX_SHIFT: u32 = 1074;

    /// More binary places than this are not written out as decimals.
    const SHOWN_AS_DECIMAL: u32 = 32;

    /// The number that stands in an encoding, if it stands there in its one form.
    pub(crate) fn read(neg: bool, num: u64, shift: u64) -> Result<Self, MalformedDyadic> {
        let shift = u32::try_from(shift).unwrap_or(u32::MAX);
        let number = Self::new(neg, num, shift)?;
        if (number.neg, number.num, number.shift) == (neg, num, shift) {
            Ok(number)
        } else {
            Err(MalformedDyadic::NotCanonical)
        }
    }

    /// The number ±num·2^-shift, brought into its one form.
    ///
    /// # Errors
    /// [`MalformedDyadic::TooFine`] if more than [`Dyadic::MAX_SHIFT`] binary places are left.
    pub fn new(neg: bool, num: u64, shift: u32) -> Result<Self, MalformedDyadic> {
        if num == 0 {
            return Ok(Self::default());
        }
        let common = num.trailing_zeros().min(shift);
        let (num, shift) = (num >> common, shift - common);
        if shift > Self::MAX_SHIFT { Err(MalformedDyadic::TooFine(shift)) } else { Ok(Self { neg, num, shift }) }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.neg
    }

    /// The numerator without its sign; odd unless [`Dyadic::shift`] is 0.
    #[must_use]
    pub fn numerator(&self) -> u64 {
        self.num
    }

    /// The number of binary places.
    #[must_use]
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Compares two numbers by their distance from zero.
    fn compare_sizes(&self, other: &Self) -> Ordering {
        // The place of the highest bit decides; where it is the same, the bits from there on do.
        let place = |number: &Self| i64::from(number.num.ilog2()) - i64::from(number.shift);
        let bits = |number: &Self| number.num << number.num.leading_zeros();
        match (self.num, other.num) {
            (0, _) | (_, 0) => self.num.cmp(&other.num),
            _ => place(self).cmp(&place(other)).then_with(|| bits(self).cmp(&bits(other))),
        }
    }
}

impl Ord for Dyadic {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.neg, other.neg) {
            (false, false) => self.compare_sizes(other),
            (true, true) => other.compare_sizes(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Dyadic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i64> for Dyadic {
    fn from(number: i64) -> Self {
        Self { neg: number < 0, num: number.unsigned_abs(), shift: 0 }
    }
}

/// The exact value: as a decimal with a point (`-0.75`, `3.0`), or as `5*2^-40` where a decimal would be long.
impl fmt::Display for Dyadic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.neg { "-" } else { "" };
        if self.shift > Self::SHOWN_AS_DECIMAL {
            return write!(f, "{sign}{}*2^-{}", self.num, self.shift);
        }
        write!(f, "{sign}{}.", self.num >> self.shift)?;
        let mut rest = self.num & ((1 << self.shift) - 1);
        loop {
            rest *= 10;
            write!(f, "{}", rest >> self.shift)?;
            rest &= (1 << self.shift) - 1;
            if rest == 0 {
                return Ok(());
            }
        }
    }
}

impl From<Dyadic> for Written {
    fn from(Dyadic { neg, num, shift }: Dyadic) -> Self {
        Self { neg, num, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(neg: bool, num: u64, shift: u32) -> Dyadic {
        Dyadic::new(neg, num, shift).unwrap()
    }

    #[test]
    fn a_number_has_one_form() {
        assert_eq!(number(false, 12, 4), number(false, 3, 2));
        assert_eq!(number(true, 0, 9), Dyadic::default());
        assert_eq!(number(true, 8, 3), Dyadic::from(-1));
        assert_eq!(number(false, 1 << 63, 1074 + 63).shift(), Dyadic::MAX_SHIFT);
        assert_eq!(Dyadic::new(false, 1, 1075), Err(MalformedDyadic::TooFine(1075)));
        assert_eq!(Dyadic::from(i64::MIN).numerator(), 1 << 63);
    }

    #[test]
    fn the_order_is_that_of_the_numbers() {
        let ascending = [
            number(true, u64::MAX, 0),
            number(true, 3, 1),
            number(true, 1, 0),
            number(true, 1, 1074),
            Dyadic::default(),
            number(false, 1, 1074),
            number(false, 3, 1074),
            number(false, u64::MAX, 64),
            number(false, 1, 0),
            number(false, 5, 2),
            number(false, 3, 1),
            number(false, u64::MAX, 0),
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                assert_eq!(one.cmp(other), at.cmp(&other_at), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_person_reads_the_exact_value() {
        for (shown, number) in [
            ("0.0", Dyadic::default()),
            ("-3.0", Dyadic::from(-3)),
            ("-0.75", number(true, 3, 2)),
            ("0.0009765625", number(false, 1, 10)),
            ("4294967295.99999999976716935634613037109375", number(false, u64::MAX, 32)),
            ("5*2^-40", number(false, 5, 40)),
        ] {
            assert_eq!(number.to_string(), shown);
        }
    }
}
