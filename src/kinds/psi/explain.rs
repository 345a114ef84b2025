//! What a person reads before approving, beside what each side learns: how much and how long, as an upper estimate from the
//! rows of both files.

use tacitly_core::PartyId;
use tacitly_psi::{Buckets, Flow};

use super::limits;
use super::plan::Room;
use super::settings::{Machine, key_of};
use crate::jobs::{JobTerms, Local};

/// Bytes of a key of twenty characters that is laid aside, with its place and row.
const DISK_BYTES: u64 = 34;
/// Bytes of an id as they usually are, while nothing has been read.
const USUAL_ID: u64 = 20;

/// Explains an intersection, a word and a sentence each.
pub(super) fn explain(
    terms: &JobTerms,
    local: &Local,
    flow: Flow,
    room: &Room,
    machine: &Machine,
) -> Vec<(&'static str, String)> {
    let (Some(peer), Some(dataset)) = (terms.other(local.me), local.dataset.as_ref()) else { return Vec::new() };
    // A party says how many rows it has when it signs.
    let said = local.contributions.get(&peer).and_then(|words| words.as_slice().try_into().ok());
    let (our_rows, peer_rows) = (dataset.rows, said.map(u64::from_be_bytes));
    let assumed = peer_rows.unwrap_or(our_rows);
    let largest = our_rows.max(assumed);
    let minimum = local.rules.get(&peer).and_then(|rule| limits::minimum(&rule.limits));
    let phases = if minimum.is_some() { 2 } else { 1 };
    // In buckets as far as we are concerned; the peer may want them smaller.
    let wish = room.wish(our_rows, USUAL_ID * our_rows, our_rows <= room.rows_in_memory());
    let buckets = (largest > wish.whole).then(|| Buckets::count_for(largest, wish.bucket));
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
        format!(
            "if the rule of {peer} sets a minimum, {peer} learns how many keys are shared before anything else; a rule that \
             keeps results to us refuses that"
        ),
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
