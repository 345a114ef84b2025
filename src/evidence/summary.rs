//! A verdict for programs.

use serde_json::{Value, json};
use tacitly_attestation::certificate::{Anchoring, Finality, Trust, Verdict};
use tacitly_attestation::policy::Quorum;

/// What a certificate proves, as JSON: `holds`, whose keys it was verified with, the levels it reaches, its entries.
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
        "trust": match verdict.trust {
            Trust::Given => "given-policy",
            Trust::Snapshot => "certificate's-own-policy",
        },
        "certificate": verdict.manifest.certificate.to_string(),
        "issuer": verdict.manifest.issuer.to_string(),
        "issued_ms": verdict.manifest.issued.get(),
        "policy": verdict.snapshot.to_string(),
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
