//! Material that is taken out of the store and not used yet. It is taken out in blocks, by one durable step each, and
//! handed out unit by unit; a process that ends takes with it what it had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::codes::{self, Error};
use crate::store::{JobId, MaterialBlock, MaterialScope, MaterialStand, MaterialStream, Store};

/// How far another party may be ahead of us in a stream that both use in the same order: more than it can have lost by a
/// crash. What it passes over waits for its turn in memory.
const MOST_AHEAD: u64 = 1 << 16;

/// Units of material that lie side by side, to be used once. They are wiped with it.
#[derive(Debug)]
pub struct Units {
    /// The number of the first one.
    pub first: u64,
    /// The units.
    pub units: Vec<Zeroizing<Vec<u8>>>,
}

/// Material that one answer uses up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Of this stream.
    pub stream: MaterialStream,
    /// The first unit, where both sides must use the same; none: the next that there is.
    pub at: Option<u64>,
    /// How many units.
    pub count: u32,
}

/// The material of one party that is ready to be used.
pub(super) struct Reserve {
    store: Arc<Store>,
    streams: Mutex<BTreeMap<MaterialStream, Arc<tokio::sync::Mutex<Ready>>>>,
}

/// Of one stream.
#[derive(Default)]
struct Ready {
    units: BTreeMap<u64, Zeroizing<Vec<u8>>>,
}

impl Reserve {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, streams: Mutex::default() }
    }

    /// Forgets the material of a job.
    pub(super) fn forget(&self, job: JobId) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream, _| stream.scope != MaterialScope::Job(job));
    }

    /// How a stream stands: what is ready counts as not used yet.
    pub(super) async fn stand(&self, stream: &MaterialStream) -> Result<MaterialStand, Error> {
        let ready = self.of(stream);
        let ready = ready.lock().await;
        let stand = self.store.material().stand(stream).await?;
        Ok(MaterialStand { next: stand.next - (ready.units.len() as u64).min(stand.next), ..stand })
    }

    /// Takes units that nobody has used.
    pub(super) async fn take(&self, wanted: &Use) -> Result<Units, Error> {
        let ready = self.of(&wanted.stream);
        let mut ready = ready.lock().await;
        let count = wanted.count.max(1);
        loop {
            if let Some(first) = ready.find(wanted.at, count) {
                return Ok(ready.take(first, count));
            }
            let stand = self.store.material().stand(&wanted.stream).await?;
            let until = wanted.at.map(|at| at.saturating_add(u64::from(count)));
            let may_be_there =
                |until: u64| until > stand.next && until <= stand.end && until - stand.next <= MOST_AHEAD;
            if !until.is_none_or(may_be_there) {
                return Err(none_left(&wanted.stream));
            }
            let blocks = self.store.material().take(&wanted.stream, until).await?;
            if blocks.is_empty() {
                return Err(none_left(&wanted.stream));
            }
            blocks.into_iter().flat_map(MaterialBlock::into_units).for_each(|(at, unit)| {
                ready.units.insert(at, unit);
            });
            ready.keep_most();
        }
    }

    fn of(&self, stream: &MaterialStream) -> Arc<tokio::sync::Mutex<Ready>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(stream.clone()).or_default().clone()
    }
}

impl Ready {
    /// Where so many lie side by side.
    fn find(&self, at: Option<u64>, count: u32) -> Option<u64> {
        let is_whole = |first: u64| {
            let last = first.checked_add(u64::from(count) - 1)?;
            let there = self.units.range(first..=last).take(count as usize).count();
            (there == count as usize).then_some(first)
        };
        match at {
            Some(at) => is_whole(at),
            None => self.units.keys().find_map(|first| is_whole(*first)),
        }
    }

    fn take(&mut self, first: u64, count: u32) -> Units {
        Units { first, units: (first..).take(count as usize).filter_map(|at| self.units.remove(&at)).collect() }
    }

    /// What the other side has passed over for long is never asked for any more.
    fn keep_most(&mut self) {
        while self.units.len() as u64 > 2 * MOST_AHEAD {
            self.units.pop_first();
        }
    }
}

fn none_left(stream: &MaterialStream) -> Error {
    Error::new(
        codes::MATERIAL_NONE,
        format!("the prepared material {:?} has nothing left for this question", stream.name),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::{Sealer, SealingKey};

    async fn reserve(folder: &std::path::Path) -> Reserve {
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        Reserve::new(Arc::new(Store::open(&folder.join("party.db"), sealer).await.unwrap()))
    }

    fn wanted(at: Option<u64>, count: u32) -> Use {
        let scope = MaterialScope::Consortium("banks".to_owned());
        Use { stream: MaterialStream { scope, name: "bits".to_owned() }, at, count }
    }

    async fn put(reserve: &Reserve, first: u64, units: u32) {
        let bytes = vec![7; units as usize].into();
        let block = MaterialBlock { first, units, bytes };
        reserve.store.material().put(&wanted(None, 1).stream, &block).await.unwrap();
    }

    #[tokio::test]
    async fn no_unit_is_handed_out_twice_whoever_names_it_and_however_often_the_process_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut used = BTreeSet::new();
        let mut reserve_now = reserve(folder.path()).await;
        for first in (0..200).step_by(20) {
            put(&reserve_now, first, 20).await;
        }
        for round in 0..60u64 {
            if round % 9 == 8 {
                drop(reserve_now);
                reserve_now = reserve(folder.path()).await;
            }
            let at = (round % 3 == 0).then_some(round * 3);
            let Ok(units) = reserve_now.take(&wanted(at, 1 + round as u32 % 3)).await else { continue };
            assert!(at.is_none_or(|at| at == units.first));
            for number in (units.first..).take(units.units.len()) {
                assert!(used.insert(number), "unit {number} was handed out twice");
            }
        }
        assert!(used.len() > 60, "only {} units were used", used.len());
    }

    #[tokio::test]
    async fn what_is_used_or_burnt_or_not_there_is_refused_and_a_peer_cannot_burn_it_all() {
        let folder = tempfile::tempdir().unwrap();
        let before = reserve(folder.path()).await;
        put(&before, 0, 10).await;
        put(&before, 10, 10).await;
        assert_eq!(before.take(&wanted(Some(3), 2)).await.unwrap().first, 3);
        for gone in [Some(4), Some(19), Some(20), Some(u64::MAX)] {
            assert_eq!(before.take(&wanted(gone, 2)).await.unwrap_err().code, codes::MATERIAL_NONE, "{gone:?}");
        }
        assert_eq!(before.stand(&wanted(None, 1).stream).await.unwrap(), MaterialStand { next: 2, end: 20 });
        drop(before);
        // The process is gone, and with it what was ready.
        let after = reserve(folder.path()).await;
        assert_eq!(after.take(&wanted(Some(0), 1)).await.unwrap_err().code, codes::MATERIAL_NONE);
        assert_eq!(after.take(&wanted(None, 10)).await.unwrap().first, 10);
        assert_eq!(after.take(&wanted(None, 1)).await.unwrap_err().code, codes::MATERIAL_NONE);
        // A far jump would take out everything before it.
        put(&after, 20, 10).await;
        put(&after, 20 + MOST_AHEAD, 10).await;
        let far = after.take(&wanted(Some(25 + MOST_AHEAD), 1)).await;
        assert_eq!(far.unwrap_err().code, codes::MATERIAL_NONE);
        assert_eq!(after.take(&wanted(None, 1)).await.unwrap().first, 20);
    }
}
