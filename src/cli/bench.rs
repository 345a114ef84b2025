//! `tacitly bench`: two real daemons on loopback, a file in, a file out, one line of figures.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Failure, Output};
use crate::kernel;
use crate::sample;
use crate::trial::{Party, Setup, Usage, introduce};

/// Measure this machine.
#[derive(Subcommand)]
pub(crate) enum Bench {
    Psi(BenchPsi),
    Log(super::bench_log::BenchLog),
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
    shared: u64,
    exact: bool,
}

impl Bench {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let bench = match self {
            Self::Psi(bench) => bench,
            Self::Log(bench) => return bench.run(output),
        };
        let figures = bench.measure(output)?;
        output.say(|| &figures, || figures.words());
        if figures.exact { Ok(()) } else { Err(Failure::plain("the result is not the join in the clear")) }
    }
}

impl BenchPsi {
    fn measure(&self, output: Output) -> Result<Figures, Failure> {
        kernel::choose(&self.backend).map_err(Failure::plain)?;
        let folder = tempfile::Builder::new().prefix("tacitly-bench-").tempdir()?;
        let (n, n_peer) = (self.n, self.rows_peer.unwrap_or(self.n));
        let shared = n.min(n_peer) / 2;
        let files = [folder.path().join("a.csv"), folder.path().join("b.csv")];
        // The receiver has the ids 0..n, the other side as many as it has rows, beginning so that `shared` are common.
        let offset = n - shared;
        sample::write_bench_ids(n, 0, 1, BufWriter::new(File::create(&files[0])?))?;
        sample::write_bench_ids(n_peer, offset, 2, BufWriter::new(File::create(&files[1])?))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let executable = std::env::current_exe()?;
        let setup = |core: usize| {
            let setup = Setup::of(&executable).set("TACITLY_LIMITS__THREADS", self.threads);
            let setup = setup.set("TACITLY_LIMITS__KERNEL", &self.backend);
            Setup { cpu: (cores >= 2 && self.threads == 1).then_some(core), ..setup }
        };
        let a = Party::start(folder.path(), "a", setup(0))?;
        let b = Party::start(folder.path(), "b", setup(1))?;
        introduce(&a, &b)?;
        for (party, file, peer) in [(&a, &files[0], "b"), (&b, &files[1], "a")] {
            let file = file.display().to_string();
            party.tacitly(&["dataset", "add", "ids", &file, "--key", "id=raw", "--allow", peer])?;
        }
        output.note(|| format!("{n} and {n_peer} rows are registered; the clock starts"));

        let out = folder.path().join("out.csv");
        let out_text = out.display().to_string();
        let before = [a.usage()?, b.usage()?];
        let begin = Instant::now();
        let job =
            a.tacitly(&["psi", "--kind", &self.kind, "--dataset", "ids", "--with", "b/ids", "--out", &out_text])?;
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
            backend: kernel::backend(),
            wall_s: round(wall.as_secs_f64(), 3),
            cpu_us_per_item: round(cpu.as_secs_f64() * 1e6 / n as f64, 2),
            kernel_us_per_item: round(kernel::measure_per_item(1 << 14).as_secs_f64() * 1e6, 2),
            bytes_per_item: round(bytes as f64 / n as f64, 2),
            peak_rss_mib: round(peak as f64 / 1024.0, 1),
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
        let is_shared = |line: &str| {
            let id = line.split(',').next().and_then(|id| id.strip_prefix("user-"));
            id.and_then(|id| id.parse::<u64>().ok()).is_some_and(|id| id >= offset && id < self.n)
        };
        let expected = |file: &Path| -> Result<Vec<String>, Failure> {
            Ok(lines(file)?.into_iter().filter(|line| is_shared(line)).collect())
        };
        let ids = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
        };
        let sorted = |mut lines: Vec<String>| {
            lines.sort_unstable();
            lines
        };
        match self.kind.as_str() {
            "cardinality" => Ok(true),
            "align" => {
                let theirs = out.with_extension("peer.csv");
                let theirs_text = theirs.display().to_string();
                peer.tacitly(&["job", "result", job.unwrap_or_default(), "--out", &theirs_text])?;
                let (ours, theirs) = (lines(out)?, lines(&theirs)?);
                Ok(ids(&ours) == ids(&theirs)
                    && sorted(ours) == sorted(expected(&files[0])?)
                    && sorted(theirs) == sorted(expected(&files[1])?))
            }
            _ => Ok(lines(out)? == expected(&files[0])?),
        }
    }
}

/// The lines of a file below its head.
fn lines(file: &Path) -> Result<Vec<String>, Failure> {
    Ok(BufReader::new(File::open(file)?).lines().skip(1).collect::<Result<_, _>>()?)
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

impl Figures {
    fn words(&self) -> String {
        format!(
            "{} of {} × {} rows: {:.2} s · {:.2} µs CPU an item (both parties), {:.2} µs of it in the {} kernel per party · {:.1} bytes an item · {:.0} MiB peak · {}",
            self.kind,
            self.n,
            self.n_peer,
            self.wall_s,
            self.cpu_us_per_item,
            self.kernel_us_per_item,
            self.backend,
            self.bytes_per_item,
            self.peak_rss_mib,
            if self.exact { "exact" } else { "WRONG" },
        )
    }
}
