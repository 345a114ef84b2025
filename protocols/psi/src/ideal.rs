//! The answer in the clear: what an honest third party would tell each side. A test oracle.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

use crate::items::Items;
use crate::party::{PsiAnswer, PsiOutcome};
use crate::terms::{Flow, PsiTerms};

/// What the party `me` learns from its `own` and the peer's items under `terms`; aligned rows come in the order of the
/// items' bytes, for [`same_answer`] to compare.
///
/// # Panics
/// If `me` is no party of the terms: a mistake in the test.
#[must_use]
pub fn outcome(terms: &PsiTerms, me: PartyId, own: &Items, peers: &Items) -> PsiOutcome {
    let peer = terms.members().iter().find(|member| member.id != me).expect("the terms name two parties");
    assert!(terms.members().iter().any(|member| member.id == me), "the terms do not name {me}");
    let common = common(own, peers);
    let answer = match terms.flow() {
        _ if !terms.receivers().contains(&me) => PsiAnswer::Served,
        Flow::Cardinality => PsiAnswer::Size(common.len() as u64),
        Flow::Align => PsiAnswer::Aligned(common),
        Flow::Intersect => {
            let mut indices = common;
            indices.sort_unstable();
            PsiAnswer::Matched(indices)
        }
    };
    PsiOutcome { answer, peer_size: peer.list() }
}

/// The indices of `own` items that `peers` has too, in the order of their bytes.
fn common(own: &Items, peers: &Items) -> Vec<u32> {
    let theirs: BTreeMap<&[u8], ()> = peers.iter().map(|item| (item, ())).collect();
    let ours: BTreeMap<&[u8], u32> = own.iter().zip(0..).collect();
    ours.into_iter().filter(|(item, _)| theirs.contains_key(item)).map(|(_, index)| index).collect()
}

/// Whether an outcome is the ideal one. The common order of aligned rows is secret and random, so only their set is
/// compared here; [`same_order`] compares the two sides.
#[must_use]
pub fn same_answer(found: &PsiOutcome, ideal: &PsiOutcome) -> bool {
    let sorted = |answer: &PsiAnswer| match answer {
        PsiAnswer::Aligned(indices) => {
            let mut indices = indices.clone();
            indices.sort_unstable();
            PsiAnswer::Aligned(indices)
        }
        other => other.clone(),
    };
    found.peer_size == ideal.peer_size && sorted(&found.answer) == sorted(&ideal.answer)
}

/// Whether two lists of indices name the same items in the same order.
#[must_use]
pub fn same_order(own: (&Items, &[u32]), peers: (&Items, &[u32])) -> bool {
    let named = |(items, indices): (&'_ Items, &[u32])| -> Vec<Option<Vec<u8>>> {
        indices.iter().map(|index| items.get(*index as usize).map(<[u8]>::to_vec)).collect()
    };
    named(own) == named(peers)
}
