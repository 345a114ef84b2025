//! All of this room for one party, made and begun together; and what it answers peers.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::asking::SERVICE;
use super::copies::Copies;
use super::external::ExternalWitnesses;
use super::gossip::Gossip;
use super::message::{self, Answer, Ask};
use super::mirrors::Mirrors;
use super::profile::Profile;
use super::queries::Queries;
use super::reconciliation::Reconciliation;
use super::recorder::Recorder;
use super::revocations::Revocations;
use super::settings::Record;
use super::witnesses::Witnesses;
use super::witnessing::Witnessing;
use crate::codes::{self, Error};
use crate::peers::{Background, Handler, Peers};
use crate::store::Store;
use crate::transport::Pending;

/// What a party has on record, and those who see to it.
pub struct Attestation {
    recorder: Arc<Recorder>,
    profile: Arc<Profile>,
    witnessing: Arc<Witnessing>,
    witnesses: Arc<Witnesses>,
    gossip: Arc<Gossip>,
    external: Arc<ExternalWitnesses>,
    mirrors: Mirrors,
    copies: Option<Arc<Copies>>,
    reconciliation: Reconciliation,
    queries: Arc<Queries>,
    revocations: Arc<Revocations>,
}

impl Attestation {
    /// The attestation of a party by way of the ledger in `store`, witnessed by these peers.
    #[must_use]
    pub fn new(record: Record, store: &Arc<Store>, peers: &Arc<Peers>, background: &Background) -> Self {
        let (store, peers, background) = (store.clone(), peers.clone(), background.clone());
        let recorder = Recorder::new(peers.me(), record.signer.clone(), store.clone(), record.log.clone());
        let recorder = Arc::new(recorder);
        let profile = Profile::new(&record, store.clone(), peers.clone(), recorder.clone(), background.clone());
        let profile = Arc::new(profile);
        let revocations = Revocations::new(
            store.clone(),
            record.signer.clone(),
            peers.clone(),
            recorder.clone(),
            profile.clone(),
            background.clone(),
        );
        let Record { log, witness, external, mirrors, copies, .. } = record;
        let witnessing = Arc::new(Witnessing::new(store.clone(), witness));
        let witnesses =
            Witnesses::new(store.clone(), peers.clone(), log.clone(), witnessing.clone(), background.clone());
        let witnesses = Arc::new(witnesses);
        let gossip = Gossip::new(
            store.clone(),
            peers.clone(),
            log.clone(),
            witnesses.clone(),
            witnessing.clone(),
            background.clone(),
        );
        let copies = copies.map(|settings| {
            Copies::new(settings, store.clone(), peers.clone(), witnessing.clone(), background.clone())
        });
        Self {
            profile,
            revocations: Arc::new(revocations),
            gossip: Arc::new(gossip),
            external: Arc::new(ExternalWitnesses::new(log.clone(), external, background)),
            mirrors: Mirrors::new(mirrors, peers.clone(), log.clone(), witnesses.clone()),
            copies: copies.map(Arc::new),
            queries: Arc::new(Queries::new(store.clone(), recorder.clone())),
            recorder,
            reconciliation: Reconciliation::new(store, peers, log, witnessing.clone()),
            witnesses,
            witnessing,
        }
    }

    /// Makes the log what the ledger has committed it to be. Then holds entries back for a moment, while peers say what
    /// they cosigned of it; has it witnessed and mirrored, and sees to the peers' logs, until the daemon ends.
    ///
    /// # Errors
    /// [`Error`] of the store or the log; nothing else may go on record then. A log that is known to be an old copy is
    /// none: it takes no entries, and says why whenever it is asked.
    pub async fn begin(&self) -> Result<(), Error> {
        match self.recorder.repair().await {
            Err(error) if error.code == codes::LOG_OLD => {}
            // Another entry would take the place of one that is missing.
            repaired => repaired?,
        }
        // The log is held: nothing else is entered before it is known not to be an old copy.
        self.witnesses.keep();
        self.gossip.keep();
        self.external.keep();
        self.copies.iter().for_each(Copies::keep);
        Ok(())
    }

    /// Why the log takes no more entries, if it does not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.recorder.log().refusal().map(|refusal| refusal.to_string())
    }

    /// What puts entries on record.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Who we are and whom we trust.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Signing keys that count no more.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Our log held against a peer's.
    #[must_use]
    pub fn reconciliation(&self) -> &Reconciliation {
        &self.reconciliation
    }

    /// The evidence certificate of one question, asked or answered here, by its number. Anybody verifies it offline.
    ///
    /// # Errors
    /// [`codes::EVIDENCE_NONE`] if there is no such question; an error of the store or the log.
    pub async fn evidence_of_query(&self, id: &str) -> Result<Vec<u8>, Error> {
        let (main, related) = self.queries.on_record(id).await?;
        self.profile.certify(&main, &related).await
    }

    /// Questions under standing jobs.
    #[must_use]
    pub fn queries(&self) -> &Arc<Queries> {
        &self.queries
    }

    /// `None`: the peer is to come again.
    async fn follow(&self, from: PartyId, ask: Ask) -> Result<Option<Answer>, Error> {
        let answer = match ask {
            Ask::AddCheckpoint(asked) => self.witnessing.handle_add_checkpoint(from, asked).await,
            Ask::LastCosigned(asked) => self.witnessing.handle_last_cosigned(from, &asked).await?,
            Ask::Gossip(seen) => self.gossip.handle_gossip(from, &seen).await?,
            Ask::Entries(asked) => return self.reconciliation.show(from, asked).await,
            Ask::Copy(asked) => self.mirrors.show(from, asked).await?,
            Ask::Revoked(revoked) => self.revocations.hear(from, &revoked).await?,
            Ask::MirrorCosignature(kept) => self.mirrors.handle_mirror_cosignature(from, &kept).await?,
        };
        Ok(Some(answer))
    }
}

impl Handler for Attestation {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let ask = message::decode_ask(body)?;
            match self.follow(from, ask).await {
                Ok(answer) => answer.map(message::encode_answer),
                Err(error) => {
                    tracing::warn!(peer = %from, code = error.code.name, "a message about a log was not followed");
                    None
                }
            }
        })
    }

    fn link_changed(self: Arc<Self>, peer: PartyId, up: bool) {
        // It may be a new peer's, whom we trust from now on.
        if up {
            self.profile.renew_policy();
            self.revocations.tell_all(peer);
        }
    }
}
