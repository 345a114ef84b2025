//! An entry's way from the ledger to the log: each stands in the log once, whoever asks for it and whoever is stopped.

use std::sync::Arc;

use tacitly_attestation::entry::SignedEntry;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::office::Jobs;
use super::record::malformed;
use crate::chain::Log;
use crate::codes::Trouble;
use crate::store::{Store, StoredEntry};

/// Whoever enters: one at a time.
#[derive(Clone)]
pub(super) struct Entering {
    store: Arc<Store>,
    log: Log,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Entering {
    pub(super) fn new(store: Arc<Store>, log: Log) -> Self {
        Self { store, log, one_at_a_time: Arc::default() }
    }

    /// Puts an entry of the ledger into the log, unless it stands there already, and notes its place. Returns its index.
    ///
    /// The caller may be stopped at any moment. What was begun goes on to its end, and nobody else enters anything before
    /// that: an entry on its way to the disk is in nobody's sight, and whoever looked for it then would enter it again.
    pub(super) async fn enter(&self, stored: StoredEntry) -> Result<u64, Trouble> {
        let this = self.clone();
        let entered = tokio::spawn(async move {
            let _one_at_a_time = this.one_at_a_time.lock().await;
            let index = match this.find(&stored).await? {
                Some(index) => index,
                None => this.log.append(stored.note).await?.index,
            };
            this.store.place_entry(stored.number, index).await?;
            Ok(index)
        });
        entered.await.map_err(|_| Trouble::internal("entering into the log ended unexpectedly"))?
    }

    /// Where an entry of the ledger stands in the log, if it does.
    async fn find(&self, stored: &StoredEntry) -> Result<Option<u64>, Trouble> {
        let leaf = SignedEntry::parse(&stored.note).map_err(malformed)?.leaf();
        let log = self.log.clone();
        let found = spawn_blocking(move || log.find(&leaf.0)).await;
        Ok(found.map_err(|_| Trouble::internal("the search in the log ended unexpectedly"))??)
    }
}

impl Jobs {
    /// Makes a log whole that had been longer than it is here: puts the missing entries into it again, each in its place,
    /// so that whoever cosigned it finds the same tree. Before the log is held and anything else is entered. If the ledger
    /// does not have all of them, none is entered, and the log takes no more entries.
    ///
    /// # Errors
    /// [`codes::LOG_OLD`](crate::codes::LOG_OLD) for a log that cannot be made whole; trouble of the store or the log, and
    /// what could not be entered now is at the next start.
    pub async fn mend_log(&self) -> Result<(), Trouble> {
        let origin = self.log.origin();
        // Marked in one step, for a start that is cut short.
        self.store.lose_entries(self.log.head().size, origin).await?;
        if let Some(last) = self.store.last_placed_entry(origin).await?
            && let Some(index) = last.log_index
        {
            let log = self.log.clone();
            let there = spawn_blocking(move || log.entry(index)).await;
            let there = there.map_err(|_| Trouble::internal("the log was left while it was read"))??;
            if there != last.note {
                // Another copy than the one that the ledger knows: nothing stands where it was.
                self.store.lose_entries(0, origin).await?;
            }
        }
        let lost = self.store.lost_entries(origin).await?;
        match lost.last() {
            Some((stood_at, _)) if *stood_at >= self.log.head().size => {
                self.refuse_unless_whole(&lost, stood_at + 1).await?;
                self.enter_lost().await
            }
            _ => Ok(()),
        }
    }

    /// Puts into the log what stood in it at another place than now, or not at all: in another copy that was here for a
    /// while. The log is the newest of its name by then, and goes on.
    ///
    /// # Errors
    /// Trouble of the store or the log, and what could not be entered now is when somebody asks for it or at the next
    /// start.
    pub async fn enter_lost(&self) -> Result<(), Trouble> {
        let lost = self.store.lost_entries(self.log.origin()).await?;
        if lost.is_empty() || self.log.refusal().is_some() {
            return Ok(());
        }
        tracing::warn!(entries = lost.len(), "the ledger knows entries that the log has lost: they are entered again");
        for (_, entry) in lost {
            self.entering.enter(entry).await?;
        }
        Ok(())
    }

    /// Refuses a log that had been longer unless `lost` holds all that is missing.
    async fn refuse_unless_whole(&self, lost: &[(u64, StoredEntry)], known: u64) -> Result<(), Trouble> {
        let mut next = self.log.head().size;
        for (stood_at, stored) in lost {
            if self.entering.find(stored).await?.is_some() {
                continue;
            }
            if *stood_at != next {
                return Err(self.log.refuse_as_lost(known).into());
            }
            next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use ed25519_dalek::SigningKey;
    use rand::RngExt;
    use tacitly_attestation::entry::{Entry, Header, Id, Milliseconds, Nonce, Origin, TickEntry, Time};
    use tacitly_attestation::note::{KeyUse, VerifierKey};

    use super::*;
    use crate::chain::NoteKey;
    use crate::store::{NewEntry, Sealer, SealingKey};

    fn new(number: u8) -> NewEntry {
        NewEntry { subject: "job:1".to_owned(), kind: "tick".to_owned(), note: entry(number) }
    }

    fn entry(number: u8) -> Vec<u8> {
        let header = Header {
            id: Id([number; 16]),
            log: Origin::parse("tacitly/bank").unwrap(),
            by: "bank".parse().unwrap(),
            t: Time::new(1_795_000_000_000).unwrap(),
            nonce: Nonce([number; 16]),
            rel: Vec::new(),
        };
        let body = TickEntry { interval_ms: Milliseconds::new(60_000).unwrap() };
        let mut note = SignedEntry::new(Entry::new(header, body).unwrap());
        let private = SigningKey::from_bytes(&[3; 32]);
        let key = VerifierKey::new("bank", KeyUse::Text, &private.verifying_key().to_bytes()).unwrap();
        note.sign(&key, &private).unwrap();
        note.encode()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_entry_stands_once_in_the_log_however_many_ask_and_are_stopped() {
        const ENTRIES: u8 = 60;
        /// Every so many entries, somebody is not stopped.
        const PATIENT: u8 = 4;
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
        let store = Arc::new(Store::open(&folder.path().join("party.db"), sealer).await.unwrap());
        let private = SigningKey::from_bytes(&[2; 32]);
        let public = private.verifying_key().to_bytes();
        let key = NoteKey::new("tacitly/bank", KeyUse::Text, &public, private).unwrap();
        let log = Log::open(&folder.path().join("log"), key).unwrap();
        let entering = Entering::new(store.clone(), log.clone());
        for number in 0..ENTRIES {
            let stored = store.put_entry(new(number)).await.unwrap();
            let asking: Vec<_> = (0..6)
                .map(|_| {
                    let (entering, stored) = (entering.clone(), stored.clone());
                    tokio::spawn(async move { entering.enter(stored).await })
                })
                .collect();
            for (at, asked) in asking.into_iter().enumerate() {
                tokio::time::sleep(Duration::from_micros(rand::rng().random_range(0..1500))).await;
                if at == 0 && number % PATIENT == 0 {
                    asked.await.unwrap().unwrap();
                } else {
                    asked.abort();
                }
            }
        }
        // Whoever comes last finds all that was begun at its end.
        let stored = store.entry("job:1", "tick", "tacitly/bank").await.unwrap().unwrap();
        let last = entering.enter(stored).await.unwrap();
        let size = log.head().size;
        let entered: Vec<Vec<u8>> = (0..size).map(|index| log.entry(index).unwrap()).collect();
        let once: BTreeSet<&Vec<u8>> = entered.iter().collect();
        assert_eq!(once.len(), entered.len(), "an entry stands twice");
        assert_eq!(entered[last as usize], entry(ENTRIES - 1));
        assert_eq!(store.entry("job:1", "tick", "tacitly/bank").await.unwrap().unwrap().log_index, Some(last));
        assert!(size >= u64::from(ENTRIES / PATIENT), "{size} of {ENTRIES} entries were entered");
    }
}
