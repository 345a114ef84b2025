//! The little of Thrift's compact encoding that the header of a Parquet page needs.

/// Structures and lists within each other before a header counts as damaged.
const DEEPEST: u32 = 16;

/// Bytes that are read from their beginning on. `None` of any method means that they end early or are damaged.
pub(super) struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The type of a field, as its four bits say it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    True,
    False,
    Byte,
    /// Of 16, 32 or 64 bits.
    Integer,
    Double,
    Binary,
    List,
    Struct,
}

impl Type {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            12 => Self::Struct,
            _ => return None,
        })
    }
}

impl<'a> Compact<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over `count` bytes.
    pub(super) fn pass(&mut self, count: usize) -> Option<()> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len())?;
        self.at = end;
        Some(())
    }

    /// A number without sign, seven bits a byte.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number with its sign in the lowest bit.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Shows every field of a structure, up to its end, by number and type; `each` reads its value, or passes over it.
    pub(super) fn fields(&mut self, mut each: impl FnMut(&mut Self, i64, Type) -> Option<()>) -> Option<()> {
        let mut number = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            number = match head >> 4 {
                0 => self.signed()?,
                step => number.checked_add(step.into())?,
            };
            each(self, number, Type::of(head & 0x0f)?)?;
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, of: Type) -> Option<()> {
        self.skip_within(of, DEEPEST)
    }

    fn skip_within(&mut self, of: Type, deeper: u32) -> Option<()> {
        let deeper = deeper.checked_sub(1)?;
        match of {
            Type::True | Type::False => Some(()),
            Type::Byte => self.pass(1),
            Type::Integer => self.unsigned().map(drop),
            Type::Double => self.pass(8),
            Type::Binary => {
                let length = self.unsigned()?.try_into().ok()?;
                self.pass(length)
            }
            Type::List => {
                let head = self.byte()?;
                let items = match head >> 4 {
                    15 => self.unsigned()?,
                    items => items.into(),
                };
                // A truth value has no byte as a field and one in a list.
                let of = match Type::of(head & 0x0f) {
                    Some(Type::True | Type::False) => Type::Byte,
                    Some(of) => of,
                    None if items == 0 => return Some(()),
                    None => return None,
                };
                (0..items).try_for_each(|_| self.skip_within(of, deeper))
            }
            Type::Struct => self.fields(|this, _, of| this.skip_within(of, deeper)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_or_are_none() {
        let mut bytes = Compact::new(&[0xac, 0x02, 0x01, 0x80]);
        assert_eq!((bytes.unsigned(), bytes.signed(), bytes.unsigned()), (Some(300), Some(-1), None));
        assert_eq!(Compact::new(&[0xff; 12]).unsigned(), None);
    }

    #[test]
    fn fields_are_passed_over_whatever_they_hold() {
        // 1: i32 5; 2: list of two binaries; 3: struct { 1: true }; 20: list of no type; 21: i64 -2
        let bytes = [0x15, 0x0a, 0x19, 0x28, 1, b'a', 0, 0x1c, 0x11, 0, 0x09, 40, 0, 0x16, 3, 0];
        let mut seen = Vec::new();
        let mut compact = Compact::new(&bytes);
        let read = compact.fields(|this, number, of| {
            if of == Type::Integer {
                seen.push((number, this.signed()?));
                return Some(());
            }
            this.skip(of)
        });
        assert_eq!((read, seen, compact.position()), (Some(()), vec![(1, 5), (21, -2)], bytes.len()));
    }

    #[test]
    fn what_nests_without_end_or_promises_more_than_there_is_is_damaged() {
        assert!(Compact::new(&[0x1c; 100_000]).skip(Type::Struct).is_none());
        assert!(Compact::new(&[0x19; 100_000]).skip(Type::List).is_none());
        assert!(Compact::new(&[0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f]).skip(Type::List).is_none());
        assert!(Compact::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).skip(Type::Binary).is_none());
    }
}
