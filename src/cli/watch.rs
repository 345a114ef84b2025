//! Watching a job until it is over: a progress line on a terminal, JSON lines with `--json`.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use tonic::Status;

use super::connect::Daemon;
use super::kinds::gets_rows;
use super::{Failure, Output};
use crate::codes;
use crate::rpc::control::{Job, JobRequest};
use crate::rpc::status;

/// Follows a job to its end, as party `me`, and returns how it stands then.
///
/// # Errors
/// The job's own failure with its mend, if it did not end in `done`; [`codes::DAEMON_GONE`] if the daemon stopped before.
pub(crate) async fn watch(daemon: &mut Daemon, me: &str, id: &str, output: Output) -> Result<Job, Failure> {
    let lost = |error: Status, last: Option<&Job>| match status::code_of(&error) {
        Some(codes::DAEMON_GONE) => daemon_gone(id, me, last),
        _ => error.into(),
    };
    let asked = daemon.watch_job(JobRequest { job: id.to_owned() }).await;
    let mut updates = asked.map_err(|error| lost(error, None))?.into_inner();
    let line = ProgressLine::new(output);
    let mut last: Option<Job> = None;
    loop {
        let update = updates.message().await;
        match update.map_err(|error| (line.clear(), lost(error, last.as_ref())).1)? {
            Some(job) => {
                line.show(&job);
                let over = job.settled;
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
        Some(job) if job.state == "done" => Ok(job),
        Some(job) if job.settled => Err(failure_of(&job)),
        last => Err(daemon_gone(id, me, last.as_ref())),
    }
}

/// The daemon stopped while the job was watched, which is no end of the job.
fn daemon_gone(id: &str, me: &str, last: Option<&Job>) -> Failure {
    let gets_rows = last.is_none_or(|job| gets_rows(job, me));
    let then = if gets_rows { format!(", and then `tacitly job result {id} --out FILE`") } else { String::new() };
    let mend = format!(
        "start it again with `tacitly serve`: the job goes on by itself; follow it with `tacitly job watch {id}`{then}"
    );
    Failure::coded(codes::DAEMON_GONE.name, format!("our daemon went away while job {id} was watched"), &mend)
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
    Failure::coded(&failure.code, text, &failure.mend)
}

struct ProgressLine(Option<ProgressBar>);

impl ProgressLine {
    fn new(output: Output) -> Self {
        if output.is_json() || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {human_pos}/{human_len} eta {eta}")
        {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    fn show(&self, job: &Job) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(job.total);
        bar.set_position(job.done);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let traffic = format!("{:.1} MiB out, {:.1} MiB in", mib(job.bytes_out), mib(job.bytes_in));
        let stage = if job.stage.is_empty() { job.state.clone() } else { job.stage.clone() };
        bar.set_message(format!("{stage} · {traffic}"));
        bar.tick();
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
