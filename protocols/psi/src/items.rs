//! One party's items in one piece of memory.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// Canonical identifiers, one after another in a single buffer: no allocation per item, wiped on drop.
///
/// The items of a party must be distinct: remove repeats before. A session of a receiver notices repeats and refuses
/// them as [`Misuse::Input`](tacitly_core::Misuse::Input); towards a receiver they look like a breach of the protocol.
///
/// It has no `Debug` that shows an item.
#[derive(Default)]
pub struct Items {
    bytes: Zeroizing<Vec<u8>>,
    /// Where each item ends. 64 bits, so that no amount of long items overflows it.
    ends: Vec<u64>,
}

impl Items {
    /// No items.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No items, with room for `items` of them in `bytes` bytes altogether.
    #[must_use]
    pub fn with_capacity(items: usize, bytes: usize) -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(bytes)), ends: Vec::with_capacity(items) }
    }

    /// Adds an item after all others.
    pub fn push(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
        self.ends.push(self.bytes.len() as u64);
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The item at `index`, counted from 0 in the order of pushing.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(self.span(index)?)
    }

    fn span(&self, index: usize) -> Option<Range<usize>> {
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        let start = match index.checked_sub(1) {
            Some(before) => usize::try_from(*self.ends.get(before)?).ok()?,
            None => 0,
        };
        Some(start..end)
    }

    /// The chosen items, copied one after another; an index that is none chooses nothing.
    ///
    /// Chosen at random from a large set they lie anywhere in memory. Two short loops that do nothing else let the
    /// processor wait for many of them at a time, which makes this several times faster than reading each when needed.
    pub(crate) fn gather(&self, chosen: &[u32]) -> Self {
        let spans: Vec<Range<usize>> =
            chosen.iter().filter_map(|index| self.span(usize::try_from(*index).ok()?)).collect();
        let mut gathered = Self::with_capacity(spans.len(), spans.iter().map(Range::len).sum());
        for span in spans {
            gathered.push(&self.bytes[span]);
        }
        gathered
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Whether two items are equal. It sorts: meant for telling a mistake of our caller from a breach by the peer.
    #[must_use]
    pub(crate) fn repeat(&self) -> bool {
        let mut sorted: Vec<&[u8]> = self.iter().collect();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The buffer and the ends of the items in it.
    pub(crate) fn parts(&self) -> (&[u8], &[u64]) {
        (&self.bytes, &self.ends)
    }
}

impl<I: AsRef<[u8]>> FromIterator<I> for Items {
    fn from_iter<T: IntoIterator<Item = I>>(items: T) -> Self {
        let mut collected = Self::new();
        for item in items {
            collected.push(item.as_ref());
        }
        collected
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Items({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_as_they_went_in_the_empty_one_too() {
        let items: Items = ["one", "", "three"].into_iter().collect();
        assert_eq!(items.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"", b"three"]);
        assert_eq!((items.get(1), items.get(3)), (Some(b"".as_slice()), None));
        assert!(Items::new().is_empty() && Items::new().get(0).is_none());
    }

    #[test]
    fn a_repeat_is_found_and_no_item_is_printed() {
        assert!(["a", "b", "a"].into_iter().collect::<Items>().repeat());
        assert!(!["a", "b", "ab", ""].into_iter().collect::<Items>().repeat());
        assert_eq!(format!("{:?}", ["secret"].into_iter().collect::<Items>()), "Items(1)");
    }
}
