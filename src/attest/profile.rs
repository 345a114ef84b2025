//! Who we are and whom we trust, on record from the start on; and certificates, which rest on it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tacitly_attestation::certificate::{self, CreateFault, Draft, RefusalCode};
use tacitly_attestation::entry::{
    Body, Count, Digest, Id, LegalName, PartyEntry, PartyKey, PolicyEntry, SignedEntry, Software,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::VerifierKey;
use tacitly_attestation::policy::{Policy, Witness};
use tacitly_attestation::proof::LogProof;
use tokio::sync::Mutex;

use super::keys::witness_key;
use super::recorder::{Recorded, Recorder, entry_key, now, random, unfit};
use super::settings::{ExternalWitness, ProfileSettings, Record};
use crate::codes::{self, Error};
use crate::peers::{Background, Peers};
use crate::store::{NoteSigner, Revocation, Signer, Store};

/// How long a record of whom we trust waits that could not be made.
const PAUSE: Duration = Duration::from_secs(5);

/// What entries about ourselves stand under.
const PARTY: &str = "party";
const POLICY: &str = "policy";

/// What this party says of itself, and whom it trusts.
pub struct Profile {
    settings: ProfileSettings,
    signer: Arc<dyn Signer>,
    external: Vec<ExternalWitness>,
    /// What it signs with as a mirror, if it is one.
    mirror_key: Option<VerifierKey>,
    store: Arc<Store>,
    peers: Arc<Peers>,
    recorder: Arc<Recorder>,
    background: Background,
    /// Held while whom we trust is put on record.
    one_at_a_time: Mutex<()>,
    /// A record of whom we trust could not be made, and somebody tries again.
    is_tried_again: AtomicBool,
}

impl Profile {
    /// The profile of the party whose record this is, which trusts these peers.
    pub(super) fn new(
        record: &Record,
        store: Arc<Store>,
        peers: Arc<Peers>,
        recorder: Arc<Recorder>,
        background: Background,
    ) -> Self {
        Self {
            settings: record.profile.clone(),
            signer: record.signer.clone(),
            external: record.external.clone(),
            mirror_key: record.copies.as_ref().map(|copies| copies.key.public().clone()),
            store,
            peers,
            recorder,
            background,
            one_at_a_time: Mutex::default(),
            is_tried_again: AtomicBool::new(false),
        }
    }

    /// Puts on record who we are and whom we trust, where that has changed.
    ///
    /// # Errors
    /// An error of the store or the log.
    pub async fn record(&self) -> Result<(), Error> {
        let build = tokio::task::spawn_blocking(digest_of_program).await;
        let build = build.map_err(|_| Error::internal("reading the program ended unexpectedly"))??;
        let party = self.party_entry(build).await?;
        if let Some(party) = party {
            self.recorder.record(PARTY, self.recorder.sign_entry(self.recorder.header(Vec::new())?, party)?).await?;
        }
        self.record_policy().await
    }

    /// Puts on record whom we trust, if that has changed: after the start, and after a peer or a consortium came or went.
    async fn record_policy(&self) -> Result<(), Error> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let body = PolicyEntry {
            policy: self.policy().await?.digest(),
            members: vec![self.peers.me()],
            needed: Count::new(1).map_err(unfit)?,
            retention_days: Count::new(self.settings.retention_days).map_err(unfit)?,
            formula: None,
            anchor: None,
        };
        let known = self.recorder.recorded(POLICY, POLICY).await?;
        if known.is_some_and(|known| matches!(known.entry.entry().body(), Body::Policy(known) if *known == body)) {
            return Ok(());
        }
        self.recorder.record(POLICY, self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?).await?;
        Ok(())
    }

    /// Puts on record whom we trust, after a peer or a consortium may have come or gone, without anybody waiting for it. What
    /// does not work now is tried again, by one for all who ask meanwhile, until it works or the daemon stops.
    pub fn renew_policy(self: &Arc<Self>) {
        let this = self.clone();
        self.background.spawn(async move {
            let Err(error) = this.record_policy().await else { return };
            tracing::warn!(%error, "whom we trust is not on record yet");
            if !this.is_tried_again.swap(true, Ordering::Relaxed) {
                this.background.closing().run_until_cancelled(this.try_again()).await;
                this.is_tried_again.store(false, Ordering::Relaxed);
            }
        });
    }

    async fn try_again(&self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if self.record_policy().await.is_ok() {
                return;
            }
        }
    }

    /// What we say of ourselves, if it is not on record yet.
    async fn party_entry(&self, build: Digest) -> Result<Option<PartyEntry>, Error> {
        let settings = &self.settings;
        let me = self.peers.me();
        let known = self.recorder.recorded(PARTY, PARTY).await?;
        let known = known.as_ref().and_then(|known| match known.entry.entry().body() {
            Body::Party(known) => Some(known),
            _ => None,
        });
        let now = now()?;
        let key = self.signer.public_key();
        let mut keys = vec![entry_key(me, &key)?, self.recorder.log().key().public().clone(), witness_key(me, &key)?];
        keys.extend(self.mirror_key.clone());
        let keys = keys.into_iter().map(|key| {
            let from = known.and_then(|known| known.keys.iter().find(|known| known.key == key)).map(|known| known.from);
            PartyKey { key, from: from.unwrap_or(now), until: None }
        });
        let name = match &settings.legal_name {
            Some(name) => name.clone(),
            // One letter is a name among peers, and none in a register.
            None => {
                LegalName::parse(me.as_str()).or_else(|_| LegalName::parse(&format!("party {me}"))).map_err(unfit)?
            }
        };
        let entry = PartyEntry {
            name,
            registration: settings.registration.clone(),
            keys: keys.collect(),
            certificate: Some(Digest(Hash::of(self.peers.identity().certificate_pem().as_bytes()))),
            software: software()?,
            build,
            region: settings.region.clone(),
        };
        Ok((known != Some(&entry)).then_some(entry))
    }

    /// Whom we trust: our own key, our peers' and those of the members of our consortia for entries, our log; our peers and
    /// those whom the configuration names as its witnesses. What stands before a witness's name keeps it apart from all
    /// others: no party can bear such a name.
    async fn policy(&self) -> Result<Policy, Error> {
        let peers = self.store.peers().all().await?;
        let mut signers = vec![entry_key(self.peers.me(), &self.signer.public_key())?];
        let mut witnesses = Vec::new();
        let (revoked, known) = (self.store.revocations().all().await?, self.store.parties().all().await?);
        for (party, key) in &known {
            signers.push(entry_key(*party, key)?);
        }
        // What a revoked key has signed before is evidence also when its party is known by another one, or not at all.
        let own = self.signer.public_key();
        let gone = revoked.iter().filter(|gone| gone.key != own && known.get(&gone.party) != Some(&gone.key));
        for Revocation { party, key, .. } in gone {
            signers.push(entry_key(*party, key)?);
        }
        for peer in &peers {
            let key = witness_key(peer.id, &peer.signing_key)?;
            witnesses.push(Witness { name: format!("peer/{}", peer.id), key });
        }
        for external in &self.external {
            // A witness that is a peer as well counts once.
            if witnesses.iter().all(|known| known.key.public() != external.key.public()) {
                let name = format!("outside/{}", external.place.party);
                witnesses.push(Witness { name, key: external.key.clone() });
            }
        }
        let most = witnesses.len();
        let needed = match self.settings.quorum {
            0 => most / 2 + 1,
            needed => needed,
        };
        let since = |revoked: &Revocation| u64::try_from(revoked.since.as_second()).unwrap_or_default();
        let line = |revoked: &Revocation| Ok((entry_key(revoked.party, &revoked.key)?, since(revoked)));
        let revoked = revoked.iter().map(line).collect::<Result<Vec<_>, Error>>()?;
        Policy::consortium(&signers, &[self.recorder.log().key().public().clone()], &witnesses, needed.min(most))
            .and_then(|policy| policy.with_revoked(&revoked))
            .map_err(|error| Error::internal(error.to_string()))
    }

    /// A certificate of an entry of ours, with entries that it rests on. Anybody verifies it offline.
    ///
    /// # Errors
    /// [`Error`] of the store or the log.
    pub(crate) async fn certify(&self, main: &Recorded, related: &[SignedEntry]) -> Result<Vec<u8>, Error> {
        let log = self.recorder.log();
        log.signed(main.index + 1).await?;
        let checkpoint = log.witnessed(main.index + 1);
        let checkpoint =
            checkpoint.ok_or_else(|| Error::internal("a checkpoint that was signed a moment ago is there"))?;
        let (reading, index, size) = (log.clone(), main.index, checkpoint.checkpoint().size);
        let path = tokio::task::spawn_blocking(move || reading.inclusion(index, size)).await;
        let path = path.map_err(|_| Error::internal("reading the log ended unexpectedly"))??;
        let proof = LogProof { extra: None, index: main.index, path, checkpoint };
        let policy = self.policy().await?;
        let draft = Draft {
            id: Id(random()?),
            issued: now()?,
            issuer: self.peers.me(),
            tool: &software()?,
            entry: &main.entry,
            related,
            proof: Some(&proof),
            anchor: None,
            policy: &policy,
        };
        let key = entry_key(self.peers.me(), &self.signer.public_key())?;
        match certificate::create(&draft, &key, &NoteSigner(self.signer.clone())) {
            Ok((bytes, _)) => Ok(bytes),
            // Whose key it is, and that too few witnesses had cosigned before.
            Err(CreateFault::Refused(refusal)) if refusal.code == RefusalCode::Revoked => {
                Err(Error::new(codes::EVIDENCE, refusal.to_string()))
            }
            Err(error) if self.has_lost(main, related).await? => Err(Error::damaged(error)),
            Err(error) => Err(Error::internal(error.to_string())),
        }
    }

    /// Whether the ledger no longer holds these entries as our log has them.
    async fn has_lost(&self, main: &Recorded, related: &[SignedEntry]) -> Result<bool, Error> {
        for entry in [&main.entry].into_iter().chain(related) {
            let ours = entry.entry().header().log.as_str() == self.recorder.log().origin();
            if ours && self.recorder.entry_of(entry.leaf()).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn software() -> Result<Software, Error> {
    Software::parse(concat!("tacitly ", env!("CARGO_PKG_VERSION"))).map_err(unfit)
}

/// The SHA-256 of the program that runs.
fn digest_of_program() -> Result<Digest, Error> {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let read = || {
        let (mut file, mut digest, mut piece) = (File::open(&path)?, Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                length => digest.update(&piece[..length]),
            }
        }
        Ok(Digest(Hash(digest.finalize().into())))
    };
    read().map_err(|error: std::io::Error| Error::new(codes::SYSTEM, format!("{}: {error}", path.display())))
}
