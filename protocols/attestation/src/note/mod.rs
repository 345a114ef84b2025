//! C2SP signed notes: a text with signatures under it, readable in any editor.
//!
//! The envelope of checkpoints, entries and certificates. A text means nothing before a signature of a *trusted* key
//! has been verified; keys come from a [policy](crate::policy) or a [key ring](KeyRing), never from the note.

mod key;
mod key_name;
mod key_ring;
mod signature;
mod signed;

pub use key::{KeyUse, MalformedKey, Signer, VerifierKey};
pub use key_ring::KeyRing;
pub use signature::{MalformedSignature, NoteSignature};
pub use signed::{BadSignature, MalformedNote, Note, Verified};
