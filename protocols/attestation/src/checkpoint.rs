//! Checkpoints: what a log says its tree is, signed (C2SP tlog-checkpoint).

use std::fmt;

use crate::encoding::from_decimal;
use crate::hash::Hash;
use crate::note::{BadSignature, KeyRing, MalformedNote, Note, NoteSignature, Signer, Verified, VerifierKey};
use crate::tree::MAX_TREE_SIZE;

/// A log's statement about its tree: the first `size` leaves have this `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, unique in the world: by custom a URL without its scheme.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
    /// Further lines, which no witness vouches for. The logs of this project write none.
    pub extensions: Vec<String>,
}

/// The text is not a checkpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCheckpoint {
    /// The envelope is not a note.
    #[error(transparent)]
    Note(#[from] MalformedNote),
    /// Fewer than three lines, an empty line, or no line feed at the end.
    #[error("a checkpoint has an origin, a size and a root on a line each, and no empty line")]
    Lines,
    /// The second line is not a tree size.
    #[error("the tree size is a whole number up to 2^62 without leading zeros")]
    Size,
    /// The third line is not a hash.
    #[error("the root is the base64 of 32 bytes")]
    Root,
}

impl Checkpoint {
    /// Reads a note's text.
    ///
    /// # Errors
    /// [`MalformedCheckpoint`] for everything that [`Checkpoint`] does not print.
    pub fn parse(text: &str) -> Result<Self, MalformedCheckpoint> {
        let mut lines = text.strip_suffix('\n').ok_or(MalformedCheckpoint::Lines)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(MalformedCheckpoint::Lines);
        let origin = line()?.to_owned();
        let size = from_decimal(line()?).filter(|size| *size <= MAX_TREE_SIZE).ok_or(MalformedCheckpoint::Size)?;
        let root = Hash::from_base64(line()?).ok_or(MalformedCheckpoint::Root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(MalformedCheckpoint::Lines);
        }
        Ok(Self { origin, size, root, extensions })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint with the signatures under it: the log's, then its witnesses'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// A checkpoint that nobody has signed yet.
    ///
    /// # Errors
    /// [`MalformedCheckpoint`] if its origin or an extension does not fit on a line.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, MalformedCheckpoint> {
        let note = Note::new(checkpoint.to_string())?;
        // Reading it back catches line feeds and empty lines in the parts.
        let read = Checkpoint::parse(note.text())?;
        if read == *checkpoint { Ok(Self { checkpoint: read, note }) } else { Err(MalformedCheckpoint::Lines) }
    }

    /// Reads a checkpoint with its signatures, usually a stranger's.
    ///
    /// # Errors
    /// [`MalformedCheckpoint`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedCheckpoint> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.note.encode()
    }

    /// The same checkpoint with the lines of these keys alone.
    pub(crate) fn signed_by(&self, keys: &KeyRing) -> Self {
        let mut kept = Self { checkpoint: self.checkpoint.clone(), note: Note::of_text(self.note.text()) };
        let trusted = |line: &&NoteSignature| keys.find(line.name(), line.key_id()).is_some();
        self.signatures().iter().filter(trusted).for_each(|line| kept.add(line.clone()));
        kept
    }

    /// What the log states.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signature lines, none of them verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }

    /// Signs it as the log. Sign no checkpoint that does not extend every one signed before: witnesses keep both
    /// as evidence of a fork.
    ///
    /// # Errors
    /// What the signer refuses.
    pub fn sign<S: Signer + ?Sized>(&mut self, key: &VerifierKey, signer: &S) -> Result<(), S::Error> {
        self.note.add(NoteSignature::sign(self.note.text(), key, signer)?);
        Ok(())
    }

    /// Signs it as a witness at `time`, in seconds since 1970; returns the line without adding it.
    pub(crate) fn cosign<S: Signer + ?Sized>(
        &self,
        time: u64,
        key: &VerifierKey,
        signer: &S,
    ) -> Result<NoteSignature, S::Error> {
        NoteSignature::cosign(self.note.text(), time, key, signer)
    }

    /// Adds a witness's line.
    pub fn add(&mut self, signature: NoteSignature) {
        self.note.add(signature);
    }

    /// Whether it is a checkpoint of the log that signs with `key`: it names that log, and the log's line verifies.
    #[must_use]
    pub fn is_of(&self, log: &VerifierKey) -> bool {
        let keys = KeyRing::from_iter([log.clone()]);
        let signed = self.verify(&keys).is_ok_and(|signed| !signed.is_empty());
        signed && self.checkpoint.origin == log.name()
    }

    /// The trusted keys that signed.
    ///
    /// # Errors
    /// [`BadSignature`] if a line names a trusted key and does not verify.
    pub fn verify<'k>(&self, trusted: &'k KeyRing) -> Result<Vec<Verified<'k>>, BadSignature> {
        self.note.verify(trusted)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
