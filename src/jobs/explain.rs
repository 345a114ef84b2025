//! What a person reads before approving: how much, how long, and what each side learns.

use std::fmt::Write as _;
use std::time::Duration;

use tacitly_core::PartyId;
use tacitly_psi::Buckets;

use super::limits;
use super::terms::{JobTerms, Kind};
use crate::policy::Rule;

/// Bytes of a key of twenty characters that is laid aside, with its place and row.
const DISK_BYTES: u64 = 34;

/// What is known before the peer has read its file.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who reads the explanation.
    pub me: PartyId,
    /// Rows of our dataset.
    pub our_rows: u64,
    /// Our rule for the peer, if there is one.
    pub rule: Option<&'a Rule>,
    /// What one item costs this machine, both multiplications, measured.
    pub per_item: Duration,
    /// Compute threads.
    pub threads: usize,
    /// Keys of the larger side up to which we work in one piece.
    pub whole: u64,
    /// Keys of the larger side in one bucket otherwise.
    pub bucket: u64,
}

/// Explains a job in words: cost as an upper estimate from the files' rows, then what each side learns.
#[must_use]
pub fn explain(terms: &JobTerms, facts: &Facts<'_>) -> String {
    let peer = terms.peer_of(facts.me);
    // Before the approver has read its file only the proposer's rows are in the terms.
    let peer_rows = if facts.me == terms.approver { Some(terms.proposer_rows) } else { None };
    let assumed = peer_rows.unwrap_or(facts.our_rows);
    let minimum = facts.rule.and_then(|rule| limits::minimum(&rule.limits));
    let phases = if minimum.is_some() { 2 } else { 1 };
    let items = facts.our_rows.max(assumed) * phases;
    // In buckets as far as we are concerned; the peer may want them smaller.
    let largest = facts.our_rows.max(assumed);
    let buckets = (largest > facts.whole).then(|| Buckets::count_for(largest, facts.bucket));
    let seconds = items as f64 * facts.per_item.as_secs_f64() / facts.threads.max(1) as f64;
    let bytes = traffic(terms, facts.our_rows, assumed) * phases;

    let mut text = String::new();
    let mut line = |words: String| {
        let _infallible = writeln!(text, "{words}");
    };
    line(format!("job      {} · {} · proposed by {}", terms.job, terms.kind.name(), terms.proposer));
    if !terms.purpose.is_empty() {
        line(format!("purpose  {}", terms.purpose));
    }
    line(format!(
        "data     our {} ({} rows), {peer}'s {} ({} rows), matched on {}",
        terms.dataset_of(facts.me),
        facts.our_rows,
        terms.dataset_of(peer),
        peer_rows.map_or(format!("unknown, taken as ours: {assumed}"), |rows| rows.to_string()),
        terms.key.join(" + "),
    ));
    line(format!(
        "cost     about {} on this machine, {:.1} MiB over the network",
        duration(seconds),
        bytes as f64 / f64::from(1 << 20)
    ));
    for id in [facts.me, peer] {
        let name = if id == facts.me { "we".to_owned() } else { id.to_string() };
        line(format!("learns   {name}: {}", learns(terms, id, buckets)));
    }
    if let Some(buckets) = buckets {
        line(format!(
            "buckets  more than fits into the memory allowed: {buckets} buckets or more, one after the other, each padded \
             to one length and kept when it is over; keys wait on disk, sealed, about {:.1} MiB of them here",
            (facts.our_rows * DISK_BYTES) as f64 / f64::from(1 << 20)
        ));
    }
    if let Some(minimum) = minimum {
        line(format!(
            "minimum  our rule demands {minimum} shared keys: a size phase runs first and we learn the size{}; below the \
             minimum nothing else is released, and {peer} learns that it was below",
            if buckets.is_some() { " of each bucket" } else { "" },
        ));
    }
    line(format!(
        "first    if the rule of {peer} sets a minimum, {peer} learns how many keys are shared before anything else; a rule \
         that keeps results to us refuses that"
    ));
    line(
        "never    any key, any other column, or which of its keys are not shared leaves a side in readable form"
            .to_owned(),
    );
    text.trim_end().to_owned()
}

fn learns(terms: &JobTerms, id: PartyId, buckets: Option<u32>) -> String {
    let other = terms.peer_of(id);
    let mut facts = vec![format!("how many distinct keys {other} has")];
    if terms.receives(id) {
        facts.push(match terms.kind {
            Kind::Intersect => format!("which of its own rows {other} also has"),
            Kind::Align => format!("which of its own rows {other} also has, in an order both share"),
            Kind::Cardinality if buckets.is_some() => {
                "how many keys are shared in each bucket, a random part of all keys, and not which".to_owned()
            }
            Kind::Cardinality => "how many keys are shared, not which".to_owned(),
        });
    }
    facts.join("; ")
}

/// Bytes both ways: each set once at 32 bytes, and comparison values of about 11 bytes for each receiver.
fn traffic(terms: &JobTerms, ours: u64, theirs: u64) -> u64 {
    32 * (ours + theirs) + 11 * terms.receivers.len() as u64 * ours.max(theirs)
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        "a second".to_owned()
    } else if seconds < 120.0 {
        format!("{} seconds", seconds.ceil())
    } else if seconds < 7200.0 {
        format!("{} minutes", (seconds / 60.0).ceil())
    } else {
        format!("{:.1} hours", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Limit, Limits};

    #[test]
    fn the_explanation_tells_cost_and_what_each_side_learns() {
        let bank: PartyId = "bank".parse().unwrap();
        let shop: PartyId = "shop".parse().unwrap();
        let terms = JobTerms {
            job: "01J".to_owned(),
            kind: Kind::Cardinality,
            proposer: bank,
            approver: shop,
            proposer_dataset: "customers".to_owned(),
            approver_dataset: "members".to_owned(),
            proposer_rows: 1 << 20,
            key: vec!["cn-mobile".to_owned()],
            receivers: vec![bank],
            purpose: "pilot".to_owned(),
        };
        let limits = Limits::default().with("min_intersection", Limit::Number(100));
        let rule = Rule { limits, ..Rule::default() };
        let per_item = Duration::from_micros(60);
        let facts = Facts {
            me: shop,
            our_rows: 1 << 20,
            rule: Some(&rule),
            per_item,
            threads: 2,
            whole: 1 << 22,
            bucket: 1 << 20,
        };
        let text = explain(&terms, &facts);
        for words in [
            "63 seconds",
            "150.0 MiB",
            "bank: how many distinct keys shop has; how many keys are shared, not which",
            "demands 100 shared keys",
        ] {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
        assert!(
            !text.contains("we: how many distinct keys bank has; "),
            "a side that receives nothing learns the size only"
        );
        assert!(!text.contains("bucket"), "a million keys are one piece");
        let text = explain(&terms, &Facts { whole: 1 << 16, bucket: 1 << 16, ..facts });
        for words in
            ["16 buckets or more", "how many keys are shared in each bucket", "34.0 MiB", "size of each bucket"]
        {
            assert!(text.contains(words), "{words} is missing in:\n{text}");
        }
    }
}
