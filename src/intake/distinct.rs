//! A set of byte strings that numbers its members in order of first occurrence and knows their rows, within a limit
//! of memory.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Byte strings of any length, one after the other in one buffer.
#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Where each string ends, modulo 2^32.
    ends: Vec<u32>,
    /// The strings at which the position passes a multiple of 2^32: four bytes a string do for any size this way.
    wraps: Vec<u32>,
}

impl Arena {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all strings together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        &self.bytes[start..self.end(index)]
    }

    fn end(&self, index: usize) -> usize {
        let wraps = self.wraps.partition_point(|&at| at as usize <= index);
        (wraps << 32) + self.ends[index] as usize
    }

    fn push(&mut self, string: &[u8]) {
        let before = self.bytes.len() >> 32;
        self.bytes.extend_from_slice(string);
        let end = self.bytes.len();
        // A string is at most a record long, so one passes at most one multiple.
        if end >> 32 > before {
            self.wraps.push(self.ends.len() as u32);
        }
        self.ends.push(end as u32);
    }
}

/// The memory allowed would be exceeded.
pub(super) struct OverBudget;

/// Which member a string is, and whether it is new.
pub(super) enum Member {
    New,
    Known(u32),
}

pub(super) struct Distinct {
    arena: Arena,
    /// The row of each member's first occurrence.
    first: Vec<u32>,
    /// Rows of later occurrences, as far as they are to be kept: (member, row).
    later: Vec<(u32, u32)>,
    table: HashTable<u32>,
    hasher: RandomState,
    memory: usize,
}

impl Distinct {
    /// An empty set that uses at most `memory` bytes.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            arena: Arena::default(),
            first: Vec::new(),
            later: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            memory,
        }
    }

    /// After `seen` rows of `total`, makes room for as many members as there will be if the rest is like what came
    /// so far, and if the memory allows it, so that none has to be moved later.
    pub(super) fn expect(&mut self, seen: u64, total: u64) {
        // Estimates are a little low as often as a little high.
        let scale = |size: usize| (size as u128 * u128::from(total) * 33 / 32 / u128::from(seen.max(1))) as usize;
        let (members, bytes) = (scale(self.arena.len()), scale(self.arena.bytes.len()));
        if members <= self.arena.len() {
            return;
        }
        if bytes.saturating_add(members.saturating_mul(MEMBER_BYTES + TABLE_BYTES)) < self.memory {
            let more = members - self.arena.len();
            self.grow_members(bytes - self.arena.bytes.len(), more);
            self.grow_table(more);
        }
    }

    /// Takes the string of a row; a known one is left as it is.
    pub(super) fn insert(&mut self, string: &[u8], row: u32) -> Result<Member, OverBudget> {
        self.make_room(string.len())?;
        let Self { arena, first, table, hasher, .. } = self;
        match table.entry(
            hash(hasher, string),
            |&index| arena.get(index as usize) == string,
            |&index| hash(hasher, arena.get(index as usize)),
        ) {
            Entry::Occupied(known) => Ok(Member::Known(*known.get())),
            Entry::Vacant(free) => {
                free.insert(arena.len() as u32);
                arena.push(string);
                first.push(row);
                Ok(Member::New)
            }
        }
    }

    /// Remembers a later row of a member.
    pub(super) fn keep(&mut self, member: u32, row: u32) -> Result<(), OverBudget> {
        if self.later.len() == self.later.capacity() {
            let more = self.later.len().max(1 << 8);
            // While a buffer grows, the old one is still there.
            self.afford((self.later.len() + more) * LATER_BYTES)?;
            self.later.reserve_exact(more);
        }
        self.later.push((member, row));
        Ok(())
    }

    /// The row of a member's first occurrence.
    pub(super) fn first(&self, member: u32) -> u32 {
        self.first[member as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.arena.len()
    }

    /// The members, their first rows, and the later rows sorted by member and row.
    pub(super) fn into_parts(mut self) -> (Arena, Vec<u32>, Vec<(u32, u32)>) {
        self.later.sort_unstable();
        (self.arena, self.first, self.later)
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let Arena { bytes: buffer, ends, .. } = &self.arena;
        if buffer.capacity() - buffer.len() < bytes || ends.len() == ends.capacity() {
            let more = (buffer.len() / 2).max(bytes).max(1 << 12);
            let members = (ends.len() / 2).max(1 << 8);
            self.afford(buffer.len() + more + MEMBER_BYTES * (ends.len() + members))?;
            self.grow_members(more, members);
        }
        if self.table.len() == self.table.capacity() {
            let more = self.table.len().max(1 << 8);
            self.afford((self.table.len() + more) * TABLE_BYTES)?;
            self.grow_table(more);
        }
        Ok(())
    }

    fn afford(&self, more: usize) -> Result<(), OverBudget> {
        if self.used() + more <= self.memory { Ok(()) } else { Err(OverBudget) }
    }

    fn used(&self) -> usize {
        let Self { arena, first, later, table, .. } = self;
        arena.bytes.capacity()
            + 4 * (arena.ends.capacity() + first.capacity())
            + LATER_BYTES * later.capacity()
            + table.allocation_size()
    }

    fn grow_members(&mut self, bytes: usize, members: usize) {
        self.arena.bytes.reserve_exact(bytes);
        self.arena.ends.reserve_exact(members);
        self.first.reserve_exact(members);
    }

    fn grow_table(&mut self, members: usize) {
        let Self { arena, table, hasher, .. } = self;
        table.reserve(members, |&index| hash(hasher, arena.get(index as usize)));
    }
}

/// Bytes of a member beside its string: where it ends, and its row.
const MEMBER_BYTES: usize = 8;
/// Bytes of a later row.
const LATER_BYTES: usize = 8;
/// Bytes of the table for one member: five for a slot, of which at least 7/16 are in use.
const TABLE_BYTES: usize = 12;

#[inline]
fn hash(hasher: &RandomState, string: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(string);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_beyond_four_gibibytes_of_positions() {
        // The buffer itself is not needed to see the positions.
        let arena = Arena { bytes: Vec::new(), ends: vec![10, 5, 20, 3], wraps: vec![1, 3] };
        let ends: Vec<_> = (0..4).map(|index| arena.end(index)).collect();
        assert_eq!(ends, [10, (1 << 32) + 5, (1 << 32) + 20, (2 << 32) + 3]);
    }

    #[test]
    fn members_are_numbered_by_first_occurrence() {
        let mut set = Distinct::new(1 << 20);
        let strings: [&[u8]; 5] = [b"b", b"", b"a", b"b", b""];
        let known = strings.map(|string| match set.insert(string, 7) {
            Ok(Member::New) => None,
            Ok(Member::Known(index)) => Some(index),
            Err(OverBudget) => panic!(),
        });
        assert_eq!(known, [None, None, None, Some(0), Some(1)]);
        assert_eq!(set.first(1), 7);
        let (arena, ..) = set.into_parts();
        assert_eq!((0..arena.len()).map(|index| arena.get(index)).collect::<Vec<_>>(), [&b"b"[..], b"", b"a"]);
    }

    #[test]
    fn what_is_allocated_stays_within_the_memory_allowed() {
        for expected in [1, 30_000] {
            let mut set = Distinct::new(1 << 20);
            let mut members = 0u32;
            let full = loop {
                if members == 100 {
                    set.expect(100, expected);
                }
                // Every member comes twice, and its second row is kept.
                let new = set.insert(&members.to_le_bytes(), members);
                match new.and_then(|_| set.keep(members, members)) {
                    Ok(()) => members += 1,
                    Err(OverBudget) => break set,
                }
            };
            assert!(full.used() <= 1 << 20, "{} bytes", full.used());
            assert!(members > 10_000, "{members} members only");
        }
    }
}
