//! A verdict for programs.

use serde_json::{Value, json};
use tacitly_attestation::certificate::{Anchoring, Finality, Trust, Verdict};
use tacitly_attestation::entry::{Body, Id};
use tacitly_attestation::policy::Quorum;

/// The job that a certificate is about, as its agreement states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The job's number, as `tacitly job list` shows it.
    pub job: String,
    /// By which protocol.
    pub protocol: String,
    /// For which purpose.
    pub purpose: String,
    /// Who took part.
    pub parties: Vec<String>,
}

/// The job that a certificate is about, if it holds the agreement on one.
#[must_use]
pub fn about(verdict: &Verdict) -> Option<About> {
    verdict.entries.iter().find_map(|proven| match proven.entry.body() {
        Body::Agreement(agreement) => Some(About {
            job: job_number(agreement.job),
            protocol: agreement.protocol.to_string(),
            purpose: agreement.purpose.to_string(),
            parties: agreement.parties.iter().map(|party| party.party.to_string()).collect(),
        }),
        _ => None,
    })
}

/// The number of a job as people know it; in entries it stands as 32 hexadecimal digits.
#[must_use]
pub fn job_number(id: Id) -> String {
    ulid::Ulid::from_bytes(id.0).to_string()
}

/// Whose keys were used, for programs.
#[must_use]
pub fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Given => "given-policy",
        Trust::Snapshot => "certificate's-own-policy",
    }
}

/// What a certificate proves, as JSON: `holds`, whose keys it was verified with, the job it is about, the levels it
/// reaches, its entries.
#[must_use]
pub fn summary(verdict: &Verdict) -> Value {
    let levels = &verdict.levels;
    let included = levels.included.as_ref().map(|included| {
        json!({
            "log": included.log.as_str(),
            "index": included.index,
            "size": included.size,
            "root": included.root.to_string(),
        })
    });
    let witnessed = levels.witnessed.as_ref().map(|standing| {
        let cosigned = standing.cosigned.iter().map(|(name, time)| json!({ "name": name, "time_s": time }));
        json!({
            "cosigned": cosigned.collect::<Vec<_>>(),
            "of": standing.of,
            "quorum": match standing.quorum {
                Quorum::Met => "met",
                Quorum::Missed => "missed",
                Quorum::NotAsked => "not-asked",
            },
        })
    });
    let entries = verdict.entries.iter().map(|proven| {
        let header = proven.entry.header();
        json!({
            "kind": proven.entry.kind().as_str(),
            "leaf": proven.leaf.to_string(),
            "by": header.by.to_string(),
            "recorded_ms": header.t.get(),
            "signed": proven.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "holds": true,
        "trust": trust(verdict.trust),
        "about": about(verdict).map(|about| json!({
            "job": about.job,
            "protocol": about.protocol,
            "purpose": about.purpose,
            "parties": about.parties,
        })),
        "certificate": verdict.manifest.certificate.to_string(),
        "issuer": verdict.manifest.issuer.to_string(),
        "issued_ms": verdict.manifest.issued.get(),
        "policy": verdict.policy.digest().to_string(),
        "levels": {
            "signed": levels.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "included": included,
            "witnessed": witnessed,
            "anchored": match levels.anchored {
                Anchoring::None => "no",
                Anchoring::NotChecked => "not-checked",
                Anchoring::Proven { finality: Finality::Proven, .. } => "yes",
                Anchoring::Proven { finality: Finality::NotProven, .. } => "finality-not-proven",
            },
        },
        "entries": entries.collect::<Vec<_>>(),
    })
}
