//! Invitations: a secret that lets one institution become a peer, once, and not for ever.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use tacitly_core::PartyId;
use zeroize::Zeroizing;

use super::database::{Database, Transaction};
use super::events::note;
use super::peers::add_peer;
use super::record::{Row, moment, rounded, statement};
use super::seal::fill_random;
use super::{InviteRefusal, NewPeer, Peer, StoreError};

/// The 16 random bytes of an invitation. The store keeps only their hash.
///
/// Not `Clone`, `Debug` nor `PartialEq`; wiped on drop.
pub struct InviteToken(Zeroizing<[u8; 16]>);

/// An invitation, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it lets nobody in.
    pub expires_at: Timestamp,
    /// Whom it invites: nobody else may join with it.
    pub party: PartyId,
    /// When that party joined with it.
    pub used: Option<Timestamp>,
}

impl InviteToken {
    /// Draws a new token.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the system gives no randomness.
    pub fn fresh() -> Result<Self, StoreError> {
        let mut bytes = Zeroizing::new([0; 16]);
        fill_random(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// A token that somebody presents.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the text that is handed over.
    #[must_use]
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    fn hash(&self) -> String {
        let digest = Sha256::new().chain_update(b"tacitly-invite-1\n").chain_update(self.expose()).finalize();
        format!("sha256:{}", HEXLOWER.encode(&digest))
    }
}

/// Invitations.
#[derive(Clone, Copy)]
pub struct InviteTable<'s>(pub(super) &'s Database);

impl InviteTable<'_> {
    /// Notes an invitation of one party; the caller hands the token over.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] for a token that was noted before; [`StoreError::DiskFull`],
    /// [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn create(
        self,
        token: &InviteToken,
        party: PartyId,
        expires: Timestamp,
        by: &str,
    ) -> Result<Invite, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let sql = "INSERT INTO invites (token_hash, party, created_at, expires_at) VALUES ($1, $2, $3, $4)";
        let query =
            statement(sql).bind(token.hash()).bind(party.to_string()).bind(moment(write.now)).bind(moment(expires));
        if !write.insert(query).await? {
            return Err(StoreError::already_exists("invitation", token.hash()));
        }
        note(&mut write, by, "invite-created", json!({ "party": party, "expires": moment(expires) })).await?;
        let created_at = write.now;
        write.commit_trusted().await?;
        Ok(Invite { created_at, expires_at: rounded(expires), party, used: None })
    }

    /// Uses an invitation up, without adding a peer. Of any number of tries exactly one succeeds.
    ///
    /// # Errors
    /// [`StoreError::Invite`] if it is unknown, expired, used or invites another party; [`StoreError::DiskFull`],
    /// [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn consume(self, token: &InviteToken, by: PartyId) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        consume_invite(&mut write, token, by).await?;
        write.commit_trusted().await
    }

    /// Uses an invitation up and adds the peer that brought it, both or neither.
    ///
    /// # Errors
    /// As [`InviteTable::consume`] and [`PeerTable::add`](super::PeerTable::add).
    pub async fn admit(self, token: &InviteToken, peer: NewPeer) -> Result<Peer, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        consume_invite(&mut write, token, peer.id).await?;
        let by = peer.id;
        let peer = add_peer(&mut write, peer, by.as_str()).await?;
        write.commit_trusted().await?;
        Ok(peer)
    }

    /// All invitations, newest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<Vec<Invite>, StoreError> {
        let sql = "SELECT party, created_at, expires_at, used_at FROM invites ORDER BY created_at DESC, token_hash";
        self.0.rows(statement(sql)).await?.iter().map(invite).collect()
    }
}

async fn consume_invite(write: &mut Transaction, token: &InviteToken, by: PartyId) -> Result<(), StoreError> {
    let sql = "SELECT party, created_at, expires_at, used_at FROM invites WHERE token_hash = $1";
    let row = write.row(statement(sql).bind(token.hash())).await?.ok_or(InviteRefusal::Unknown)?;
    let found = invite(&row)?;
    if found.used.is_some() {
        return Err(InviteRefusal::Used.into());
    }
    if found.expires_at <= write.now {
        return Err(InviteRefusal::Expired.into());
    }
    if found.party != by {
        return Err(InviteRefusal::OfAnother { invited: found.party }.into());
    }
    let query = statement("UPDATE invites SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL")
        .bind(token.hash())
        .bind(moment(write.now));
    if write.run(query).await? == 0 {
        return Err(InviteRefusal::Used.into());
    }
    note(write, by.as_str(), "invite-used", json!({ "peer": by })).await
}

fn invite(row: &Row) -> Result<Invite, StoreError> {
    Ok(Invite {
        created_at: row.parse("created_at")?,
        expires_at: row.parse("expires_at")?,
        party: row.parse("party")?,
        used: row.parse_optional("used_at")?,
    })
}
