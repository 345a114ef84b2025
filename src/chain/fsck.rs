//! Everything derived anew from the entries' bytes, and compared with what is stored.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::entry::{EntryFault, SignedEntry};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::KeyRing;
use tacitly_attestation::tree::{Tile, TileKind};

use super::segment::{self, Records, Step};
use super::tiles::{Edge, Tiles, WIDTH};
use super::{ChainError, View, checkpoint, cosigned, index};

/// The most findings that are listed.
const MAX_FINDINGS: usize = 1000;

/// How often a log that grows meanwhile is looked at anew.
const ATTEMPTS: u32 = 3;

/// What a look through a whole log has shown.
#[derive(Clone, Debug)]
pub struct Fsck {
    /// The log's name.
    pub origin: String,
    /// Sound entries.
    pub entries: u64,
    /// The root of all entries, if all are sound.
    pub root: Option<Hash>,
    /// The size of the newest checkpoint.
    pub signed: Option<u64>,
    /// Bytes behind the last entry: a write under way, or cut off.
    pub unfinished_bytes: u64,
    /// Tiles compared.
    pub tiles: u64,
    /// Signatures under entries, if they were asked for.
    pub signatures: Option<SignatureCheck>,
    /// What does not agree; the first thousand.
    pub findings: Vec<Finding>,
}

/// What the signatures under entries have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureCheck {
    /// Signatures that verify.
    pub good: u64,
    /// Signatures by names whose keys were not given: how many of each.
    pub unknown: BTreeMap<String, u64>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, in the log's folder.
    pub file: PathBuf,
    /// The entry, where it can be named.
    pub entry: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Fsck {
    /// Whether all is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Looks through the log in `folder`: entries against their hashes, the tree against tiles and checkpoint, the
/// checkpoint against `keys` of the log; with `signers`, the signatures under every entry too. It reads only, and may
/// run beside the daemon.
///
/// # Errors
/// [`ChainError::Io`] if a file cannot be read, [`ChainError::DamagedFile`] if there is no log to look through.
pub fn fsck(folder: &Path, keys: &KeyRing, signers: Option<&KeyRing>) -> Result<Fsck, ChainError> {
    let mut attempt = 1;
    loop {
        let view = View::open(folder)?;
        let report = look_through(&view, keys, signers)?;
        // Begun tiles make way for fuller ones while a daemon writes: what was missed is there under another name.
        let moved_on = || View::open(folder).is_ok_and(|now| now.checkpoint() != view.checkpoint());
        if report.is_sound() || attempt == ATTEMPTS || !moved_on() {
            return Ok(report);
        }
        attempt += 1;
    }
}

fn look_through(view: &View, keys: &KeyRing, signers: Option<&KeyRing>) -> Result<Fsck, ChainError> {
    let mut look = Look::new(view, signers);
    look.cosigned(keys);
    look.kept(keys);
    look.entries()?;
    let stated = view.checkpoint();
    if let Some(Err(error)) = stated.map(|stated| checkpoint::check(&view.folder, stated, keys)) {
        look.find("checkpoint", None, error.to_string());
    }
    look.index();
    let root = (look.unread == 0).then(|| look.whole.root());
    Ok(Fsck {
        origin: view.origin().to_owned(),
        entries: look.sound,
        root,
        signed: view.checkpoint().map(|checkpoint| checkpoint.checkpoint().size),
        unfinished_bytes: look.unfinished,
        tiles: look.tiles_read,
        signatures: look.signatures,
        findings: look.findings,
    })
}

struct Look<'v> {
    view: &'v View,
    signers: Option<&'v KeyRing>,
    tiles: Tiles,
    signed: u64,
    /// Files with checkpoints that others signed, and the roots in them, by size.
    cosigned: BTreeMap<u64, Vec<(PathBuf, Hash)>>,
    whole: Edge,
    offsets: Vec<u64>,
    sound: u64,
    unread: u64,
    unfinished: u64,
    tiles_read: u64,
    signatures: Option<SignatureCheck>,
    findings: Vec<Finding>,
}

impl<'v> Look<'v> {
    fn new(view: &'v View, signers: Option<&'v KeyRing>) -> Self {
        Self {
            view,
            signers,
            tiles: Tiles::of(&view.folder),
            signed: view.checkpoint().map_or(0, |checkpoint| checkpoint.checkpoint().size),
            cosigned: BTreeMap::new(),
            whole: Edge::default(),
            offsets: Vec::new(),
            sound: 0,
            unread: 0,
            unfinished: 0,
            tiles_read: 0,
            signatures: signers.map(|_| SignatureCheck::default()),
            findings: Vec::new(),
        }
    }

    fn find(&mut self, file: impl Into<PathBuf>, entry: Option<u64>, what: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { file: file.into(), entry, what: what.into() });
        }
    }

    fn entries(&mut self) -> Result<(), ChainError> {
        let view = self.view;
        let io = |error| ChainError::io(&view.path, error);
        let mut records = Records::all(&view.segment, view.first, view.length);
        loop {
            match records.next().map_err(io)? {
                Step::Record(record) => {
                    let at = self.whole.size();
                    self.signatures_of(at, record.entry);
                    if self.whole.size().is_multiple_of(WIDTH) {
                        self.offsets.push(record.offset);
                    }
                    self.take(record.leaf, record.entry);
                }
                Step::Flaw(flaw) => {
                    let (at, offset) = (self.whole.size(), records.offset());
                    let later = segment::later_write(&view.segment, offset, view.length).map_err(io)?;
                    if at >= self.signed && !later {
                        self.unfinished = view.length - offset;
                        break;
                    }
                    self.find(segment::NAME, Some(at), format!("entry {at} is damaged: {}", flaw.words()));
                    return self.behind_damage(at).map_err(io);
                }
                Step::End => break,
            }
            if self.whole.size() == self.signed {
                self.signed_tree();
            }
            self.cosigned_tree();
        }
        let size = self.whole.size();
        if size < self.signed {
            self.unread = self.signed - size;
            self.find(
                segment::NAME,
                Some(size),
                format!("entry {size} is signed and not there, nor are those behind it"),
            );
        }
        Ok(())
    }

    /// Takes in a sound entry, and compares the tiles that it makes full.
    fn take(&mut self, leaf: Hash, entry: &[u8]) {
        let mut full = Vec::new();
        let signed = self.signed;
        let told: Result<(), std::convert::Infallible> = self.whole.push(leaf, entry, |tile, content| {
            let entries = tile_entries(tile);
            if entries.1 <= signed {
                full.push((tile, content.to_vec()));
            }
            Ok(())
        });
        let Ok(()) = told;
        self.sound += 1;
        full.iter().for_each(|(tile, content)| self.compare(*tile, content));
    }

    /// All signed entries are in: the tiles at the edge, and the root.
    fn signed_tree(&mut self) {
        for (tile, content) in self.whole.partial() {
            self.compare(tile, &content);
        }
        let root = self.whole.root();
        let stated = self.view.checkpoint().map(|checkpoint| checkpoint.checkpoint().root);
        if stated.is_some_and(|stated| stated != root) {
            let what = format!("its root is not that of the first {} entries as they are stored", self.signed);
            self.find("checkpoint", None, what);
        }
    }

    /// The checkpoints that witnesses cosigned, and every signature under them.
    fn cosigned(&mut self, keys: &KeyRing) {
        let cosigned = match self.view.cosigned() {
            Ok(cosigned) => cosigned,
            Err(error) => return self.unreadable("cosigned", &error),
        };
        let all: KeyRing = keys.iter().chain(cosigned.keys().iter()).cloned().collect();
        for checkpoint in cosigned.checkpoints() {
            self.signed_by_others(cosigned::file(checkpoint.checkpoint().size), checkpoint, &all);
        }
    }

    /// The checkpoints that mirrors hold, and every signature under them.
    fn kept(&mut self, keys: &KeyRing) {
        let kept = match self.view.mirror_cosignatures() {
            Ok(kept) => kept,
            Err(error) => return self.unreadable("kept", &error),
        };
        for (file, key, checkpoint) in kept.lines() {
            let all: KeyRing = keys.iter().chain([key]).cloned().collect();
            self.signed_by_others(file, checkpoint, &all);
        }
    }

    fn unreadable(&mut self, folder: &str, error: &ChainError) {
        match error {
            ChainError::DamagedFile { path, what, .. } => {
                let file = path.strip_prefix(&self.view.folder).unwrap_or(path).to_owned();
                self.find(file, None, what.clone());
            }
            error => self.find(folder, None, error.to_string()),
        }
    }

    fn signed_by_others(&mut self, file: PathBuf, checkpoint: &SignedCheckpoint, keys: &KeyRing) {
        let verified = checkpoint.verify(keys);
        if !verified.is_ok_and(|verified| verified.len() == checkpoint.signatures().len()) {
            self.find(file.clone(), None, "a signature under it does not verify");
        }
        let stated = checkpoint.checkpoint();
        self.cosigned.entry(stated.size).or_default().push((file, stated.root));
    }

    fn cosigned_tree(&mut self) {
        let size = self.whole.size();
        let Some(of_size) = self.cosigned.remove(&size) else { return };
        let root = self.whole.root();
        for (file, _) in of_size.into_iter().filter(|(_, stated)| *stated != root) {
            self.find(file, None, format!("its root is not that of the first {size} entries as they are stored"));
        }
    }

    fn compare(&mut self, tile: Tile, content: &[u8]) {
        self.tiles_read += 1;
        let file = PathBuf::from(tile.to_string());
        let found = match self.tiles.read(tile) {
            Ok(Some(found)) => found,
            Ok(None) => return self.find(file, None, "it is missing; it is made anew when `index` is removed too"),
            Err(error) => return self.find(file, None, error.to_string()),
        };
        if found == content {
            return;
        }
        let (first, end) = tile_entries(tile);
        if tile.kind == (TileKind::Hashes { level: 0 }) && found.len() == content.len() {
            let pairs = found.chunks(Hash::LEN).zip(content.chunks(Hash::LEN));
            for (at, _) in pairs.enumerate().filter(|(_, (found, derived))| found != derived) {
                let entry = first + at as u64;
                let what = format!("the hash kept of entry {entry} is not that of the bytes in the segment");
                self.find(file.clone(), Some(entry), what);
            }
            return;
        }
        let entry = (end - first == 1).then_some(first);
        self.find(file, entry, format!("it does not agree with entries {first} to {} in the segment", end - 1));
    }

    /// Behind a damaged entry the tree is lost. What the index still leads to is read, each entry by itself.
    fn behind_damage(&mut self, damaged: u64) -> io::Result<()> {
        let mark = index::read(&self.view.folder).unwrap_or_default();
        let mut at = damaged;
        for (block, offset) in (0_u64..).zip(&mark.offsets).skip((damaged / WIDTH + 1) as usize) {
            at = block * WIDTH;
            let end = mark.offsets.get(block as usize + 1).copied().unwrap_or(self.view.length);
            let mut records = Records::new(&self.view.segment, *offset, end.min(self.view.length));
            loop {
                match records.next()? {
                    Step::Record(record) => {
                        self.signatures_of(at, record.entry);
                        self.sound += 1;
                        at += 1;
                    }
                    Step::Flaw(flaw) if at < self.signed => {
                        self.find(segment::NAME, Some(at), format!("entry {at} is damaged: {}", flaw.words()));
                        break;
                    }
                    Step::Flaw(_) | Step::End => break,
                }
            }
        }
        self.unread = self.signed.max(at).saturating_sub(self.sound).max(1);
        let what = format!("{} of its entries could not be compared with the tree", self.unread);
        self.find("checkpoint", None, what);
        Ok(())
    }

    fn signatures_of(&mut self, at: u64, entry: &[u8]) {
        let Some(keys) = self.signers else { return };
        let Ok(signed) = SignedEntry::parse(entry) else {
            return self.find(segment::NAME, Some(at), format!("entry {at} is not an entry of this schema"));
        };
        let check = self.signatures.get_or_insert_default();
        for line in signed.signatures() {
            match keys.find(line.name(), line.key_id()) {
                Some(_) => check.good += 1,
                None => *check.unknown.entry(line.name().to_owned()).or_default() += 1,
            }
        }
        if let Err(fault @ EntryFault::BadSignature(_)) = signed.verify(keys) {
            let check = self.signatures.get_or_insert_default();
            check.good = check.good.saturating_sub(1);
            self.find(segment::NAME, Some(at), format!("entry {at}: {fault}"));
        }
    }

    fn index(&mut self) {
        if self.unread > 0 {
            return;
        }
        let offsets = &self.offsets;
        let end = self.view.length - self.unfinished;
        let offset_of = |block: u64| {
            let known = usize::try_from(block).ok().and_then(|block| offsets.get(block).copied());
            known.or((block == offsets.len() as u64).then_some(end))
        };
        if index::agrees(&self.view.folder, offset_of) == Some(false) {
            self.find(index::NAME, None, "it does not agree with the segment; it can be removed and is made anew");
        }
    }
}

/// The entries below a tile: the first, and the one behind the last.
fn tile_entries(tile: Tile) -> (u64, u64) {
    let each = match tile.kind {
        TileKind::Entries => 0,
        TileKind::Hashes { level } => 8 * u32::from(level),
    };
    let first = (tile.index * WIDTH) << each;
    (first, first + (u64::from(tile.width) << each))
}
