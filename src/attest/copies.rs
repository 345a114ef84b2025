//! The copies that we keep of peers' logs, as their mirror.
//!
//! Both sides set it: the owner names who is entitled (`attestation.mirrors`), the mirror whose log it keeps
//! (`attestation.mirror_of`). The mirror asks for entries up to the tree that it has cosigned as a witness, so that what
//! it keeps is the one history that others have seen, too. Then it tells the owner, with a key of its own, how far it
//! holds everything.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::note::VerifierKey;
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::asking::ask;
use super::message::{self, Answer, Ask, generated as pb};
use super::settings::CopySettings;
use super::witnessing::Witnessing;
use crate::chain::{ChainError, LogName, Mirror, SEGMENT, Witnessed};
use crate::codes::{self, Error};
use crate::peers::{Background, Peers};
use crate::store::Store;

/// How long a log that cannot be copied at the moment is left alone; longer each time.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What an entry counts at the least against the limit: each also takes room in memory until its checkpoint is there.
const LEAST_BYTES: u64 = 512;

/// The copies of one party's logs that are open.
type Open = BTreeMap<LogName, Mirror>;

/// What we keep of others' logs.
pub(super) struct Copies {
    settings: CopySettings,
    store: Arc<Store>,
    peers: Arc<Peers>,
    witnessing: Arc<Witnessing>,
    background: Background,
}

impl Copies {
    /// Copies of logs of these peers, of what we have cosigned of them as their witness.
    pub(super) fn new(
        settings: CopySettings,
        store: Arc<Store>,
        peers: Arc<Peers>,
        witnessing: Arc<Witnessing>,
        background: Background,
    ) -> Self {
        Self { settings, store, peers, witnessing, background }
    }

    /// Keeps copies of peers' logs until the daemon ends.
    pub(super) fn keep(self: &Arc<Self>) {
        for peer in self.settings.of.clone() {
            self.background.spawn_until_stopped(self.clone().mirror(peer));
        }
    }

    async fn mirror(self: Arc<Self>, peer: PartyId) {
        let (mut copies, mut pause) = (Open::new(), PAUSE);
        loop {
            self.peers.link_up(peer).await;
            if let Err(error) = self.copy_logs_of(peer, &mut copies, &mut pause).await {
                tracing::warn!(%peer, code = error.code.name, %error, "its log is not mirrored for the moment");
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }

    /// Copies the newest log of `peer`, and goes on as it grows, until something is in the way or the link is another.
    async fn copy_logs_of(&self, peer: PartyId, copies: &mut Open, pause: &mut Duration) -> Result<(), Error> {
        let mut news = self.witnessing.news();
        // What was said over an earlier link may never have arrived: it is said again.
        let (link, mut told) = (self.peers.link_up_since(peer), None);
        loop {
            news.mark_unchanged();
            if let Some(Witnessed { key, head }) = self.newest_log_of(peer).await? {
                let name = LogName::of(&key);
                if let Entry::Vacant(place) = copies.entry(name) {
                    place.insert(self.open_mirror(peer, key).await?);
                }
                while self.copy_more(peer, copies, name, &head.checkpoint).await? {
                    *pause = PAUSE;
                }
                let kept = copies.get(&name).and_then(Mirror::checkpoint);
                if kept != told.as_ref() {
                    told = kept.cloned();
                    self.notify_owner(peer, copies, name).await?;
                }
            }
            *pause = PAUSE;
            tokio::select! {
                _ = news.changed() => {}
                () = self.peers.link_restored(peer, link) => return Ok(()),
            }
        }
    }

    /// The log of `peer` that we have cosigned last, as its witness.
    async fn newest_log_of(&self, peer: PartyId) -> Result<Option<Witnessed>, Error> {
        Ok(self.witnessing.logs_of(peer).await?.into_iter().max_by_key(|known| known.head.time))
    }

    async fn open_mirror(&self, peer: PartyId, key: VerifierKey) -> Result<Mirror, Error> {
        let folder = self.folder_of(peer).join(LogName::of(&key).to_string());
        let opened = spawn_blocking(move || Mirror::open(&folder, &key)).await;
        Ok(opened.map_err(|_| Error::internal("the copy was left while it was opened"))??)
    }

    /// Where the copies of the logs of `peer` are.
    fn folder_of(&self, peer: PartyId) -> PathBuf {
        self.settings.folder.join(peer.as_str())
    }

    /// Copies a piece of the log, towards a tree that we have cosigned. `false`: the whole of it is here.
    async fn copy_more(
        &self,
        peer: PartyId,
        copies: &mut Open,
        name: LogName,
        toward: &SignedCheckpoint,
    ) -> Result<bool, Error> {
        let (stated, toward) = (toward.checkpoint(), toward.clone());
        let Some(mirror) = copies.get(&name) else { return Ok(false) };
        if mirror.checkpoint().is_some_and(|kept| kept.checkpoint().size >= stated.size) {
            return Ok(false);
        }
        if mirror.size() > stated.size {
            tracing::warn!(%peer, "what we cosigned of its log is older than our copy: the witness was taken back");
            return Ok(false);
        }
        let lie = |what: &str| Error::lie(peer, what);
        // Only the checkpoint may be missing.
        let mut copied = pb::Copied::default();
        if mirror.size() < stated.size {
            self.afford(peer, mirror, name).await?;
            copied = self.ask_for_more(peer, mirror, stated).await?;
            if copied.entries.is_empty() {
                return Err(lie("its log holds fewer entries than it has signed"));
            }
        }
        let proof = message::read_hashes(&copied.proof).ok_or_else(|| lie("its proof cannot be read"))?;
        let Some(mut mirror) = copies.remove(&name) else { return Ok(false) };
        let adding = spawn_blocking(move || {
            let added = mirror.add(copied.entries.iter().map(Bytes::as_ref), &proof, &toward);
            (mirror, added)
        });
        let (mirror, added) = adding.await.map_err(|_| Error::internal("the copy was left while it was written"))?;
        match added {
            Ok(()) => {
                copies.insert(name, mirror);
                Ok(true)
            }
            Err(error @ ChainError::NotMirrored { .. }) => {
                copies.insert(name, mirror);
                Err(lie(&error.to_string()))
            }
            // The copy is opened anew: that shows what is really there.
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses to copy more of the logs of `peer` than we were told to.
    async fn afford(&self, peer: PartyId, mirror: &Mirror, name: LogName) -> Result<(), Error> {
        let (limit, folder) = (self.settings.limit, self.folder_of(peer));
        let others = spawn_blocking(move || bytes_beside(&folder, &name.to_string())).await;
        let others = others.map_err(|_| Error::internal("the copies were left while they were counted"))?;
        if others + mirror.bytes().max(LEAST_BYTES * mirror.size()) < limit {
            return Ok(());
        }
        let text = format!("the copies of {peer}'s logs have reached limits.mirror_mib, {} MiB", limit >> 20);
        Err(Error::new(codes::LIMIT, text).with(peer))
    }

    async fn ask_for_more(&self, peer: PartyId, mirror: &Mirror, toward: &Checkpoint) -> Result<pb::Copied, Error> {
        let asked = pb::CopyFrom { origin: toward.origin.clone(), from: mirror.size(), size: toward.size };
        let text = match ask(&self.peers, peer, Ask::Copy(asked)).await? {
            Answer::Copied(copied) => return Ok(copied),
            Answer::NotEntitled(_) => "has not named us in its attestation.mirrors, or this log is not its newest",
            _ => "cannot show its log at the moment",
        };
        Err(Error::new(codes::PEER_FAILED, format!("{peer} {text}")).with(peer))
    }

    async fn notify_owner(&self, peer: PartyId, copies: &Open, name: LogName) -> Result<(), Error> {
        let Some(mirror) = copies.get(&name) else { return Ok(()) };
        let now = u64::try_from(self.store.now().as_second()).unwrap_or_default();
        let Some((checkpoint, line)) = mirror.checkpoint().zip(mirror.cosign(&self.settings.key, now)?) else {
            return Ok(());
        };
        let kept = pb::MirrorCosignature {
            checkpoint: checkpoint.encode().into(),
            line: line.to_string(),
            key: self.settings.key.public().public().to_vec().into(),
        };
        match ask(&self.peers, peer, Ask::MirrorCosignature(kept)).await? {
            Answer::Noted(_) => Ok(()),
            _ => {
                let text = format!("{peer} cannot note at the moment that we keep its log");
                Err(Error::new(codes::PEER_FAILED, text).with(peer))
            }
        }
    }
}

/// Bytes of the entries in the copies in `folder` but for that with this name.
fn bytes_beside(folder: &Path, name: &str) -> u64 {
    let Ok(items) = std::fs::read_dir(folder) else { return 0 };
    let others = items.filter_map(Result::ok).filter(|item| item.file_name() != name);
    others.filter_map(|item| std::fs::metadata(item.path().join(SEGMENT)).ok()).map(|found| found.len()).sum()
}
