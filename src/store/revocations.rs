//! Signing keys that count no more. What is here stays: a key does not come back.

use jiff::Timestamp;
use serde_json::json;
use tacitly_core::PartyId;

use super::database::{Database, Transaction};
use super::events::note;
use super::record::{Row, moment, rounded, statement};
use super::{PublicKey, RosterRefusal, StoreError};

/// A key that counts no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose it is.
    pub party: PartyId,
    /// The key.
    pub key: PublicKey,
    /// From when on.
    pub since: Timestamp,
    /// The signed entry that says so.
    pub note: Vec<u8>,
}

/// Revoked keys.
#[derive(Clone, Copy)]
pub struct RevocationTable<'s>(pub(super) &'s Database);

impl RevocationTable<'_> {
    /// Notes that a key counts no more. Of two words about one key the earlier time counts. Returns whether it is news.
    ///
    /// # Errors
    /// [`StoreError::Forged`], [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn add(self, revoked: &Revocation, by: &str) -> Result<bool, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let sql = "INSERT INTO revocations (party, signing_key, since_at, note) VALUES ($1, $2, $3, $4)
            ON CONFLICT (signing_key) DO UPDATE SET since_at = excluded.since_at, note = excluded.note
                WHERE excluded.since_at < since_at";
        let query = statement(sql)
            .bind(revoked.party.to_string())
            .bind(revoked.key.to_string())
            .bind(moment(revoked.since))
            .bind(revoked.note.clone());
        if write.run(query).await? == 0 {
            return Ok(false);
        }
        let detail = json!({ "party": revoked.party, "key": revoked.key.to_string(), "since": moment(revoked.since) });
        note(&mut write, by, "key-revoked", detail).await?;
        write.commit_trusted().await?;
        Ok(true)
    }

    /// What is known of a key, if it is revoked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, key: &PublicKey) -> Result<Option<Revocation>, StoreError> {
        let sql = "SELECT party, signing_key, since_at, note FROM revocations WHERE signing_key = $1";
        self.0.row(statement(sql).bind(key.to_string())).await?.as_ref().map(read).transpose()
    }

    /// All revoked keys.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT party, signing_key, since_at, note FROM revocations ORDER BY party, signing_key";
        self.0.rows(statement(sql)).await?.iter().map(read).collect()
    }
}

/// Refuses a key that counts no more.
pub(crate) async fn refuse_revoked(write: &mut Transaction, party: PartyId, key: &PublicKey) -> Result<(), StoreError> {
    let query = statement("SELECT party FROM revocations WHERE signing_key = $1").bind(key.to_string());
    match write.row(query).await? {
        Some(_) => Err(RosterRefusal::Revoked(party).into()),
        None => Ok(()),
    }
}

fn read(row: &Row) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        party: row.parse("party")?,
        key: row.parse("signing_key")?,
        since: rounded(row.parse("since_at")?),
        note: row.get("note")?,
    })
}
