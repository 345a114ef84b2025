//! Mirrors: peers that keep a whole copy of our log, and the copies that we keep of theirs.
//!
//! Both sides set it: the owner names who is entitled (`attestation.mirrors`), the mirror whose log it keeps
//! (`attestation.mirror_of`). The mirror asks for entries up to the tree that it has cosigned as a witness, so that what
//! it keeps is the one history that others have seen, too. Then it tells the owner, with a key of its own, how far it
//! holds everything.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::note::{KeyUse, NoteSignature, VerifierKey};
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use crate::chain::{ChainError, Log, LogName, Mirror, NoteKey, SEGMENT, Witnessed};
use crate::codes::{self, Trouble};

/// How long a log that cannot be copied at the moment is left alone; longer each time.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Bytes of entries after which an answer is long enough.
const ENOUGH_BYTES: usize = 256 << 10;
/// What an entry counts at the least against the limit: each also takes room in memory until its checkpoint is there.
const LEAST_BYTES: u64 = 512;

/// The copies of one party's logs that are open.
type Copies = BTreeMap<LogName, Mirror>;

/// What this party keeps of others' logs.
pub struct Mirrors {
    /// Whose logs.
    pub of: BTreeSet<PartyId>,
    /// Where: a folder for each party, and in it one for each log.
    pub folder: PathBuf,
    /// What signs that all is there.
    pub key: Arc<NoteKey>,
    /// Bytes of entries that are kept of one party.
    pub limit: u64,
}

/// The name of a party's key as a mirror.
#[must_use]
pub fn mirror_name(party: PartyId) -> String {
    format!("tacitly/{party}/mirror")
}

impl Jobs {
    /// Keeps copies of peers' logs until the daemon ends.
    pub fn keep_mirrors(self: &Arc<Self>) {
        let of = self.mirrors.iter().flat_map(|mirrors| mirrors.of.iter().copied());
        for peer in of {
            let this = self.clone();
            self.tasks.spawn(async move {
                let closing = this.closing.clone();
                closing.run_until_cancelled(this.mirror(peer)).await;
            });
        }
    }

    async fn mirror(&self, peer: PartyId) {
        let (mut copies, mut pause) = (Copies::new(), PAUSE);
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
    async fn copy_logs_of(&self, peer: PartyId, copies: &mut Copies, pause: &mut Duration) -> Result<(), Trouble> {
        let mut news = self.cosigned_by_us.subscribe();
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
                    self.tell_kept(peer, copies, name).await?;
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
    async fn newest_log_of(&self, peer: PartyId) -> Result<Option<Witnessed>, Trouble> {
        Ok(self.logs_of(peer).await?.into_iter().max_by_key(|known| known.head.time))
    }

    async fn open_mirror(&self, peer: PartyId, key: VerifierKey) -> Result<Mirror, Trouble> {
        let folder = self.copies_of(peer)?.join(LogName::of(&key).to_string());
        let opened = spawn_blocking(move || Mirror::open(&folder, &key)).await;
        Ok(opened.map_err(|_| Trouble::internal("the copy was left while it was opened"))??)
    }

    fn copies_of(&self, peer: PartyId) -> Result<PathBuf, Trouble> {
        let mirrors = self.mirrors.as_ref().ok_or_else(|| Trouble::internal("no logs are mirrored"))?;
        Ok(mirrors.folder.join(peer.as_str()))
    }

    /// Copies a piece of the log, towards a tree that we have cosigned. `false`: the whole of it is here.
    async fn copy_more(
        &self,
        peer: PartyId,
        copies: &mut Copies,
        name: LogName,
        toward: &SignedCheckpoint,
    ) -> Result<bool, Trouble> {
        let (stated, toward) = (toward.checkpoint(), toward.clone());
        let Some(mirror) = copies.get(&name) else { return Ok(false) };
        if mirror.checkpoint().is_some_and(|kept| kept.checkpoint().size >= stated.size) {
            return Ok(false);
        }
        if mirror.size() > stated.size {
            tracing::warn!(%peer, "what we cosigned of its log is older than our copy: the witness was taken back");
            return Ok(false);
        }
        let lie = |what: &str| Trouble::lie(peer, what);
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
        let (mirror, added) = adding.await.map_err(|_| Trouble::internal("the copy was left while it was written"))?;
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
    async fn afford(&self, peer: PartyId, mirror: &Mirror, name: LogName) -> Result<(), Trouble> {
        let limit = self.mirrors.as_ref().map_or(0, |mirrors| mirrors.limit);
        let folder = self.copies_of(peer)?;
        let others = spawn_blocking(move || bytes_beside(&folder, &name.to_string())).await;
        let others = others.map_err(|_| Trouble::internal("the copies were left while they were counted"))?;
        if others + mirror.bytes().max(LEAST_BYTES * mirror.size()) < limit {
            return Ok(());
        }
        let text = format!("the copies of {peer}'s logs have reached limits.mirror_mib, {} MiB", limit >> 20);
        Err(Trouble::new(codes::LIMIT, text).with(peer))
    }

    async fn ask_for_more(&self, peer: PartyId, mirror: &Mirror, toward: &Checkpoint) -> Result<pb::Copied, Trouble> {
        let asked = pb::CopyFrom { origin: toward.origin.clone(), from: mirror.size(), size: toward.size };
        let text = match self.ask(peer, Ask::Copy(asked)).await? {
            Answer::Copied(copied) => return Ok(copied),
            Answer::Pending(_) => "has not named us in its attestation.mirrors, or this log is not its newest",
            _ => "cannot show its log at the moment",
        };
        Err(Trouble::new(codes::PEER_FAILED, format!("{peer} {text}")).with(peer))
    }

    async fn tell_kept(&self, peer: PartyId, copies: &Copies, name: LogName) -> Result<(), Trouble> {
        let (Some(mirrors), Some(mirror)) = (&self.mirrors, copies.get(&name)) else { return Ok(()) };
        let now = u64::try_from(self.store.now().as_second()).unwrap_or_default();
        let Some((checkpoint, line)) = mirror.checkpoint().zip(mirror.cosign(&mirrors.key, now)?) else {
            return Ok(());
        };
        let kept = pb::Kept {
            checkpoint: checkpoint.encode().into(),
            line: line.to_string(),
            key: mirrors.key.public().public().to_vec().into(),
        };
        match self.ask(peer, Ask::Kept(kept)).await? {
            Answer::Ack(_) => Ok(()),
            _ => {
                let text = format!("{peer} cannot note at the moment that we keep its log");
                Err(Trouble::new(codes::PEER_FAILED, text).with(peer))
            }
        }
    }

    /// As owner: a peer asks for entries of our log, to keep them.
    pub(super) async fn show_log(&self, to: PartyId, asked: pb::CopyFrom) -> Result<Answer, Trouble> {
        if !self.settings.mirrors.contains(&to) || asked.origin != self.log.origin() {
            return Ok(Answer::Pending(pb::Pending {}));
        }
        let log = self.log.clone();
        let piece = spawn_blocking(move || piece(&log, asked.from, asked.size)).await;
        Ok(Answer::Copied(piece.map_err(|_| Trouble::internal("the log was left while it was read"))??))
    }

    /// As owner: a mirror says how far it holds our log.
    pub(super) async fn take_kept(&self, from: PartyId, kept: &pb::Kept) -> Result<Answer, Trouble> {
        let unreadable = || Trouble::new(codes::BAD_REQUEST, "the peer's message cannot be read").with(from);
        if !self.settings.mirrors.contains(&from) {
            return Ok(Answer::Pending(pb::Pending {}));
        }
        let checkpoint = SignedCheckpoint::parse(&kept.checkpoint).map_err(|_| unreadable())?;
        let line = NoteSignature::parse(&kept.line).map_err(|_| unreadable())?;
        let key = <[u8; 32]>::try_from(&kept.key[..]).map_err(|_| unreadable())?;
        if key == *self.store.peer(from).await?.signing_key.as_bytes() {
            let text = "its key as a mirror is its key as a witness";
            return Err(Trouble::new(codes::PROTOCOL_VIOLATION, text).with(from));
        }
        let key = VerifierKey::new(&mirror_name(from), KeyUse::Cosignature, &key).map_err(|_| unreadable())?;
        // Whoever holds more of our log than we do shows that ours is an old copy.
        if self.hear_of_our_log(from, checkpoint.clone()).await?.is_none() {
            return Err(unreadable());
        }
        let log = self.log.clone();
        let added = spawn_blocking(move || log.add_kept(&checkpoint, line, &key)).await;
        added.map_err(|_| Trouble::internal("the log was left while it was written"))??;
        Ok(message::ack())
    }
}

/// Some entries from `from` on, and the proof that with them the log is the beginning of its tree of `size` entries.
fn piece(log: &Log, from: u64, size: u64) -> Result<pb::Copied, ChainError> {
    let (mut piece, mut bytes) = (pb::Copied::default(), 0);
    log.each_between(from, size, |_, entry| {
        bytes += entry.len();
        piece.entries.push(Bytes::copy_from_slice(entry));
        Ok(bytes < ENOUGH_BYTES)
    })?;
    let until = from.saturating_add(piece.entries.len() as u64);
    piece.proof = message::write_hashes(&log.consistency(until, size)?);
    Ok(piece)
}

/// Bytes of the entries in the copies in `folder` but for that with this name.
fn bytes_beside(folder: &Path, name: &str) -> u64 {
    let Ok(items) = std::fs::read_dir(folder) else { return 0 };
    let others = items.filter_map(Result::ok).filter(|item| item.file_name() != name);
    others.filter_map(|item| std::fs::metadata(item.path().join(SEGMENT)).ok()).map(|found| found.len()).sum()
}
