//! `tacitly job`, `approve`, `refuse`, `events`: what runs, what waits for a person, and what was decided.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::connect::Way;
use super::destination::Destination;
use super::output::table;
use super::psi::{Request, write_result};
use super::watch::watch;
use super::{Failure, Output, connect};
use crate::rpc::control;

/// Jobs: submit, list, watch, explain, result, cancel, resume, purge.
#[derive(Subcommand)]
pub(crate) enum Job {
    /// Propose a job and come back at once: `tacitly psi` without the waiting.
    Submit(Request),
    /// List jobs.
    List {
        /// Only jobs in this state.
        #[arg(long, default_value = "")]
        state: String,
    },
    /// Show one job.
    Show(Which),
    /// Follow a job to its end.
    Watch(Which),
    /// Before approval: rows, minutes, bytes, and what each side learns.
    Explain(Which),
    /// Write our rows of a finished job to a file, as often as wanted.
    Result {
        /// The job's number.
        job: String,
        /// The file; its ending .parquet chooses Parquet, anything else CSV; - is standard output.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// Replace the file if it is there already.
        #[arg(long)]
        force: bool,
        /// Columns to write, with commas between them; absent: all.
        #[arg(long, value_delimiter = ',', value_name = "A,B", value_parser = NonEmptyStringValueParser::new())]
        columns: Vec<String>,
    },
    /// End a job on both sides.
    Cancel(Which),
    /// Go on with a suspended job.
    Resume(Which),
    /// Wipe a job's result and secrets; the ledger keeps that it was, and the log that it was wiped.
    Purge(Which),
}

/// One job.
#[derive(Args)]
pub(crate) struct Which {
    /// The job's number.
    job: String,
}

/// Approve a job that waits for a person.
#[derive(Args)]
pub(crate) struct Approve {
    /// The job's number.
    job: String,
}

/// Refuse a job that waits for a person.
#[derive(Args)]
pub(crate) struct Refuse {
    /// The job's number.
    job: String,
    /// Why; the peer reads it.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Print the audit trail: every decision and every change of state.
#[derive(Args)]
pub(crate) struct Events {
    /// Only of this job.
    #[arg(long, default_value = "")]
    job: String,
    /// Only after this number.
    #[arg(long, default_value_t = 0)]
    since: u64,
}

impl Job {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let job = match self {
            Self::List { state } => {
                let jobs = daemon.list_jobs(control::ListJobsRequest { state }).await?.into_inner().jobs;
                output.say(|| &jobs, || listing(&jobs))?;
                return Ok(());
            }
            Self::Explain(Which { job }) => {
                let text = daemon.explain_job(control::JobRequest { job }).await?.into_inner().text;
                output.say(|| serde_json::json!({ "explanation": text }), || text.clone())?;
                return Ok(());
            }
            Self::Result { job, out, force, columns } => {
                let place = Destination::new(&out, force);
                place.check()?;
                write_result(&mut daemon, &job, &place, &columns).await?;
                let output = if place.is_standard_output() { output.aside() } else { output };
                output.say(
                    || serde_json::json!({ "job": job, "out": out }),
                    || format!("our rows are in {}", out.display()),
                )?;
                return Ok(());
            }
            Self::Submit(request) => request.submit(&mut daemon).await?,
            Self::Watch(Which { job }) => watch(&mut daemon, &job, output).await?,
            Self::Show(Which { job }) => daemon.get_job(control::JobRequest { job }).await?.into_inner(),
            Self::Cancel(Which { job }) => daemon.cancel_job(control::JobRequest { job }).await?.into_inner(),
            Self::Resume(Which { job }) => daemon.resume_job(control::JobRequest { job }).await?.into_inner(),
            Self::Purge(Which { job }) => daemon.purge_job(control::JobRequest { job }).await?.into_inner(),
        };
        output.say(|| job.clone(), || listing(std::slice::from_ref(&job)))?;
        Ok(())
    }
}

impl Approve {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let job = daemon.approve_job(control::JobRequest { job: self.job }).await?.into_inner();
        output.say(|| job.clone(), || format!("job {} is {}", job.id, job.state))?;
        Ok(())
    }
}

impl Refuse {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let request = control::RefuseJobRequest { job: self.job, reason: self.reason };
        let job = daemon.refuse_job(request).await?.into_inner();
        output.say(|| job.clone(), || format!("job {} is {}", job.id, job.state))?;
        Ok(())
    }
}

impl Events {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let request = control::ListEventsRequest { since: self.since, job: self.job };
        let events = daemon.list_events(request).await?.into_inner().events;
        output.say(
            || &events,
            || {
                let mut rows = vec![["NO", "AT", "JOB", "WHO", "WHAT", "DETAIL"].map(str::to_owned).to_vec()];
                rows.extend(events.iter().map(|event| {
                    let sequence = event.sequence.to_string();
                    let cells = [&sequence, &event.at, &event.job, &event.actor, &event.kind, &event.detail];
                    cells.map(Clone::clone).to_vec()
                }));
                table(&rows)
            },
        )?;
        Ok(())
    }
}

fn listing(jobs: &[control::Job]) -> String {
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let mut rows = vec![["JOB", "KIND", "PEER", "DATASETS", "STATE", "DETAIL"].map(str::to_owned).to_vec()];
    for job in jobs {
        let detail = match &job.failure {
            Some(failure) if !failure.code.is_empty() => format!("{}: {}", failure.code, failure.text),
            _ if job.state == "done" => format!("{} shared", job.result_items),
            _ => job.stage.clone(),
        };
        rows.push(vec![
            job.id.clone(),
            job.kind.clone(),
            job.peer.clone(),
            format!("{} / {}", job.dataset, job.peer_dataset),
            job.state.clone(),
            detail,
        ]);
    }
    table(&rows)
}
