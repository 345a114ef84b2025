//! Entries of ours: signed, put down in the ledger, entered into the log, and found again.

use std::sync::Arc;

use jiff::Timestamp;
use tacitly_attestation::entry::{
    Body, Count, Entry, Erased, ErasureEntry, Header, Id, LeafHash, MAX_ITEMS, MalformedEntry, Nonce, OpeningEntry,
    Origin, SignedEntry, Time,
};
use tacitly_attestation::note::VerifierKey;
use tacitly_core::PartyId;

use super::outbox::{Entering, Outbox};
use super::reader::Reader;
use crate::chain::Log;
use crate::codes::{self, Error};
use crate::store::{Change, Changed, NewEntry, NewEvent, NoteSigner, PublicKey, Signer, Store, StoredEntry};

/// An entry of ours that stands in our log.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The entry.
    pub(crate) entry: SignedEntry,
    /// Its index in the log.
    pub(crate) index: u64,
}

/// What this party puts its name to goes on record through this one.
pub struct Recorder {
    me: PartyId,
    signer: Arc<dyn Signer>,
    store: Arc<Store>,
    log: Log,
    outbox: Outbox,
}

impl Recorder {
    /// Records what `me` signs with `signer` in `log`, by way of the ledger in `store`. There is one recorder of a log.
    #[must_use]
    pub fn new(me: PartyId, signer: Arc<dyn Signer>, store: Arc<Store>, log: Log) -> Self {
        Self { me, signer, outbox: Outbox::new(store.clone(), log.clone()), store, log }
    }

    /// This party.
    pub(super) fn me(&self) -> PartyId {
        self.me
    }

    /// This party's attestation log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// What every entry of ours says.
    ///
    /// # Errors
    /// [`Error`] if the system gives no randomness or no time.
    pub(crate) fn header(&self, rel: Vec<LeafHash>) -> Result<Header, Error> {
        Ok(Header {
            id: Id(random()?),
            log: Origin::parse(self.log.origin()).map_err(unfit)?,
            by: self.me,
            t: now()?,
            nonce: Nonce(random()?),
            rel,
        })
    }

    /// An entry of ours with our signature.
    ///
    /// # Errors
    /// [`Error`] if the entry breaks a rule of its kind, or cannot be signed.
    pub(crate) fn sign_entry(&self, header: Header, body: impl Into<Body>) -> Result<SignedEntry, Error> {
        let entry = Entry::new(header, body).map_err(malformed)?;
        self.sign_note(SignedEntry::new(entry))
    }

    /// A note, ours or another's, with our signature below those it has.
    ///
    /// # Errors
    /// [`Error`] if it cannot be signed.
    pub(crate) fn sign_note(&self, mut note: SignedEntry) -> Result<SignedEntry, Error> {
        let key = entry_key(self.me, &self.signer.public_key())?;
        note.sign(&key, &NoteSigner(self.signer.clone())).map_err(|error| Error::internal(error.to_string()))?;
        Ok(note)
    }

    /// An entry as the ledger takes it, for those that go there in one step with what they are about.
    pub(crate) fn new_entry(&self, subject: &str, entry: &SignedEntry) -> NewEntry {
        NewEntry {
            log: self.log.origin().to_owned(),
            subject: subject.to_owned(),
            kind: entry.entry().kind().to_string(),
            note: entry.encode(),
        }
    }

    /// Puts an entry on record. It is in our log, durable, when this returns. A log that takes nothing more leaves none
    /// behind in the ledger; a caller that is stopped, or a disk that is full, leaves one that goes on record later.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn record(&self, subject: &str, entry: SignedEntry) -> Result<Recorded, Error> {
        if let Some(refused) = self.log.refusal() {
            return Err(refused.into());
        }
        let (_, entering) = self.put(Change::Entry(self.new_entry(subject, &entry))).await?;
        let index = entering.entered().await?;
        Ok(Recorded { entry, index })
    }

    /// Makes a change in the ledger, whose entry goes into the log from there, together with all that came meanwhile.
    ///
    /// # Errors
    /// [`Error`] of the store, or why the log takes nothing: nothing has changed then.
    pub(super) async fn put(&self, change: Change) -> Result<(Changed, Entering), Error> {
        self.outbox.put(change).await
    }

    /// Sees to it that an entry of the ledger goes into the log.
    pub(super) fn entering(&self, stored: &StoredEntry) -> Entering {
        self.outbox.entering(stored)
    }

    /// The last entry of this kind that we put on record about something in this log. One that is not in it yet is
    /// entered now.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn recorded(&self, subject: &str, kind: &str) -> Result<Option<Recorded>, Error> {
        match self.known(subject, kind).await? {
            Some(stored) => Ok(Some(self.logged(stored).await?)),
            None => Ok(None),
        }
    }

    /// The same entry, entered now if it is not in the log yet.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn logged(&self, stored: StoredEntry) -> Result<Recorded, Error> {
        let entry = SignedEntry::parse(&stored.note).map_err(Error::damaged)?;
        let index = self.outbox.enter(&stored).await?;
        Ok(Recorded { entry, index })
    }

    /// The last entry of this kind about something that the ledger has for this log, in it or not yet.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub(crate) async fn known(&self, subject: &str, kind: &str) -> Result<Option<StoredEntry>, Error> {
        Ok(self.store.entries().last(subject, kind, self.log.origin()).await?)
    }

    /// Every entry of this kind about something that the ledger has for this log, in it or not yet; the last one first.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub(crate) async fn all_known(&self, subject: &str, kind: &str) -> Result<Vec<StoredEntry>, Error> {
        Ok(self.store.entries().all(subject, kind, self.log.origin()).await?)
    }

    /// An entry of our log by its leaf hash, if it stands there.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub(crate) async fn entry_of(&self, leaf: LeafHash) -> Result<Option<SignedEntry>, Error> {
        let log = self.log.clone();
        let found = tokio::task::spawn_blocking(move || log.find(&leaf.0)?.map(|index| log.entry(index)).transpose());
        let bytes = found.await.map_err(|_| Error::internal("the search in the log ended unexpectedly"))??;
        bytes
            .map(|bytes| SignedEntry::parse(&bytes).map_err(|error| Error::new(codes::LOG, error.to_string())))
            .transpose()
    }

    /// Puts on record that one value under an entry is opened, and in the audit trail which. An entry that a killed daemon
    /// had not logged yet goes into the log at the next start: more may be on record than was handed out, never less.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn record_opening(
        &self,
        subject: &str,
        target: LeafHash,
        reader: Reader,
        mut event: NewEvent,
    ) -> Result<LeafHash, Error> {
        let Reader { to, purpose } = reader;
        event.detail["to"] = to.as_str().into();
        event.detail["purpose"] = purpose.as_str().into();
        let body = OpeningEntry { target, to, items: Count::new(1).map_err(unfit)?, purpose };
        let entry = self.sign_entry(self.header(Vec::new())?, body)?;
        let leaf = self.record(subject, entry).await?.entry.leaf();
        event.detail["entry"] = leaf.to_string().into();
        self.store.events().append(event).await?;
        Ok(leaf)
    }

    /// The entries of a kind about something, for our log, oldest first, whose bodies are meant. Those that are not in the
    /// log yet are among them.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub(crate) async fn leaves_about(
        &self,
        subject: &str,
        kind: &str,
        is_meant: impl Fn(&Body) -> bool,
    ) -> Result<Vec<LeafHash>, Error> {
        let mut leaves = Vec::new();
        for stored in self.all_known(subject, kind).await?.into_iter().rev() {
            let entry = SignedEntry::parse(&stored.note).map_err(Error::damaged)?;
            if is_meant(entry.entry().body()) {
                leaves.push(entry.leaf());
            }
        }
        Ok(leaves)
    }

    /// What is to be put down when something that entries commit to is destroyed: nothing if no entry does. It goes into
    /// the ledger in one step with the destruction, and is [entered](Self::enter) then.
    ///
    /// # Errors
    /// [`Error`] if an entry cannot be signed.
    pub(crate) fn erasures(&self, subject: &str, targets: &[LeafHash], erased: Erased) -> Result<Vec<NewEntry>, Error> {
        let entry = |targets: &[LeafHash]| {
            let body = ErasureEntry { targets: targets.to_vec(), erased };
            let entry = self.sign_entry(self.header(Vec::new())?, body)?;
            Ok(self.new_entry(subject, &entry))
        };
        targets.chunks(MAX_ITEMS).map(entry).collect()
    }

    /// Enters entries that went into the ledger in one step with what they are about.
    ///
    /// # Errors
    /// [`Error`] of the store or the log; they are entered later then, at the latest at the next start.
    pub(crate) async fn enter(&self, stored: Vec<StoredEntry>) -> Result<(), Error> {
        for stored in stored {
            self.outbox.enter(&stored).await?;
        }
        Ok(())
    }

    /// Enters everything that the ledger has for this log and that is not in it yet.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn enter_waiting(&self) -> Result<(), Error> {
        self.outbox.enter_waiting().await
    }

    /// Makes the log what the ledger has committed it to be: at the start, before anything else is entered and before the
    /// log is held.
    ///
    /// # Errors
    /// [`codes::LOG_OLD`](crate::codes::LOG_OLD) for a log that cannot be made whole, which takes no more entries;
    /// [`Error`] of the store or the log, and then nothing else may be entered either.
    pub(crate) async fn repair(&self) -> Result<(), Error> {
        self.outbox.repair().await
    }
}

/// The key with which a party signs entries: the one that its peers have pinned, under its name.
///
/// # Errors
/// [`Error`] if it is no key.
pub(crate) fn entry_key(party: PartyId, key: &PublicKey) -> Result<VerifierKey, Error> {
    key.of_notes(party).map_err(|error| Error::internal(error.to_string()))
}

/// This moment, as entries say it.
///
/// # Errors
/// [`codes::CLOCK`] before 2020 and after 2099.
pub(crate) fn now() -> Result<Time, Error> {
    time_of(Timestamp::now())
}

fn time_of(now: Timestamp) -> Result<Time, Error> {
    let time = now.as_millisecond().try_into().ok().and_then(|now| Time::new(now).ok());
    time.ok_or_else(|| Error::new(codes::CLOCK, format!("it is {now} here")))
}

/// Random bytes that nobody can guess.
///
/// # Errors
/// [`Error`] if the system gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes)
        .map_err(|_| Error::new(codes::SYSTEM, "the system gives no randomness"))?;
    Ok(bytes)
}

/// A value of ours that an entry does not take.
pub(crate) fn unfit(reason: impl std::fmt::Display) -> Error {
    Error::internal(format!("a field of an entry: {reason}"))
}

/// An entry of ours that breaks a rule.
pub(super) fn malformed(error: MalformedEntry) -> Error {
    Error::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_2020_or_after_2099_is_told_as_such() {
        for moment in ["1970-01-01T00:00:00Z", "2016-12-31T23:59:59Z", "2100-01-02T00:00:00Z", "9999-12-30T00:00:00Z"] {
            let error = time_of(moment.parse().unwrap()).unwrap_err();
            assert_eq!((error.code, &error.text[..13]), (codes::CLOCK, &*format!("it is {}", &moment[..7])));
        }
        assert!(time_of("2026-11-30T00:00:00Z".parse().unwrap()).is_ok());
    }
}
