//! `tacitly job`, `approve`, `refuse`, `events`: what runs, what waits for a person, and what was decided.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::Value;
use zeroize::Zeroizing;

use super::connect::{Daemon, Way};
use super::destination::Destination;
use super::job_result::write_result;
use super::job_words::{details, json, listing};
use super::opening::{Reader, begin_private, finish};
use super::output::{table, unfolded};
use super::submit::Submit;
use super::watch::{Patience, watch};
use super::{Failure, Output, connect, pages};
use crate::rpc::{control, job_states};

/// Jobs: submit, list, show, watch, explain, result, open, cancel, resume, purge; pause, unpause, revoke a service.
#[derive(Subcommand)]
pub(crate) enum Job {
    Submit(Submit),
    /// List jobs, oldest first; of more than the limit, the newest.
    List {
        /// Only jobs in this state.
        #[arg(long, value_parser = job_states())]
        state: Option<String>,
        /// Only jobs older than this one: the first number of a list asks for what came before it.
        #[arg(long, value_name = "JOB", default_value = "", hide_default_value = true)]
        before: String,
        /// At most so many jobs.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..), default_value_t = 1000)]
        limit: u32,
    },
    /// Show all that is known of one job: its parties, who receives what, why, its figures, times, attempts, traffic.
    Show(Which),
    /// Follow a job to its end.
    Watch {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        patience: Patience,
    },
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
    Open(Open),
    /// End a job on both sides.
    Cancel(Which),
    /// Go on with a suspended job.
    Resume(Which),
    /// Have a service answer and ask nothing here for a while; the other side goes on.
    Pause(Which),
    /// Let a service go on that was paused here.
    Unpause(Which),
    /// End a service, at once and on all sides.
    Revoke(Which),
    /// Wipe a job's result and secrets; the ledger keeps that it was, and the log that it was wiped.
    Purge(Which),
}

/// Open the commitment to our output of a job to an arbiter: writes its salt and the digest of the output to a private
/// file. That they were opened, to whom and why goes on record first.
#[derive(Args)]
pub(crate) struct Open {
    /// The job's number.
    job: String,
    /// The new file, which only you can read.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    reader: Reader,
}

/// One job.
#[derive(Args)]
pub(crate) struct Which {
    /// The job's number.
    job: String,
}

impl Open {
    async fn run(self, daemon: &mut Daemon, output: Output) -> Result<(), Failure> {
        let shown = self.out.display();
        let out = begin_private(&self.out)?;
        let Reader { to, purpose } = self.reader;
        let asked = control::OpenOutputRequest { job: self.job.clone(), to: to.clone(), purpose };
        let reply = daemon.open_output(asked).await?.into_inner();
        let digest = HEXLOWER.encode(&reply.digest);
        let lines = Zeroizing::new(format!("{}\n{digest}\n", HEXLOWER.encode(&reply.salt)));
        finish(out, &self.out, lines.as_bytes())?;
        output.note(|| "whoever has this salt can test guesses of the output: give it to the arbiter only".into());
        output.say(
            || {
                serde_json::json!({
                    "job": self.job, "output": reply.output, "sha256": digest, "file": self.out, "to": to,
                    "entry": reply.entry,
                })
            },
            || {
                format!(
                    "{shown}: the salt and the digest of our output of {}, {}\n  on record: opened to {to}, {}\n  check: tacitly evidence verify-output {shown} --certificate FILE",
                    self.job, reply.output, reply.entry
                )
            },
        )
    }
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
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Print the audit trail: every decision and every change of state.
#[derive(Args)]
pub(crate) struct Events {
    /// Only of this job.
    #[arg(long, default_value = "", hide_default_value = true)]
    job: String,
    /// Only after this number.
    #[arg(long, default_value_t = 0)]
    since: u64,
}

impl Job {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let me = connect::own_name(&mut daemon).await?;
        let job = match self {
            Self::List { state, before, limit } => {
                let jobs = pages::jobs(&mut daemon, &state.unwrap_or_default(), before, limit).await?;
                return output.say(|| json(&jobs), || listing(&me, &jobs));
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
            Self::Submit(submit) => submit.submit(&mut daemon).await?,
            Self::Watch { which: Which { job }, patience } => watch(&mut daemon, &me, &job, &patience, output).await?,
            Self::Show(Which { job }) => {
                let job = daemon.get_job(control::JobRequest { job }).await?.into_inner();
                return output.say(|| json(&job), || details(&me, &job));
            }
            Self::Open(open) => return open.run(&mut daemon, output).await,
            Self::Purge(Which { job }) => {
                let job = daemon.purge_job(control::JobRequest { job }).await?.into_inner();
                let words = "its result and secrets are wiped here, the ledger keeps that it was";
                return output.say(|| json(&job), || format!("job {} is purged: {words}", job.id));
            }
            Self::Cancel(Which { job }) => daemon.cancel_job(control::JobRequest { job }).await?.into_inner(),
            Self::Pause(Which { job }) => daemon.pause_job(control::JobRequest { job }).await?.into_inner(),
            Self::Unpause(Which { job }) => daemon.unpause_job(control::JobRequest { job }).await?.into_inner(),
            Self::Revoke(Which { job }) => daemon.revoke_job(control::JobRequest { job }).await?.into_inner(),
            Self::Resume(Which { job }) => daemon.resume_job(control::JobRequest { job }).await?.into_inner(),
        };
        output.say(|| json(&job), || listing(&me, std::slice::from_ref(&job)))?;
        Ok(())
    }
}

impl Approve {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let job = daemon.approve_job(control::JobRequest { job: self.job }).await?.into_inner();
        output.say(|| json(&job), || format!("job {} is {}", job.id, job.state))?;
        Ok(())
    }
}

impl Refuse {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let request = control::RefuseJobRequest { job: self.job, reason: self.reason };
        let job = daemon.refuse_job(request).await?.into_inner();
        output.say(|| json(&job), || format!("job {} is {}", job.id, job.state))?;
        Ok(())
    }
}

impl Events {
    pub(crate) async fn run(self, way: &Way, output: Output) -> Result<(), Failure> {
        let mut daemon = connect::connect(way).await?;
        let events = pages::events(&mut daemon, self.since, &self.job).await?;
        output.say(
            || unfolded(&events, &["detail"]),
            || {
                let mut rows = vec![["NO", "AT", "JOB", "WHO", "WHAT", "DETAIL"].map(str::to_owned).to_vec()];
                rows.extend(events.iter().map(|event| {
                    let sequence = event.sequence.to_string();
                    let altered = if event.altered { "ALTERED: not as it was written. " } else { "" };
                    let detail = format!("{altered}{}", plain(&event.detail));
                    let cells = [&sequence, &event.at, &event.job, &event.actor, &event.kind, &detail];
                    cells.map(Clone::clone).to_vec()
                }));
                table(&rows)
            },
        )?;
        Ok(())
    }
}

/// The circumstances of an event, for a person: JSON without its signs, and without what is not given.
fn plain(detail: &str) -> String {
    serde_json::from_str(detail).map_or_else(|_| detail.to_owned(), |value| told(&value))
}

fn told(value: &Value) -> String {
    let is_given = |value: &&Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(told).collect::<Vec<_>>().join(" "),
        Value::Object(members) => {
            let given = members.iter().filter(|(_, value)| is_given(value));
            let words = given.map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", told(value)),
                value => format!("{name}: {}", told(value)),
            });
            words.collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_trail_is_told_in_words_and_not_in_json() {
        assert_eq!(plain(r#"{"from":"running","attempt":2}"#), "attempt: 2, from: running");
        let rule = r#"{"peer":"bank","rule":{"kinds":["align","intersect"],"purposes":[],"expires":null}}"#;
        assert_eq!(plain(rule), "peer: bank, rule (kinds: align intersect)");
        assert_eq!((plain("null"), plain("as it is")), (String::new(), "as it is".to_owned()));
    }
}
