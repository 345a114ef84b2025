//! `tacitly psi`: the main job in one command — submit, watch, write the file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::connect::{Daemon, Way};
use super::watch::watch;
use super::whole_file::WholeFile;
use super::{Failure, Output, connect};
use crate::rpc::control::{Job, JobResultRequest, SubmitJobRequest};

/// Find which rows two parties share: submit a job, watch it, write this side's matching rows to a file.
#[derive(Args)]
pub(crate) struct Psi {
    #[command(flatten)]
    request: Request,
    /// Where our matching rows go; absent: nothing is written (`tacitly job result` does it later).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Columns to write; absent: all.
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
}

/// What is asked of whom.
#[derive(Args)]
pub(crate) struct Request {
    /// Our dataset.
    #[arg(long)]
    dataset: String,
    /// The peer and its dataset, PEER/DATASET.
    #[arg(long, value_name = "PEER/DATASET")]
    with: String,
    /// What is computed.
    #[arg(long, value_enum, default_value_t = Kind::Intersect)]
    kind: Kind,
    /// Who receives the result.
    #[arg(long, value_enum, default_value_t = Receiver::Us)]
    receiver: Receiver,
    /// Why, for the peer's rule and both audit trails.
    #[arg(long, default_value = "")]
    purpose: String,
    /// The same key submits the job once, however often the command is repeated.
    #[arg(long, default_value = "")]
    request_key: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Receivers learn which of their own rows are shared.
    Intersect,
    /// Both sides get the shared rows in one common order.
    Align,
    /// Receivers learn only how many.
    Cardinality,
}

#[derive(Clone, Copy, ValueEnum)]
enum Receiver {
    Us,
    Peer,
    Both,
}

impl Request {
    /// Submits the job; it goes on without us.
    pub(crate) async fn submit(&self, daemon: &mut Daemon) -> Result<Job, Failure> {
        let (peer, peer_dataset) = self.with.split_once('/').ok_or_else(|| {
            Failure::hinted("--with names no dataset", "write PEER/DATASET, for example shop/members")
        })?;
        let kind = match self.kind {
            Kind::Intersect => "intersect",
            Kind::Align => "align",
            Kind::Cardinality => "cardinality",
        };
        let receiver = match (self.kind, self.receiver) {
            (Kind::Align, _) | (_, Receiver::Both) => "both",
            (_, Receiver::Us) => "us",
            (_, Receiver::Peer) => "peer",
        };
        let request = SubmitJobRequest {
            kind: kind.to_owned(),
            dataset: self.dataset.clone(),
            peer: peer.to_owned(),
            peer_dataset: peer_dataset.to_owned(),
            receiver: receiver.to_owned(),
            purpose: self.purpose.clone(),
            request_key: self.request_key.clone(),
        };
        Ok(daemon.submit_job(request).await?.into_inner())
    }
}

impl Psi {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let job = self.request.submit(&mut daemon).await?;
        output.note(|| format!("job {}", job.id));
        let job = watch(&mut daemon, &job.id, output).await?;
        if let Some(out) = &self.out
            && job.receiver != "peer"
            && job.kind != "cardinality"
        {
            write_result(&mut daemon, &job.id, out, &self.columns).await?;
        }
        output.say(|| job.clone(), || summary(&job, self.out.as_deref()));
        Ok(())
    }
}

fn summary(job: &Job, out: Option<&Path>) -> String {
    let sizes = format!("{} of our {} keys, {} of {}", job.result_items, job.our_items, job.peer, job.peer_items);
    let mut lines = match (job.receiver.as_str(), out) {
        ("peer", _) => {
            vec![format!(
                "done: {} received the result; {} keys here, {} there",
                job.peer, job.our_items, job.peer_items
            )]
        }
        (_, Some(out)) => vec![format!("done: {sizes} keys are shared; our rows are in {}", out.display())],
        (_, None) => vec![format!("done: {sizes} keys are shared")],
    };
    if !job.hint.is_empty() {
        lines.push(job.hint.clone());
    }
    lines.join("\n")
}

/// Streams a job's result into `out`. The file appears whole or not at all.
pub(crate) async fn write_result(
    daemon: &mut Daemon,
    job: &str,
    out: &Path,
    columns: &[String],
) -> Result<(), Failure> {
    let parquet = out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let request = JobResultRequest {
        job: job.to_owned(),
        columns: columns.to_vec(),
        format: if parquet { "parquet" } else { "csv" }.to_owned(),
    };
    let mut chunks = daemon.job_result(request).await?.into_inner();
    let failed = |error: std::io::Error| {
        Failure::hinted(
            format!("cannot write {}: {error}", out.display()),
            format!("the result is kept: tacitly job result {job} --out FILE"),
        )
    };
    let mut file = WholeFile::begin(out).map_err(failed)?;
    while let Some(chunk) = chunks.message().await? {
        file.add(&chunk.data).map_err(failed)?;
    }
    file.finish().map_err(failed)
}
