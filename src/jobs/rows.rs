//! A result that consists of rows of the receiver's own dataset: how a part of it is kept, and how all of it is read back
//! without holding it in memory.

use std::sync::Arc;

use prost::encoding::{decode_varint, encode_varint};
use tokio::runtime::Handle;

use crate::codes::Error;
use crate::datasets::RowsOut;
use crate::intake::RowSet;
use crate::store::{JobId, Store};

/// Bytes that one row takes while rows are put into the order of the file: its number twice, its position, and its
/// part of the cells that are held.
const ROW_BYTES: usize = 64;

/// Rows of a dataset, in one part of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Ascending.
    Ascending(Vec<u32>),
    /// In an order that all parties share.
    InOrder(Vec<u32>),
}

/// The bytes are no rows: the ledger was written by a newer version or edited by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored rows cannot be read")]
pub struct MalformedRows;

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Ascending(rows) | Self::InOrder(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The encoding that is sealed: a tag, then variable-length numbers; ascending rows are stored as differences.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Ascending(rows) => {
                bytes.push(1);
                let mut last = 0;
                for row in rows {
                    encode_varint(u64::from(row.wrapping_sub(last)), &mut bytes);
                    last = *row;
                }
            }
            Self::InOrder(rows) => {
                bytes.push(2);
                rows.iter().for_each(|row| encode_varint(u64::from(*row), &mut bytes));
            }
        }
        bytes
    }

    /// Reads the encoding.
    ///
    /// # Errors
    /// [`MalformedRows`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRows> {
        let (tag, mut rest) = bytes.split_first().ok_or(MalformedRows)?;
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            let number = decode_varint(&mut rest).map_err(|_| MalformedRows)?;
            numbers.push(u32::try_from(number).map_err(|_| MalformedRows)?);
        }
        match tag {
            1 => {
                let mut last = 0u32;
                for row in &mut numbers {
                    last = last.checked_add(*row).ok_or(MalformedRows)?;
                    *row = last;
                }
                Ok(Self::Ascending(numbers))
            }
            2 => Ok(Self::InOrder(numbers)),
            _ => Err(MalformedRows),
        }
    }
}

/// The rows of a finished job, to be read on a thread that may block.
pub(super) struct StoredRows {
    store: Arc<Store>,
    job: JobId,
    parts: u32,
    in_order: bool,
    /// Rows that are in memory at once.
    at_once: usize,
    runtime: Handle,
}

impl StoredRows {
    /// The result of a job in so many parts, to be read with so many bytes of memory.
    pub(super) async fn of(store: Arc<Store>, job: JobId, parts: u32, memory: usize) -> Result<Self, Error> {
        let in_order = match decoded(&store.secrets().result_part(job, 0).await?)? {
            Rows::Ascending(_) => false,
            Rows::InOrder(_) => true,
        };
        let at_once = (memory / ROW_BYTES).max(1);
        Ok(Self { store, job, parts, in_order, at_once, runtime: Handle::current() })
    }

    /// All of them, for writing.
    pub(super) fn out(self) -> RowsOut {
        if self.in_order {
            return RowsOut::InOrder(Box::new(self.pieces()));
        }
        RowsOut::Marked(Box::new(move |rows| {
            let mut set = RowSet::with_rows(rows);
            for part in 0..self.parts {
                self.part(part)?.into_iter().for_each(|row| set.insert(row));
            }
            Ok(set)
        }))
    }

    /// All of them in memory: ascending, or in their order.
    pub(super) fn all(&self) -> Result<Vec<u32>, Error> {
        let mut rows = Vec::new();
        for part in 0..self.parts {
            rows.extend(self.part(part)?);
        }
        if !self.in_order {
            // Each part is in the order of the file, all of them together are not.
            rows.sort_unstable();
        }
        Ok(rows)
    }

    /// The rows in their order, in pieces.
    fn pieces(self) -> impl Iterator<Item = Result<Vec<u32>, Error>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let mut piece = Vec::new();
            while next < self.parts && (piece.is_empty() || piece.len() < self.at_once) {
                match self.part(next) {
                    Ok(rows) => piece.extend(rows),
                    Err(error) => return Some(Err(error)),
                }
                next += 1;
            }
            (!piece.is_empty()).then_some(Ok(piece))
        })
    }

    fn part(&self, part: u32) -> Result<Vec<u32>, Error> {
        match decoded(&self.runtime.block_on(self.store.secrets().result_part(self.job, part))?)? {
            Rows::Ascending(rows) if !self.in_order => Ok(rows),
            Rows::InOrder(rows) if self.in_order => Ok(rows),
            _ => Err(Error::damaged("the parts of a result are of one kind")),
        }
    }
}

fn decoded(bytes: &[u8]) -> Result<Rows, Error> {
    Rows::decode(bytes).map_err(Error::damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_broken_ones_are_refused() {
        let all = [
            Rows::Ascending(vec![]),
            Rows::Ascending(vec![0, 1, 5, 1000, u32::MAX]),
            Rows::InOrder(vec![9, 0, u32::MAX]),
        ];
        for rows in all {
            assert_eq!(Rows::decode(&rows.encode()), Ok(rows));
        }
        for bytes in [&[][..], &[5, 1], &[1, 0x80], &[2, 0xff, 0xff, 0xff, 0xff, 0x1f]] {
            assert_eq!(Rows::decode(bytes), Err(MalformedRows), "{bytes:?}");
        }
        let too_far = [&[1][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[1]].concat();
        assert_eq!(Rows::decode(&too_far), Err(MalformedRows));
    }
}
