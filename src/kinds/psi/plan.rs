//! In one piece or in buckets? Both sides say what fits into their memory, and both come to the same decision.

use serde::{Deserialize, Serialize};
use tacitly_core::PartyId;
use tacitly_psi::{BUCKET_ITEMS, Buckets, MAX_ITEMS, MAX_ROWS, MIN_BUCKET_ITEMS};

use crate::codes::{self, Error};

/// Bytes that a session of one piece takes for an item of the larger side, beside six times the canonical id: the set,
/// orders, both sides' tags, and the sorted tags while they are compared.
const WHOLE_BYTES: u64 = 128;
const WHOLE_IDS: u64 = 6;
/// The same for a bucket, whose successor is being read meanwhile.
const BUCKET_BYTES: u64 = 256;
const BUCKET_IDS: u64 = 8;
/// Below so many keys a bucket saves no memory worth having.
const SMALLEST_BY_MEMORY: u64 = 1 << 14;
/// How much smaller than our own buckets the peer may want them. What a bucket's count tells grows as it shrinks.
const SMALLER: u64 = 16;
/// Parts on disk for each bucket that we expect.
const PARTS_PER_BUCKET: u64 = 8;
const FEWEST_PARTS: u64 = 8;
const MOST_PARTS: u64 = 1 << 11;

/// What one job may use here.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryBudget {
    /// Bytes for its rows.
    pub(super) memory: usize,
    /// Keys in one piece and in one bucket, if an operator has said so; otherwise 0.
    pub(super) bucket_keys: u64,
}

/// What one side can do with the larger of both sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Capacity {
    /// Keys up to which it works in one piece.
    pub(super) whole: u64,
    /// Keys in one bucket otherwise.
    pub(super) bucket: u64,
}

/// What both sides do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One session over everything.
    Whole,
    /// One session per bucket of so many keys of the larger side.
    Buckets(u64),
}

impl MemoryBudget {
    /// Rows up to which a file is read into memory; a larger one is spilled in parts.
    pub(super) fn rows_in_memory(&self) -> u64 {
        if self.bucket_keys > 0 { self.bucket_keys } else { MAX_ROWS }
    }

    /// The parts on disk of a file with so many rows.
    pub(super) fn parts(&self, rows: u64) -> usize {
        let buckets = rows.div_ceil(self.capacity(rows, 16 * rows, false).bucket);
        (buckets * PARTS_PER_BUCKET).clamp(FEWEST_PARTS, MOST_PARTS) as usize
    }

    /// Our capacity for a set of `items` keys with `id_bytes` altogether, `in_memory` or spilled.
    pub(super) fn capacity(&self, items: u64, id_bytes: u64, in_memory: bool) -> Capacity {
        let (whole, bucket) = match self.bucket_keys {
            0 => {
                let (memory, id) = (self.memory as u64, id_bytes.div_ceil(items.max(1)));
                let most = memory / (BUCKET_BYTES + BUCKET_IDS * id);
                let bucket = most.checked_ilog2().map_or(0, |log| 1 << log);
                let whole = (memory / (WHOLE_BYTES + WHOLE_IDS * id)).min(MAX_ROWS);
                (whole, bucket.clamp(SMALLEST_BY_MEMORY, BUCKET_ITEMS))
            }
            keys => (keys, keys),
        };
        Capacity { whole: if in_memory { whole } else { 0 }, bucket }
    }
}

/// What both sides do whose sets have so many keys. Each computes it from what both have offered, with the same outcome, in
/// every attempt: an offer stands.
///
/// # Errors
/// [`codes::TOO_MANY_ROWS`] for sets beyond every limit, [`codes::LIMIT`] if the peer wants buckets far smaller than ours.
pub(super) fn agree(peer: PartyId, ours: (u64, Capacity), theirs: (u64, Capacity)) -> Result<Layout, Error> {
    let ((our_items, ours), (their_items, theirs)) = (ours, theirs);
    let largest = our_items.max(their_items);
    let layout = if largest <= ours.whole.min(theirs.whole) {
        Layout::Whole
    } else {
        Layout::Buckets(ours.bucket.min(theirs.bucket).clamp(MIN_BUCKET_ITEMS, BUCKET_ITEMS))
    };
    let most = if layout == Layout::Whole { MAX_ROWS } else { MAX_ITEMS };
    if largest > most {
        let text = format!("the larger set has {largest} distinct keys, at most {most} fit into this job with {peer}");
        return Err(Error::new(codes::TOO_MANY_ROWS, text));
    }
    match layout {
        Layout::Buckets(each) if each < ours.bucket / SMALLER => {
            let text = format!(
                "{peer} wants buckets of {each} keys, ours hold {}: smaller ones by more than {SMALLER} times are refused, \
                 since counts per bucket would tell more",
                ours.bucket
            );
            Err(Error::new(codes::LIMIT, text))
        }
        layout => Ok(layout),
    }
}

/// How a job is cut whose sets have so many keys.
pub(super) fn buckets(largest: u64, each: u64, rehash: u32) -> Option<Buckets> {
    Buckets::new(Buckets::count_for(largest, each), rehash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    fn budget(memory: usize, bucket_keys: u64) -> MemoryBudget {
        MemoryBudget { memory, bucket_keys }
    }

    fn peer() -> PartyId {
        "shop".parse().unwrap()
    }

    #[test]
    fn the_default_budget_holds_four_million_keys_at_once_and_then_buckets_of_a_million() {
        let capacity = |memory, items: u64, id: u64| budget(memory, 0).capacity(items, items * id, true);
        assert_eq!(capacity(GIB, 1_000, 21), Capacity { whole: MAX_ROWS, bucket: BUCKET_ITEMS });
        assert_eq!(capacity(64 << 20, 1_000, 12).bucket, 1 << 17);
        assert!(capacity(GIB, 1_000, 4096).whole < 1 << 16, "long ids take the memory of many");
        assert_eq!(capacity(1 << 20, 0, 0).bucket, SMALLEST_BY_MEMORY);
        assert_eq!(budget(GIB, 1_000).capacity(5, 60, true), Capacity { whole: 1_000, bucket: 1_000 });
        assert_eq!(budget(GIB, 0).capacity(5, 60, false).whole, 0, "what is spilled is not taken back");
    }

    #[test]
    fn both_sides_come_to_the_same_layout_from_both_capacities() {
        let capacities =
            [budget(GIB, 0), budget(64 << 20, 0), budget(GIB, 0)].map(|budget| budget.capacity(10, 120, true));
        for (ours, theirs) in [(0, 1), (1, 1), (0, 2)] {
            for (nx, ny) in [(10, 20), (300_000, 5), (5_000_000, 1_000), (100_000_000, 100_000_000)] {
                let here = agree(peer(), (nx, capacities[ours]), (ny, capacities[theirs])).unwrap();
                let there = agree(peer(), (ny, capacities[theirs]), (nx, capacities[ours])).unwrap();
                assert_eq!(here, there);
                let limit = capacities[ours].whole.min(capacities[theirs].whole);
                assert_eq!(here == Layout::Whole, nx.max(ny) <= limit);
            }
        }
    }

    #[test]
    fn sets_beyond_the_limits_and_tiny_buckets_are_refused() {
        let now = budget(GIB, 0).capacity(10, 120, true);
        let code = |ours, theirs| agree(peer(), ours, theirs).unwrap_err().code;
        assert_eq!(code((10, now), (MAX_ITEMS + 1, now)), codes::TOO_MANY_ROWS);
        assert_eq!(code((10, now), (u64::MAX, now)), codes::TOO_MANY_ROWS);
        assert_eq!(code((1 << 23, now), (10, budget(GIB, 1_000).capacity(1, 1, true))), codes::LIMIT);
        let absurd = Capacity { whole: 0, bucket: 0 };
        assert_eq!(code((1 << 23, now), (10, absurd)), codes::LIMIT);
    }
}
