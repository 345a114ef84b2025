//! `tacitly bench serve`: questions a second between two daemons, each signed, on record on both sides and durable before
//! its answer is released.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::bench_log::fdatasync_p50;
use super::connect::{Daemon, Way, connect};
use super::figures::round;
use super::{Failure, Output};
use crate::kinds::bench;
use crate::rpc::control;
use crate::store::{NewEvent, Sealer, SealingKey, Store};
use crate::synthetic;
use crate::test_bed::{self, Party, Setup, until};

/// Bytes of a question.
const QUESTION: usize = 64;
/// Bytes that the log writes for an entry of a question.
const ENTRY: usize = 800;
/// Commits that are timed.
const COMMITS: usize = 200;

/// Two daemons over loopback TLS and a service that answers with the question: callers at the asker's control socket.
#[derive(Args)]
pub(crate) struct BenchServe {
    /// Callers at the same time, each with one question outstanding.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Seconds for each figure.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rows of the intersection that runs beside.
    #[arg(long, default_value_t = 1 << 19)]
    rows: u64,
}

/// The daemon of a party of this bench: it knows the kind that the bench asks.
#[derive(Args)]
pub(crate) struct ServeParty {
    #[arg(long)]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Figures {
    callers: usize,
    questions_per_s: f64,
    /// While an intersection of so many rows runs between the same two daemons.
    questions_per_s_beside_bulk: f64,
    rows_beside: u64,
    /// One caller with one question outstanding.
    p50_ms: f64,
    p99_ms: f64,
    /// All callers.
    p50_ms_all: f64,
    p99_ms_all: f64,
    /// Both daemons, with all callers.
    cpu_us_per_question: f64,
    /// An entry's bytes written to the end of a file and synchronised, on the same disk.
    log_fdatasync_p50_ms: f64,
    /// A transaction of the ledger, on the same disk.
    commit_p50_ms: f64,
}

impl ServeParty {
    pub(crate) fn run(self) -> Result<(), Failure> {
        crate::daemon::serve_with(&self.folder, vec![bench::kind()]).map_err(Failure::plain)
    }
}

impl BenchServe {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let figures = self.measure(output)?;
        output.say(|| &figures, || figures.words())
    }

    fn measure(&self, output: Output) -> Result<Figures, Failure> {
        let folder = tempfile::Builder::new().prefix("tacitly-bench-serve-").tempdir()?;
        let fdatasync = fdatasync_p50(&folder.path().join("probe"), ENTRY)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let commit = runtime.block_on(commit_p50(folder.path()))?;
        let setup = Setup::of(program(folder.path())?);
        let [a, b] = ["a", "b"].map(|name| Party::start(folder.path(), name, setup.clone()));
        let (a, b) = (a?, b?);
        test_bed::connect(&a, &b)?;
        let job = begin(&a, &b)?;
        let socket = Way::of(Some(a.home.clone()), None, None, |_| None);
        let time = Duration::from_secs(self.seconds.max(1));
        // The first questions find caches empty.
        runtime.block_on(ask(&socket, &job, self.callers, Duration::from_secs(1), Arc::default()))?;
        let one = runtime.block_on(ask(&socket, &job, 1, time, Arc::default()))?;
        let cpu = || Ok::<_, Failure>(a.usage()?.cpu + b.usage()?.cpu);
        let before = cpu()?;
        let all = runtime.block_on(ask(&socket, &job, self.callers, time, Arc::default()))?;
        let used = cpu()?.saturating_sub(before);
        output.note(|| format!("{} questions; now beside an intersection of {} rows", all.times.len(), self.rows));
        let beside = self.beside_bulk(&runtime, &socket, &job, [&a, &b], folder.path())?;
        Ok(Figures {
            callers: self.callers,
            questions_per_s: round(all.rate(), 0),
            questions_per_s_beside_bulk: round(beside.rate(), 0),
            rows_beside: self.rows,
            p50_ms: one.quantile(0.5),
            p99_ms: one.quantile(0.99),
            p50_ms_all: all.quantile(0.5),
            p99_ms_all: all.quantile(0.99),
            cpu_us_per_question: round(used.as_secs_f64() * 1e6 / all.times.len() as f64, 1),
            log_fdatasync_p50_ms: round(fdatasync.as_secs_f64() * 1e3, 3),
            commit_p50_ms: round(commit.as_secs_f64() * 1e3, 3),
        })
    }

    /// Asks for as long as an intersection between the two takes.
    fn beside_bulk(
        &self,
        runtime: &Runtime,
        socket: &Way,
        job: &str,
        [a, b]: [&Party; 2],
        folder: &Path,
    ) -> Result<Asked, Failure> {
        for (party, peer, offset, salt) in [(a, "b", 0, 1), (b, "a", self.rows / 2, 2)] {
            let file = folder.join(format!("{}.csv", party.name));
            let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
            synthetic::write_bench_ids(self.rows, offset, salt, &mut out)?;
            out.flush()?;
            party.tacitly(&[
                "dataset",
                "add",
                "ids",
                &file.display().to_string(),
                "--key",
                "id=raw",
                "--allow",
                peer,
            ])?;
        }
        let over = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let intersected = scope.spawn(|| {
                let done = a.tacitly(&["psi", "--kind", "cardinality", "--dataset", "ids", "--with", "b/ids"]);
                over.store(true, Ordering::Relaxed);
                done
            });
            let asked = runtime.block_on(ask(socket, job, self.callers, Duration::from_mins(10), over.clone()));
            let done = intersected.join().map_err(|_| Failure::plain("the intersection ended unexpectedly"))??;
            if done["result_items"].as_u64() != Some(self.rows / 2) {
                return Err(Failure::plain("the result of the intersection is wrong"));
            }
            asked
        })
    }
}

/// What came of asking for a while.
struct Asked {
    took: Duration,
    /// What each caller waited for each answer, sorted.
    times: Vec<Duration>,
}

impl Asked {
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds.
    fn quantile(&self, part: f64) -> f64 {
        let at = ((self.times.len() as f64 * part) as usize).min(self.times.len().saturating_sub(1));
        self.times.get(at).map_or(0.0, |time| round(time.as_secs_f64() * 1e3, 3))
    }
}

/// So many callers ask, each again as soon as it has its answer, until the time or something else is over.
async fn ask(way: &Way, job: &str, callers: usize, time: Duration, over: Arc<AtomicBool>) -> Result<Asked, Failure> {
    let daemon = connect(way).await?;
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..callers {
        let (daemon, job, over) = (daemon.clone(), job.to_owned(), over.clone());
        let goes_on = move || begun.elapsed() < time && !over.load(Ordering::Relaxed);
        asking.spawn(async move { caller(daemon, job, number, goes_on).await.map_err(|failure| failure.to_string()) });
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.extend(asked.map_err(Failure::plain)?.map_err(Failure::plain)?);
    }
    let took = begun.elapsed();
    times.sort_unstable();
    Ok(Asked { took, times })
}

/// One caller. Returns what it waited for each answer.
async fn caller(
    mut daemon: Daemon,
    job: String,
    number: usize,
    goes_on: impl Fn() -> bool,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    while goes_on() {
        let mut question = [0; QUESTION];
        question[..8].copy_from_slice(&(times.len() as u64).to_be_bytes());
        question[8..16].copy_from_slice(&(number as u64).to_be_bytes());
        let asked = control::AskJobRequest {
            job: job.clone(),
            questions: vec![question.to_vec().into()],
            purpose: "bench".to_owned(),
            idempotency_key: String::new(),
        };
        let before = Instant::now();
        let reply = daemon.ask_job(asked).await?.into_inner();
        times.push(before.elapsed());
        if reply.answers.first().is_none_or(|answer| answer[..] != question) || reply.entries.len() != 1 {
            return Err(Failure::plain("an answer is wrong, or not on record"));
        }
    }
    Ok(times)
}

/// Submits the service at one party, approves it at the other, and waits until it serves at both.
fn begin(a: &Party, b: &Party) -> Result<String, Failure> {
    let words = ["job", "submit", "--kind", bench::NAME, "--party", "a", "--party", "b", "--receive", "a"];
    let job = a.tacitly(&words)?["id"].as_str().unwrap_or_default().to_owned();
    let state = |party: &Party, wanted: &str| {
        until(|| {
            let found = party.tacitly(&["job", "show", &job]).ok()?;
            (found["state"] == wanted).then_some(())
        })
        .ok_or_else(|| Failure::plain(format!("the service is not {wanted} at {}:\n{}", party.name, party.log())))
    };
    state(b, "proposed")?;
    b.tacitly(&["approve", &job])?;
    state(a, "serving")?;
    state(b, "serving")?;
    Ok(job)
}

/// A program that is this one, but for `serve`, which knows the kind that is asked.
fn program(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("tacitly-with-echo");
    let this = std::env::current_exe()?;
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = serve ]; then exec {this:?} bench serve-party --folder \"$3\"; fi\nexec {this:?} \"$@\"\n"
    );
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(path)
}

/// How long the ledger takes to commit.
async fn commit_p50(folder: &Path) -> Result<Duration, Failure> {
    let sealer = Sealer::new(SealingKey::from_bytes([1; 32]));
    let store = Arc::new(Store::open(&folder.join("probe.db"), sealer).await.map_err(Failure::plain)?);
    let mut times = Vec::with_capacity(COMMITS);
    for number in 0..COMMITS {
        let event = NewEvent {
            job: None,
            actor: "bench".to_owned(),
            kind: "probe".to_owned(),
            detail: serde_json::json!({ "number": number }),
        };
        let before = Instant::now();
        store.events().append(event).await.map_err(Failure::plain)?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times[COMMITS / 2])
}

impl Figures {
    fn words(&self) -> String {
        format!(
            "{} callers: {:.0} questions/s, {:.0}/s beside an intersection of {} rows, {:.0} µs CPU a question (both daemons), \
             p50 {:.1} ms, p99 {:.1} ms · one caller: p50 {:.2} ms, p99 {:.2} ms · fdatasync {:.2} ms, commit {:.2} ms",
            self.callers,
            self.questions_per_s,
            self.questions_per_s_beside_bulk,
            self.rows_beside,
            self.cpu_us_per_question,
            self.p50_ms_all,
            self.p99_ms_all,
            self.p50_ms,
            self.p99_ms,
            self.log_fdatasync_p50_ms,
            self.commit_p50_ms,
        )
    }
}
