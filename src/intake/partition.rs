//! The distinct keys of a set larger than memory: cut by a hash into parts that fit, laid aside sealed, read back part
//! by part.

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::path::Path;

use prost::encoding::{decode_varint, encode_varint};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::canonical::{Duplicates, Invalid, KeySpec};
use super::gathering::Gathering;
use super::keys::{KeyVisitor, by_lines, pass};
use super::report::Report;
use super::row::Row;
use super::spill::Spill;
use super::{Budget, FileDigest, IntakeError, Place, Problem, Source};

/// How a set is cut.
#[derive(Clone, Copy)]
pub struct Cut<'a> {
    /// Where parts are laid aside; the file has no name there.
    pub folder: &'a Path,
    /// How many parts, as a power of two.
    pub parts: usize,
    /// A hash of a canonical id, as even as a random number; a part holds the ids between two values of it.
    pub place: &'a (dyn Fn(&[u8]) -> u64 + Sync),
}

/// The distinct keys of a file, cut into parts and laid aside.
///
/// It holds personal identifiers, sealed on disk: it neither is `Clone` nor prints more than its size.
pub struct Partitioned {
    spec: KeySpec,
    spill: Spill,
    bits: u32,
    report: Report,
    bytes: u64,
}

/// Distinct keys in memory, sorted by place and then by id, with their rows.
#[derive(Default)]
struct KeyPart {
    bytes: Zeroizing<Vec<u8>>,
    first: Vec<Entry>,
    /// Under [`Duplicates::All`], the later rows of a key: (index, row), sorted.
    later: Vec<(u32, u32)>,
    /// Rows whose key an earlier row has.
    repeats: u64,
    /// The earliest of them in the file, and the row it repeats.
    repeat: Option<(u32, u32)>,
}

#[derive(Clone, Copy)]
struct Entry {
    place: u64,
    at: usize,
    length: u32,
    row: u32,
}

/// Cuts the distinct keys of a file into parts and counts them. `counted` is told the place of each distinct key.
///
/// The file is hashed while it is read, as by [`read_keys`](super::read_keys), and errors are the same. Memory: a
/// buffer per part, then one part per thread.
///
/// # Errors
/// Every way in which the file cannot be read; an invalid row or a repeated key if `spec` refuses them;
/// [`Problem::Spilling`] if the disk does not take the parts.
pub fn partition_keys(
    source: &Source,
    spec: &KeySpec,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    cut: Cut<'_>,
    mut counted: impl FnMut(u64),
) -> Result<Partitioned, IntakeError> {
    let mut lay = Lay::create(cut, budget)?;
    let (tally, digest) = pass(source, spec, expected, budget, &mut lay)?;
    let mut laid = lay.finish(spec, tally.report(spec))?;
    let repeat = laid.count(&source.path, budget, &mut counted)?;
    refuse_repeat(repeat, source, spec, &digest, budget)?;
    Ok(laid)
}

/// Refuses the file if its policy does and a row, the first of the pair, repeats the key of another, the second.
pub(super) fn refuse_repeat(
    repeat: Option<(u32, u32)>,
    source: &Source,
    spec: &KeySpec,
    digest: &FileDigest,
    budget: &Budget<'_>,
) -> Result<(), IntakeError> {
    match repeat {
        Some((row, first)) if spec.duplicates == Duplicates::Error => {
            let problem = Problem::Duplicate { first: Place::Row(u64::from(first) + 1) };
            Err(by_lines(error_at(source, spec, digest, budget, row, problem), source, budget))
        }
        _ => Ok(()),
    }
}

impl Partitioned {
    /// How many distinct keys there are.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.report.distinct
    }

    /// Bytes of all distinct canonical ids together.
    #[must_use]
    pub fn id_bytes(&self) -> u64 {
        self.bytes
    }

    /// What was counted.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The key by which they were read.
    #[must_use]
    pub fn spec(&self) -> &KeySpec {
        &self.spec
    }

    /// Shows the distinct keys whose places are in this range to `visit`, by place and then by id: the id, its first
    /// row, and its later rows if they take part.
    ///
    /// # Errors
    /// [`Problem::Spilling`] or [`Problem::SpillDamaged`].
    pub fn visit(
        &self,
        places: RangeInclusive<u64>,
        mut visit: impl FnMut(&[u8], u32, &[(u32, u32)]),
    ) -> Result<(), IntakeError> {
        let (first, last) = (self.part_of(*places.start()), self.part_of(*places.end()));
        let all: Vec<usize> = (first..=last).collect();
        for some in all.chunks(rayon::current_num_threads().max(1)) {
            let some: Vec<KeyPart> = some.par_iter().map(|part| self.part(*part)).collect::<Result<_, _>>()?;
            for part in some {
                part.visit(&places, &mut visit);
            }
        }
        Ok(())
    }

    /// Counts distinct keys and repetitions, telling `counted` the place of each distinct key. Returns the earliest row
    /// that repeats a key, and the row it repeats.
    pub(super) fn count(
        &mut self,
        file: &Path,
        budget: &Budget<'_>,
        counted: &mut impl FnMut(u64),
    ) -> Result<Option<(u32, u32)>, IntakeError> {
        let parts = self.spill.parts();
        let mut repeat: Option<(u32, u32)> = None;
        let all: Vec<usize> = (0..parts).collect();
        for some in all.chunks(rayon::current_num_threads().max(1)) {
            if !budget.goes_on(some[0] as u64, parts as u64) {
                return Err(IntakeError::of(file, Problem::Stopped));
            }
            let some: Vec<KeyPart> = some.par_iter().map(|part| self.part(*part)).collect::<Result<_, _>>()?;
            for part in some {
                self.report.distinct += part.len() as u64;
                self.report.duplicates += part.repeats;
                self.bytes += part.first.iter().map(|entry| u64::from(entry.length)).sum::<u64>();
                repeat = repeat.into_iter().chain(part.repeat).min();
                part.first.iter().for_each(|entry| counted(entry.place));
            }
        }
        Ok(repeat)
    }

    fn part_of(&self, place: u64) -> usize {
        part_of(place, self.bits)
    }

    /// Reads a part back, sorts it and takes repeats together.
    fn part(&self, part: usize) -> Result<KeyPart, IntakeError> {
        let bytes = self.spill.read(part)?;
        let entries = entries(&bytes).ok_or_else(|| self.spill.damaged())?;
        Ok(KeyPart::of(bytes, entries, self.spec.duplicates == Duplicates::All))
    }
}

impl std::fmt::Debug for Partitioned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partitioned").field("items", &self.items()).finish_non_exhaustive()
    }
}

impl KeyPart {
    fn of(bytes: Zeroizing<Vec<u8>>, mut entries: Vec<Entry>, keep_later: bool) -> Self {
        let id = |entry: &Entry| &bytes[entry.at..entry.at + entry.length as usize];
        entries.sort_unstable_by(|one, other| match one.place.cmp(&other.place) {
            Ordering::Equal => (id(one), one.row).cmp(&(id(other), other.row)),
            order => order,
        });
        let mut part = Self::default();
        for entry in entries {
            match part.first.last() {
                Some(last) if last.place == entry.place && id(last) == id(&entry) => {
                    part.repeats += 1;
                    part.repeat = part.repeat.into_iter().chain([(entry.row, last.row)]).min();
                    if keep_later {
                        part.later.push((part.first.len() as u32 - 1, entry.row));
                    }
                }
                _ => part.first.push(entry),
            }
        }
        part.bytes = bytes;
        part
    }

    fn len(&self) -> usize {
        self.first.len()
    }

    fn visit(&self, places: &RangeInclusive<u64>, visit: &mut impl FnMut(&[u8], u32, &[(u32, u32)])) {
        let start = self.first.partition_point(|entry| entry.place < *places.start());
        let end = self.first.partition_point(|entry| entry.place <= *places.end());
        let mut later = &self.later[self.later.partition_point(|(index, _)| (*index as usize) < start)..];
        for (index, entry) in self.first.iter().enumerate().take(end).skip(start) {
            let count = later.iter().take_while(|(of, _)| *of as usize == index).count();
            let own;
            (own, later) = later.split_at(count);
            visit(&self.bytes[entry.at..entry.at + entry.length as usize], entry.row, own);
        }
    }
}

/// The part that holds a place, of 2^`bits`.
fn part_of(place: u64, bits: u32) -> usize {
    // A shift by all 64 bits, for one part only, leaves nothing.
    place.checked_shr(u64::BITS - bits).unwrap_or(0) as usize
}

/// A record: place (8 bytes), row (4), length of the id as a variable-length number, id.
fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (place, after) = rest.split_first_chunk()?;
        let (row, mut after) = after.split_first_chunk()?;
        let length = decode_varint(&mut after).ok()?;
        let at = bytes.len() - after.len();
        rest = after.get(usize::try_from(length).ok()?..)?;
        let (place, row) = (u64::from_le_bytes(*place), u32::from_le_bytes(*row));
        entries.push(Entry { place, at, length: u32::try_from(length).ok()?, row });
    }
    Some(entries)
}

/// Gathers keys by part and lays them aside.
pub(super) struct Lay<'a> {
    place: &'a (dyn Fn(&[u8]) -> u64 + Sync),
    bits: u32,
    gathering: Gathering,
}

impl<'a> Lay<'a> {
    pub(super) fn create(cut: Cut<'a>, budget: &Budget<'_>) -> Result<Self, IntakeError> {
        let parts = cut.parts.next_power_of_two();
        let gathering = Gathering::create(cut.folder, parts, budget.memory())?;
        Ok(Self { place: cut.place, bits: parts.trailing_zeros(), gathering })
    }

    /// Takes the id of a row.
    pub(super) fn push(&mut self, row: u32, id: &[u8]) -> Result<(), IntakeError> {
        let place = (self.place)(id);
        let gathered = self.gathering.record(part_of(place, self.bits), 24 + id.len())?;
        gathered.extend_from_slice(&place.to_le_bytes());
        gathered.extend_from_slice(&row.to_le_bytes());
        encode_varint(id.len() as u64, gathered);
        gathered.extend_from_slice(id);
        Ok(())
    }

    /// All keys, laid aside and not yet counted.
    pub(super) fn finish(self, spec: &KeySpec, report: Report) -> Result<Partitioned, IntakeError> {
        Ok(Partitioned { spec: spec.clone(), spill: self.gathering.finish()?, bits: self.bits, report, bytes: 0 })
    }
}

impl KeyVisitor for Lay<'_> {
    fn key(&mut self, row: &Row<'_>, id: &[u8]) -> Result<(), IntakeError> {
        self.push(row.number, id)
    }
}

/// Reads the file again up to one row, for an error that names its line.
fn error_at(
    source: &Source,
    spec: &KeySpec,
    digest: &FileDigest,
    budget: &Budget<'_>,
    row: u32,
    problem: Problem,
) -> IntakeError {
    struct At(u32, Option<Problem>);
    impl KeyVisitor for At {
        fn key(&mut self, row: &Row<'_>, _: &[u8]) -> Result<(), IntakeError> {
            match self.1.take_if(|_| row.number == self.0) {
                Some(problem) => Err(row.error(problem)),
                None => Ok(()),
            }
        }
    }
    let lenient = KeySpec { invalid: Invalid::Skip, ..spec.clone() };
    let found = pass(source, &lenient, Some(digest), budget, &mut At(row, Some(problem.clone())));
    found.err().unwrap_or_else(|| IntakeError::of(&source.path, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Format, KeyColumn, Profile, read_keys};

    fn spec(duplicates: Duplicates) -> KeySpec {
        let columns = vec![KeyColumn { column: "id".into(), profile: Profile::Raw }];
        KeySpec { columns, duplicates, invalid: Invalid::Skip }
    }

    fn hash(id: &[u8]) -> u64 {
        use sha2::{Digest, Sha256};
        u64::from_be_bytes(*Sha256::digest(id).as_chunks().0.first().unwrap())
    }

    /// Row numbers by id, of all parts.
    fn all(laid: &Partitioned) -> std::collections::BTreeMap<Vec<u8>, Vec<u32>> {
        let mut found = std::collections::BTreeMap::new();
        for half in [0..=u64::MAX / 2, u64::MAX / 2 + 1..=u64::MAX] {
            laid.visit(half, |id, row, later| {
                let rows: Vec<u32> = [row].into_iter().chain(later.iter().map(|(_, row)| *row)).collect();
                assert!(found.insert(id.to_vec(), rows).is_none(), "a key comes once");
            })
            .unwrap();
        }
        found
    }

    #[test]
    fn parts_hold_what_reading_into_memory_finds_under_every_policy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.csv");
        let mut text = "id\n".to_owned();
        for row in 0..5_000_u32 {
            text += &format!("id-{}\n", row * 7919 % 3_000);
        }
        std::fs::write(&path, text + &"x".repeat(200_000) + "\n\n").unwrap();
        let source = Source { path, format: Format::CSV };
        let budget = Budget::of_bytes(1 << 20);
        for (duplicates, parts) in
            [(Duplicates::First, 1), (Duplicates::First, 64), (Duplicates::All, 8), (Duplicates::All, 1024)]
        {
            let spec = spec(duplicates);
            let cut = Cut { folder: folder.path(), parts, place: &hash };
            let mut places = Vec::new();
            let laid = partition_keys(&source, &spec, None, &budget, cut, |place| places.push(place)).unwrap();
            let keys = read_keys(&source, &spec, None, &budget).unwrap();
            let expected = (0..keys.len()).map(|at| (keys.id(at).to_vec(), keys.rows_of(at).collect())).collect();
            assert_eq!(all(&laid), expected);
            assert_eq!(laid.report(), keys.report());
            assert_eq!(laid.items(), places.len() as u64);
            assert!(places.is_sorted(), "the census walks along");
        }
    }

    #[test]
    fn a_repeated_key_is_refused_at_the_line_that_reading_into_memory_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.csv");
        std::fs::write(&path, "id\na\nb\n\nc\nb\na\n").unwrap();
        let source = Source { path, format: Format::CSV };
        let budget = Budget::of_bytes(1 << 20);
        let cut = Cut { folder: folder.path(), parts: 16, place: &hash };
        let spec = spec(Duplicates::Error);
        let refused = partition_keys(&source, &spec, None, &budget, cut, |_| {}).unwrap_err();
        assert_eq!(refused, read_keys(&source, &spec, None, &budget).unwrap_err());
        assert!(refused.to_string().contains("line 6: the row has the same key as line 3;"), "{refused}");
    }
}
