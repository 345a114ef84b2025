//! Our set, ready for the protocol: in memory, or spilled in parts and read back bucket by bucket.

use std::sync::Arc;

use rayon::prelude::*;
use tacitly_core::TermsHash;
use tacitly_psi::{BucketHash, Buckets, Histogram, Items};

use super::plan::{Capacity, MemoryBudget};
use crate::datasets::{Input, Progress};
use crate::intake::{self, IntakeError, Keys, Partitioned, Problem, Selection, Sketch};

/// Reads the distinct keys, into memory if they fit.
pub(super) fn read(
    input: &Input,
    budget: &MemoryBudget,
    job: &TermsHash,
    progress: &Progress,
) -> Result<Set, IntakeError> {
    if input.rows() <= budget.rows_in_memory() {
        match input.keys(progress) {
            Err(IntakeError { problem: Problem::OverBudget { .. }, .. }) => {}
            read => return read.map(Set::Whole),
        }
    }
    spill(input, budget, job, 0, progress).map(Set::Spilled)
}

/// Spills the distinct keys by their places under this rehash index.
fn spill(
    input: &Input,
    budget: &MemoryBudget,
    job: &TermsHash,
    rehash: u32,
    progress: &Progress,
) -> Result<Spilled, IntakeError> {
    let bucket_hash = BucketHash::new(job, rehash);
    let place = |id: &[u8]| bucket_hash.place(id);
    let mut histogram = Histogram::default();
    let parts = input.partition(budget.parts(input.rows()), &place, |place| histogram.add(place), progress)?;
    Ok(Spilled { keys: Kept::OnDisk(parts), histogram, rehash })
}

/// Our distinct keys.
pub(super) enum Set {
    /// In memory, in the order of the file.
    Whole(Keys),
    /// By their places.
    Spilled(Spilled),
}

impl Set {
    pub(super) fn items(&self) -> u64 {
        match self {
            Self::Whole(keys) => keys.len() as u64,
            Self::Spilled(spilled) => spilled.histogram.items(),
        }
    }

    /// What we capacity for it.
    pub(super) fn capacity(&self, budget: &MemoryBudget) -> Capacity {
        match self {
            Self::Whole(keys) => budget.capacity(self.items(), keys.ids().map(|id| id.len() as u64).sum(), true),
            Self::Spilled(spilled) => budget.capacity(self.items(), spilled.id_bytes(), false),
        }
    }
}

/// Our distinct keys by their places under one rehash index.
pub(super) struct Spilled {
    keys: Kept,
    histogram: Histogram,
    rehash: u32,
}

enum Kept {
    /// Place and index of each key, by place and then by id.
    Memory(Keys, Vec<(u64, u32)>),
    OnDisk(Partitioned),
}

impl Spilled {
    /// Keys in memory by their places under this rehash index.
    pub(super) fn of(keys: Keys, job: &TermsHash, rehash: u32) -> Self {
        let bucket_hash = BucketHash::new(job, rehash);
        let place = |index: u32| (bucket_hash.place(keys.id(index as usize)), index);
        let mut order: Vec<(u64, u32)> = (0..keys.len() as u32).into_par_iter().map(place).collect();
        let id = |index: u32| keys.id(index as usize);
        order.par_sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| id(one.1).cmp(id(other.1))));
        let mut histogram = Histogram::default();
        order.iter().for_each(|(place, _)| histogram.add(*place));
        Self { keys: Kept::Memory(keys, order), histogram, rehash }
    }

    /// The same keys under another rehash index.
    pub(super) fn again(
        self,
        (input, budget): (&Input, &MemoryBudget),
        job: &TermsHash,
        rehash: u32,
        progress: &Progress,
    ) -> Result<Self, IntakeError> {
        match self.keys {
            _ if self.rehash == rehash => Ok(self),
            Kept::Memory(keys, _) => Ok(Self::of(keys, job, rehash)),
            Kept::OnDisk(parts) => {
                // The room on disk is free before it is taken again.
                drop(parts);
                spill(input, budget, job, rehash, progress)
            }
        }
    }

    /// Whether every bucket has room for what falls into it.
    pub(super) fn fits(&self, buckets: &Buckets) -> bool {
        self.histogram.fits(buckets)
    }

    fn id_bytes(&self) -> u64 {
        match &self.keys {
            Kept::Memory(keys, _) => keys.ids().map(|id| id.len() as u64).sum(),
            Kept::OnDisk(parts) => parts.id_bytes(),
        }
    }

    /// The keys of one bucket. The same set gives the same keys in the same order, in memory or spilled.
    pub(super) fn bucket(&self, buckets: &Buckets, bucket: u32) -> Result<Bucket, IntakeError> {
        let first = buckets.first_place(bucket);
        let last = if bucket + 1 == buckets.count() { u64::MAX } else { buckets.first_place(bucket + 1) - 1 };
        // Of the whole set, a part; with room for what is more than the average.
        let list = usize::try_from(buckets.list(self.histogram.items())).unwrap_or_default();
        let bytes = self.id_bytes().div_ceil(self.histogram.items().max(1)) as usize * list;
        let mut found =
            Bucket { items: Items::with_capacity(list, bytes), first: Vec::with_capacity(list), later: Vec::new() };
        match &self.keys {
            Kept::Memory(keys, order) => {
                let start = order.partition_point(|(place, _)| *place < first);
                for (place, index) in &order[start..] {
                    if *place > last {
                        break;
                    }
                    let mut rows = keys.rows_of(*index as usize);
                    found.push(keys.id(*index as usize), rows.next().unwrap_or_default(), rows);
                }
            }
            Kept::OnDisk(parts) => parts.visit(first..=last, |id, row, later| {
                found.push(id, row, later.iter().map(|(_, row)| *row));
            })?,
        }
        Ok(found)
    }

    /// What our own column looks like, if there is anything in it; of a set that was spilled, by its first keys.
    pub(super) fn hint(&self) -> Option<String> {
        match &self.keys {
            Kept::Memory(keys, _) => (!keys.is_empty()).then(|| intake::hint(keys).to_string()),
            Kept::OnDisk(parts) => {
                let mut sketch = Sketch::new(parts.spec());
                parts.visit(0..=u64::MAX >> 8, |id, _, _| sketch.add(id)).ok()?;
                let hint = sketch.finish();
                (hint.keys > 0).then(|| hint.to_string())
            }
        }
    }
}

/// The keys of one bucket and their rows in our file.
pub(super) struct Bucket {
    items: Items,
    first: Vec<u32>,
    /// Later rows of a key: (index, row), sorted.
    later: Vec<(u32, u32)>,
}

impl Bucket {
    fn push(&mut self, id: &[u8], row: u32, later: impl Iterator<Item = u32>) {
        let index = self.first.len() as u32;
        self.items.push(id);
        self.first.push(row);
        self.later.extend(later.map(|row| (index, row)));
    }

    /// The keys, and which rows they stand for.
    pub(super) fn into_parts(self) -> (Items, RowsOf) {
        (self.items, RowsOf::OfBucket { first: self.first, later: self.later })
    }
}

/// Which rows of the file each item of a list stands for.
pub(super) enum RowsOf {
    OfFile(Arc<Keys>),
    OfBucket { first: Vec<u32>, later: Vec<(u32, u32)> },
}

impl RowsOf {
    /// All rows of these items, ascending.
    pub(super) fn of_items(&self, items: &[u32]) -> Vec<u32> {
        match self {
            Self::OfFile(keys) => rows_of(keys.select(items.iter().copied())),
            Self::OfBucket { first, later } => {
                let mut rows: Vec<u32> = Vec::with_capacity(items.len());
                for item in items {
                    rows.push(first[*item as usize]);
                    let from = later.partition_point(|(index, _)| index < item);
                    rows.extend(later[from..].iter().take_while(|(index, _)| index == item).map(|(_, row)| *row));
                }
                rows.sort_unstable();
                rows
            }
        }
    }

    /// The row of each item, in this order.
    pub(super) fn in_order(&self, items: &[u32]) -> Vec<u32> {
        match self {
            Self::OfFile(keys) => rows_of(keys.align(items.iter().copied())),
            Self::OfBucket { first, .. } => items.iter().map(|item| first[*item as usize]).collect(),
        }
    }
}

fn rows_of(selection: Selection) -> Vec<u32> {
    match selection {
        Selection::InputOrder(rows) | Selection::Ordered(rows) => rows,
        Selection::All | Selection::Marked(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::watch;

    use super::*;
    use crate::datasets::GiveUp;
    use crate::intake::{Budget, Duplicates, Format, Invalid, KeyColumn, KeySpec, Profile, Source};

    const JOB: TermsHash = TermsHash([5; 32]);

    fn input(folder: &std::path::Path, bucket_keys: u64) -> (Input, MemoryBudget) {
        let path = folder.join("ids.csv");
        let text: String = (0..3_000).map(|row| format!("id-{}\n", row * 7 % 2_000)).collect();
        std::fs::write(&path, "id\n".to_owned() + &text).unwrap();
        let columns = vec![KeyColumn { column: "id".into(), profile: Profile::Raw }];
        let spec = KeySpec { columns, duplicates: Duplicates::All, invalid: Invalid::Error };
        let source = Source { path, format: Format::CSV };
        let inspected = intake::inspect(&source, &Budget::of_bytes(1 << 20)).unwrap();
        let budget = MemoryBudget { memory: 1 << 24, bucket_keys };
        (Input::new(source, spec, inspected.digest, inspected.rows, budget.memory, folder.to_owned()), budget)
    }

    fn progress() -> (Progress, GiveUp) {
        Progress::of("reading", watch::Sender::default())
    }

    /// Ids and rows of all buckets, in order.
    fn all(spilled: &Spilled, buckets: &Buckets) -> Vec<Vec<(Vec<u8>, Vec<u32>)>> {
        let bucket = |bucket| {
            let (items, rows) = spilled.bucket(buckets, bucket).unwrap().into_parts();
            items.iter().zip(0..).map(|(id, index)| (id.to_vec(), rows.of_items(&[index]))).collect()
        };
        (0..buckets.count()).map(bucket).collect()
    }

    #[test]
    fn a_set_gives_the_same_buckets_from_memory_and_from_disk_under_every_rehash_index() {
        let folder = tempfile::tempdir().unwrap();
        let (progress, _goes_on) = progress();
        let (small, budget) = input(folder.path(), 0);
        let Set::Whole(_) = read(&small, &budget, &JOB, &progress).unwrap() else { panic!("it fits") };
        let (large, budget) = input(folder.path(), 256);
        let Set::Spilled(on_disk) = read(&large, &budget, &JOB, &progress).unwrap() else { panic!("it does not fit") };
        let in_memory = Spilled::of(large.keys(&progress).unwrap(), &JOB, 0);
        let (on_disk, in_memory) = [0, 3].into_iter().fold((on_disk, in_memory), |(on_disk, in_memory), rehash| {
            let buckets = Buckets::new(7, rehash).unwrap();
            let on_disk = on_disk.again((&large, &budget), &JOB, rehash, &progress).unwrap();
            let in_memory = in_memory.again((&large, &budget), &JOB, rehash, &progress).unwrap();
            assert!(on_disk.fits(&buckets) && in_memory.fits(&buckets));
            let found = all(&on_disk, &buckets);
            assert_eq!(found, all(&in_memory, &buckets));
            let bucket_hash = BucketHash::new(&JOB, rehash);
            for (bucket, keys) in (0..).zip(&found) {
                assert!(keys.iter().all(|(id, _)| buckets.of(bucket_hash.place(id)) == bucket));
            }
            let rows: BTreeSet<u32> = found.iter().flatten().flat_map(|(_, rows)| rows.clone()).collect();
            assert_eq!((found.iter().flatten().count(), rows.len()), (2_000, 3_000));
            (on_disk, in_memory)
        });
        assert_eq!((on_disk.histogram.items(), in_memory.histogram.items()), (2_000, 2_000));
        assert!(on_disk.hint().is_some_and(|hint| hint.contains("id")));
    }

    #[test]
    fn reading_ends_when_its_work_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        for bucket_keys in [0, 256] {
            let (progress, goes_on) = progress();
            drop(goes_on);
            let (input, budget) = input(folder.path(), bucket_keys);
            let read = read(&input, &budget, &JOB, &progress);
            assert_eq!(read.err().map(|error| error.problem), Some(Problem::Stopped));
        }
    }
}
