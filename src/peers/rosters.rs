//! Consortia: rosters that we found or join, and with them the keys of members whom we have not met.

use std::collections::BTreeMap;
use std::sync::Arc;

use tacitly_attestation::entry::{Code, Count};
use tacitly_attestation::roster::{Roster, RosterFingerprint, SignedRoster};
use tacitly_core::PartyId;

use crate::codes::{self, Error};
use crate::store::{NoteSigner, PinnedRoster, PublicKey, Signer, Store};

/// The consortia of one party.
pub struct Rosters {
    me: PartyId,
    store: Arc<Store>,
    signer: Arc<dyn Signer>,
}

/// A consortium as its member's operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterView {
    /// What it is called.
    pub consortium: String,
    /// Which of its rosters is pinned.
    pub version: u64,
    /// The name of the party that signs its rosters.
    pub founder: String,
    /// What its members compare by another way.
    pub fingerprint: String,
    /// The members by name, we among them.
    pub members: Vec<MemberView>,
    /// When the roster was pinned.
    pub pinned: String,
    /// The roster itself, to hand on.
    pub roster: String,
}

/// A member of a consortium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub party: PartyId,
    /// Its signing key.
    pub key: String,
    /// Whether it is a peer, too.
    pub is_peer: bool,
}

impl Rosters {
    /// The consortia of this party, pinned in this store; it founds others with its signing key.
    #[must_use]
    pub fn new(me: PartyId, store: Arc<Store>, signer: Arc<dyn Signer>) -> Self {
        Self { me, store, signer }
    }

    /// Founds a consortium of these peers and ourselves, or signs its next roster if it is ours already. The roster is
    /// pinned here, and the others join with it. The same members again are the same roster.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a name that is none or too few or too many members, [`codes::PEER_UNKNOWN`] for one that
    /// is no peer, [`codes::ROSTER`] for a consortium that another party has founded, or an error of the store.
    pub async fn init(&self, consortium: &str, members: &[String], by: &str) -> Result<RosterView, Error> {
        let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
        let name = Code::parse(consortium).map_err(|_| {
            bad("a consortium's name has 1 to 32 of a-z, 0-9, '-', '_' and '.', a letter first".to_owned())
        })?;
        let own = self.signer.public_key();
        let mut keys = BTreeMap::from([(self.me, own)]);
        for member in members {
            let party: PartyId = member.parse().map_err(|_| bad(format!("{member:?} is no party name")))?;
            if party != self.me {
                keys.insert(party, self.store.peers().get(party).await?.signing_key);
            }
        }
        let pinned = self.store.rosters().get(consortium).await?;
        let mut version = 1;
        if let Some(PinnedRoster { signed, .. }) = &pinned {
            let roster = signed.roster();
            if roster.founder.public() != own.as_bytes() {
                let text =
                    format!("{consortium} was founded by {}, who alone signs its rosters", roster.founder.name());
                return Err(Error::new(codes::ROSTER, text));
            }
            if roster.members().map(|(party, key)| (party, *key.public())).eq(keys.iter().map(public)) {
                return self.pin(signed, by).await;
            }
            version = roster.version.get().saturating_add(1);
        }
        let key = |(party, key): (&PartyId, &PublicKey)| key.of_notes(*party).map_err(internal);
        let roster = Roster {
            name,
            version: Count::new(version).map_err(|_| bad(format!("{consortium} has had too many rosters")))?,
            founder: key((&self.me, &own))?,
            members: keys.iter().map(key).collect::<Result<_, _>>()?,
        };
        // What is wrong with it is told before anything is signed.
        roster.text().map_err(|error| bad(error.to_string()))?;
        let signed = SignedRoster::sign(&roster, &NoteSigner(self.signer.clone())).map_err(internal)?;
        self.pin(&signed, by).await
    }

    /// Joins a consortium: pins a roster that its founder has handed to us, whose fingerprint was compared with the founder
    /// by another way.
    ///
    /// # Errors
    /// [`codes::ROSTER`] for a roster that is damaged, not the one that was compared, without us or with another key of
    /// ours, older than the pinned one, or that gives a party that is known here another key; [`codes::BAD_REQUEST`] for
    /// what is no fingerprint; [`codes::PEER_IN_USE`], or an error of the store.
    pub async fn join(&self, roster: &[u8], fingerprint: &str, by: &str) -> Result<RosterView, Error> {
        let refuse = |text: String| Error::new(codes::ROSTER, text);
        let signed = SignedRoster::parse(roster).map_err(|error| refuse(error.to_string()))?;
        let compared = RosterFingerprint::parse(fingerprint);
        let compared = compared.map_err(|error| Error::new(codes::BAD_REQUEST, error.to_string()))?;
        if signed.fingerprint() != compared {
            let found = signed.fingerprint();
            return Err(refuse(format!("this roster's fingerprint is {found}, and {compared} was compared")));
        }
        let (name, me) = (&signed.roster().name, self.me);
        match signed.roster().key_of(me) {
            Some(key) if key.public() == self.signer.public_key().as_bytes() => self.pin(&signed, by).await,
            Some(_) => Err(refuse(format!(
                "this roster of {name} names {me} by another key than ours; its founder has to pin {me} anew"
            ))),
            None => Err(refuse(format!("this roster of {name} does not name {me} among the members"))),
        }
    }

    /// All consortia.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn list(&self) -> Result<Vec<RosterView>, Error> {
        let mut views = Vec::new();
        for pinned in self.store.rosters().all().await? {
            views.push(self.view(&pinned).await?);
        }
        Ok(views)
    }

    /// Leaves a consortium: the keys of members that are no peers, and the rules for them, are gone.
    ///
    /// # Errors
    /// [`codes::CONSORTIUM_UNKNOWN`], [`codes::PEER_IN_USE`] or an error of the store.
    pub async fn leave(&self, consortium: &str, by: &str) -> Result<(), Error> {
        Ok(self.store.rosters().remove(consortium, by).await?)
    }

    async fn pin(&self, signed: &SignedRoster, by: &str) -> Result<RosterView, Error> {
        let pinned = self.store.rosters().pin(signed, self.me, by).await?;
        self.view(&pinned).await
    }

    async fn view(&self, pinned: &PinnedRoster) -> Result<RosterView, Error> {
        let PinnedRoster { signed, pinned_at } = pinned;
        let peers = self.store.peers().all().await?;
        let mut members = Vec::new();
        for (party, key) in signed.roster().members() {
            let key = PublicKey::from_bytes(key.public()).map_err(internal)?.to_string();
            members.push(MemberView { party, key, is_peer: peers.iter().any(|peer| peer.id == party) });
        }
        Ok(RosterView {
            consortium: signed.roster().name.to_string(),
            version: signed.roster().version.get(),
            founder: signed.roster().founder.name().to_owned(),
            fingerprint: signed.fingerprint().to_string(),
            members,
            pinned: pinned_at.to_string(),
            roster: String::from_utf8(signed.encode()).map_err(internal)?,
        })
    }
}

fn public((party, key): (&PartyId, &PublicKey)) -> (PartyId, [u8; 32]) {
    (*party, *key.as_bytes())
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}
