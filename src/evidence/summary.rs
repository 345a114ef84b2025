//! A verdict for programs.

use serde_json::{Value, json};
use tacitly_attestation::certificate::{Anchoring, Finality, Gap, Levels, Trust, Verdict};
use tacitly_attestation::policy::Quorum;

use super::about::{about, question};

/// Whose keys were used, for programs.
#[must_use]
pub fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Given => "given-policy",
        Trust::Snapshot => "certificate's-own-policy",
    }
}

/// How far a certificate reaches, as JSON: the highest level `reached`, and each level.
#[must_use]
pub fn levels(levels: &Levels) -> Value {
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
    json!({
        "reached": levels.reached().as_str(),
        "signed": levels.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "included": included,
        "witnessed": witnessed,
        "anchored": match levels.anchored {
            Anchoring::None => "no",
            Anchoring::NotChecked => "not-checked",
            Anchoring::Proven { finality: Finality::Proven, .. } => "yes",
            Anchoring::Proven { finality: Finality::NotProven, .. } => "finality-not-proven",
        },
    })
}

/// What a certificate proves, as JSON: `holds`, whose keys it was verified with, the job or the question it is about, the
/// levels it reaches, its entries, who of the agreement's parties was absent, and which entries it names without showing
/// them.
#[must_use]
pub fn summary(verdict: &Verdict) -> Value {
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
    let not_attached = verdict.gaps().into_iter().map(|gap| match gap {
        Gap::Agreement(leaf) => json!({ "kind": "agreement", "leaf": leaf.to_string() }),
        Gap::Query(leaf) => json!({ "kind": "query", "leaf": leaf.to_string() }),
        Gap::Dataset { party, leaf } => {
            json!({ "kind": "dataset", "leaf": leaf.to_string(), "of": party.to_string() })
        }
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
        "question": question(verdict),
        "certificate": verdict.manifest.certificate.to_string(),
        "issuer": verdict.manifest.issuer.to_string(),
        "issued_ms": verdict.manifest.issued.get(),
        "policy": verdict.policy.digest().to_string(),
        "levels": levels(&verdict.levels),
        "entries": entries.collect::<Vec<_>>(),
        "absent": verdict.agreement().map(|agreement| {
            agreement.absent().map(|party| party.to_string()).collect::<Vec<_>>()
        }).unwrap_or_default(),
        "not_attached": not_attached.collect::<Vec<_>>(),
    })
}
