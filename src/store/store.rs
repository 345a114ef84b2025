//! The store: opening and closing it, its tables, and what is done with all of it at once.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::database::{Clock, Database};
use super::parties::refuse_ours;
use super::record::statement;
use super::{
    Change, Changed, ChargeTable, DatasetTable, EntryTable, EventTable, FingerprintTable, InviteTable, JobTable,
    MaterialTable, Ourselves, PartyTable, PeerTable, QueryTable, RevocationTable, RosterTable, RuleTable, Sealer,
    SecretTable, ServeTable, StoreError, backup, batch, rekey,
};

/// An open store. Share it in an `Arc`; it is closed by [`Store::close`], or when dropped.
pub struct Store(Database);

impl Store {
    /// Opens the store at `path`, or makes a new one there (mode 0600) if there is no file.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if a process has it open; [`StoreError::Permissions`] if others may reach its files;
    /// [`StoreError::WrongKey`] if it is sealed with another key; [`StoreError::Forged`] if rows that decide whom this party
    /// trusts are not as this software wrote them; [`StoreError::SchemaNewer`],
    /// [`StoreError::SchemaOlder`], [`StoreError::NotAStore`], [`StoreError::Corrupt`], [`StoreError::Unsupported`] for a file that cannot be used;
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub async fn open(path: &Path, sealer: Sealer) -> Result<Self, StoreError> {
        Self::open_with_clock(path, sealer, Arc::new(Timestamp::now)).await
    }

    /// [`Store::open`], with the time from elsewhere.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with_clock(path: &Path, sealer: Sealer, clock: Clock) -> Result<Self, StoreError> {
        let store = Self(Database::open(path, sealer, clock).await?);
        backup::note_restore(&store.0).await?;
        Ok(store)
    }

    /// Says whose store it is: from now on nobody else is pinned by this party's name or key.
    ///
    /// # Errors
    /// [`StoreError::Roster`] if somebody else already is; [`StoreError::Corrupt`],
    /// [`StoreError::Io`].
    pub async fn belongs_to(&self, ours: Ourselves) -> Result<(), StoreError> {
        for (party, key) in self.parties().all().await? {
            refuse_ours(ours, party, &key)?;
        }
        // The first word counts; nobody says it twice.
        let _said = self.0.ours.set(ours);
        Ok(())
    }

    /// Closes the file and lets the lock go. Dropping the store does the same, but does not wait for it.
    pub async fn close(self) {
        self.0.close().await;
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The time, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// The institutions that we know.
    #[must_use]
    pub fn peers(&self) -> PeerTable<'_> {
        PeerTable(&self.0)
    }

    /// Invitations.
    #[must_use]
    pub fn invites(&self) -> InviteTable<'_> {
        InviteTable(&self.0)
    }

    /// Rosters of consortia.
    #[must_use]
    pub fn rosters(&self) -> RosterTable<'_> {
        RosterTable(&self.0)
    }

    /// Signing keys that count no more.
    #[must_use]
    pub fn revocations(&self) -> RevocationTable<'_> {
        RevocationTable(&self.0)
    }

    /// All parties whose keys are pinned here.
    #[must_use]
    pub fn parties(&self) -> PartyTable<'_> {
        PartyTable(&self.0)
    }

    /// Datasets.
    #[must_use]
    pub fn datasets(&self) -> DatasetTable<'_> {
        DatasetTable(&self.0)
    }

    /// What each version of a dataset is on record as.
    #[must_use]
    pub fn fingerprints(&self) -> FingerprintTable<'_> {
        FingerprintTable(&self.0)
    }

    /// What others may do with our datasets.
    #[must_use]
    pub fn rules(&self) -> RuleTable<'_> {
        RuleTable(&self.0)
    }

    /// The job ledger.
    #[must_use]
    pub fn jobs(&self) -> JobTable<'_> {
        JobTable(&self.0)
    }

    /// Seeds, checkpoints, results and salts of jobs.
    #[must_use]
    pub fn secrets(&self) -> SecretTable<'_> {
        SecretTable(&self.0)
    }

    /// The audit trail.
    #[must_use]
    pub fn events(&self) -> EventTable<'_> {
        EventTable(&self.0)
    }

    /// Entries of the attestation log.
    #[must_use]
    pub fn entries(&self) -> EntryTable<'_> {
        EntryTable(&self.0)
    }

    /// Questions of ours under standing jobs.
    #[must_use]
    pub fn queries(&self) -> QueryTable<'_> {
        QueryTable(&self.0)
    }

    /// Our answers to questions under standing jobs.
    #[must_use]
    pub fn serves(&self) -> ServeTable<'_> {
        ServeTable(&self.0)
    }

    /// Material of services that is used once.
    #[must_use]
    pub fn material(&self) -> MaterialTable<'_> {
        MaterialTable(&self.0)
    }

    /// What is used of budgets.
    #[must_use]
    pub fn charges(&self) -> ChargeTable<'_> {
        ChargeTable(&self.0)
    }

    /// Makes all these changes, and gives their entries their places in a log of `size` entries, in this order: behind what
    /// stands there, and behind all that had a place or waited for one. Either all are made or none; each tells what became
    /// of it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a size beyond reason; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn commit_together(
        &self,
        log: &str,
        size: u64,
        changes: Vec<Change>,
    ) -> Result<Vec<Changed>, StoreError> {
        batch::commit_together(&self.0, log, size, changes).await
    }

    /// Writes and commits without changing anything, to see whether the store takes writes.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut write = self.0.begin().await?;
        write.run(statement("PRAGMA user_version = 0")).await?;
        write.commit().await
    }

    /// Writes a copy of the store to a new file (mode 0600), durably: it is there whole, or not at all. The store
    /// stays in use meanwhile.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] rather than to replace a file; [`StoreError::DiskFull`], [`StoreError::Io`] naming
    /// the new file; [`StoreError::Corrupt`] if the store is damaged.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        backup::backup(self.path(), to).await
    }

    /// Seals everything anew with another key, all of it or nothing. Others who read or write sealed values wait.
    ///
    /// Write the new key to its file first: after this returns `Ok`, and perhaps when the process dies in between,
    /// only the new key opens the store. A start that meets [`StoreError::WrongKey`] says which of the two it is.
    ///
    /// # Errors
    /// [`StoreError::SealBroken`] if something does not open with the present key (and then nothing is changed);
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn rekey(&self, new: Sealer, by: &str) -> Result<(), StoreError> {
        rekey::rekey(&self.0, new, by).await
    }
}
