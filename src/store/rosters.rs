//! Rosters of consortia: the keys of members whom we may never have met, as a founder has signed them.
//!
//! A party that is both a peer and a member, or a member twice, is known by one key, and a key is known as one party's:
//! whatever would make it otherwise is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use tacitly_attestation::note::VerifierKey;
use tacitly_attestation::roster::SignedRoster;
use tacitly_core::PartyId;

use super::database::{Database, Transaction};
use super::events::note;
use super::in_use::refuse_in_use;
use super::parties::{forget_rules_of_strangers, keys, refuse_other_key};
use super::record::{Row, moment, statement};
use super::{PublicKey, RosterRefusal, StoreError};

/// The most parties in all consortia together: the policy of a certificate names every one of them and has to be read.
pub const MAX_ROSTER_MEMBERS: u64 = 512;

/// A roster that is pinned here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedRoster {
    /// The roster, with its founder's signature.
    pub signed: SignedRoster,
    /// When it was pinned.
    pub pinned_at: Timestamp,
}

const SELECT: &str = "SELECT consortium, note, pinned_at FROM rosters WHERE ($1 IS NULL OR consortium = $1)
    ORDER BY consortium";

/// Rosters of consortia.
#[derive(Clone, Copy)]
pub struct RosterTable<'s>(pub(super) &'s Database);

impl RosterTable<'_> {
    /// Pins a roster, and with it the keys of all members but `me`. A newer version by the same founder takes the place of
    /// an older one; rules for members that nothing else makes known here go with it. The same roster again changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Roster`] with the [`RosterRefusal`]; [`StoreError::InUse`] if jobs are unfinished with a member that
    /// would be gone or have another key; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn pin(self, signed: &SignedRoster, me: PartyId, by: &str) -> Result<PinnedRoster, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let name = signed.roster().name.as_str();
        let known = roster(&mut write, name).await?;
        if let Some(known) = known.as_ref().filter(|known| known.signed == *signed) {
            return Ok(known.clone());
        }
        let mut before = BTreeMap::new();
        if let Some(known) = &known {
            refuse_replacing(&known.signed, signed)?;
            before = drop_roster(&mut write, name).await?;
        }
        let query = statement("INSERT INTO rosters (consortium, note, pinned_at) VALUES ($1, $2, $3)")
            .bind(name.to_owned())
            .bind(signed.encode())
            .bind(moment(write.now));
        write.run(query).await?;
        let members = members(signed)?;
        for (party, key) in members.iter().filter(|(party, _)| **party != me) {
            refuse_other_key(&mut write, *party, key).await?;
            let query = statement("INSERT INTO roster_members (consortium, party, signing_key) VALUES ($1, $2, $3)")
                .bind(name.to_owned())
                .bind(party.to_string())
                .bind(key.to_string());
            write.run(query).await?;
        }
        refuse_too_many_members(&mut write).await?;
        refuse_using_strangers(&mut write, &before).await?;
        let keys: BTreeMap<String, String> =
            members.iter().map(|(party, key)| (party.to_string(), key.to_string())).collect();
        let detail = json!({
            "consortium": name,
            "version": signed.roster().version.get(),
            "founder": signed.roster().founder.to_string(),
            "fingerprint": signed.fingerprint().to_string(),
            "members": keys,
            "replaced": known.map(|known| known.signed.roster().version.get()),
            "rules_removed": forget_rules_of_strangers(&mut write).await?,
        });
        note(&mut write, by, "roster-pinned", detail).await?;
        let pinned_at = write.now;
        write.commit_trusted().await?;
        Ok(PinnedRoster { signed: signed.clone(), pinned_at })
    }

    /// The pinned roster of a consortium; none if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, consortium: &str) -> Result<Option<PinnedRoster>, StoreError> {
        let row = self.0.row(statement(SELECT).bind(consortium.to_owned())).await?;
        row.as_ref().map(read).transpose()
    }

    /// All pinned rosters, by the names of their consortia.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<Vec<PinnedRoster>, StoreError> {
        self.0.rows(statement(SELECT).bind(None::<String>)).await?.iter().map(read).collect()
    }

    /// Forgets a consortium. Rules for members that nothing else makes known here go with it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InUse`] while jobs with such members are unfinished;
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn remove(self, consortium: &str, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let known = roster(&mut write, consortium).await?;
        let known = known.ok_or_else(|| StoreError::not_found("consortium", consortium))?;
        let before = drop_roster(&mut write, consortium).await?;
        refuse_using_strangers(&mut write, &before).await?;
        let detail = json!({
            "consortium": consortium,
            "version": known.signed.roster().version.get(),
            "fingerprint": known.signed.fingerprint().to_string(),
            "rules_removed": forget_rules_of_strangers(&mut write).await?,
        });
        note(&mut write, by, "roster-removed", detail).await?;
        write.commit_trusted().await
    }
}

async fn roster(write: &mut Transaction, consortium: &str) -> Result<Option<PinnedRoster>, StoreError> {
    let row = write.row(statement(SELECT).bind(consortium.to_owned())).await?;
    row.as_ref().map(read).transpose()
}

/// Forgets a roster; returns the members that it made known.
async fn drop_roster(write: &mut Transaction, consortium: &str) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
    let query = statement("SELECT party, signing_key FROM roster_members WHERE consortium = $1");
    let known = keys(&write.rows(query.bind(consortium.to_owned())).await?)?;
    write.run(statement("DELETE FROM rosters WHERE consortium = $1").bind(consortium.to_owned())).await?;
    Ok(known)
}

async fn refuse_too_many_members(write: &mut Transaction) -> Result<(), StoreError> {
    let row = write.row(statement("SELECT count(DISTINCT party) AS members FROM roster_members")).await?;
    let members = row.map(|row| row.count("members")).transpose()?.unwrap_or_default();
    let most = MAX_ROSTER_MEMBERS;
    if members > most { Err(RosterRefusal::TooManyMembers { most }.into()) } else { Ok(()) }
}

/// Refuses while jobs are unfinished with one of these that is no longer known by this key.
async fn refuse_using_strangers(
    write: &mut Transaction,
    members: &BTreeMap<PartyId, PublicKey>,
) -> Result<(), StoreError> {
    for (party, key) in members {
        let query = statement("SELECT party FROM known_parties WHERE party = $1 AND signing_key = $2")
            .bind(party.to_string())
            .bind(key.to_string());
        if write.row(query).await?.is_none() {
            refuse_in_use(write, "member", party.as_str()).await?;
        }
    }
    Ok(())
}

/// Refuses a roster that does not take the place of the one that is pinned.
fn refuse_replacing(pinned: &SignedRoster, offered: &SignedRoster) -> Result<(), RosterRefusal> {
    let (known, new) = (pinned.roster(), offered.roster());
    if new.replaces(known) {
        return Ok(());
    }
    let (consortium, pinned, offered) = (known.name.to_string(), known.version.get(), new.version.get());
    Err(if new.founder != known.founder {
        RosterRefusal::OtherFounder { consortium, founder: known.founder.name().to_owned() }
    } else if offered == pinned {
        RosterRefusal::Differs { consortium, version: pinned }
    } else {
        RosterRefusal::Older { consortium, pinned, offered }
    })
}

fn members(signed: &SignedRoster) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
    let read = |(party, key): (PartyId, &VerifierKey)| {
        let key = PublicKey::from_bytes(key.public());
        key.map(|key| (party, key)).map_err(|error| StoreError::invalid("the key of a member", error.to_string()))
    };
    signed.roster().members().map(read).collect()
}

fn read(row: &Row) -> Result<PinnedRoster, StoreError> {
    let note: Vec<u8> = row.get("note")?;
    let signed = SignedRoster::parse(&note).map_err(|_| row.damaged("note"))?;
    Ok(PinnedRoster { signed, pinned_at: row.parse("pinned_at")? })
}
