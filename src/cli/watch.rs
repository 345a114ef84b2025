//! Watching a job until it is over: a progress line on a terminal, JSON lines with `--json`.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use tonic::Status;

use super::connect::Daemon;
use super::{Failure, Output};
use crate::codes;
use crate::rpc::control::{Job, JobRequest};
use crate::rpc::status;

/// Follows a job to its end, as party `me`, and returns how it stands then.
///
/// # Errors
/// The job's own failure with its hint, if it did not end in `done`; [`codes::DAEMON_GONE`] if the daemon stopped before.
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
