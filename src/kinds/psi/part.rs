//! One session of the protocol as a part of a job: a function of its task and of the keys that it works on.

use tacitly_core::{Checkpoint, Fault, Mapped, Misuse, Party, Seed};
use tacitly_psi::{Items, PsiAnswer, PsiParty, PsiTerms};
use zeroize::Zeroizing;

use super::sets::RowsOf;
use crate::jobs::{PartOutput, Rows, Task};

/// The phases: learning the size before anything else is released, and the job itself.
pub(super) const SIZE: &str = "size";
pub(super) const MAIN: &str = "main";

/// The keys of a part, and the rows of our file that they stand for.
pub(super) struct PartInput {
    pub(super) items: Items,
    pub(super) rows: RowsOf,
}

/// The party of a part, whose answer becomes rows of our own dataset.
///
/// # Errors
/// [`Fault`] for a task whose terms are none of an intersection, or keys that do not fit them.
pub(super) fn party(
    task: &Task,
    PartInput { items, rows }: PartInput,
    seed: Seed,
    mut kept: Vec<Checkpoint>,
) -> Result<impl Party<Output = PartOutput> + use<>, Fault> {
    let terms = PsiTerms::from_terms(&task.terms);
    let terms = terms.map_err(|_| Misuse::Input("the terms of a part are those of an intersection"))?;
    let keeps = Keeps { rows: task.phase == MAIN, sole_receiver: terms.receivers() == [task.me] };
    let party = PsiParty::new(terms, task.me, &task.label(), items, seed, kept.pop())?;
    Ok(Mapped::new(party, move |outcome| keeps.of(&outcome.answer, &rows)))
}

/// What of a part's answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keeps {
    /// Rows are a part of our result.
    rows: bool,
    /// Only we receive, so that our answer is the last word of the session.
    sole_receiver: bool,
}

impl Keeps {
    fn of(self, answer: &PsiAnswer, rows: &RowsOf) -> PartOutput {
        let rows = match answer {
            PsiAnswer::Served => return PartOutput::default(),
            PsiAnswer::Size(size) => {
                return PartOutput { items: *size, result: None, is_last_word: self.sole_receiver };
            }
            PsiAnswer::Matched(items) => Rows::Ascending(rows.of_items(items)),
            PsiAnswer::Aligned(items) => Rows::InOrder(rows.in_order(items)),
        };
        PartOutput {
            items: rows.len() as u64,
            result: self.rows.then(|| Zeroizing::new(rows.encode())),
            is_last_word: self.sole_receiver,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tacitly_core::PartyId;
    use tacitly_core::simulate::Network;
    use tacitly_psi::{BucketHash, Buckets, Flow, Member};

    use super::*;
    use crate::jobs::{Input, JobKind as _, PartParty, SessionLimits, TaskSeed};
    use crate::kinds::psi::settings::{Machine, Psi, Settings};

    /// Keys of one side, cut into buckets: row n of its file is its n-th key.
    fn bucket(keys: &[String], buckets: &Buckets, hash: &tacitly_core::TermsHash, part: u32) -> PartInput {
        let bucket_hash = BucketHash::new(hash, buckets.rehash());
        let here = |(_, key): &(u32, &String)| buckets.of(bucket_hash.place(key.as_bytes())) == part;
        let found: Vec<(u32, &String)> = (0..).zip(keys).filter(here).collect();
        let mut items = Items::with_capacity(found.len(), 16 * found.len());
        found.iter().for_each(|(_, key)| items.push(key.as_bytes()));
        let first = found.iter().map(|(row, _)| *row).collect();
        PartInput { items, rows: RowsOf::OfBucket { first, later: Vec::new() } }
    }

    #[test]
    fn parts_are_made_from_their_serialised_tasks_by_whoever_computes_them_in_any_order() {
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let keys = |range: std::ops::Range<u32>| range.map(|key| format!("id-{key}")).collect::<Vec<_>>();
        let (ours, theirs) = (keys(0..900), keys(600..1_400));
        let buckets = Buckets::new(5, 0).unwrap();
        let members = [(bank, 900), (shop, 800)].map(|(id, items)| Member::new(id, items).padded(buckets.list(items)));
        let terms = PsiTerms::new(Flow::Align, members, &[bank, shop], &["raw"], "job").unwrap();
        let terms = terms.with_buckets(buckets).unwrap().to_terms();
        let hash = terms.hash();
        let tasks = |me: PartyId, peer| {
            let task = |part| {
                let (phase, peers, terms) = (MAIN.to_owned(), BTreeSet::from([peer]), terms.clone());
                Task { phase, part, me, peers, terms, seed: TaskSeed::Same, limits: SessionLimits::default() }
                    .to_bytes()
                    .unwrap()
            };
            (0..buckets.count()).map(task).collect::<Vec<_>>()
        };
        let (banks, shops) = (tasks(bank, shop), tasks(shop, bank));
        let mut rows = [Vec::new(), Vec::new()];
        for part in [3, 0, 4, 1, 2] {
            let made = |task: &[u8], keys: &[String], seed: u8| -> (PartyId, PartParty) {
                // An object of its own, as in another process.
                let machine = Machine { per_item: std::time::Duration::ZERO, threads: 1 };
                let settings = Settings { memory: 1 << 20, bucket_keys: 0, items_per_job: 1 << 20, machine };
                let (kind, task) = (Psi { flow: Flow::Align, settings }, Task::of_bytes(task).unwrap());
                let input = Input::of(bucket(keys, &buckets, &hash, task.part));
                let seed = Seed::from_bytes([seed; 32]).same(&task.label());
                (task.me, kind.party(&task, input, seed, Vec::new()).unwrap())
            };
            let parties = vec![made(&banks[part], &ours, 1), made(&shops[part], &theirs, 2)];
            let report = Network::new(parties).run(Seed::from_bytes([9; 32]));
            for (party, answer) in report.answers() {
                let result = answer.result.as_ref().unwrap();
                let Rows::InOrder(found) = Rows::decode(result).unwrap() else { panic!("rows in their order") };
                rows[usize::from(party == shop)].extend(found);
            }
        }
        let named: Vec<(&String, &String)> = rows[0]
            .iter()
            .zip(&rows[1])
            .map(|(here, there)| (&ours[*here as usize], &theirs[*there as usize]))
            .collect();
        assert!(named.iter().all(|(here, there)| here == there), "the sides differ in the order");
        assert_eq!(named.len(), 300);
    }
}
