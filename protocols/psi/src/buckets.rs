//! Jobs larger than one session: how both sides cut their sets into the same buckets without saying how full each is.

use sha2::{Digest, Sha256};
use tacitly_core::TermsHash;

/// Items of the larger side in one bucket, unless memory demands fewer.
pub const BUCKET_ITEMS: u64 = 1 << 20;

/// The most buckets of one job.
pub const MAX_BUCKETS: u32 = 1 << 12;

/// The fewest items of the larger side in one bucket: below, padding outgrows the items.
pub const MIN_BUCKET_ITEMS: u64 = 1 << 8;

/// The most keys of the hash that are tried for one job. A set overflows under one of them with a chance below 2^-11,
/// if it has one item a bucket, and below 2^-28 from 64 items a bucket on, over 4096 buckets.
pub const MAX_REHASH: u32 = 16;

/// How a job is cut: into how many buckets, and by which rehash index of the hash that tells an item's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    count: u32,
    rehash: u32,
}

impl Buckets {
    /// So many buckets under this rehash index.
    ///
    /// Returns nothing unless there are 1 to [`MAX_BUCKETS`] of them and the rehash index is at most [`MAX_REHASH`].
    #[must_use]
    pub fn new(count: u32, rehash: u32) -> Option<Self> {
        ((1..=MAX_BUCKETS).contains(&count) && rehash <= MAX_REHASH).then_some(Self { count, rehash })
    }

    /// How many buckets both sides make whose larger set has `largest` items: ⌈`largest` / `each`⌉, at least one, with
    /// at least [`MIN_BUCKET_ITEMS`] in each and at most [`MAX_BUCKETS`] of them.
    #[must_use]
    pub fn count_for(largest: u64, each: u64) -> u32 {
        let count = largest.div_ceil(each.max(MIN_BUCKET_ITEMS)).clamp(1, u64::from(MAX_BUCKETS));
        count as u32
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Which key of the hash, counted from 0.
    #[must_use]
    pub fn rehash(&self) -> u32 {
        self.rehash
    }

    /// The length of every list of a set of `items`: m + ⌈8·√m⌉ for m = ⌈`items` / count⌉. It depends on nothing but the
    /// size of the whole set, so it tells nothing about how the items fall.
    #[must_use]
    pub fn list(&self, items: u64) -> u64 {
        let mean = items.div_ceil(u64::from(self.count));
        let square = mean.saturating_mul(64);
        let root = square.isqrt();
        mean + root + u64::from(root * root < square)
    }

    /// The bucket of a place: the places from 0 to 2^64 - 1 in `count` equal parts.
    #[must_use]
    pub fn of(&self, place: u64) -> u32 {
        ((u128::from(place) * u128::from(self.count)) >> 64) as u32
    }

    /// The first place of a bucket.
    #[must_use]
    pub fn first_place(&self, bucket: u32) -> u64 {
        (u128::from(bucket) << 64).div_ceil(u128::from(self.count)).try_into().unwrap_or(u64::MAX)
    }
}

/// The keyed hash that gives every item its place, the same on both sides. Its key is public to both: the hash of the
/// terms that both signed, and the rehash index.
#[derive(Clone)]
pub struct BucketHash {
    start: Sha256,
    rehash: u32,
}

impl BucketHash {
    /// The hash under the `rehash index`-th key of the job with these signed terms.
    #[must_use]
    pub fn new(job: &TermsHash, rehash: u32) -> Self {
        // 32 bytes of domain and 32 of terms are one block, hashed once.
        Self { start: Sha256::new().chain_update(b"tacitly-psi-1: item to a bucket\n").chain_update(job.0), rehash }
    }

    /// The place of an item among all numbers of 64 bits.
    #[must_use]
    pub fn place(&self, item: &[u8]) -> u64 {
        let digest: [u8; 32] =
            self.start.clone().chain_update(self.rehash.to_be_bytes()).chain_update(item).finalize().into();
        let [first, ..] = digest.as_chunks().0 else { return 0 };
        u64::from_be_bytes(*first)
    }
}

/// Bits of a place that a histogram tells apart.
const CELL_BITS: u32 = 20;

/// How the distinct items of one side fall, finely enough to say for any number of buckets whether all of them fit.
pub struct Histogram {
    cells: Vec<u32>,
    items: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { cells: vec![0; 1 << CELL_BITS], items: 0 }
    }
}

impl Histogram {
    /// Counts the place of one item.
    pub fn add(&mut self, place: u64) {
        let cell = &mut self.cells[(place >> (u64::BITS - CELL_BITS)) as usize];
        *cell = cell.saturating_add(1);
        self.items += 1;
    }

    /// Items counted.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Whether no bucket gets more items than its list holds. A cell on the border of two buckets counts for both, so a
    /// yes is certain; a no may be a little early.
    #[must_use]
    pub fn fits(&self, buckets: &Buckets) -> bool {
        let list = buckets.list(self.items);
        let cell_of = |place: u64| (place >> (u64::BITS - CELL_BITS)) as usize;
        (0..buckets.count()).all(|bucket| {
            let first = cell_of(buckets.first_place(bucket));
            let next = if bucket + 1 == buckets.count() { u64::MAX } else { buckets.first_place(bucket + 1) - 1 };
            let found: u64 = self.cells[first..=cell_of(next)].iter().map(|cell| u64::from(*cell)).sum();
            found <= list
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: TermsHash = TermsHash([7; 32]);

    #[test]
    fn buckets_are_equal_parts_of_all_places_in_order() {
        for count in [1, 2, 3, 96, MAX_BUCKETS] {
            let buckets = Buckets::new(count, 0).unwrap();
            for bucket in 0..count {
                let first = buckets.first_place(bucket);
                assert_eq!(buckets.of(first), bucket);
                assert!(bucket == 0 || buckets.of(first - 1) == bucket - 1);
            }
            assert_eq!(buckets.of(u64::MAX), count - 1);
        }
        assert!(Buckets::new(0, 0).is_none() && Buckets::new(MAX_BUCKETS + 1, 0).is_none());
        assert!(Buckets::new(1, MAX_REHASH + 1).is_none());
    }

    #[test]
    fn lists_have_room_for_eight_deviations_and_depend_on_the_size_only() {
        let buckets = |count| Buckets::new(count, 0).unwrap();
        assert_eq!(buckets(1).list(0), 0);
        assert_eq!(buckets(1).list(1 << 20), (1 << 20) + (8 << 10));
        assert_eq!(buckets(10).list(9_999), 1_000 + 253);
        assert_eq!(buckets(4).list(5), 2 + 12);
        for (largest, each, count) in
            [(0, 1 << 20, 1), (1 << 20, 1 << 20, 1), (100_000_000, 1 << 20, 96), (10_000, 1, 40), (1 << 28, 1, 4096)]
        {
            assert_eq!(Buckets::count_for(largest, each), count, "{largest} in parts of {each}");
        }
    }

    #[test]
    fn places_are_the_ones_that_the_specification_names() {
        // python3: int.from_bytes(sha256(domain + b'\7'*32 + rehash.to_bytes(4, 'big') + b'13800000001').digest()[:8], 'big')
        assert_eq!(BucketHash::new(&JOB, 0).place(b"13800000001"), 0x5cb66ef42a3eb149);
        assert_eq!(BucketHash::new(&JOB, 1).place(b"13800000001"), 0x30f6c3910f3f5cdc);
    }

    #[test]
    fn a_set_that_overflows_under_one_rehash_index_fits_under_another() {
        let buckets = |rehash| Buckets::new(4, rehash).unwrap();
        let bucket_hash = BucketHash::new(&JOB, 0);
        // Everybody in the first bucket of rehash index 0: an unlucky set, made by hand.
        let unlucky: Vec<String> = (0..8_000)
            .map(|number| format!("item {number}"))
            .filter(|item| buckets(0).of(bucket_hash.place(item.as_bytes())) == 0)
            .collect();
        let histogram = |rehash| {
            let bucket_hash = BucketHash::new(&JOB, rehash);
            let mut histogram = Histogram::default();
            unlucky.iter().for_each(|item| histogram.add(bucket_hash.place(item.as_bytes())));
            histogram
        };
        assert!(!histogram(0).fits(&buckets(0)));
        assert!(histogram(1).fits(&buckets(1)));
        assert!(Histogram::default().fits(&buckets(0)), "nothing fits anywhere");
    }
}
