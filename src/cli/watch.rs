//! Watching a job until it is over: a progress line on a terminal, elsewhere a line whenever it stands differently.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::connect::Daemon;
use super::output::murmur;
use super::run::Listening;
use super::{Failure, Output};
use crate::codes;
use crate::rpc::control::{Job, JobRequest};
use crate::rpc::status;

/// For how long a second Ctrl-C cancels the job.
const SECOND_THOUGHTS: Duration = Duration::from_secs(3);

/// How long a command waits for a job.
#[derive(Args)]
pub(crate) struct Patience {
    /// Stop waiting after so many seconds; the job goes on. The exit code is 124 then, as that of `timeout`.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    timeout: Option<u64>,
}

/// Follows a job to its end, as party `me`, and returns how it stands then. The first Ctrl-C leaves the job alone and says
/// how to follow it, a second one cancels it.
///
/// # Errors
/// The job's own failure with its hint, if it did not end in `done`; [`codes::DAEMON_GONE`] if the daemon stopped before;
/// that somebody, or the time, has ended the waiting.
pub(crate) async fn watch(
    daemon: &mut Daemon,
    me: &str,
    id: &str,
    patience: &Patience,
    output: Output,
) -> Result<Job, Failure> {
    let _ours = Listening::begin();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let end = patience.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut following = daemon.clone();
    let waited = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        _ = interrupt.recv() => Failure::ended_by(Signal::INT),
        _ = terminate.recv() => {
            say_goes_on(id, output, "");
            return Err(Failure::ended_by(Signal::TERM));
        }
        ended = follow(&mut following, me, id, output) => return ended,
        () = waited => return Err(Failure::out_of_time(format!("job {id} is not over yet; it goes on"), &following_it(id))),
    };
    say_goes_on(id, output, "; Ctrl-C again cancels it");
    if timeout(SECOND_THOUGHTS, interrupt.recv()).await.is_ok() {
        daemon.cancel_job(JobRequest { job: id.to_owned() }).await?;
        output.note(|| format!("job {id} is cancelled"));
    }
    Err(ended)
}

/// How a person goes on with a job that nobody follows.
fn following_it(id: &str) -> String {
    format!("`tacitly job watch {id}` follows it, `tacitly job cancel {id}` ends it")
}

fn say_goes_on(id: &str, output: Output, more: &str) {
    match output.is_json() {
        true => murmur(&serde_json::json!({ "job": id, "goes_on": true }).to_string()),
        false => murmur(&format!("\njob {id} goes on: {}{more}", following_it(id))),
    }
}

async fn follow(daemon: &mut Daemon, me: &str, id: &str, output: Output) -> Result<Job, Failure> {
    let lost = |error: Status, last: Option<&Job>| match status::code_of(&error) {
        Some(codes::DAEMON_GONE) => daemon_gone(id, me, last),
        _ => error.into(),
    };
    let asked = daemon.watch_job(JobRequest { job: id.to_owned() }).await;
    let mut updates = asked.map_err(|error| lost(error, None))?.into_inner();
    let mut line = ProgressLine::new(output);
    let mut last: Option<Job> = None;
    loop {
        let update = updates.message().await;
        match update.map_err(|error| (line.clear(), lost(error, last.as_ref())).1)? {
            Some(job) => {
                line.show(&job);
                let over = job.at_rest;
                last = Some(job);
                if over {
                    break;
                }
            }
            None => break,
        }
    }
    line.clear();
    match last {
        Some(job) if ["done", "serving", "paused"].contains(&job.state.as_str()) => Ok(job),
        Some(job) if job.at_rest => Err(failure_of(&job)),
        last => Err(daemon_gone(id, me, last.as_ref())),
    }
}

/// The daemon stopped while the job was watched, which is no end of the job.
fn daemon_gone(id: &str, me: &str, last: Option<&Job>) -> Failure {
    let receives = |job: &Job| job.parties.iter().any(|party| party.party == me && party.receives);
    // What is a number is shown with the job, and there is no file to write.
    let has_file = last.is_none_or(|job| job.shape != "number" && receives(job));
    let then = if has_file { format!(", and then `tacitly job result {id} --out FILE`") } else { String::new() };
    let hint = format!(
        "start it again with `tacitly serve`: the job goes on by itself; follow it with `tacitly job watch {id}`{then}"
    );
    Failure::coded(codes::DAEMON_GONE.name, format!("our daemon went away while job {id} was watched"), &hint)
}

/// A job's ending that is not `done`, as the person sees it.
pub(crate) fn failure_of(job: &Job) -> Failure {
    let failure = job.failure.clone().unwrap_or_default();
    let mut text = format!("job {} is {}", job.id, job.state);
    for (word, part) in [(": ", &failure.text), (" — while ", &failure.stage)] {
        if !part.is_empty() {
            text.push_str(word);
            text.push_str(part);
        }
    }
    Failure::coded(&failure.code, text, &failure.hint)
}

/// What a person sees of a job that goes on.
enum ProgressLine {
    /// One line of a terminal, no wider than it.
    Bar(ProgressBar),
    /// A line whenever the job stands differently, for logs; the last one.
    Lines(String),
    /// A program reads the end.
    Nothing,
}

/// The line while items are counted, and while there is nothing to count.
const COUNTED: &str = "{spinner} [{bar:16}] {percent:>3}% eta {eta:<4} {wide_msg}";
const UNCOUNTED: &str = "{spinner} {wide_msg}";

impl ProgressLine {
    fn new(output: Output) -> Self {
        match (output.is_json(), std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Bar(ProgressBar::new(0)),
            (false, false) => Self::Lines(String::new()),
        }
    }

    fn show(&mut self, job: &Job) {
        let stage = if job.stage.is_empty() { &job.state } else { &job.stage };
        match self {
            Self::Bar(bar) => {
                // Nobody computes while nothing is counted.
                let template = if job.total == 0 { UNCOUNTED } else { COUNTED };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_length(job.total);
                bar.set_position(job.done.min(job.total));
                let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                bar.set_message(format!("{stage} · {:.1} MiB out, {:.1} in", mib(job.bytes_out), mib(job.bytes_in)));
                bar.tick();
            }
            Self::Lines(last) if !job.at_rest && last != stage => {
                murmur(&format!("job {}: {stage}", job.id));
                last.clone_from(stage);
            }
            Self::Lines(_) | Self::Nothing => {}
        }
    }

    fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::control::JobParty;

    #[test]
    fn who_loses_the_daemon_is_told_of_a_file_only_where_there_will_be_one() {
        let party = |name: &str| JobParty { party: name.to_owned(), receives: name == "bank", ..JobParty::default() };
        let parties: Vec<JobParty> = ["bank", "shop"].map(party).into();
        for (shape, me, told) in
            [("rows", "bank", true), ("document", "bank", true), ("number", "bank", false), ("rows", "shop", false)]
        {
            let job = Job { parties: parties.clone(), shape: shape.to_owned(), ..Job::default() };
            let said = daemon_gone("01J", me, Some(&job)).to_string();
            assert_eq!(said.contains("job result 01J --out"), told, "{shape} for {me}: {said}");
            assert!(said.contains("tacitly job watch 01J"), "{said}");
        }
    }
}
