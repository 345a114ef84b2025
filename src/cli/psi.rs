//! `tacitly psi`: the main job in one command — submit, watch, write the file.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::connect::{Daemon, Way};
use super::destination::Destination;
use super::job_words::json;
use super::watch::watch;
use super::{Failure, Output, connect};
use crate::codes;
use crate::rpc::control::{Job, JobResultRequest, ListDatasetsRequest, SubmitJobRequest};

/// Find which rows two parties share: submit a job, watch it, write this side's matching rows to a file.
#[derive(Args)]
pub(crate) struct Psi {
    #[command(flatten)]
    request: Request,
    /// Where our matching rows go: a file, whose ending .parquet chooses Parquet, anything else CSV; - is standard output.
    /// Absent: nothing is written (`tacitly job result` does it later).
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there already.
    #[arg(long, requires = "out")]
    force: bool,
    /// Columns to write, with commas between them; absent: all.
    #[arg(long, value_delimiter = ',', value_name = "A,B", requires = "out", value_parser = NonEmptyStringValueParser::new())]
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
    /// Who receives the result; absent: us, and both for align, which always tells both sides.
    #[arg(long, value_enum)]
    receiver: Option<Receiver>,
    /// Why, for the peer's rule and both audit trails.
    #[arg(long, default_value = "", hide_default_value = true)]
    purpose: String,
    /// The same key submits the job once, however often the command is repeated.
    #[arg(long, default_value = "", hide_default_value = true)]
    request_key: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Receivers learn which of their own rows are shared.
    Intersect,
    /// Both sides get the shared rows in one common order.
    Align,
    /// Receivers learn only how many.
    Cardinality,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Receiver {
    Us,
    Peer,
    Both,
}

impl Request {
    fn peer(&self) -> Result<(&str, &str), Failure> {
        self.with
            .split_once('/')
            .ok_or_else(|| Failure::hinted("--with names no dataset", "write PEER/DATASET, for example shop/members"))
    }

    fn receiver(&self) -> Result<Receiver, Failure> {
        match (self.kind, self.receiver) {
            (Kind::Align, Some(Receiver::Us | Receiver::Peer)) => Err(Failure::hinted(
                "align always tells both sides: each learns which of its rows the other has, in one order",
                "leave --receiver out or write both; --kind intersect tells one side alone",
            )),
            (Kind::Align, None) => Ok(Receiver::Both),
            (_, receiver) => Ok(receiver.unwrap_or(Receiver::Us)),
        }
    }

    /// Submits the job; it goes on without us.
    pub(crate) async fn submit(&self, daemon: &mut Daemon) -> Result<Job, Failure> {
        let (peer, peer_dataset) = self.peer()?;
        let kind = match self.kind {
            Kind::Intersect => "intersect",
            Kind::Align => "align",
            Kind::Cardinality => "cardinality",
        };
        let receiver = match self.receiver()? {
            Receiver::Us => "us",
            Receiver::Peer => "peer",
            Receiver::Both => "both",
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
        let out = self.destination()?;
        let mut daemon = connect::connect(way).await?;
        self.check_columns(&mut daemon).await?;
        let job = self.request.submit(&mut daemon).await?;
        output.note(|| format!("job {}", job.id));
        let job = watch(&mut daemon, &job.id, output).await?;
        let mut output = output;
        if let Some(out) = &out {
            let written = write_result(&mut daemon, &job.id, out, &self.columns).await;
            written.map_err(|failure| failure.with_mend(format!("the result is kept: {}", fetching(&job.id))))?;
            output = if out.is_standard_output() { output.aside() } else { output };
        }
        output.say(|| json(&job), || summary(&job, self.out.as_deref()))
    }

    /// Where the rows will go, if there will be rows here and they can go there.
    fn destination(&self) -> Result<Option<Destination>, Failure> {
        let receiver = self.request.receiver()?;
        let Some(out) = &self.out else { return Ok(None) };
        if self.request.kind == Kind::Cardinality {
            let text = "cardinality tells how many keys are shared and not which, so there are no rows for --out";
            return Err(Failure::hinted(text, "leave --out out; the number is printed"));
        }
        if receiver == Receiver::Peer {
            let text = "the peer alone receives the result, so there are no rows here for --out";
            return Err(Failure::hinted(text, "leave --out out, or ask with --receiver us or both"));
        }
        let place = Destination::new(out, self.force);
        place.check()?;
        Ok(Some(place))
    }

    /// Refuses what could not be written, before a job is run and counted for it.
    async fn check_columns(&self, daemon: &mut Daemon) -> Result<(), Failure> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let (peer, _) = self.request.peer()?;
        let datasets = daemon.list_datasets(ListDatasetsRequest {}).await?.into_inner().datasets;
        // Whether the dataset is there is for the job to say.
        let Some(dataset) = datasets.into_iter().find(|dataset| dataset.name == self.request.dataset) else {
            return Ok(());
        };
        let rule = dataset.rules.iter().find(|rule| rule.peer == peer);
        may_be_written(&self.columns, &dataset.columns, rule.map_or("", |rule| &rule.json))
    }
}

/// Refuses columns that a dataset does not have, or that the rule for the peer keeps out of results.
fn may_be_written(asked: &[String], there: &[String], rule: &str) -> Result<(), Failure> {
    if let Some(unknown) = asked.iter().find(|column| !there.contains(column)) {
        return Err(Failure::hinted(
            format!("our dataset has no column {unknown:?}, so nothing was submitted"),
            format!("it has {}", there.join(", ")),
        ));
    }
    if rule.is_empty() {
        // The daemon says what is missing: without a rule there is no job.
        return Ok(());
    }
    let rule: serde_json::Value = serde_json::from_str(rule).unwrap_or_default();
    let allowed = rule["columns"].as_array().map_or(&[][..], Vec::as_slice);
    match asked.iter().find(|column| !allowed.iter().any(|name| name == column.as_str())) {
        None => Ok(()),
        Some(withheld) => {
            let text = format!("our rule for the peer withholds column {withheld:?}, so nothing was submitted");
            Err(Failure::coded(codes::REFUSED_BY_RULE.name, text, codes::REFUSED_BY_RULE.mend))
        }
    }
}

/// The command that writes a result that is kept.
fn fetching(job: &str) -> String {
    format!("tacitly job result {job} --out FILE")
}

fn summary(job: &Job, out: Option<&Path>) -> String {
    let shared = job.result_items.unwrap_or_default();
    let sizes = format!("{shared} of our {} keys, {} of {}", job.our_items, job.peer, job.peer_items);
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

/// Streams a job's result to a place, as Parquet if the place is named so. A file appears whole or not at all.
pub(crate) async fn write_result(
    daemon: &mut Daemon,
    job: &str,
    out: &Destination,
    columns: &[String],
) -> Result<(), Failure> {
    let request = JobResultRequest {
        job: job.to_owned(),
        columns: columns.to_vec(),
        format: if out.has_ending("parquet") { "parquet" } else { "csv" }.to_owned(),
    };
    let mut chunks = daemon.job_result(request).await?.into_inner();
    let mut file = out.begin().await?;
    while let Some(chunk) = chunks.message().await? {
        file.add(&chunk.data).await?;
    }
    file.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_could_not_be_written_are_refused_before_the_job() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (there, rule) = (names(&["mobile", "n"]), r#"{"columns":["n"]}"#);
        for (rule, fine) in [("", true), (rule, true), ("{}", false), (r#"{"columns":[]}"#, false)] {
            assert_eq!(may_be_written(&names(&["n"]), &there, rule).is_ok(), fine, "{rule}");
        }
        let unknown = may_be_written(&names(&["n", "town"]), &there, "").unwrap_err().to_string();
        assert!(unknown.contains("no column \"town\"") && unknown.contains("it has mobile, n"), "{unknown}");
        let withheld = may_be_written(&names(&["mobile"]), &there, rule).unwrap_err().to_string();
        assert!(withheld.contains("refused-by-rule") && withheld.contains("withholds"), "{withheld}");
    }
}
