//! Both batch functions per backend, on one thread and on all: `cargo bench -p tacitly-curve25519-batch`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tacitly_curve25519_batch::{Backend, SecretScalar, hash_mul_encode_with, mul_encode_with};

/// Items per call: whole chunks, and enough of them for every thread.
const SIZES: [usize; 2] = [512, 8 * 512];

fn batches(criterion: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (a, b) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
    let mut items = vec![[0; 32]; SIZES[1]];
    items.iter_mut().for_each(|item| rng.fill_bytes(item));
    check(&a, &b, &items[..40]);

    let mut points = vec![[0; 32]; items.len()];
    hash_mul_encode_with(Backend::detect(), &a, &items, &mut points);
    let mut out = vec![[0; 32]; items.len()];

    for backend in Backend::available() {
        for (threads, pool) in pools() {
            let mut group = criterion.benchmark_group(format!("{backend}, {threads}"));
            group.sample_size(20);
            for size in SIZES {
                group.throughput(Throughput::Elements(size as u64));
                group.bench_function(BenchmarkId::new("hash_mul_encode", size), |bencher| {
                    pool.install(|| {
                        bencher.iter(|| {
                            hash_mul_encode_with(backend, &a, black_box(&items[..size]), &mut out[..size]);
                        });
                    });
                });
                group.bench_function(BenchmarkId::new("mul_encode", size), |bencher| {
                    pool.install(|| {
                        bencher.iter(|| mul_encode_with(backend, &b, black_box(&points[..size]), &mut out[..size]));
                    });
                });
            }
            group.finish();
        }
    }
}

/// What is timed gives one result, whichever backend computes it and whichever key comes first.
fn check(a: &SecretScalar, b: &SecretScalar, items: &[[u8; 32]]) {
    let both = |backend, first, second| {
        let (mut once, mut twice) = (vec![[0; 32]; items.len()], vec![[0; 32]; items.len()]);
        hash_mul_encode_with(backend, first, items, &mut once);
        mul_encode_with(backend, second, &once, &mut twice).expect("points of our own");
        twice
    };
    for backend in Backend::available() {
        assert_eq!(both(backend, a, b), both(Backend::Portable, b, a), "{backend}");
    }
}

fn pools() -> [(&'static str, ThreadPool); 2] {
    // 0 asks rayon for one thread per CPU.
    [("1 thread", 1), ("all threads", 0)]
        .map(|(name, threads)| (name, ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")))
}

criterion_group!(benches, batches);
criterion_main!(benches);
