//! The way of entries from the ledger into the log, each at the place that was committed before.
//!
//! ```text
//! put down in the ledger ──▶ its place is committed there ──▶ appended at this place ──▶ acknowledged
//! ```
//!
//! Whatever stands in the log has its place in the ledger. So a daemon that is killed anywhere on the way goes on where it
//! was, and a log that is lost comes back byte for byte, or takes nothing more where an entry or its place is not known:
//! another entry at the same place would be a fork.

use std::sync::{Arc, Mutex, PoisonError};

use tacitly_attestation::hash::leaf_hash;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::chain::{Log, reach};
use crate::codes::{self, Error};
use crate::store::{Change, Changed, Store, StoredEntry};

/// Entries that are read and appended at a time, and changes that are made together.
const AT_ONCE: usize = 1024;

/// Takes entries from the ledger to the log. A clone is the same one.
#[derive(Clone)]
pub(super) struct Outbox {
    store: Arc<Store>,
    log: Log,
    /// What came and was not begun yet.
    waiting: Arc<Mutex<Vec<Work>>>,
    /// Held while places are given and taken.
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

/// What somebody waits for.
enum Work {
    /// Something that goes into the ledger, with an entry or without, and then into the log.
    Put { change: Change, put: oneshot::Sender<Result<Changed, Error>>, entered: oneshot::Sender<Result<u64, Error>> },
    /// An entry that stands in the ledger, by its number.
    Enter { number: u64, entered: oneshot::Sender<Result<u64, Error>> },
    /// Whatever waits in the ledger.
    EnterWaiting(oneshot::Sender<Result<(), Error>>),
}

/// An entry on its way into the log.
pub(super) struct Entering(oneshot::Receiver<Result<u64, Error>>);

impl Entering {
    /// Its index in the log, once it is on the disk there.
    ///
    /// # Errors
    /// [`Error`] of the store, or why the log does not take it now. Once it has its place it keeps it.
    pub(super) async fn entered(self) -> Result<u64, Error> {
        self.0.await.map_err(|_| interrupted())?
    }
}

impl Outbox {
    pub(super) fn new(store: Arc<Store>, log: Log) -> Self {
        Self { store, log, waiting: Arc::default(), one_at_a_time: Arc::default() }
    }

    /// Makes a change in the ledger, together with all that came meanwhile, and tells what became of it as soon as it
    /// is durable there; its entry, which has its place then, is on its way into the log.
    ///
    /// The caller may be stopped at any moment: what was begun goes on to its end.
    ///
    /// # Errors
    /// [`Error`] of the store, or why the log takes nothing now: nothing has changed then.
    pub(super) async fn put(&self, change: Change) -> Result<(Changed, Entering), Error> {
        let ((put, is_put), (entered, is_entered)) = (oneshot::channel(), oneshot::channel());
        self.add(Work::Put { change, put, entered });
        let changed = is_put.await.map_err(|_| interrupted())??;
        Ok((changed, Entering(is_entered)))
    }

    /// Puts an entry of the ledger into the log, together with all others that wait, and returns its index. Whoever asks
    /// meanwhile waits, and finds his own among those.
    ///
    /// The caller may be stopped at any moment: what was begun goes on to its end.
    ///
    /// # Errors
    /// As [`Entering::entered`].
    pub(super) async fn enter(&self, stored: &StoredEntry) -> Result<u64, Error> {
        self.entering(stored).entered().await
    }

    /// Begins to put an entry of the ledger into the log, if it is not there yet.
    pub(super) fn entering(&self, stored: &StoredEntry) -> Entering {
        let (entered, is_entered) = oneshot::channel();
        match self.standing(stored.log_index) {
            Some(index) => tell(entered, Ok(index)),
            None => self.add(Work::Enter { number: stored.number, entered }),
        }
        Entering(is_entered)
    }

    /// Puts every entry that waits into the log.
    ///
    /// # Errors
    /// As [`Outbox::enter`].
    pub(super) async fn enter_waiting(&self) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.add(Work::EnterWaiting(done));
        is_done.await.map_err(|_| interrupted())?
    }

    /// Compares the log with what the ledger has committed it to be, and appends what it lacks: after a kill between the
    /// two, or when its folder was lost or is an older copy.
    ///
    /// # Errors
    /// [`codes::LOG_OLD`] for a log that is another one, or that lacks what the ledger does not have either; it takes no
    /// entries then. [`Error`] of the store or the log.
    pub(super) async fn repair(&self) -> Result<(), Error> {
        let this = self.clone();
        self.to_the_end(async move {
            let (origin, size) = (this.log.origin(), this.log.head().size);
            if let Some(last) = this.store.entries().last_placed_below(origin, size).await?
                && let Some(index) = last.log_index
                && this.read(index).await? != last.note
            {
                return Err(this.log.refuse_as_other(index).into());
            }
            this.find_waiting().await?;
            this.note_lost_changes(size).await?;
            let (given, end) = this.store.entries().places_from(origin, size).await?;
            if given == 0 {
                return Ok(());
            }
            if end.checked_sub(size) != Some(given) {
                return Err(this.log.refuse_as_lost(end).into());
            }
            tracing::warn!(
                entries = given,
                "the ledger knows entries that the log lacks: they are entered where they were"
            );
            this.append_placed().await
        })
        .await
    }

    /// Notices a ledger that lost its newest changes, as one does whose write-ahead log was damaged: whatever stands in the
    /// log had its place there before. As after a restore, nothing of then is done a second time.
    async fn note_lost_changes(&self, size: u64) -> Result<(), Error> {
        let last = self.store.entries().last_placed_below(self.log.origin(), size).await?;
        let known = last.and_then(|last| last.log_index).map_or(0, |index| index + 1);
        if known < size && self.store.events().note_behind(size).await? {
            tracing::error!(
                entries = size - known,
                "the store has lost its newest changes: the attestation log has entries that it does not know. Jobs that \
                 were not over end as `restored`. `tacitly log tail` shows the entries, `tacitly log reconcile PEER` what \
                 the peers have of them"
            );
        }
        Ok(())
    }

    /// Queues work. Whoever's turn comes first does all of it: what came while the disk was busy is one transaction, one
    /// append and one synchronisation, and nobody waits for a timer.
    fn add(&self, work: Work) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(work);
        let this = self.clone();
        tokio::spawn(async move {
            let _one = this.one_at_a_time.lock().await;
            let came = {
                let mut waiting = this.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let most = waiting.len().min(AT_ONCE);
                waiting.drain(..most).collect::<Vec<_>>()
            };
            if !came.is_empty() {
                this.work(came).await;
            }
        });
    }

    /// Does something while nobody else gives places, and to its end, whoever is stopped.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let one_at_a_time = self.one_at_a_time.clone();
        let done = tokio::spawn(async move {
            let _one = one_at_a_time.lock().await;
            work.await
        });
        done.await.map_err(|_| interrupted())?
    }

    /// A place that the log has taken already.
    fn standing(&self, place: Option<u64>) -> Option<u64> {
        place.filter(|index| *index < self.log.head().size)
    }

    /// Does what came together, and answers everybody.
    async fn work(&self, came: Vec<Work>) {
        let (mut changes, mut told, mut entering, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for work in came {
            match work {
                Work::Put { change, put, entered } => {
                    changes.push(change);
                    told.push((put, entered));
                }
                Work::Enter { number, entered } => entering.push((number, entered)),
                Work::EnterWaiting(done) => all.push(done),
            }
        }
        let made = match self.make(changes).await {
            Ok(made) => made,
            Err(error) => {
                told.into_iter().for_each(|(put, _)| tell(put, Err(error.clone())));
                entering.into_iter().for_each(|(_, entered)| tell(entered, Err(error.clone())));
                all.into_iter().for_each(|done| tell(done, Err(error.clone())));
                return;
            }
        };
        reach("outbox: committed");
        let entries: Vec<StoredEntry> = made.iter().filter_map(entry_of).cloned().collect();
        let mut waits = Vec::with_capacity(entries.len());
        for (changed, (put, entered)) in made.into_iter().zip(told) {
            waits.extend(entry_of(&changed).map(|entry| (entry.log_index, entered)));
            tell(put, Ok(changed));
        }
        let nobody_waits = waits.is_empty() && entering.is_empty() && all.is_empty();
        let appended = if nobody_waits { Ok(()) } else { self.append_made(entries).await };
        reach("outbox: appended");
        let failure = || appended.clone().err().unwrap_or_else(|| Error::internal("an entry was left out of the log"));
        for (place, entered) in waits {
            tell(entered, self.standing(place).ok_or_else(failure));
        }
        for (number, entered) in entering {
            let place = self.store.entries().place_of(number).await.map_err(Error::from);
            tell(entered, place.and_then(|place| self.standing(place).ok_or_else(failure)));
        }
        all.into_iter().for_each(|done| tell(done, appended.clone()));
    }

    /// Makes changes, once the log takes entries, and gives whatever waits its place.
    async fn make(&self, changes: Vec<Change>) -> Result<Vec<Changed>, Error> {
        // While the log is held, or refuses, it is not known what its next place is.
        self.log.takes_entries().await?;
        Ok(self.store.commit_together(self.log.origin(), self.log.head().size, changes).await?)
    }

    /// Appends entries that have just got their places, with whatever stands between them and the log's end.
    async fn append_made(&self, entries: Vec<StoredEntry>) -> Result<(), Error> {
        let next = self.log.head().size;
        if entries.first().is_some_and(|first| first.log_index == Some(next)) {
            return self.append(next, entries).await;
        }
        self.append_placed().await
    }

    /// Appends what has a place behind the log's end, which must leave no gap.
    async fn append_placed(&self) -> Result<(), Error> {
        let origin = self.log.origin();
        loop {
            let next = self.log.head().size;
            let placed = self.store.entries().placed(origin, next, AT_ONCE as u32).await?;
            if placed.is_empty() {
                return Ok(());
            }
            if !placed.iter().zip(next..).all(|(entry, place)| entry.log_index == Some(place)) {
                let (_, end) = self.store.entries().places_from(origin, next).await?;
                return Err(self.log.refuse_as_lost(end).into());
            }
            self.append(next, placed).await?;
        }
    }

    /// Appends entries with these places, the first of which is the log's end.
    async fn append(&self, next: u64, placed: Vec<StoredEntry>) -> Result<(), Error> {
        let notes = placed.into_iter().map(|entry| entry.note).collect();
        let Err(error) = self.log.append_all(next, notes).await else { return Ok(()) };
        let error = Error::from(error);
        if error.code == codes::LOG_OLD {
            // A peer has said meanwhile that the newest copy is elsewhere: what stands at these places is there.
            self.store.entries().take_places_back(self.log.origin(), next).await?;
        }
        Err(error)
    }

    /// Notes the place of entries that wait and stand in the log already: a ledger taken back from a backup does not know
    /// how far they got.
    async fn find_waiting(&self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let waiting = self.store.entries().waiting(self.log.origin(), after, AT_ONCE as u32).await?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.number;
            let log = self.log.clone();
            let found = spawn_blocking(move || {
                let place = |entry: &StoredEntry| {
                    let found = log.find(&leaf_hash(&entry.note)).transpose()?;
                    Some(found.map(|index| (entry.number, index)))
                };
                waiting.iter().filter_map(place).collect::<Result<Vec<_>, _>>()
            });
            let found = found.await.map_err(|_| Error::internal("the search in the log ended unexpectedly"))??;
            if !found.is_empty() {
                self.store.entries().record_places(&found).await?;
            }
        }
    }

    async fn read(&self, index: u64) -> Result<Vec<u8>, Error> {
        let log = self.log.clone();
        let read = spawn_blocking(move || log.entry(index)).await;
        Ok(read.map_err(|_| Error::internal("the log was left while it was read"))??)
    }
}

/// The entry that came with a change.
fn entry_of(changed: &Changed) -> Option<&StoredEntry> {
    match changed {
        Changed::Done(entry) => entry.as_ref(),
        Changed::Before | Changed::OverQuota(_) => None,
    }
}

fn tell<T>(waits: oneshot::Sender<T>, what: T) {
    // Who has gone away learns it from the ledger.
    let _gone = waits.send(what);
}

fn interrupted() -> Error {
    Error::internal("entering into the log ended unexpectedly")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::time::Duration;

    use ed25519_dalek::SigningKey;
    use rand::RngExt;
    use tacitly_attestation::hash::Hash;
    use tacitly_attestation::note::KeyUse;
    use tempfile::TempDir;

    use super::*;
    use crate::chain::NoteKey;
    use crate::store::{NewEntry, Sealer, SealingKey};

    const LOG: &str = "tacitly/bank";

    /// A party's folder, with its store and its log open.
    struct World {
        folder: TempDir,
        store: Arc<Store>,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
            let store = Arc::new(Store::open(&folder.path().join("party.db"), sealer).await.unwrap());
            Self { folder, store }
        }

        fn open(&self) -> (Outbox, Log) {
            let private = SigningKey::from_bytes(&[2; 32]);
            let public = private.verifying_key().to_bytes();
            let key = NoteKey::new(LOG, KeyUse::Text, &public, private).unwrap();
            let log = Log::open(&self.folder.path().join("log"), key).unwrap();
            (Outbox::new(self.store.clone(), log.clone()), log)
        }

        fn lose_log(&self) {
            fs::remove_dir_all(self.folder.path().join("log")).unwrap();
        }

        async fn put(&self, number: u8) -> StoredEntry {
            let (log, subject, kind) = (LOG.to_owned(), "job:1".to_owned(), "tick".to_owned());
            self.store.entries().put(NewEntry { log, subject, kind, note: vec![number; 40] }).await.unwrap()
        }

        async fn put_all(&self, numbers: std::ops::Range<u8>) {
            for number in numbers {
                self.put(number).await;
            }
        }

        /// The places of all entries, in the order in which they were put down.
        async fn places(&self) -> Vec<Option<u64>> {
            let entries = self.store.entries().all("job:1", "tick", LOG).await.unwrap();
            entries.iter().rev().map(|entry| entry.log_index).collect()
        }
    }

    /// The first byte of every entry of the log.
    fn contents(log: &Log) -> Vec<u8> {
        (0..log.head().size).map(|index| log.entry(index).unwrap()[0]).collect()
    }

    fn root(log: &Log) -> Hash {
        log.head().root
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_entry_stands_once_in_the_log_however_many_ask_and_are_stopped() {
        const ENTRIES: u8 = 60;
        /// Every so many entries, somebody is not stopped.
        const PATIENT: u8 = 4;
        let world = World::new().await;
        let (outbox, log) = world.open();
        for number in 0..ENTRIES {
            let stored = world.put(number).await;
            let asking: Vec<_> = (0..6)
                .map(|_| {
                    let (outbox, stored) = (outbox.clone(), stored.clone());
                    tokio::spawn(async move { outbox.enter(&stored).await })
                })
                .collect();
            for (at, asked) in asking.into_iter().enumerate() {
                tokio::time::sleep(Duration::from_micros(rand::rng().random_range(0..1500))).await;
                if at == 0 && number % PATIENT == 0 {
                    assert_eq!(asked.await.unwrap().unwrap(), u64::from(number), "all before it stand there, too");
                } else {
                    asked.abort();
                }
            }
        }
        outbox.enter_waiting().await.unwrap();
        assert_eq!(contents(&log), (0..ENTRIES).collect::<Vec<_>>());
        assert_eq!(world.places().await, (0..u64::from(ENTRIES)).map(Some).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_at_the_same_time_are_entered_together_and_each_learns_its_own_place() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        log.hold();
        let mut asking = Vec::new();
        for number in 0..40 {
            let (outbox, stored) = (outbox.clone(), world.put(number).await);
            asking.push(tokio::spawn(async move { outbox.enter(&stored).await.unwrap() }));
        }
        log.release();
        let mut seen = BTreeSet::new();
        for (number, asked) in asking.into_iter().enumerate() {
            let index = asked.await.unwrap();
            assert_eq!(log.entry(index).unwrap()[0], number as u8);
            seen.insert(index);
        }
        assert_eq!(seen, (0..40).collect());
    }

    #[tokio::test]
    async fn what_was_placed_and_not_appended_is_appended_at_the_next_start_and_what_was_is_left_alone() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        world.put_all(0..3).await;
        outbox.enter_waiting().await.unwrap();
        // A kill behind the commitment.
        world.put_all(3..6).await;
        world.store.entries().place(LOG, log.head().size).await.unwrap();
        drop((outbox, log));
        // One that waits meanwhile comes behind them, whatever the order in which they are asked for.
        let next = world.put(6).await;
        let (outbox, log) = world.open();
        outbox.repair().await.unwrap();
        assert_eq!(contents(&log), [0, 1, 2, 3, 4, 5]);
        assert_eq!(outbox.enter(&next).await.unwrap(), 6);
        // A kill behind the append, before anybody heard of it.
        let told = world.put(7).await;
        world.store.entries().place(LOG, 7).await.unwrap();
        log.append_all(7, vec![told.note.clone()]).await.unwrap();
        drop((outbox, log));
        let (outbox, log) = world.open();
        outbox.repair().await.unwrap();
        assert_eq!(outbox.enter(&told).await.unwrap(), 7);
        assert_eq!(contents(&log), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[tokio::test]
    async fn a_log_that_is_lost_or_an_older_copy_comes_back_with_the_same_root() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        world.put_all(0..9).await;
        outbox.enter_waiting().await.unwrap();
        let known = root(&log);
        drop((outbox, log));
        for kept in [0, 4] {
            world.lose_log();
            let (outbox, log) = world.open();
            for number in 0..kept {
                log.append(vec![number; 40]).await.unwrap();
            }
            outbox.repair().await.unwrap();
            assert_eq!((log.head().size, root(&log)), (9, known), "{kept} were left");
            drop((outbox, log));
        }
    }

    #[tokio::test]
    async fn a_log_that_the_ledger_cannot_make_whole_takes_nothing_and_no_place_is_given() {
        for forgotten in [0_u8, 4, 7] {
            let world = World::new().await;
            let (outbox, log) = world.open();
            world.put_all(0..9).await;
            // Beside the ledger, as if it had been taken back from a backup and gone on.
            world.store.entries().place(LOG, 0).await.unwrap();
            world.store.entries().take_places_back(LOG, u64::from(forgotten)).await.unwrap();
            world.store.entries().place(LOG, u64::from(forgotten) + 1).await.unwrap();
            let refused = outbox.repair().await.unwrap_err();
            assert!(refused.code == codes::LOG_OLD && refused.text.contains("10 entries"), "{refused}");
            let waits = world.put(9).await;
            assert_eq!(outbox.enter(&waits).await.unwrap_err().code, codes::LOG_OLD);
            assert_eq!((log.head().size, world.places().await.pop()), (0, Some(None)));
        }
    }

    #[tokio::test]
    async fn a_log_with_another_entry_at_a_committed_place_takes_nothing() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        world.put_all(0..3).await;
        world.store.entries().place(LOG, 0).await.unwrap();
        for number in [0, 1, 99, 3] {
            log.append(vec![number; 40]).await.unwrap();
        }
        let refused = outbox.repair().await.unwrap_err();
        assert!(refused.code == codes::LOG_OLD && refused.text.contains("entry 2 "), "{refused}");
        assert_eq!(outbox.enter_waiting().await.unwrap_err().code, codes::LOG_OLD);
    }

    #[tokio::test]
    async fn an_entry_gets_no_place_while_the_log_is_held_and_gives_it_back_when_the_newest_log_is_elsewhere() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        log.hold();
        let stored = world.put(0).await;
        let asked = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.enter(&stored).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.places().await, [None]);
        log.peer_cosigned("shop", 5, &Hash([1; 32])).unwrap_err();
        assert_eq!(asked.await.unwrap().unwrap_err().code, codes::LOG_OLD);
        assert_eq!(world.places().await, [None]);
        // The word of the peer comes between the commitment and the append.
        world.store.entries().place(LOG, 0).await.unwrap();
        assert_eq!(outbox.append_placed().await.unwrap_err().code, codes::LOG_OLD);
        assert_eq!((world.places().await, log.head().size), (vec![None], 0));
    }

    #[tokio::test]
    async fn a_ledger_that_lost_its_newest_changes_is_noticed_once() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        world.put_all(0..3).await;
        outbox.enter_waiting().await.unwrap();
        let behind = async || world.store.events().last_restore().await.unwrap();
        outbox.repair().await.unwrap();
        assert_eq!(behind().await, None);
        // What only the lost changes knew.
        log.append(vec![9; 40]).await.unwrap();
        outbox.repair().await.unwrap();
        let noticed = behind().await;
        assert!(noticed.is_some());
        outbox.repair().await.unwrap();
        assert_eq!(behind().await, noticed, "one loss is noted twice");
        // It goes on behind them.
        let next = world.put(3).await;
        assert_eq!(outbox.enter(&next).await.unwrap(), 4);
        outbox.repair().await.unwrap();
        assert_eq!(behind().await, noticed);
    }

    #[tokio::test]
    async fn a_ledger_from_a_backup_finds_in_the_log_what_it_believes_to_wait() {
        let world = World::new().await;
        let (outbox, log) = world.open();
        world.put_all(0..3).await;
        for number in [7, 1, 0] {
            log.append(vec![number; 40]).await.unwrap();
        }
        outbox.repair().await.unwrap();
        assert_eq!(world.places().await, [Some(2), Some(1), None]);
        outbox.enter_waiting().await.unwrap();
        assert_eq!(contents(&log), [7, 1, 0, 2]);
    }
}
