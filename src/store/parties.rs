//! Every party whose key is pinned here, as a peer, as a member of a consortium, or as both.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tacitly_core::PartyId;

use super::database::{Database, Transaction};
use super::record::{Row, statement};
use super::revocations::refuse_revoked;
use super::{Ourselves, PublicKey, RosterRefusal, StoreError};

/// The parties that are known here.
#[derive(Clone, Copy)]
pub struct PartyTable<'s>(pub(super) &'s Database);

impl PartyTable<'_> {
    /// The key of a party that is pinned here as a peer, as a member of a consortium, or as both.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Revoked`] if it counts no more; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn key_of(self, party: PartyId) -> Result<PublicKey, StoreError> {
        let sql = "SELECT signing_key, signing_key IN (SELECT signing_key FROM revocations) AS is_revoked
            FROM known_parties WHERE party = $1";
        let row = self.0.row(statement(sql).bind(party.to_string())).await?.ok_or_else(|| unknown(party))?;
        if row.get("is_revoked")? { Err(StoreError::Revoked { party }) } else { row.parse("signing_key") }
    }

    /// Every party that is pinned here, as a peer or as a member of a consortium, with its key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
        keys(&self.0.rows(statement("SELECT party, signing_key FROM known_parties")).await?)
    }
}

/// Refuses a party that is neither a peer nor a member of a consortium.
pub(crate) async fn require_known(write: &mut Transaction, party: PartyId) -> Result<(), StoreError> {
    let query = statement("SELECT party FROM known_parties WHERE party = $1").bind(party.to_string());
    write.row(query).await?.map(drop).ok_or_else(|| unknown(party))
}

/// Refuses our own name and our own key, a party that is known by another key, and a key that is known as another party's.
pub(crate) async fn refuse_other_key(
    write: &mut Transaction,
    party: PartyId,
    key: &PublicKey,
) -> Result<(), StoreError> {
    if let Some(ours) = write.ours {
        refuse_ours(ours, party, key)?;
    }
    refuse_revoked(write, party, key).await?;
    let sql = "SELECT party FROM known_parties WHERE (party = $1) <> (signing_key = $2) ORDER BY party LIMIT 1";
    let query = statement(sql).bind(party.to_string()).bind(key.to_string());
    let Some(row) = write.row(query).await? else { return Ok(()) };
    let found: PartyId = row.parse("party")?;
    Err(if found == party { RosterRefusal::OtherKey(party) } else { RosterRefusal::KeyOf { party, owner: found } }
        .into())
}

/// Refuses a party that would be known by our own name or key.
pub(crate) fn refuse_ours(ours: Ourselves, party: PartyId, key: &PublicKey) -> Result<(), RosterRefusal> {
    if party == ours.party {
        Err(RosterRefusal::OurName(party))
    } else if *key == ours.key {
        Err(RosterRefusal::OurKey(party))
    } else {
        Ok(())
    }
}

/// Takes away all rules for parties that are known no more; returns of which dataset for whom.
pub(crate) async fn forget_rules_of_strangers(write: &mut Transaction) -> Result<Vec<Value>, StoreError> {
    let sql = "DELETE FROM rules WHERE peer NOT IN (SELECT party FROM known_parties) RETURNING dataset, peer";
    let read = |row: &Row| {
        let (dataset, party): (String, String) = (row.get("dataset")?, row.get("peer")?);
        Ok(json!({ "dataset": dataset, "party": party }))
    };
    write.rows(statement(sql)).await?.iter().map(read).collect()
}

/// Parties with their keys.
pub(crate) fn keys(rows: &[Row]) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
    rows.iter().map(|row| Ok((row.parse("party")?, row.parse("signing_key")?))).collect()
}

fn unknown(party: PartyId) -> StoreError {
    StoreError::not_found("peer or member", party)
}
