//! Mirrors: peers that keep a whole copy of our log, and the copies that we keep of theirs.
//!
//! Both sides set it: the owner names who is entitled (`attestation.mirrors`), the mirror whose log it keeps
//! (`attestation.mirror_of`). The mirror asks for entries up to the tree that it has cosigned as a witness, so that what
//! it keeps is the one history that others have seen, too. Then it tells the owner, with a key of its own, how far it
//! holds everything.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, NoteSignature, VerifierKey};
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use super::trouble::internal;
use crate::chain::{ChainError, Log, LogName, Mirror, NoteKey, Witnessed, mirrored};
use crate::codes::{self, Trouble};

/// How long a log that cannot be copied at the moment is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Bytes of entries after which an answer is long enough.
const ENOUGH_BYTES: usize = 256 << 10;

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
        loop {
            self.link_up(peer).await;
            if let Err(error) = self.copy_log_of(peer).await {
                tracing::warn!(%peer, code = error.code.name, %error, "its log is not mirrored for the moment");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Copies the log of `peer`, and goes on as it grows, until something is in the way.
    async fn copy_log_of(&self, peer: PartyId) -> Result<(), Trouble> {
        let Some(mirrors) = &self.mirrors else { return Ok(()) };
        let mut news = self.cosigned_by_us.subscribe();
        // What was said over an earlier link may never have arrived: it is said again.
        let (mut open, mut told): (Option<(Mirror, u64)>, _) = (None, None);
        loop {
            news.mark_unchanged();
            if let Some(Witnessed { key, head }) = self.newest_log_of(peer).await? {
                let (mut mirror, others) = match open.take().filter(|(mirror, _)| *mirror.log() == key) {
                    Some(open) => open,
                    None => self.open_mirror(peer, key).await?,
                };
                let size = head.checkpoint.checkpoint().size;
                while mirror.checkpoint().is_none_or(|kept| kept.checkpoint().size < size) {
                    if mirror.bytes() + others > mirrors.limit {
                        let text = format!("the copies of {peer}'s logs have reached limits.mirror_mib");
                        return Err(Trouble::new(codes::LIMIT, text).with(peer));
                    }
                    mirror = self.copy_more(peer, mirror, &head.checkpoint).await?;
                }
                if mirror.checkpoint() != told.as_ref() {
                    self.tell_kept(peer, &mirror).await?;
                    told = mirror.checkpoint().cloned();
                }
                open = Some((mirror, others));
            }
            if news.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// The log of `peer` that we have cosigned last, as its witness.
    async fn newest_log_of(&self, peer: PartyId) -> Result<Option<Witnessed>, Trouble> {
        Ok(self.logs_of(peer).await?.into_iter().max_by_key(|known| known.head.time))
    }

    /// The copy of a log, and how many bytes we keep of other logs of the same party.
    async fn open_mirror(&self, peer: PartyId, key: VerifierKey) -> Result<(Mirror, u64), Trouble> {
        let Some(mirrors) = &self.mirrors else { return Err(internal("no logs are mirrored")) };
        let folder = mirrors.folder.join(peer.as_str());
        let opened = spawn_blocking(move || {
            let mirror = Mirror::open(&folder.join(LogName::of(&key).to_string()), &key)?;
            let others = mirrored(&folder)?.into_iter().filter(|other| other.origin() != key.name());
            Ok::<_, ChainError>((mirror, others.map(|other| other.bytes()).sum()))
        });
        Ok(opened.await.map_err(|_| internal("the copy was left while it was opened"))??)
    }

    async fn copy_more(&self, peer: PartyId, mut mirror: Mirror, toward: &SignedCheckpoint) -> Result<Mirror, Trouble> {
        let stated = toward.checkpoint();
        let copied = match mirror.size() < stated.size {
            true => self.ask_for_more(peer, &mirror, stated).await?,
            // All that is missing is the checkpoint.
            false => pb::Copied::default(),
        };
        let lie = |what: &str| Trouble::new(codes::PROTOCOL_VIOLATION, format!("{peer}: {what}")).with(peer);
        let (proof, rest) = copied.proof.as_chunks();
        if !rest.is_empty() {
            return Err(lie("its proof cannot be read"));
        }
        if copied.entries.is_empty() && mirror.size() < stated.size {
            return Err(lie("its log holds fewer entries than it has signed"));
        }
        let (proof, toward): (Vec<Hash>, _) = (proof.iter().copied().map(Hash).collect(), toward.clone());
        let added = spawn_blocking(move || {
            mirror.add(copied.entries.iter().map(Bytes::as_ref), &proof, &toward)?;
            Ok::<_, ChainError>(mirror)
        });
        let added = added.await.map_err(|_| internal("the copy was left while it was written"))?;
        added.map_err(|error| match error {
            ChainError::NotMirrored { .. } => lie(&error.to_string()),
            other => other.into(),
        })
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

    async fn tell_kept(&self, peer: PartyId, mirror: &Mirror) -> Result<(), Trouble> {
        let Some(mirrors) = &self.mirrors else { return Ok(()) };
        let now = u64::try_from(self.store.now().as_second()).unwrap_or_default();
        let Some((checkpoint, line)) = mirror.checkpoint().zip(mirror.cosign(&mirrors.key, now)?) else {
            return Ok(());
        };
        let kept = pb::Kept {
            checkpoint: checkpoint.encode().into(),
            line: line.to_string(),
            key: mirrors.key.public().public().to_vec().into(),
        };
        self.ask(peer, Ask::Kept(kept)).await?;
        Ok(())
    }

    /// As owner: a peer asks for entries of our log, to keep them.
    pub(super) async fn show_log(&self, to: PartyId, asked: pb::CopyFrom) -> Result<Answer, Trouble> {
        if !self.settings.mirrors.contains(&to) || asked.origin != self.log.origin() {
            return Ok(Answer::Pending(pb::Pending {}));
        }
        let log = self.log.clone();
        let piece = spawn_blocking(move || piece(&log, asked.from, asked.size)).await;
        Ok(Answer::Copied(piece.map_err(|_| internal("the log was left while it was read"))??))
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
        added.map_err(|_| internal("the log was left while it was written"))??;
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
    let proof = log.consistency(until, size)?;
    piece.proof = proof.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>().into();
    Ok(piece)
}
