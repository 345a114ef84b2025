//! What a receiver keeps of a job: row numbers of its own file, or a size. This is what the ledger seals.

use prost::encoding::{decode_varint, encode_varint};

use crate::store::JobResult;

/// A receiver's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Matching rows of our file, ascending.
    Rows(Vec<u32>),
    /// Matching rows of our file in the order that both sides share.
    Aligned(Vec<u32>),
    /// How many keys are shared.
    Size(u64),
    /// The rows are stored in so many parts, each an outcome of its own: `items` keys or rows together.
    Parts {
        /// How many parts.
        parts: u32,
        /// What they hold together.
        items: u64,
    },
}

/// The bytes are not an outcome: the ledger was written by a newer version or edited by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored result cannot be read")]
pub struct MalformedOutcome;

impl Outcome {
    /// How many keys or rows it is about.
    #[must_use]
    pub fn items(&self) -> u64 {
        match self {
            Self::Rows(rows) | Self::Aligned(rows) => rows.len() as u64,
            Self::Size(size) => *size,
            Self::Parts { items, .. } => *items,
        }
    }

    /// With what a job ends whose outcome this is; `bytes` is its encoding.
    #[must_use]
    pub(super) fn to_result<'a>(&self, bytes: &'a [u8]) -> JobResult<'a> {
        match self {
            Self::Parts { parts, items } => JobResult::Parts { parts: *parts, items: *items },
            _ => JobResult::Whole { bytes, items: self.items() },
        }
    }

    /// The encoding that is sealed: a tag, then variable-length numbers; ascending rows are stored as differences.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Rows(rows) => {
                bytes.push(1);
                let mut last = 0;
                for row in rows {
                    encode_varint(u64::from(row.wrapping_sub(last)), &mut bytes);
                    last = *row;
                }
            }
            Self::Aligned(rows) => {
                bytes.push(2);
                rows.iter().for_each(|row| encode_varint(u64::from(*row), &mut bytes));
            }
            Self::Size(size) => {
                bytes.push(3);
                encode_varint(*size, &mut bytes);
            }
            Self::Parts { parts, items } => {
                bytes.push(4);
                encode_varint(u64::from(*parts), &mut bytes);
                encode_varint(*items, &mut bytes);
            }
        }
        bytes
    }

    /// Reads the encoding.
    ///
    /// # Errors
    /// [`MalformedOutcome`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedOutcome> {
        let (tag, mut rest) = bytes.split_first().ok_or(MalformedOutcome)?;
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            numbers.push(decode_varint(&mut rest).map_err(|_| MalformedOutcome)?);
        }
        let row = |number: u64| u32::try_from(number).map_err(|_| MalformedOutcome);
        match (tag, numbers.as_slice()) {
            (1, differences) => {
                let mut last = 0u32;
                let rows = differences.iter().map(|difference| {
                    last = last.checked_add(row(*difference)?).ok_or(MalformedOutcome)?;
                    Ok(last)
                });
                Ok(Self::Rows(rows.collect::<Result<_, _>>()?))
            }
            (2, rows) => Ok(Self::Aligned(rows.iter().map(|number| row(*number)).collect::<Result<_, _>>()?)),
            (3, [size]) => Ok(Self::Size(*size)),
            (4, [parts, items]) => Ok(Self::Parts { parts: row(*parts)?, items: *items }),
            _ => Err(MalformedOutcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_back_and_broken_ones_are_refused() {
        let outcomes = [
            Outcome::Rows(vec![]),
            Outcome::Rows(vec![0, 1, 5, 1000, u32::MAX]),
            Outcome::Aligned(vec![9, 0, u32::MAX]),
            Outcome::Size(u64::MAX),
            Outcome::Parts { parts: 96, items: 50_000_000 },
        ];
        for outcome in outcomes {
            assert_eq!(Outcome::decode(&outcome.encode()), Ok(outcome));
        }
        for bytes in [&[][..], &[5, 1], &[4, 1], &[3], &[3, 1, 1], &[1, 0x80], &[2, 0xff, 0xff, 0xff, 0xff, 0x1f]] {
            assert_eq!(Outcome::decode(bytes), Err(MalformedOutcome), "{bytes:?}");
        }
    }
}
