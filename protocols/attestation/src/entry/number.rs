//! Whole numbers in entries, each with its range.
//!
//! All stay below 2^53, so that every JSON reader has them exactly. Counts stay below 2^32, where no phone, card or
//! identity number has room; sizes, times and amounts may be larger and are declared as such.

use std::fmt;

use tacitly_core::Value;

use super::field::Field;
use super::refusal::{EntryRefusal, Place, Reason};

/// Declares a number type with its range.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $low:expr, $high:expr, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The smallest value.
            pub const MIN: u64 = $low;

            /// The largest value.
            pub const MAX: u64 = $high;

            /// The value, if it lies in the range.
            ///
            /// # Errors
            /// [`Reason::Form`].
            pub fn new(value: u64) -> Result<Self, Reason> {
                if (Self::MIN..=Self::MAX).contains(&value) { Ok(Self(value)) } else { Err(Reason::Form($form)) }
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Field for $name {
            fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
                let number = value.as_integer().map_or(Err(Reason::Form($form)), Self::new);
                number.or_else(|reason| place.refuse(reason))
            }

            fn write(&self) -> Option<Value> {
                Some(self.0.into())
            }
        }
    };
}

number!(
    /// How many of something there are.
    Count, 0, (1 << 32) - 1, "a count below 2^32"
);
number!(
    /// A number of bytes.
    ByteCount, 0, (1 << 53) - 1, "a number of bytes below 2^53"
);
number!(
    /// A sum of money in the smallest unit of its currency.
    Amount, 0, (1 << 53) - 1, "an amount in the smallest unit, below 2^53"
);
number!(
    /// Milliseconds since 1970, UTC; from 2020 to 2100, so that seconds and microseconds are caught.
    Time, 1_577_836_800_000, 4_102_444_800_000, "a time in milliseconds since 1970, from 2020 to 2100"
);
number!(
    /// A length of time in milliseconds, at most a hundred years.
    Milliseconds, 0, 3_155_760_000_000, "a length of time in milliseconds"
);
number!(
    /// An index or size of a log.
    LogSize, 0, (1 << 53) - 1, "an index or size of a log, below 2^53"
);
number!(
    /// A number that a blockchain gives: its own, a block's or a block's time in the chain's unit.
    ChainNumber, 0, (1 << 53) - 1, "a number of the chain, below 2^53"
);

/// A count rounded up to a power of two, so that it shows the order of magnitude only; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u64);

impl Bucket {
    /// The largest bucket.
    pub const MAX: u64 = 1 << 40;

    /// The smallest bucket that holds `count`; the largest for anything above.
    #[must_use]
    pub fn of(count: u64) -> Self {
        Self(if count == 0 { 0 } else { count.min(Self::MAX).next_power_of_two() })
    }

    /// The most that the true count can be.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Field for Bucket {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        let fits = |number: &u64| *number == 0 || number.is_power_of_two() && *number <= Self::MAX;
        match value.as_integer().filter(fits) {
            Some(number) => Ok(Self(number)),
            None => place.refuse(Reason::Form("a power of two up to 2^40, or 0")),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.0.into())
    }
}
