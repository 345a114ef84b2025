//! What a person reads before approving, beside what each side learns: how much and how long, as an upper estimate from the
//! rows of both files.

use tacitly_core::PartyId;
use tacitly_psi::{Buckets, Flow};

use super::contribution::Contribution;
use super::limits;
use super::plan::MemoryBudget;
use super::settings::{Machine, key_of};
use crate::jobs::{JobTerms, Local};

/// Bytes of a key of twenty characters that is spilled, with its place and row.
const DISK_BYTES: u64 = 34;
/// Bytes of an id as they usually are, while nothing has been read.
const USUAL_ID: u64 = 20;

/// Explains an intersection, a word and a sentence each.
pub(super) fn explain(
    terms: &JobTerms,
    local: &Local,
    flow: Flow,
    budget: &MemoryBudget,
    machine: &Machine,
) -> Vec<(&'static str, String)> {
    let (Some(peer), Some(dataset)) = (terms.other(local.me), local.dataset.as_ref()) else { return Vec::new() };
    // A party says how many rows it has, and whether it learns the size first, when it signs.
    let said = local.contributions.get(&peer).and_then(|bytes| Contribution::of_bytes(bytes));
    let (our_rows, peer_rows) = (dataset.rows, said.map(|said| said.rows));
    let assumed = peer_rows.unwrap_or(our_rows);
    let largest = our_rows.max(assumed);
    let minimum = local.rules.get(&peer).and_then(|rule| limits::minimum(&rule.limits));
    let phases = if minimum.is_some() { 2 } else { 1 };
    // In buckets as far as we are concerned; the peer may want them smaller.
    let capacity = budget.capacity(our_rows, USUAL_ID * our_rows, our_rows <= budget.rows_in_memory());
    let buckets = (largest > capacity.whole).then(|| Buckets::count_for(largest, capacity.bucket));
    let seconds = (largest * phases) as f64 * machine.per_item.as_secs_f64() / machine.threads.max(1) as f64;
    let bytes = traffic(terms, our_rows, assumed) * phases;
    let name = |party: PartyId| terms.dataset_of(party).unwrap_or_default().to_owned();

    let mut lines = vec![
        (
            "data",
            format!(
                "our {} ({our_rows} rows), {peer}'s {} ({} rows), matched on {}",
                name(local.me),
                name(peer),
                peer_rows.map_or(format!("unknown, taken as ours: {assumed}"), |rows| rows.to_string()),
                key_of(terms).join(" + "),
            ),
        ),
        (
            "cost",
            format!(
                "about {} on this machine, {:.1} MiB over the network",
                duration(seconds),
                bytes as f64 / f64::from(1 << 20)
            ),
        ),
    ];
    if let Some(buckets) = buckets {
        let counts = match flow {
            Flow::Cardinality => {
                "; who receives the size learns how many keys are shared in each bucket, a random part of all keys"
            }
            _ => "",
        };
        lines.push((
            "buckets",
            format!(
                "more than fits into the memory allowed: {buckets} buckets or more, one after the other, each padded to one \
                 length and kept when it is over; keys wait on disk, sealed, about {:.1} MiB of them here{counts}",
                (our_rows * DISK_BYTES) as f64 / f64::from(1 << 20)
            ),
        ));
    }
    if let Some(minimum) = minimum {
        lines.push((
            "minimum",
            format!(
                "our rule demands {minimum} shared keys: a size phase runs first and we learn the size{}; below the minimum \
                 nothing else is released, and {peer} learns that it was below",
                if buckets.is_some() { " of each bucket" } else { "" },
            ),
        ));
    }
    lines.push((
        "first",
        match said {
            Some(Contribution { wants_size: true, .. }) => format!(
                "{peer} has signed that its rule demands a minimum: it learns how many keys are shared before anything else; \
                 a rule that keeps results to us refuses that"
            ),
            Some(_) => format!("{peer} has signed that it learns nothing before the result; otherwise the job ends"),
            None => format!(
                "if the rule of {peer} sets a minimum, it says so when it signs, and learns how many keys are shared before \
                 anything else; a rule that keeps results to us refuses that"
            ),
        },
    ));
    lines.push((
        "never",
        "any key, any other column, or which of its keys are not shared leaves a side in readable form".to_owned(),
    ));
    lines
}

/// Bytes both ways: each set once at 32 bytes, and comparison values of about 11 bytes for each receiver.
fn traffic(terms: &JobTerms, ours: u64, theirs: u64) -> u64 {
    32 * (ours + theirs) + 11 * terms.receivers().len() as u64 * ours.max(theirs)
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
    use std::collections::BTreeMap;
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::Value;
    use tacitly_core::Terms;

    use super::super::limits::MIN_INTERSECTION;
    use super::super::settings::{APPROVER, KEY, PROPOSER, Psi, Settings};
    use super::*;
    use crate::jobs::{JobKind as _, PartyTerms};
    use crate::policy::{Limit, Limits, Rule};
    use crate::store::{Dataset, JobId, PublicKey};

    const ROWS: u64 = 1 << 20;

    fn terms(flow: Flow) -> JobTerms {
        let base_point = "ed25519:WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=".parse::<PublicKey>().unwrap();
        let party = |role: &str, dataset: &str, receives| PartyTerms {
            role: role.to_owned(),
            key: base_point,
            dataset: Some(dataset.to_owned()),
            receives,
        };
        let [bank, shop] = ["bank", "shop"].map(|name| name.parse().unwrap());
        let parties = [(bank, party(PROPOSER, "customers", true)), (shop, party(APPROVER, "members", false))];
        JobTerms {
            job: JobId::from_bytes([1; 16]),
            kind: flow.name().to_owned(),
            leader: bank,
            parties: parties.into(),
            params: Terms::new().with(KEY, vec!["cn-mobile"]),
            purpose: "pilot".to_owned(),
            nonce: [7; 16],
            expires: None,
        }
    }

    /// The shop as it reads a job: how many rows the bank has said that it has, and the least that its rule demands.
    fn shop(bank_rows: Option<u64>, minimum: Option<u64>) -> Local {
        let [bank, shop]: [PartyId; 2] = ["bank", "shop"].map(|name| name.parse().unwrap());
        let dataset = Dataset {
            name: "members".to_owned(),
            path: "members.csv".into(),
            format: Value::Null,
            columns: Value::Null,
            keys: Vec::new(),
            settings: Value::Null,
            rows: ROWS,
            size: 0,
            digest: String::new(),
            added_at: Timestamp::UNIX_EPOCH,
            replaced_at: None,
        };
        let limits = minimum.map(|minimum| Limits::default().with(MIN_INTERSECTION, Limit::Number(minimum)));
        let rule = Rule { limits: limits.unwrap_or_default(), ..Rule::default() };
        let said = |rows| (bank, Contribution { rows, wants_size: false }.to_bytes());
        let contributions: BTreeMap<_, _> = bank_rows.map(said).into_iter().collect();
        Local { dataset: Some(dataset), rules: [(bank, rule)].into(), contributions, ..Local::of(shop) }
    }

    /// What a person reads of it, a line each.
    fn explained(flow: Flow, local: &Local, bucket_keys: u64) -> String {
        let machine = Machine { per_item: Duration::from_micros(60), threads: 2 };
        let settings = Settings { memory: 1 << 30, bucket_keys, items_per_job: u64::MAX, machine };
        let psi = Psi { flow, settings };
        let terms = terms(flow);
        let learns = terms.parties.keys().flat_map(|party| {
            psi.learns(&terms, None, *party).into_iter().map(move |learned| format!("{party}: {}", learned.sentence))
        });
        let lines = psi.explain(&terms, local).into_iter().map(|(word, sentence)| format!("{word} {sentence}"));
        learns.chain(lines).collect::<Vec<_>>().join("\n")
    }

    fn holds(text: &str, words: &[&str]) {
        words.iter().for_each(|words| assert!(text.contains(words), "{words:?} is missing in:\n{text}"));
    }

    #[test]
    fn the_explanation_tells_cost_and_what_each_side_learns() {
        let text = explained(Flow::Cardinality, &shop(Some(ROWS), Some(100)), 0);
        holds(
            &text,
            &[
                "our members (1048576 rows), bank's customers (1048576 rows), matched on cn-mobile",
                // Two phases of 2^20 keys at 60 µs on two threads.
                "about 63 seconds on this machine, 150.0 MiB over the network",
                "bank: how many distinct keys shop has\n",
                "bank: how many keys are shared, not which",
                "shop: how many distinct keys bank has\n",
                "demands 100 shared keys: a size phase runs first and we learn the size; below the minimum",
            ],
        );
        assert!(
            !text.contains("shop: how many keys are shared"),
            "who receives nothing learns the size of the set only"
        );
        assert!(!text.contains("bucket"), "all of it fits into memory:\n{text}");
        holds(&text, &["bank has signed that it learns nothing before the result"]);
        let bank = "bank".parse().unwrap();
        let mut local = shop(Some(ROWS), None);
        local.contributions.insert(bank, Contribution { rows: ROWS, wants_size: true }.to_bytes());
        holds(&explained(Flow::Intersect, &local, 0), &["bank has signed that its rule demands a minimum"]);
    }

    #[test]
    fn without_a_minimum_it_takes_half_and_an_unknown_number_of_rows_is_said_to_be_unknown() {
        let text = explained(Flow::Intersect, &shop(None, None), 0);
        holds(
            &text,
            &[
                "bank's customers (unknown, taken as ours: 1048576 rows)",
                "about 32 seconds on this machine, 75.0 MiB over the network",
                "bank: which of its own rows shop also has",
            ],
        );
        assert!(!text.contains("minimum our rule"), "{text}");
    }

    #[test]
    fn sets_larger_than_memory_come_with_the_number_of_buckets_and_with_what_their_counts_tell() {
        let size = explained(Flow::Cardinality, &shop(Some(ROWS), Some(100)), 1 << 16);
        let counts = "who receives the size learns how many keys are shared in each bucket";
        holds(
            &size,
            &["16 buckets or more", "about 34.0 MiB of them here", counts, "we learn the size of each bucket"],
        );
        let rows = explained(Flow::Intersect, &shop(Some(16 * ROWS), None), 1 << 16);
        holds(&rows, &["256 buckets or more"]);
        assert!(!rows.contains(counts), "an intersection tells its receiver the rows themselves:\n{rows}");
    }
}
