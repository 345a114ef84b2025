//! `tacitly bench`: two real daemons on loopback, a file in, a file out, one line of figures.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader, BufWriter};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::figures::round;
use super::replay::Alone;
use super::{Failure, Output};
use crate::kernel;
use crate::synthetic;
use crate::test_bed::{Party, Setup, TestBedError, Usage, connect};

/// How often the disk is looked at.
const GLANCE: Duration = Duration::from_millis(250);

/// Measure this machine.
#[derive(Subcommand)]
pub(crate) enum Bench {
    Psi(BenchPsi),
    Log(super::bench_log::BenchLog),
    Session(super::bench_session::BenchSession),
    Serve(super::bench_serve::BenchServe),
    #[command(hide = true)]
    ServeParty(super::bench_serve::ServeParty),
}

/// Two daemons over loopback TLS, one core each where two are there, CSV in, CSV out; half of the rows are shared.
#[derive(Args)]
pub(crate) struct BenchPsi {
    /// Rows on the receiver's side.
    #[arg(long, default_value_t = 1 << 17)]
    n: u64,
    /// Rows on the other side, if not the same.
    #[arg(long)]
    rows_peer: Option<u64>,
    /// intersect, align or cardinality.
    #[arg(long, default_value = "intersect")]
    kind: String,
    /// Compute threads of each party.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The curve kernel: auto, portable or ifma8.
    #[arg(long, default_value = "auto")]
    backend: String,
    /// Mebibytes that each party may use for its rows; above it the job runs in buckets.
    #[arg(long, default_value_t = 1024)]
    memory: u64,
    /// Distinct keys in one bucket, whatever the memory; 0: what it allows.
    #[arg(long, default_value_t = 0)]
    bucket_keys: u64,
    /// The folder for files, parties and their disk space; absent: the system's for temporary files.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Instead: run both parties in this process, without network, and record what the other side sends.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Instead: run the receiver alone against what was recorded for the same rows and kind.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Compare what both sides wrote with the join in the clear, row by row, not only by count.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Figures {
    kind: String,
    n: u64,
    n_peer: u64,
    threads: usize,
    memory_mib: u64,
    /// How the job was cut; 0: not at all.
    buckets: u64,
    backend: &'static str,
    wall_s: f64,
    /// Both parties, without start-up and registration of the files, divided by `n`.
    cpu_us_per_item: f64,
    /// Both multiplications of one item, with hash and map, measured alone on one core.
    kernel_us_per_item: f64,
    /// Application bytes both ways, divided by `n`.
    bytes_per_item: f64,
    /// The larger party.
    peak_rss_mib: f64,
    /// The most that both parties' folders and unnamed files held at one moment, beside input and output.
    peak_disk_mib: f64,
    shared: u64,
    exact: bool,
}

impl Bench {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let bench = match self {
            Self::Psi(bench) => bench,
            Self::Log(bench) => return bench.run(output),
            Self::Session(bench) => return bench.run(output),
            Self::Serve(bench) => return bench.run(output),
            Self::ServeParty(party) => return party.run(),
        };
        if let Some(alone) = bench.alone() {
            return alone.run(output);
        }
        let figures = bench.measure(output)?;
        output.say(|| &figures, || figures.words())?;
        if figures.exact { Ok(()) } else { Err(Failure::plain("the result is not the join in the clear")) }
    }
}

impl BenchPsi {
    /// What is measured in this process, if that is asked for.
    fn alone(&self) -> Option<Alone<'_>> {
        let (file, replays) = match (&self.record, &self.replay) {
            (Some(file), _) => (file, false),
            (None, Some(file)) => (file, true),
            (None, None) => return None,
        };
        let (n, n_peer) = (self.n, self.rows_peer.unwrap_or(self.n));
        let (kind, threads, backend) = (&self.kind, self.threads, &self.backend);
        Some(Alone { file, replays, n, n_peer, kind, threads, backend })
    }

    fn measure(&self, output: Output) -> Result<Figures, Failure> {
        kernel::choose(&self.backend).map_err(Failure::plain)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("tacitly-bench-");
        let folder = match &self.folder {
            Some(folder) => builder.tempdir_in(folder)?,
            None => builder.tempdir()?,
        };
        let (n, n_peer) = (self.n, self.rows_peer.unwrap_or(self.n));
        let shared = n.min(n_peer) / 2;
        let files = [folder.path().join("a.csv"), folder.path().join("b.csv")];
        // The receiver has the ids 0..n, the other side as many as it has rows, beginning so that `shared` are common.
        let offset = n - shared;
        synthetic::write_bench_ids(n, 0, 1, BufWriter::new(File::create(&files[0])?))?;
        synthetic::write_bench_ids(n_peer, offset, 2, BufWriter::new(File::create(&files[1])?))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let executable = std::env::current_exe()?;
        let setup = |core: usize| {
            let setup = Setup::of(&executable).set("TACITLY_LIMITS__THREADS", self.threads);
            let setup = setup.set("TACITLY_LIMITS__KERNEL", &self.backend);
            let setup = setup.set("TACITLY_LIMITS__MEMORY_MIB", self.memory);
            let setup = setup.set("TACITLY_LIMITS__BUCKET_KEYS", self.bucket_keys);
            Setup { cpu: (cores >= 2 && self.threads == 1).then_some(core), ..setup }
        };
        let a = Party::start(folder.path(), "a", setup(0))?;
        let b = Party::start(folder.path(), "b", setup(1))?;
        connect(&a, &b)?;
        for (party, file, peer) in [(&a, &files[0], "b"), (&b, &files[1], "a")] {
            let file = file.display().to_string();
            party.tacitly(&["dataset", "add", "ids", &file, "--key", "id=raw", "--allow", peer])?;
        }
        output.note(|| format!("{n} and {n_peer} rows are registered; the clock starts"));

        let out = folder.path().join("out.csv");
        let out_text = out.display().to_string();
        let before = [a.usage()?, b.usage()?];
        let begin = Instant::now();
        let mut words = vec!["psi", "--kind", &self.kind, "--dataset", "ids", "--with", "b/ids"];
        if self.kind != "cardinality" {
            words.extend(["--out", &out_text]);
        }
        let (job, peak_disk) = while_watching_the_disk([&a, &b], || a.tacitly(&words))?;
        let wall = begin.elapsed();
        let after = [a.usage()?, b.usage()?];

        let counted = job["result_items"].as_u64() == Some(shared);
        let exact = counted && (!self.check || self.check_rows(&b, &files, &out, job["id"].as_str(), offset)?);
        let cpu: Duration = before.iter().zip(&after).map(|(before, after)| after.cpu.saturating_sub(before.cpu)).sum();
        let bytes = [&job["bytes_out"], &job["bytes_in"]].iter().filter_map(|bytes| bytes.as_u64()).sum::<u64>();
        let peak = after.iter().map(|usage: &Usage| usage.peak_rss_kib).max().unwrap_or_default();
        Ok(Figures {
            kind: self.kind.clone(),
            n,
            n_peer,
            threads: self.threads,
            memory_mib: self.memory,
            buckets: job["summary"]["buckets"].as_u64().unwrap_or_default(),
            backend: kernel::backend(),
            wall_s: round(wall.as_secs_f64(), 3),
            cpu_us_per_item: round(cpu.as_secs_f64() * 1e6 / n as f64, 2),
            kernel_us_per_item: round(kernel::measure_per_item(1 << 14).as_secs_f64() * 1e6, 2),
            bytes_per_item: round(bytes as f64 / n as f64, 2),
            peak_rss_mib: round(peak as f64 / 1024.0, 1),
            peak_disk_mib: round(peak_disk as f64 / f64::from(1 << 20), 1),
            shared,
            exact,
        })
    }

    /// Whether the files hold exactly the shared rows: the receiver's in input order, or both sides' in one order.
    fn check_rows(
        &self,
        peer: &Party,
        files: &[std::path::PathBuf; 2],
        out: &Path,
        job: Option<&str>,
        offset: u64,
    ) -> Result<bool, Failure> {
        let shared = || offset..self.n;
        match self.kind.as_str() {
            "cardinality" => Ok(true),
            "align" => {
                let theirs = out.with_extension("peer.csv");
                let theirs_text = theirs.display().to_string();
                peer.tacitly(&["job", "result", job.unwrap_or_default(), "--out", &theirs_text])?;
                let same_order = lines(out)?
                    .map(|line| Ok(number(&line?)))
                    .eq_by_value(lines(&theirs)?.map(|line| Ok(number(&line?))))?;
                Ok(same_order && once_each(out, &files[0], shared())? && once_each(&theirs, &files[1], shared())?)
            }
            _ => lines(out)?.eq_by_value(
                lines(&files[0])?.filter(|line| line.as_ref().map_or(true, |line| is_among(line, &shared()))),
            ),
        }
    }
}

/// Runs some work while another thread looks at the disk space of both parties. Returns the most that it saw, too.
fn while_watching_the_disk<T>(
    parties: [&Party; 2],
    work: impl FnOnce() -> Result<T, TestBedError>,
) -> Result<(T, u64), TestBedError> {
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(parties.iter().map(|party| party.disk()).sum(), Ordering::Relaxed);
                std::thread::sleep(GLANCE);
            }
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
    .map(|done| (done, most.into_inner()))
}

/// The lines of a file below its head.
fn lines(file: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<String>>> {
    Ok(BufReader::with_capacity(1 << 20, File::open(file)?).lines().skip(1))
}

/// The number in the identifier of a line.
fn number(line: &str) -> Option<u64> {
    line.split(',').next()?.strip_prefix("user-")?.parse().ok()
}

fn is_among(line: &str, shared: &Range<u64>) -> bool {
    number(line).is_some_and(|number| shared.contains(&number))
}

/// Whether `out` holds the lines of `file` with these numbers, each once, in any order: as many, every number marked,
/// and the same sum of the lines' hashes.
fn once_each(out: &Path, file: &Path, shared: Range<u64>) -> std::io::Result<bool> {
    let hash = |line: &str| {
        let mut hasher = std::hash::DefaultHasher::new();
        line.hash(&mut hasher);
        hasher.finish()
    };
    let (mut found, mut expected) = ((0_u64, 0_u64), (0_u64, 0_u64));
    let mut seen = vec![false; (shared.end - shared.start) as usize];
    for line in lines(out)? {
        let line = line?;
        match number(&line).filter(|number| shared.contains(number)) {
            Some(number) => seen[(number - shared.start) as usize] = true,
            None => return Ok(false),
        }
        found = (found.0 + 1, found.1.wrapping_add(hash(&line)));
    }
    for line in lines(file)? {
        let line = line?;
        if is_among(&line, &shared) {
            expected = (expected.0 + 1, expected.1.wrapping_add(hash(&line)));
        }
    }
    Ok(found == expected && seen.iter().all(|seen| *seen))
}

/// Comparing two sequences that may fail, without holding either.
trait EqByValue<T>: Iterator<Item = std::io::Result<T>> + Sized {
    fn eq_by_value(mut self, mut other: impl Iterator<Item = std::io::Result<T>>) -> Result<bool, Failure>
    where
        T: PartialEq,
    {
        loop {
            match (self.next().transpose()?, other.next().transpose()?) {
                (None, None) => return Ok(true),
                (one, other) if one != other => return Ok(false),
                _ => {}
            }
        }
    }
}

impl<T, I: Iterator<Item = std::io::Result<T>>> EqByValue<T> for I {}

impl Figures {
    fn words(&self) -> String {
        format!(
            "{} of {} × {} rows: {:.2} s · {:.2} µs CPU an item (both parties), {:.2} µs of it in the {} kernel per party · {:.1} bytes an item · {:.0} MiB memory and {:.0} MiB disk at most{} · {}",
            self.kind,
            self.n,
            self.n_peer,
            self.wall_s,
            self.cpu_us_per_item,
            self.kernel_us_per_item,
            self.backend,
            self.bytes_per_item,
            self.peak_rss_mib,
            self.peak_disk_mib,
            if self.buckets > 0 { format!(" · {} buckets", self.buckets) } else { String::new() },
            if self.exact { "exact" } else { "WRONG" },
        )
    }
}
