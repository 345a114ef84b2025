//! Rosters of consortia: the keys of members whom we may never have met, as a founder has signed them.
//!
//! A party that is both a peer and a member, or a member twice, is known by one key, and a key is known as one party's:
//! whatever would make it otherwise is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tacitly_attestation::note::VerifierKey;
use tacitly_attestation::roster::SignedRoster;
use tacitly_core::PartyId;

use super::database::Write;
use super::record::{Row, moment, statement};
use super::{PublicKey, RosterRefusal, Store, StoreError};

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

impl Store {
    /// Pins a roster, and with it the keys of all members but `me`. A newer version by the same founder takes the place of
    /// an older one; rules for members that nothing else makes known here go with it. The same roster again changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Roster`] with the [`RosterRefusal`]; [`StoreError::InUse`] if jobs are unfinished with a member that
    /// would be gone or have another key; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn pin_roster(&self, signed: &SignedRoster, me: PartyId, by: &str) -> Result<PinnedRoster, StoreError> {
        let mut write = self.begin().await?;
        let name = signed.roster().name.as_str();
        let known = write.roster(name).await?;
        if let Some(known) = known.as_ref().filter(|known| known.signed == *signed) {
            return Ok(known.clone());
        }
        let mut before = BTreeMap::new();
        if let Some(known) = &known {
            refuse_replacing(&known.signed, signed)?;
            before = write.drop_roster(name).await?;
        }
        let query = statement("INSERT INTO rosters (consortium, note, pinned_at) VALUES ($1, $2, $3)")
            .bind(name.to_owned())
            .bind(signed.encode())
            .bind(moment(write.now));
        write.run(query).await?;
        let members = members(signed)?;
        for (party, key) in members.iter().filter(|(party, _)| **party != me) {
            write.refuse_other_key(*party, key).await?;
            let query = statement("INSERT INTO roster_members (consortium, party, signing_key) VALUES ($1, $2, $3)")
                .bind(name.to_owned())
                .bind(party.to_string())
                .bind(key.to_string());
            write.run(query).await?;
        }
        write.refuse_too_many_members().await?;
        write.refuse_using_strangers(&before).await?;
        let keys: BTreeMap<String, String> =
            members.iter().map(|(party, key)| (party.to_string(), key.to_string())).collect();
        let detail = json!({
            "consortium": name,
            "version": signed.roster().version.get(),
            "founder": signed.roster().founder.to_string(),
            "fingerprint": signed.fingerprint().to_string(),
            "members": keys,
            "replaced": known.map(|known| known.signed.roster().version.get()),
            "rules_removed": write.forget_rules_of_strangers().await?,
        });
        write.note(by, "roster-pinned", detail).await?;
        let pinned_at = write.now;
        write.commit().await?;
        Ok(PinnedRoster { signed: signed.clone(), pinned_at })
    }

    /// The pinned roster of a consortium; none if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn roster(&self, consortium: &str) -> Result<Option<PinnedRoster>, StoreError> {
        let row = self.row(statement(SELECT).bind(consortium.to_owned())).await?;
        row.as_ref().map(read).transpose()
    }

    /// All pinned rosters, by the names of their consortia.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn rosters(&self) -> Result<Vec<PinnedRoster>, StoreError> {
        self.rows(statement(SELECT).bind(None::<String>)).await?.iter().map(read).collect()
    }

    /// Forgets a consortium. Rules for members that nothing else makes known here go with it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InUse`] while jobs with such members are unfinished;
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn remove_roster(&self, consortium: &str, by: &str) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        let known = write.roster(consortium).await?;
        let known = known.ok_or_else(|| StoreError::not_found("consortium", consortium))?;
        let before = write.drop_roster(consortium).await?;
        write.refuse_using_strangers(&before).await?;
        let detail = json!({
            "consortium": consortium,
            "version": known.signed.roster().version.get(),
            "fingerprint": known.signed.fingerprint().to_string(),
            "rules_removed": write.forget_rules_of_strangers().await?,
        });
        write.note(by, "roster-removed", detail).await?;
        write.commit().await
    }

    /// The key of a party that is pinned here as a peer, as a member of a consortium, or as both.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn key_of(&self, party: PartyId) -> Result<PublicKey, StoreError> {
        let query = statement("SELECT signing_key FROM known_parties WHERE party = $1").bind(party.to_string());
        let row = self.row(query).await?;
        row.ok_or_else(|| unknown(party))?.parse("signing_key")
    }

    /// Every party that is pinned here, as a peer or as a member of a consortium, with its key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn known_parties(&self) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
        keys(&self.rows(statement("SELECT party, signing_key FROM known_parties")).await?)
    }
}

impl Write {
    /// Refuses a party that is neither a peer nor a member of a consortium.
    pub(crate) async fn require_known(&mut self, party: PartyId) -> Result<(), StoreError> {
        let query = statement("SELECT party FROM known_parties WHERE party = $1").bind(party.to_string());
        self.row(query).await?.map(drop).ok_or_else(|| unknown(party))
    }

    /// Refuses a party that is known by another key, and a key that is known as another party's.
    pub(crate) async fn refuse_other_key(&mut self, party: PartyId, key: &PublicKey) -> Result<(), StoreError> {
        let sql = "SELECT party FROM known_parties WHERE (party = $1) <> (signing_key = $2) ORDER BY party LIMIT 1";
        let query = statement(sql).bind(party.to_string()).bind(key.to_string());
        let Some(row) = self.row(query).await? else { return Ok(()) };
        let found: PartyId = row.parse("party")?;
        Err(if found == party { RosterRefusal::OtherKey(party) } else { RosterRefusal::KeyOf { party, owner: found } }
            .into())
    }

    /// Takes away all rules for parties that are known no more; returns of which dataset for whom.
    pub(crate) async fn forget_rules_of_strangers(&mut self) -> Result<Vec<Value>, StoreError> {
        let sql = "DELETE FROM rules WHERE peer NOT IN (SELECT party FROM known_parties) RETURNING dataset, peer";
        let read = |row: &Row| {
            let (dataset, party): (String, String) = (row.get("dataset")?, row.get("peer")?);
            Ok(json!({ "dataset": dataset, "party": party }))
        };
        self.rows(statement(sql)).await?.iter().map(read).collect()
    }

    async fn roster(&mut self, consortium: &str) -> Result<Option<PinnedRoster>, StoreError> {
        let row = self.row(statement(SELECT).bind(consortium.to_owned())).await?;
        row.as_ref().map(read).transpose()
    }

    /// Forgets a roster; returns the members that it made known.
    async fn drop_roster(&mut self, consortium: &str) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
        let query = statement("SELECT party, signing_key FROM roster_members WHERE consortium = $1");
        let known = keys(&self.rows(query.bind(consortium.to_owned())).await?)?;
        self.run(statement("DELETE FROM rosters WHERE consortium = $1").bind(consortium.to_owned())).await?;
        Ok(known)
    }

    async fn refuse_too_many_members(&mut self) -> Result<(), StoreError> {
        let row = self.row(statement("SELECT count(DISTINCT party) AS members FROM roster_members")).await?;
        let members = row.map(|row| row.count("members")).transpose()?.unwrap_or_default();
        let most = MAX_ROSTER_MEMBERS;
        if members > most { Err(RosterRefusal::TooManyMembers { most }.into()) } else { Ok(()) }
    }

    /// Refuses while jobs are unfinished with one of these that is no longer known by this key.
    async fn refuse_using_strangers(&mut self, members: &BTreeMap<PartyId, PublicKey>) -> Result<(), StoreError> {
        for (party, key) in members {
            let query = statement("SELECT party FROM known_parties WHERE party = $1 AND signing_key = $2")
                .bind(party.to_string())
                .bind(key.to_string());
            if self.row(query).await?.is_none() {
                self.refuse_in_use("member", party.as_str()).await?;
            }
        }
        Ok(())
    }
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

fn keys(rows: &[Row]) -> Result<BTreeMap<PartyId, PublicKey>, StoreError> {
    rows.iter().map(|row| Ok((row.parse("party")?, row.parse("signing_key")?))).collect()
}

fn unknown(party: PartyId) -> StoreError {
    StoreError::not_found("peer or member", party)
}

fn read(row: &Row) -> Result<PinnedRoster, StoreError> {
    let note: Vec<u8> = row.get("note")?;
    let signed = SignedRoster::parse(&note).map_err(|_| row.damaged("note"))?;
    Ok(PinnedRoster { signed, pinned_at: row.parse("pinned_at")? })
}
