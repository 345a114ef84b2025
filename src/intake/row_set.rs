//! Many rows of one file in little memory: a bit each.

/// Rows of a file, counted from 0 without the header. It takes an eighth of a byte per row of the file, however many of
/// them are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    len: u64,
}

impl RowSet {
    /// No rows, with room for a file of so many; more may be added.
    #[must_use]
    pub fn with_rows(rows: u64) -> Self {
        let words = rows.min(u64::from(u32::MAX) + 1).div_ceil(64);
        Self { words: vec![0; words as usize], len: 0 }
    }

    /// Adds a row.
    pub fn insert(&mut self, row: u32) {
        let (word, bit) = ((row / 64) as usize, 1 << (row % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.len += u64::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Whether a row is in it.
    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.words.get((row / 64) as usize).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// How many rows are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no row is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first row in it that is `from` or later.
    pub(super) fn next(&self, from: u64) -> Option<u32> {
        (from..self.words.len() as u64 * 64).map(|row| row as u32).find(|row| self.contains(*row))
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<T: IntoIterator<Item = u32>>(rows: T) -> Self {
        let mut set = Self::default();
        rows.into_iter().for_each(|row| set.insert(row));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_set_once_however_often_they_are_added() {
        let set: RowSet = [0, 63, 64, 1_000_000, 64].into_iter().collect();
        assert_eq!((set.len(), set.contains(64), set.contains(65), set.contains(u32::MAX)), (4, true, false, false));
        assert_eq!((set.next(1), set.next(65), set.next(1_000_001)), (Some(63), Some(1_000_000), None));
        assert!(RowSet::with_rows(1 << 40).is_empty());
    }
}
