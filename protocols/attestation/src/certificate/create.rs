//! Writing a certificate.

use tacitly_core::PartyId;

use super::manifest::SCHEMA;
use super::{Manifest, Refusal, Verdict, verify};
use crate::entry::{Id, SignedEntry, Software, Time};
use crate::note::{MalformedNote, Note, NoteSignature, Signer, VerifierKey};
use crate::policy::Policy;
use crate::proof::LogProof;
use crate::sections;

/// What goes into a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'d> {
    /// The certificate's name: 128 random bits that the caller drew.
    pub id: Id,
    /// When it is issued.
    pub issued: Time,
    /// Who issues it; its key stands in the policy as a signer.
    pub issuer: PartyId,
    /// The program that writes it.
    pub tool: &'d Software,
    /// The entry it is about.
    pub entry: &'d SignedEntry,
    /// Earlier entries to attach, each named by the entry or by one attached before it.
    pub related: &'d [SignedEntry],
    /// Where the entry stands in its log, once it does; with all cosignatures at hand.
    pub proof: Option<&'d LogProof>,
    /// The proof that the checkpoint was anchored, as its chain's back end writes it: lines of text.
    pub anchor: Option<&'d str>,
    /// Whom to trust.
    pub policy: &'d Policy,
}

/// A certificate cannot be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateFault<E> {
    /// A part does not fit into the file.
    #[error(transparent)]
    Note(MalformedNote),
    /// The signer failed.
    #[error("the certificate cannot be signed")]
    Signer(#[source] E),
    /// The parts do not belong together: the certificate would be refused.
    #[error(transparent)]
    Refused(Refusal),
}

/// Writes a certificate, signs it as the issuer, and verifies it before handing it out.
///
/// # Errors
/// [`CreateFault`].
pub fn create<S: Signer + ?Sized>(
    draft: &Draft<'_>,
    key: &VerifierKey,
    signer: &S,
) -> Result<(Vec<u8>, Verdict), CreateFault<S::Error>> {
    let manifest = Manifest {
        certificate: draft.id,
        issued: draft.issued,
        issuer: draft.issuer,
        kind: draft.entry.entry().kind(),
        leaf: draft.entry.leaf(),
        tool: draft.tool.clone(),
    };
    let mut text = format!("{SCHEMA}\n");
    sections::write(&mut text, "manifest", &manifest.to_text());
    sections::write(&mut text, "entry", &draft.entry.to_string());
    for related in draft.related {
        sections::write(&mut text, "related", &related.to_string());
    }
    if let Some(proof) = draft.proof {
        sections::write(&mut text, "proof", &proof.to_string());
    }
    if let Some(anchor) = draft.anchor {
        sections::write(&mut text, "anchor", anchor);
    }
    sections::write(&mut text, "policy", draft.policy.canonical());

    let mut note = Note::new(text).map_err(CreateFault::Note)?;
    let signature = NoteSignature::sign(note.text(), key, signer).map_err(CreateFault::Signer)?;
    note.add(signature);
    let bytes = note.encode();
    let verdict = verify(&bytes, None).map_err(CreateFault::Refused)?;
    Ok((bytes, verdict))
}
