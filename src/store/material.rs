//! Prepared material of services: units that are used once. They are put in sealed blocks, and whatever is to be used is
//! taken out in one transaction before it is: what a crash keeps from being used is gone, and nothing is used twice.

use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::database::{Database, Transaction};
use super::record::{count, count_optional, statement};
use super::{JobId, Sealer, StoreError};

/// What the sealed blocks are bound to beside their place.
const PURPOSE: &str = "material";

/// The most bytes of one block.
pub const MAX_MATERIAL_BLOCK: usize = 1 << 20;

/// Who shares material.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaterialScope {
    /// One job; it goes with it.
    Job(JobId),
    /// We and one other party, whatever the job.
    Pair(PartyId),
    /// The members of a consortium.
    Consortium(String),
}

/// Units in one order, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaterialStream {
    /// Who shares it.
    pub scope: MaterialScope,
    /// Which of theirs.
    pub name: String,
}

/// Units of one stream that lie side by side, all of one length.
#[derive(Clone, PartialEq, Eq)]
pub struct MaterialBlock {
    /// The number of the first one.
    pub first: u64,
    /// How many there are.
    pub units: u32,
    /// The units, one behind the other.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaterialStand {
    /// The first unit that was never taken out.
    pub next: u64,
    /// Behind the last unit that was put.
    pub end: u64,
}

/// The material of one party.
#[derive(Clone, Copy)]
pub struct MaterialTable<'s>(pub(super) &'s Database);

impl MaterialStream {
    fn key(&self) -> (String, String) {
        let scope = match &self.scope {
            MaterialScope::Job(job) => scope_of(*job),
            MaterialScope::Pair(party) => format!("pair:{party}"),
            MaterialScope::Consortium(name) => format!("consortium:{name}"),
        };
        (scope, self.name.clone())
    }
}

impl MaterialBlock {
    /// Every unit with its number.
    pub fn into_units(self) -> impl Iterator<Item = (u64, Zeroizing<Vec<u8>>)> {
        let length = self.bytes.len() / (self.units.max(1) as usize);
        let units: Vec<_> = self.bytes.chunks(length.max(1)).map(|unit| Zeroizing::new(unit.to_vec())).collect();
        (self.first..).zip(units)
    }
}

impl MaterialTable<'_> {
    /// How a stream stands; a stream of which nothing was put is empty.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn stand(self, stream: &MaterialStream) -> Result<MaterialStand, StoreError> {
        let (scope, name) = stream.key();
        let query = statement("SELECT next, stored FROM material WHERE scope = $1 AND stream = $2");
        let Some(row) = self.0.row(query.bind(scope).bind(name)).await? else { return Ok(MaterialStand::default()) };
        Ok(MaterialStand { next: row.count("next")?, end: row.count("stored")? })
    }

    /// Puts a block behind all that was put before; a gap before it is never filled.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a block that begins before the end of the stream, is empty or too large, or whose units
    /// have no common length; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn put(self, stream: &MaterialStream, block: &MaterialBlock) -> Result<(), StoreError> {
        let invalid = |why: &'static str| StoreError::invalid("a block of material", why);
        let units = block.units as usize;
        if units == 0 || block.bytes.is_empty() || !block.bytes.len().is_multiple_of(units) {
            return Err(invalid("its units have no common length"));
        }
        if block.bytes.len() > MAX_MATERIAL_BLOCK {
            return Err(invalid("it is larger than a block may be"));
        }
        let sealer = self.0.sealer.read().await;
        let (scope, name) = stream.key();
        let first = count("the number of a unit", block.first)?;
        let end = count("the number of a unit", block.first.saturating_add(u64::from(block.units)))?;
        let blob = sealer.seal(PURPOSE, &[&scope, &name, &block.first.to_string()], &block.bytes)?;
        let mut write = self.0.begin().await?;
        let sql = "INSERT INTO material (scope, stream, next, stored) SELECT $1, $2, 0, $4
            ON CONFLICT (scope, stream) DO UPDATE SET stored = excluded.stored
            WHERE material.stored <= $3 AND material.next <= $3";
        let grown = statement(sql).bind(scope.clone()).bind(name.clone()).bind(first).bind(end);
        if write.run(grown).await? == 0 {
            return Err(invalid("it begins before the end of its stream"));
        }
        let sql = "INSERT INTO material_blocks (scope, stream, first, units, blob) VALUES ($1, $2, $3, $4, $5)";
        write.run(statement(sql).bind(scope).bind(name).bind(first).bind(block.units).bind(blob)).await?;
        write.commit().await
    }

    /// Takes out every block that begins before `until` and was not taken out before; without it the first one that there
    /// is. When this returns they are gone from the store, whatever becomes of them.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`]; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn take(self, stream: &MaterialStream, until: Option<u64>) -> Result<Vec<MaterialBlock>, StoreError> {
        let sealer = self.0.sealer.read().await;
        let (scope, name) = stream.key();
        let until = count_optional("the number of a unit", until)?;
        let mut write = self.0.begin().await?;
        let sql = "SELECT first, units, blob FROM material_blocks WHERE scope = $1 AND stream = $2 AND first <
            coalesce($3, (SELECT 1 + min(first) FROM material_blocks WHERE scope = $1 AND stream = $2)) ORDER BY first";
        let mut blocks = Vec::new();
        for row in write.rows(statement(sql).bind(scope.clone()).bind(name.clone()).bind(until)).await? {
            let (first, units): (u64, u32) = (row.count("first")?, row.get("units")?);
            let bytes = open(&sealer, &scope, &name, first, row.get("blob")?)?;
            blocks.push(MaterialBlock { first, units, bytes });
        }
        let taken = blocks.last().map_or(0, |last| last.first + u64::from(last.units));
        let next = until.unwrap_or(0).max(count("the number of a unit", taken)?);
        let sql = "DELETE FROM material_blocks WHERE scope = $1 AND stream = $2 AND first < $3";
        write.run(statement(sql).bind(scope.clone()).bind(name.clone()).bind(next)).await?;
        let sql = "UPDATE material SET next = max(next, $3) WHERE scope = $1 AND stream = $2";
        write.run(statement(sql).bind(scope).bind(name).bind(next)).await?;
        write.commit().await?;
        Ok(blocks)
    }
}

/// Wipes the material of a job.
pub(crate) async fn wipe_material(write: &mut Transaction, job: JobId) -> Result<(), StoreError> {
    for sql in ["DELETE FROM material_blocks WHERE scope = $1", "DELETE FROM material WHERE scope = $1"] {
        write.run(statement(sql).bind(scope_of(job))).await?;
    }
    Ok(())
}

/// Opens every block with one key and seals it with another. Returns how many there are.
pub(crate) async fn reseal_material(write: &mut Transaction, old: &Sealer, new: &Sealer) -> Result<u64, StoreError> {
    let rows = write.rows(statement("SELECT scope, stream, first FROM material_blocks")).await?;
    for row in &rows {
        let (scope, name, first): (String, String, u64) = (row.get("scope")?, row.get("stream")?, row.count("first")?);
        let number = count("the number of a unit", first)?;
        let block = |sql| statement(sql).bind(scope.clone()).bind(name.clone()).bind(number);
        let sql = "SELECT blob FROM material_blocks WHERE scope = $1 AND stream = $2 AND first = $3";
        let blob = write.row(block(sql)).await?;
        let blob = blob.ok_or_else(|| row.damaged("blob"))?;
        let bytes = open(old, &scope, &name, first, blob.get("blob")?)?;
        let blob = new.seal(PURPOSE, &[&scope, &name, &first.to_string()], &bytes)?;
        let sql = "UPDATE material_blocks SET blob = $4 WHERE scope = $1 AND stream = $2 AND first = $3";
        write.run(block(sql).bind(blob)).await?;
    }
    Ok(rows.len() as u64)
}

fn scope_of(job: JobId) -> String {
    format!("job:{job}")
}

fn open(sealer: &Sealer, scope: &str, name: &str, first: u64, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let broken = |fault| StoreError::SealBroken { what: format!("material {first} of {name:?} of {scope}"), fault };
    sealer.open(PURPOSE, &[scope, name, &first.to_string()], blob).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::super::{SealingKey, Store};
    use super::*;

    fn stream(name: &str) -> MaterialStream {
        MaterialStream { scope: MaterialScope::Pair("shop".parse().unwrap()), name: name.to_owned() }
    }

    /// Units that are their own numbers.
    fn block(first: u64, units: u32) -> MaterialBlock {
        let bytes = (first..).take(units as usize).flat_map(u64::to_be_bytes).collect::<Vec<u8>>();
        MaterialBlock { first, units, bytes: bytes.into() }
    }

    async fn store(folder: &std::path::Path, key: u8) -> Store {
        Store::open(&folder.join("party.db"), Sealer::new(SealingKey::from_bytes([key; 32]))).await.unwrap()
    }

    fn numbers(blocks: Vec<MaterialBlock>) -> Vec<u64> {
        let units = blocks.into_iter().flat_map(MaterialBlock::into_units);
        units
            .map(|(number, unit)| {
                assert_eq!(unit[..], number.to_be_bytes());
                number
            })
            .collect()
    }

    #[tokio::test]
    async fn what_was_taken_out_never_comes_again_also_after_a_crash_and_under_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let one = stream("one");
        let opened = store(folder.path(), 1).await;
        for first in [0, 10, 20, 40] {
            opened.material().put(&one, &block(first, 10)).await.unwrap();
        }
        assert_eq!(numbers(opened.material().take(&one, Some(1)).await.unwrap()), (0..10).collect::<Vec<_>>());
        // Whoever took them has crashed. Another key changes nothing.
        opened.rekey(Sealer::new(SealingKey::from_bytes([2; 32])), "test").await.unwrap();
        opened.close().await;
        let opened = store(folder.path(), 2).await;
        let material = opened.material();
        assert_eq!(material.stand(&one).await.unwrap(), MaterialStand { next: 10, end: 50 });
        assert_eq!(numbers(material.take(&one, Some(5)).await.unwrap()), Vec::<u64>::new());
        assert_eq!(numbers(material.take(&one, Some(25)).await.unwrap()), (10..30).collect::<Vec<_>>());
        assert_eq!(numbers(material.take(&one, None).await.unwrap()), (40..50).collect::<Vec<_>>());
        assert_eq!(material.stand(&one).await.unwrap(), MaterialStand { next: 50, end: 50 });
        assert!(material.take(&stream("other"), None).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn nothing_is_put_where_something_was_or_was_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let opened = store(folder.path(), 1).await;
        let (material, one) = (opened.material(), stream("one"));
        material.put(&one, &block(0, 10)).await.unwrap();
        for wrong in [block(0, 10), block(9, 1), MaterialBlock { units: 3, ..block(10, 4) }, block(10, 0)] {
            assert!(matches!(material.put(&one, &wrong).await, Err(StoreError::Invalid { .. })));
        }
        material.take(&one, Some(30)).await.unwrap();
        assert!(matches!(material.put(&one, &block(20, 5)).await, Err(StoreError::Invalid { .. })));
        material.put(&one, &block(30, 5)).await.unwrap();
        assert_eq!(numbers(material.take(&one, Some(31)).await.unwrap()), (30..35).collect::<Vec<_>>());
    }
}
