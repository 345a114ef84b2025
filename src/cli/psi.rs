//! `tacitly psi`: a private set intersection in one command, which submits the job, watches it and writes the file.

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::connect::{self, Daemon, Way};
use super::destination::Destination;
use super::job_result::write_result;
use super::job_words::json;
use super::kinds::summary_of;
use super::watch::{Patience, watch};
use super::{Failure, Output, pages};
use crate::codes;
use crate::rpc::control::{AskedParty, Job, SubmitJobRequest};

/// Find which rows two parties share: submit a job, watch it, write this side's matching rows to a file.
#[derive(Args)]
pub(crate) struct Psi {
    #[command(flatten)]
    request: Request,
    #[command(flatten)]
    patience: Patience,
    /// Submit the job and do not wait for it: its number is printed, and it goes on by itself.
    #[arg(long, conflicts_with_all = ["out", "timeout"])]
    detach: bool,
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
struct Request {
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

    /// Submits the job between us and the peer; it goes on without us.
    async fn submit(&self, daemon: &mut Daemon, me: &str) -> Result<Job, Failure> {
        let (peer, peer_dataset) = self.peer()?;
        let kind = match self.kind {
            Kind::Intersect => "intersect",
            Kind::Align => "align",
            Kind::Cardinality => "cardinality",
        };
        let receiver = self.receiver()?;
        let party = |name: &str, dataset: &str, alone: Receiver| AskedParty {
            party: name.to_owned(),
            role: String::new(),
            dataset: dataset.to_owned(),
            receives: receiver == alone || receiver == Receiver::Both,
        };
        let request = SubmitJobRequest {
            kind: kind.to_owned(),
            parties: vec![party(me, &self.dataset, Receiver::Us), party(peer, peer_dataset, Receiver::Peer)],
            params: String::new(),
            purpose: self.purpose.clone(),
            request_key: self.request_key.clone(),
            expires: String::new(),
        };
        Ok(daemon.submit_job(request).await?.into_inner())
    }
}

impl Psi {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let out = self.destination()?;
        let mut daemon = connect::connect(way).await?;
        let me = connect::own_name(&mut daemon).await?;
        self.check_columns(&mut daemon).await?;
        let job = self.request.submit(&mut daemon, &me).await?;
        output.note(|| format!("job {}", job.id));
        if self.detach {
            return output.say(|| json(&job), || format!("it goes on: `tacitly job watch {}` follows it", job.id));
        }
        output.note_to_program(|| serde_json::json!({ "job": job.id }));
        let job = watch(&mut daemon, &me, &job.id, &self.patience, output).await?;
        let mut output = output;
        if let Some(out) = &out {
            let written = write_result(&mut daemon, &job.id, out, &self.columns).await;
            written
                .map_err(|failure| failure.with_second_hint(format!("the result is kept: {}", fetching(&job.id))))?;
            output = if out.is_standard_output() { output.aside() } else { output };
        }
        output.say(|| json(&job), || told(&job, &me, self.out.as_deref()))
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
        let datasets = pages::datasets(daemon).await?;
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
            Err(Failure::coded(codes::REFUSED_BY_RULE.name, text, codes::REFUSED_BY_RULE.hint))
        }
    }
}

/// The command that writes a result that is kept.
fn fetching(job: &str) -> String {
    format!("tacitly job result {job} --out FILE")
}

/// How the job came out, for a person.
fn told(job: &Job, me: &str, out: Option<&Path>) -> String {
    let summary = summary_of(job);
    let keys = |name: &str| summary.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (ours, theirs, shared) = (keys("our_items"), keys("peer_items"), job.result_items.unwrap_or_default());
    let peer = job.parties.iter().find(|party| party.party != me).map_or("the peer", |party| &party.party);
    let receives = job.parties.iter().any(|party| party.party == me && party.receives);
    let done = if receives {
        format!("done: {shared} of our {ours} keys, {peer} of {theirs} keys are shared")
    } else {
        format!("done: {peer} received the result; {ours} keys here, {theirs} there")
    };
    let rows = out.map(|out| format!("; our rows are in {}", out.display())).unwrap_or_default();
    let hint = summary.get("hint").and_then(Value::as_str).map(|hint| format!("\n{hint}")).unwrap_or_default();
    done + &rows + &hint
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
