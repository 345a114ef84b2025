//! A text and the signature lines under it.

use std::collections::BTreeSet;
use std::fmt;

use super::{KeyRing, NoteSignature, VerifierKey};

/// A text with signatures that are well formed and not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// The bytes are not a signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedNote {
    /// Longer than any note that is read.
    #[error("a note of {0} bytes, at most {max} are read", max = Note::MAX_BYTES)]
    TooLong(usize),
    /// Not UTF-8, or with control characters other than the line feed.
    #[error("a note is UTF-8 without control characters other than line feeds")]
    NotText,
    /// The text does not end with a line feed.
    #[error("the text of a note ends with a line feed")]
    Unterminated,
    /// No blank line between text and signatures, or nothing under it.
    #[error("a note has a blank line and at least one signature line under its text")]
    NoSignatures,
    /// More signatures than any note needs.
    #[error("more than {max} signature lines", max = Note::MAX_SIGNATURES)]
    TooManySignatures,
    /// A line under the blank one is not a signature line; counted from 1.
    #[error("line {0} under the text is not a signature line")]
    Signature(usize),
}

/// A signature line names a trusted key and does not verify under it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature in the name of {name} does not verify")]
pub struct BadSignature {
    /// The trusted key's name.
    pub name: String,
}

/// A trusted key that signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'k> {
    /// Which.
    pub key: &'k VerifierKey,
    /// For a cosignature, when the witness signed, in seconds since 1970.
    pub time: Option<u64>,
}

impl Note {
    /// The longest note that is read, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;

    /// The most signature lines that are read: of 128 witnesses, of the log itself, and of 63 outside witnesses.
    pub const MAX_SIGNATURES: usize = 192;

    /// A note of this text that nobody has signed yet.
    ///
    /// # Errors
    /// [`MalformedNote::TooLong`], [`MalformedNote::NotText`] or [`MalformedNote::Unterminated`].
    pub fn new(text: String) -> Result<Self, MalformedNote> {
        if text.len() > Self::MAX_BYTES {
            return Err(MalformedNote::TooLong(text.len()));
        }
        if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(MalformedNote::NotText);
        }
        if !text.ends_with('\n') {
            return Err(MalformedNote::Unterminated);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedNote`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedNote> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MalformedNote::TooLong(bytes.len()));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| MalformedNote::NotText)?;
        let (text, under) = match whole.rfind("\n\n") {
            Some(at) => (&whole[..=at], &whole[at + 2..]),
            None => return Err(MalformedNote::NoSignatures),
        };
        let mut note = Self::new(text.to_owned())?;
        let lines = under.strip_suffix('\n').ok_or(MalformedNote::NoSignatures)?;
        for (at, line) in lines.split('\n').enumerate() {
            if at == Self::MAX_SIGNATURES {
                return Err(MalformedNote::TooManySignatures);
            }
            let signature = NoteSignature::parse(line).map_err(|_| MalformedNote::Signature(at + 1))?;
            note.signatures.push(signature);
        }
        Ok(note)
    }

    /// Writes the note.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// A note, not signed yet, of a text that is known to fit one: it was one's text before, or is an entry's.
    pub(crate) fn of_text(text: &str) -> Self {
        Self { text: text.to_owned(), signatures: Vec::new() }
    }

    /// The text that is signed, with its final line feed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, none of them verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line under the others. One that is there already is not repeated.
    pub fn add(&mut self, signature: NoteSignature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// The trusted keys that signed, in the order of their lines, each once. Lines of other keys are passed over.
    ///
    /// # Errors
    /// [`BadSignature`] if a line names a trusted key and does not verify.
    pub fn verify<'k>(&self, trusted: &'k KeyRing) -> Result<Vec<Verified<'k>>, BadSignature> {
        let mut seen = BTreeSet::new();
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let Some(key) = trusted.find(signature.name(), signature.key_id()) else { continue };
            let time = signature
                .verified(&self.text, key)
                .ok_or_else(|| BadSignature { name: signature.name().to_owned() })?;
            if seen.insert((signature.name(), signature.key_id())) {
                verified.push(Verified { key, time });
            }
        }
        Ok(verified)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}
