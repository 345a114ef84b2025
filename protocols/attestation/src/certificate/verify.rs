//! The one way from a certificate's bytes to what they prove.

use std::collections::BTreeSet;

use super::coherence::coherent;
use super::manifest::SCHEMA;
use super::refusal::RefusalCode as Code;
use super::verdict::{Anchoring, Finality, Included, Levels, Proven, Trust, Verdict};
use super::{MAX_RELATED, Manifest, Refusal};
use crate::checkpoint::Checkpoint;
use crate::entry::{AnchorEntry, Body, Kind, LeafHash, Origin, SignedEntry};
use crate::note::Note;
use crate::policy::{CheckpointFault, Policy, Quorum, QuorumStatus};
use crate::proof::LogProof;
use crate::sections::Sections;

/// Checks proofs that a checkpoint was anchored on a blockchain. Which chain and how is no business of this crate.
pub trait AnchorVerifier {
    /// Checks that `proof`, the text of the certificate's anchor section, anchors exactly this size and root of this
    /// log.
    ///
    /// # Errors
    /// A sentence that says what does not hold.
    fn verify(&self, checkpoint: &Checkpoint, proof: &str) -> Result<(AnchorEntry, Finality), String>;
}

/// Verifies a certificate offline.
///
/// With a policy, keys count only if that policy names them, and the quorum that it asks for must be shown: a certificate
/// without a proof has none. A policy with `quorum none` asks for no proof either; the levels say that there is none.
/// Without a policy, the keys of the certificate's own policy are used and a missed quorum is reported, not refused:
/// [`Trust::Snapshot`] says what that is worth. An anchor is reported as not checked.
///
/// Learns: nothing leaves this function but the verdict.
/// Model:  unforgeability of Ed25519 for the keys trusted, collision resistance of SHA-256; that an entry was made
///         before a certain time, and that its log tells everybody the same, rests on the witnesses.
///
/// # Errors
/// A [`Refusal`] with a stable code.
pub fn verify(bytes: &[u8], policy: Option<&Policy>) -> Result<Verdict, Refusal> {
    check(bytes, policy, None)
}

/// Verifies a certificate, its anchor included.
///
/// # Errors
/// As [`verify`], and [`RefusalCode::Anchor`](Code::Anchor).
pub fn verify_with_anchor(
    bytes: &[u8],
    policy: Option<&Policy>,
    anchor: &dyn AnchorVerifier,
) -> Result<Verdict, Refusal> {
    check(bytes, policy, Some(anchor))
}

/// The sections of a certificate, not yet verified.
struct Parts {
    manifest: Manifest,
    entry: SignedEntry,
    related: Vec<SignedEntry>,
    proof: Option<LogProof>,
    anchor: Option<String>,
    policy: Policy,
}

impl Parts {
    /// The entry, then the attached ones.
    fn entries(&self) -> impl Iterator<Item = &SignedEntry> {
        std::iter::once(&self.entry).chain(&self.related)
    }
}

fn check(bytes: &[u8], given: Option<&Policy>, anchors: Option<&dyn AnchorVerifier>) -> Result<Verdict, Refusal> {
    let note = Note::parse(bytes).map_err(Refusal::of(Code::Malformed))?;
    let parts = parts(note.text())?;
    let policy = given.unwrap_or(&parts.policy);
    let signers = policy.signers();

    let signed = parts.entry.verify(signers).map_err(Refusal::of(Code::EntrySignature))?;
    let main = Proven { leaf: parts.entry.leaf(), entry: parts.entry.entry().clone(), signed };
    let mut levels = Levels { signed: main.signed.clone(), included: None, witnessed: None, anchored: Anchoring::None };
    let mut entries = vec![main];
    for related in &parts.related {
        let signed = related.verify(signers).map_err(Refusal::of(Code::RelatedSignature))?;
        entries.push(Proven { leaf: related.leaf(), entry: related.entry().clone(), signed });
    }
    chained(&entries)?;
    coherent(&entries)?;

    let mut older_than = None;
    if let Some(proof) = &parts.proof {
        let (included, standing) = logged(&entries[0], proof, policy)?;
        if given.is_some() && standing.quorum == Quorum::Missed {
            let detail =
                format!("{} of {} witnesses, fewer than the policy asks", standing.cosigned.len(), standing.of);
            return Err(Refusal::new(Code::Quorum, detail));
        }
        older_than = policy.witnessed_by(&standing.cosigned);
        levels.included = Some(included);
        levels.witnessed = Some(standing);
        levels.anchored = anchored(proof, parts.anchor.as_deref(), anchors)?;
    } else if parts.anchor.is_some() {
        return Err(Refusal::new(Code::Malformed, "an anchor without a proof of inclusion"));
    } else if given.is_some_and(|given| given.quorum([]) == Quorum::Missed) {
        // Otherwise whoever lacks witnesses would leave the proof out.
        let of = policy.witnesses().len();
        return Err(Refusal::new(Code::Quorum, format!("no proof: 0 of {of} witnesses, fewer than the policy asks")));
    }

    none_revoked(&parts, policy, older_than)?;

    // Last, so that a change shows as what it is where that can be told.
    let signed = note.verify(signers).map_err(Refusal::of(Code::Issuer))?;
    let issuer = parts.manifest.issuer;
    if !signed.iter().any(|signed| signed.time.is_none() && signed.key.name() == issuer.as_str()) {
        return Err(Refusal::new(Code::Issuer, "the issuer has not signed, or its key is not trusted"));
    }
    let trust = if given.is_some() { Trust::Given } else { Trust::Snapshot };
    Ok(Verdict { trust, manifest: parts.manifest, policy: parts.policy, levels, entries })
}

/// Takes the sections apart and reads each.
fn parts(text: &str) -> Result<Parts, Refusal> {
    let malformed = |detail: &str| Refusal::new(Code::Malformed, detail);
    let rest = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n'));
    let mut sections = Sections(rest.ok_or_else(|| malformed("a certificate begins with \"tacitly-evidence@v1\""))?);
    let manifest = sections.take("manifest").ok_or_else(|| malformed("no manifest section"))?;
    let manifest = Manifest::parse(manifest).map_err(Refusal::of(Code::Malformed))?;

    let entry = sections.take("entry").ok_or_else(|| malformed("no entry section"))?;
    let entry = SignedEntry::parse(entry.as_bytes()).map_err(Refusal::of(Code::Entry))?;
    if entry.leaf() != manifest.leaf || entry.entry().kind() != manifest.kind {
        return Err(Refusal::new(Code::Entry, "the entry is not the one that the manifest names"));
    }
    let mut related = Vec::new();
    while let Some(content) = sections.take("related") {
        if related.len() == MAX_RELATED {
            return Err(Refusal::new(Code::Related, format!("more than {MAX_RELATED} attached entries")));
        }
        related.push(SignedEntry::parse(content.as_bytes()).map_err(Refusal::of(Code::Related))?);
    }
    let proof = sections.take("proof").map(|content| LogProof::parse(content.as_bytes()));
    let proof = proof.transpose().map_err(Refusal::of(Code::Proof))?;
    let anchor = sections.take("anchor").map(str::to_owned);

    let snapshot = sections.take("policy").ok_or_else(|| malformed("no policy section, or one out of place"))?;
    let policy = Policy::parse(snapshot).map_err(Refusal::of(Code::Policy))?;
    if policy.canonical() != snapshot {
        return Err(Refusal::new(Code::Policy, "the policy is not in its canonical form"));
    }
    if !sections.is_empty() {
        return Err(malformed("something follows the policy section"));
    }
    Ok(Parts { manifest, entry, related, proof, anchor, policy })
}

/// Checks that each attached entry is named by one before it, so that the first one's signatures cover them all; or, right
/// behind the question that the certificate is about, that it is the answer to it.
fn chained(entries: &[Proven]) -> Result<(), Refusal> {
    let mut named: BTreeSet<LeafHash> = BTreeSet::new();
    for (at, proven) in entries.iter().enumerate() {
        let answers = at == 1 && matches!(proven.entry.body(), Body::Serve(serve) if serve.query == entries[0].leaf);
        // Taking the name away as it is used refuses a second copy as well, unless it is named anew.
        if at > 0 && !answers && !named.remove(&proven.leaf) {
            return Err(Refusal::new(Code::Related, format!("attached entry {at} is named by none before it")));
        }
        named.extend(proven.entry.references());
    }
    Ok(())
}

/// Refuses a signature by a key that the policy says is revoked, unless what it stands under was there before: enough
/// witnesses had cosigned the tree with the first entry, or with one that names it. What the issuer says was issued before
/// counts: it only hands on what others have signed.
fn none_revoked(parts: &Parts, policy: &Policy, older_than: Option<u64>) -> Result<(), Refusal> {
    for key in policy.signers().iter() {
        let Some(since) = policy.revoked_since(key.public()) else { continue };
        let refuse =
            |what: &str| Err(Refusal::new(Code::Revoked, format!("{what} is signed by {}'s revoked key", key.name())));
        let is_older = older_than.is_some_and(|time| time < since);
        // What an entry names that is older is older itself. The answer to a question is named by none before it.
        let mut older: BTreeSet<LeafHash> = BTreeSet::new();
        for (at, entry) in parts.entries().enumerate() {
            if is_older && (at == 0 || older.contains(&entry.leaf())) {
                older.extend(entry.entry().references());
            } else if entry.is_signed_by(key) {
                return refuse(if at == 0 { "the entry" } else { "an attached entry" });
            }
        }
        let log = parts.proof.as_ref().map(|proof| proof.checkpoint.checkpoint().origin.as_str());
        let of_log =
            policy.logs().iter().any(|log_key| log_key.public() == key.public() && Some(log_key.name()) == log);
        if of_log && !is_older {
            return refuse("the tree of the log");
        }
        if parts.manifest.issuer.as_str() == key.name() && parts.manifest.issued.get() / 1000 >= since {
            return refuse("the certificate");
        }
    }
    Ok(())
}

/// Checks that the entry stands in its log, and how that log's tree stands with its witnesses. An agreement stands in the
/// logs of all who signed it: any log that the policy knows will do.
fn logged(main: &Proven, proof: &LogProof, policy: &Policy) -> Result<(Included, QuorumStatus), Refusal> {
    let Checkpoint { origin, size, root, .. } = proof.checkpoint.checkpoint();
    let named = &main.entry.header().log;
    let log = match Origin::parse(origin) {
        Ok(log) if log == *named || main.entry.kind() == Kind::Agreement => log,
        _ => return Err(Refusal::new(Code::Proof, "the proof is of another log than the one that the entry names")),
    };
    proof.verify(&main.leaf.0).map_err(Refusal::of(Code::Inclusion))?;
    let standing = policy.judge(&proof.checkpoint).map_err(|fault| {
        let code = match fault {
            CheckpointFault::UnknownLog => Code::LogUnknown,
            CheckpointFault::NotSigned | CheckpointFault::LogSignature => Code::LogSignature,
            CheckpointFault::Cosignature(_) => Code::Cosignature,
        };
        Refusal::new(code, fault)
    })?;
    Ok((Included { log, index: proof.index, size: *size, root: *root }, standing))
}

fn anchored(
    proof: &LogProof,
    anchor: Option<&str>,
    anchors: Option<&dyn AnchorVerifier>,
) -> Result<Anchoring, Refusal> {
    let Some(anchor) = anchor else { return Ok(Anchoring::None) };
    let Some(anchors) = anchors else { return Ok(Anchoring::NotChecked) };
    let (anchor, finality) =
        anchors.verify(proof.checkpoint.checkpoint(), anchor).map_err(Refusal::of(Code::Anchor))?;
    Ok(Anchoring::Proven { anchor: Box::new(anchor), finality })
}
