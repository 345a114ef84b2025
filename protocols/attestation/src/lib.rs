//! Attestation: what was agreed, asked, answered and computed, provable to a third party that trusts none of the
//! parties, without a word about the people in the data.
//!
//! Four classic steps, each a layer of its own:
//!
//! | step | module | what |
//! |---|---|---|
//! | hash | [`commitment`], [`dataset`], [`transcript`] | salted commitments to questions and results, fingerprints of data sets, digests of what went over each link |
//! | sign | [`entry`], [`note`], [`lint`] | an entry is a signed note with room for fields of declared forms and for nothing else; who must sign follows from its kind |
//! | block | [`tree`], [`checkpoint`], [`witness`], [`mirror`] | entries are leaves of an RFC 6962 tree; its signed root is cosigned by others who let no second history pass, and by those who keep the entries, too |
//! | certificate | [`proof`], [`policy`], [`mod@certificate`] | one text file with all of it, verified offline under a policy that says whom to trust |
//!
//! A [`roster`] says whose keys a consortium's members sign with.
//!
//! The formats are those of C2SP (signed-note, tlog-checkpoint, tlog-tiles, tlog-cosignature, tlog-witness, tlog-proof,
//! tlog-policy), so that tools in other languages read the same files.
//!
//! Nothing here opens a file or a socket, reads a clock or draws randomness: times, salts and ids are arguments, and
//! signatures come from a [`Signer`](note::Signer) that the caller provides. Parsers take bytes of strangers: they are
//! bounded, never panic, and read no text in two ways. No error shows the value of a field.

pub mod certificate;
pub mod checkpoint;
pub mod commitment;
pub mod dataset;
mod encoding;
pub mod entry;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod hash;
pub mod lint;
pub mod mirror;
pub mod note;
pub mod policy;
pub mod proof;
pub mod roster;
mod sections;
pub mod transcript;
pub mod tree;
pub mod witness;
