//! Questions under standing jobs, from begin to finish, on real stores and logs of two parties in this process: what the
//! query log alone costs, without a link and a service.
//!
//! `cargo bench --bench queries`. Beside the times it prints the processor time of a question, for both parties together,
//! and what one `fdatasync` took on this disk in the same run.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tacitly::attest::Recorder;
use tacitly::attest::queries::{Begin, Checked, Code, Decision, LeafHash, Outcome, Queries, Question, Under};
use tacitly::chain::{KeyUse, Log, NoteKey};
use tacitly::store::{Charge, FileSigner, JobId, NoteSigner, PublicKey, Sealer, SealingKey, Signer, Store};

/// Questions of each asker in one iteration, so that those who ask at once do so nearly all of the time.
const EACH: u64 = 32;

/// The asker and the responder.
struct Pair {
    bank: Queries,
    shop: Queries,
    keys: [PublicKey; 2],
    under: Under,
    next: AtomicU64,
}

async fn party(folder: &Path, name: &str) -> (Queries, PublicKey) {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    let signer: Arc<dyn Signer> = Arc::new(FileSigner::create(&folder.join("identity.key")).unwrap());
    let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
    let store = Arc::new(Store::open(&folder.join("party.db"), sealer).await.unwrap());
    let public = signer.public_key();
    let key = NoteKey::new(&format!("tacitly/{name}"), KeyUse::Text, public.as_bytes(), NoteSigner(signer.clone()));
    let log = Log::open(&folder.join("log"), key.unwrap()).unwrap();
    let recorder = Recorder::new(name.parse().unwrap(), signer, store.clone(), log);
    (Queries::new(store, Arc::new(recorder)), public)
}

impl Pair {
    async fn new(folder: &Path) -> Arc<Self> {
        let ((bank, asks), (shop, answers)) = (party(folder, "bank").await, party(folder, "shop").await);
        let agreement = LeafHash::parse("leaf-sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").unwrap();
        let under = Under { job: JobId::fresh(), agreement, unit: Code::parse("answer").unwrap() };
        Arc::new(Self { bank, shop, keys: [asks, answers], under, next: AtomicU64::new(0) })
    }

    /// One question that nobody has asked before, with one charge.
    async fn ask(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let question = Question {
            responder: "shop".parse().unwrap(),
            key: number.to_string(),
            purpose: Code::parse("credit-review").unwrap(),
            questions: vec![Bytes::from(vec![7; 64])],
            authorisation: None,
            kept: Vec::new().into(),
            charges: Vec::new(),
        };
        let Begin::Ask(begun) = self.bank.asker.begin(&self.under, question).await.unwrap() else { panic!() };
        let [asks, answers] = &self.keys;
        let (responder, from) = (&self.shop.responder, "bank".parse().unwrap());
        let Checked::New(checked) = responder.check(from, asks, &self.under, begun.request()).await.unwrap() else {
            panic!()
        };
        let charge = Charge { limit: "questions".to_owned(), key: [3; 32], units: 1, most: u32::MAX, window: None };
        let decision = Decision::Answer { answers: vec![Bytes::from(vec![9; 64])], units: 1, charges: vec![charge] };
        let served = responder.serve(*checked, decision).await.unwrap().reply;
        let answer = self.bank.asker.finish(*begun, answers, served).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Answered { .. }));
    }
}

/// Processor time of this process, as far as the system counts it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

/// The median of what it takes to make a small write durable.
fn fdatasync(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("probe")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[1; 1024]).unwrap();
            let begun = Instant::now();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn queries(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("fdatasync: {:?} in the median", fdatasync(folder.path()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pair = runtime.block_on(Pair::new(folder.path()));
    let mut group = criterion.benchmark_group("queries");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for askers in [1, 64] {
        let (mut asked, mut used) = (0, Duration::ZERO);
        group.throughput(Throughput::Elements(askers * EACH));
        group.bench_function(format!("{askers} askers"), |bencher| {
            bencher.iter_custom(|times| {
                let (begun, before) = (Instant::now(), processor_time());
                let questions = times * askers * EACH;
                runtime.block_on(async {
                    let left = Arc::new(AtomicU64::new(questions));
                    let mut asking = tokio::task::JoinSet::new();
                    for _ in 0..askers {
                        let (pair, left) = (pair.clone(), left.clone());
                        asking.spawn(async move {
                            let one = |left: u64| left.checked_sub(1);
                            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one).is_ok() {
                                pair.ask().await;
                            }
                        });
                    }
                    asking.join_all().await;
                });
                asked += questions;
                used += processor_time() - before;
                begun.elapsed()
            });
        });
        println!("{askers} askers: {} µs of processor time a question", used.as_micros() / u128::from(asked));
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
