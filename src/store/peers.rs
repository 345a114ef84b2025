//! The institutions we know: how to reach them, how to recognise them, whose signature is theirs.

use jiff::Timestamp;
use serde_json::json;
use tacitly_core::PartyId;
use tacitly_core::text::is_plain;

use super::database::{Database, Transaction};
use super::events::note;
use super::in_use::refuse_in_use;
use super::parties::{forget_rules_of_strangers, refuse_other_key};
use super::record::{Row, moment, statement};
use super::{PublicKey, StoreError};

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub id: PartyId,
    /// Where to dial it; none for a peer that dials us.
    pub address: Option<String>,
    /// What verifies its signatures.
    pub signing_key: PublicKey,
    /// The certificates or keys that it may present, in order of their start. Several while it changes over.
    pub pins: Vec<Pin>,
    /// When it was added.
    pub added_at: Timestamp,
}

/// One certificate or key that a peer may present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The pin, as the transport writes it.
    pub pin: String,
    /// From when it holds.
    pub since: Timestamp,
    /// Until when it holds; none while nobody has ended it.
    pub until: Option<Timestamp>,
}

/// A peer to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPeer {
    /// Its name.
    pub id: PartyId,
    /// Where to dial it; none for a peer that dials us.
    pub address: Option<String>,
    /// What verifies its signatures.
    pub signing_key: PublicKey,
    /// The certificates or keys that it may present, from now on.
    pub pins: Vec<String>,
}

impl Peer {
    /// Whether the peer may present this pin at this time.
    #[must_use]
    pub fn accepts(&self, pin: &str, at: Timestamp) -> bool {
        self.pins.iter().any(|known| known.pin == pin && known.since <= at && known.until.is_none_or(|end| at < end))
    }
}

const SELECT: &str = "SELECT id, address, signing_key, added_at, pin, since_at, until_at
    FROM peers LEFT JOIN peer_pins ON peer = id WHERE ($1 IS NULL OR id = $1) ORDER BY id, since_at, pin";

/// The institutions that we know.
#[derive(Clone, Copy)]
pub struct PeerTable<'s>(pub(super) &'s Database);

impl PeerTable<'_> {
    /// Adds a peer.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if the name is taken, [`StoreError::Roster`] if a roster names it by another key or
    /// its key is another party's, [`StoreError::Invalid`] for an address or pin that is empty or very long; [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn add(self, peer: NewPeer, by: &str) -> Result<Peer, StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let added = add_peer(&mut write, peer, by).await?;
        write.commit_trusted().await?;
        Ok(added)
    }

    /// The peer of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn get(self, id: PartyId) -> Result<Peer, StoreError> {
        let rows = self.0.rows(statement(SELECT).bind(id.to_string())).await?;
        peers(&rows)?.pop().ok_or_else(|| StoreError::not_found("peer", id))
    }

    /// All peers, by name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Io`].
    pub async fn all(self) -> Result<Vec<Peer>, StoreError> {
        peers(&self.0.trusted_rows(statement(SELECT).bind(None::<String>)).await?)
    }

    /// Removes a peer with its pins, and every rule for it unless it is a member of a consortium. Its lines in the ledger
    /// stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::InUse`] while jobs with it are unfinished; [`StoreError::DiskFull`],
    /// [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn remove(self, id: PartyId, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        refuse_in_use(&mut write, "peer", id.as_str()).await?;
        let removed = write.run(statement("DELETE FROM peers WHERE id = $1").bind(id.to_string())).await?;
        if removed == 0 {
            return Err(StoreError::not_found("peer", id));
        }
        let detail = json!({ "peer": id, "rules_removed": forget_rules_of_strangers(&mut write).await? });
        note(&mut write, by, "peer-removed", detail).await?;
        write.commit_trusted().await
    }

    /// Changes where a peer is dialled; none for a peer that dials us.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`]; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn set_address(self, id: PartyId, address: Option<&str>, by: &str) -> Result<(), StoreError> {
        address.map_or(Ok(()), |address| check_text("the address of a peer", address))?;
        let query = statement("UPDATE peers SET address = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(address.map(str::to_owned));
        let mut write = self.0.begin_trusted().await?;
        if write.run(query).await? == 0 {
            return Err(StoreError::not_found("peer", id));
        }
        note(&mut write, by, "peer-address-changed", json!({ "peer": id, "address": address })).await?;
        write.commit_trusted().await
    }

    /// Lets a peer present another certificate or key from now on, beside those it has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::AlreadyExists`] if it has that pin; [`StoreError::Invalid`];
    /// [`StoreError::DiskFull`], [`StoreError::Busy`], [`StoreError::Io`].
    pub async fn add_pin(self, id: PartyId, pin: &str, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        require_peer(&mut write, id).await?;
        add_pin(&mut write, id, pin).await?;
        note(&mut write, by, "peer-pin-added", json!({ "peer": id, "pin": pin })).await?;
        write.commit_trusted().await
    }

    /// Ends a pin at a time, which may lie ahead: the overlap in which a peer changes over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the peer has no such pin; [`StoreError::DiskFull`], [`StoreError::Busy`],
    /// [`StoreError::Io`].
    pub async fn end_pin(self, id: PartyId, pin: &str, until: Timestamp, by: &str) -> Result<(), StoreError> {
        let mut write = self.0.begin_trusted().await?;
        let query = statement("UPDATE peer_pins SET until_at = $3 WHERE peer = $1 AND pin = $2")
            .bind(id.to_string())
            .bind(pin.to_owned())
            .bind(moment(until));
        if write.run(query).await? == 0 {
            return Err(StoreError::not_found("pin of that peer", pin));
        }
        note(&mut write, by, "peer-pin-ended", json!({ "peer": id, "pin": pin, "until": moment(until) })).await?;
        write.commit_trusted().await
    }
}

/// Refuses a name that no peer has.
pub(crate) async fn require_peer(write: &mut Transaction, id: PartyId) -> Result<(), StoreError> {
    let found = write.row(statement("SELECT id FROM peers WHERE id = $1").bind(id.to_string())).await?;
    found.map(drop).ok_or_else(|| StoreError::not_found("peer", id))
}

pub(crate) async fn add_peer(write: &mut Transaction, peer: NewPeer, by: &str) -> Result<Peer, StoreError> {
    let NewPeer { id, address, signing_key, pins } = peer;
    address.as_deref().map_or(Ok(()), |address| check_text("the address of a peer", address))?;
    let query = statement("INSERT INTO peers (id, address, signing_key, added_at) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(address.clone())
        .bind(signing_key.to_string())
        .bind(moment(write.now));
    if !write.insert(query).await? {
        return Err(StoreError::already_exists("peer", id));
    }
    refuse_other_key(write, id, &signing_key).await?;
    for pin in &pins {
        add_pin(write, id, pin).await?;
    }
    let detail = json!({ "peer": id, "address": address, "key": signing_key.to_string(), "pins": pins });
    note(write, by, "peer-added", detail).await?;
    let pins = pins.into_iter().map(|pin| Pin { pin, since: write.now, until: None }).collect();
    Ok(Peer { id, address, signing_key, pins, added_at: write.now })
}

async fn add_pin(write: &mut Transaction, id: PartyId, pin: &str) -> Result<(), StoreError> {
    check_text("a pin", pin)?;
    let query = statement("INSERT INTO peer_pins (peer, pin, since_at) VALUES ($1, $2, $3)")
        .bind(id.to_string())
        .bind(pin.to_owned())
        .bind(moment(write.now));
    if write.insert(query).await? { Ok(()) } else { Err(StoreError::already_exists("pin of that peer", pin)) }
}

fn check_text(what: &'static str, text: &str) -> Result<(), StoreError> {
    let fits = (1..=255).contains(&text.len()) && is_plain(text);
    if fits { Ok(()) } else { Err(StoreError::invalid(what, "it has 1 to 255 bytes and no control characters")) }
}

/// One peer for each run of rows with the same name.
fn peers(rows: &[Row]) -> Result<Vec<Peer>, StoreError> {
    let mut peers: Vec<Peer> = Vec::new();
    for row in rows {
        let id = row.parse("id")?;
        if peers.last().is_none_or(|last| last.id != id) {
            peers.push(Peer {
                id,
                address: row.get("address")?,
                signing_key: row.parse("signing_key")?,
                pins: Vec::new(),
                added_at: row.parse("added_at")?,
            });
        }
        let pin: Option<String> = row.get("pin")?;
        if let (Some(pin), Some(peer)) = (pin, peers.last_mut()) {
            peer.pins.push(Pin { pin, since: row.parse("since_at")?, until: row.parse_optional("until_at")? });
        }
    }
    Ok(peers)
}
