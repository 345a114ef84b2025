//! Whole sessions of both parties in memory.
//!
//! `cargo bench -p tacitly-psi`. Times are those of both parties together on one machine, per item of one side. Bytes on
//! the wire and rounds are printed beside them; every result is checked before anything is timed.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tacitly_core::simulate::{Ending, Network};
use tacitly_core::{Party, PartyId, Seed};
use tacitly_psi::{Flow, Items, Member, PsiOutcome, PsiParty, PsiTerms, ideal};

const SIZES: [u64; 3] = [1 << 10, 1 << 14, 1 << 16];

struct Job {
    terms: PsiTerms,
    ids: [PartyId; 2],
}

impl Job {
    fn new(flow: Flow, both: bool, size: u64) -> Self {
        let ids = ["bank", "shop"].map(|id| id.parse().unwrap());
        let receivers = if both { &ids[..] } else { &ids[..1] };
        let members = ids.map(|id| Member::new(id, size));
        Self { terms: PsiTerms::new(flow, members, receivers, &["cn-mobile"], "bench").unwrap(), ids }
    }

    /// Eleven digits each, half of them in common.
    fn items(&self, me: usize) -> Items {
        let size = self.terms.members()[me].items;
        let first = 13_800_000_000 + me as u64 * size / 2;
        (first..first + size).map(|number| number.to_string()).collect()
    }

    fn network(&self) -> Network<PsiOutcome> {
        let party = |me: usize| -> (PartyId, Box<dyn Party<Output = PsiOutcome>>) {
            let seed = Seed::from_bytes([me as u8 + 1; 32]);
            let party = PsiParty::new(self.terms.clone(), self.ids[me], "all", self.items(me), seed, None);
            (self.ids[me], Box::new(party.unwrap()))
        };
        Network::new(vec![party(0), party(1)])
    }

    fn check_and_describe(&self, name: &str) {
        let report = self.network().run(Seed::from_bytes([9; 32]));
        for me in 0..2 {
            let Ending::Answer(found) = report.ending(self.ids[me]) else { panic!("{:?}", report.endings) };
            let ideal = ideal::outcome(&self.terms, self.ids[me], &self.items(me), &self.items(1 - me));
            assert!(ideal::same_answer(found, &ideal));
        }
        let size = self.terms.members()[0].items;
        let rounds = if self.terms.flow() == Flow::Align { 3 } else { 2 };
        let per_item = report.bytes() as f64 / size as f64;
        println!(
            "{name}/{size}: {per_item:.1} bytes per item both ways, {rounds} rounds, {} frames",
            report.sent.len()
        );
    }
}

fn sessions(c: &mut Criterion) {
    for (name, flow, both) in [
        ("intersect-one", Flow::Intersect, false),
        ("intersect-both", Flow::Intersect, true),
        ("align", Flow::Align, true),
        ("cardinality-one", Flow::Cardinality, false),
    ] {
        let mut group = c.benchmark_group(name);
        group.sample_size(10).measurement_time(Duration::from_secs(5));
        for size in SIZES {
            let job = Job::new(flow, both, size);
            group.throughput(Throughput::Elements(size));
            let mut checked = false;
            group.bench_with_input(BenchmarkId::from_parameter(size), &job, |bencher, job| {
                // Once, and only for what is run: criterion calls this several times per size.
                if !std::mem::replace(&mut checked, true) {
                    job.check_and_describe(name);
                }
                bencher.iter_batched(
                    || job.network(),
                    |network| black_box(network.run(Seed::from_bytes([9; 32]))),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, sessions);
criterion_main!(benches);
