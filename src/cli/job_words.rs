//! How a job is shown: a line of the list, all that is known of one, and what waits for a person.

use serde::Serialize;
use serde_json::Value;

use super::output::{table, unfolded};
use crate::rpc::control::Job;

/// Jobs for `--json`: the terms are JSON, too.
pub(crate) fn json(jobs: &impl Serialize) -> Value {
    unfolded(jobs, &["terms"])
}

/// Jobs, one in a line.
pub(crate) fn listing(jobs: &[Job]) -> String {
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let mut rows = vec![["JOB", "KIND", "PEER", "DATASETS", "STATE", "DETAIL"].map(str::to_owned).to_vec()];
    rows.extend(jobs.iter().map(|job| {
        vec![
            job.id.clone(),
            job.kind.clone(),
            job.peer.clone(),
            format!("{} / {}", job.dataset, job.peer_dataset),
            job.state.clone(),
            detail(job),
        ]
    }));
    table(&rows)
}

/// What became of a job, or what it waits for.
fn detail(job: &Job) -> String {
    let said = match (&job.failure, job.state.as_str(), job.role.as_str()) {
        (Some(failure), ..) if !failure.code.is_empty() => format!("{}: {}", failure.code, failure.text),
        (_, "done", _) => result(job),
        (_, "proposed", "approver") => format!("waits for you: tacitly job explain {0}, tacitly approve {0}", job.id),
        (_, "proposed", _) if job.stage.is_empty() => format!("waits for {}", job.peer),
        _ => job.stage.clone(),
    };
    if job.purged.is_empty() { said } else { format!("{said}; purged") }
}

/// What is known here of the result of a job that is done.
fn result(job: &Job) -> String {
    match job.result_items {
        Some(items) => format!("{items} shared"),
        None => format!("result went to {}", job.peer),
    }
}

/// All that is known of one job.
pub(crate) fn details(job: &Job) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (peer, result) = (&job.peer, if job.state == "done" { result(job) } else { String::new() });
    let receiver = match job.receiver.as_str() {
        "us" => "we alone".to_owned(),
        "peer" => format!("{peer} alone"),
        _ => "both sides".to_owned(),
    };
    let keys = match (job.our_items, job.peer_items) {
        (0, 0) => String::new(),
        (ours, theirs) => format!("{ours} here, {theirs} there"),
    };
    let failure = job.failure.iter().filter(|failure| !failure.code.is_empty());
    let failure = failure.map(|failure| format!("{}: {}\n  mend: {}", failure.code, failure.text, failure.mend));
    let begun = match job.attempt {
        0 | 1 => String::new(),
        attempts => format!(", begun {attempts} times"),
    };
    let stage = match (job.settled, job.state.as_str()) {
        (false, "proposed") => detail(job),
        (false, _) if job.total > 0 => format!("{}, {} of {}", job.stage, job.done, job.total),
        _ => job.stage.clone(),
    };
    let traffic = match (job.bytes_out, job.bytes_in) {
        (0, 0) => String::new(),
        (out, back) => format!("{:.1} MiB out, {:.1} MiB in", mib(out), mib(back)),
    };
    let lines = [
        ("job", format!("{} · {} · {}{begun}", job.id, job.kind, job.state)),
        ("stage", stage),
        ("data", format!("our {}, {peer}'s {}", job.dataset, job.peer_dataset)),
        ("receives", receiver),
        ("purpose", job.purpose.clone()),
        ("keys", keys),
        ("result", result),
        ("purged", job.purged.clone()),
        ("failure", failure.collect()),
        ("traffic", traffic),
        ("buckets", if job.buckets > 0 { job.buckets.to_string() } else { String::new() }),
        ("proposed", format!("{}, by {}", job.created, if job.role == "proposer" { "us" } else { peer })),
        ("ended", job.finished.clone()),
        ("hint", job.hint.clone()),
    ];
    let told = lines.iter().filter(|(_, text)| !text.is_empty());
    told.map(|(name, text)| format!("{name:<9}{text}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::control::Failure;

    fn job(state: &str) -> Job {
        Job {
            id: "01J".to_owned(),
            kind: "intersect".to_owned(),
            role: "approver".to_owned(),
            peer: "bank".to_owned(),
            dataset: "members".to_owned(),
            peer_dataset: "customers".to_owned(),
            receiver: "peer".to_owned(),
            state: state.to_owned(),
            ..Job::default()
        }
    }

    #[test]
    fn a_result_that_went_to_the_peer_is_not_shown_as_nothing_shared() {
        let line = listing(&[job("done")]);
        assert!(line.contains("result went to bank") && !line.contains("0 shared"), "{line}");
        let ours = Job { result_items: Some(0), receiver: "us".to_owned(), ..job("done") };
        assert!(listing(&[ours]).contains("0 shared"), "a result of nothing is told");
    }

    #[test]
    fn who_must_decide_is_told_how_and_who_waits_is_told_for_whom() {
        let line = listing(&[job("proposed")]);
        assert!(line.contains("waits for you: tacitly job explain 01J, tacitly approve 01J"), "{line}");
        let theirs = Job { role: "proposer".to_owned(), ..job("proposed") };
        assert!(listing(&[theirs]).contains("waits for bank"));
    }

    #[test]
    fn one_job_is_shown_with_all_that_the_line_leaves_out() {
        let failure = Failure {
            code: "peer-lost".to_owned(),
            text: "the link was down".to_owned(),
            mend: "resume it".to_owned(),
            ..Failure::default()
        };
        let shown = details(&Job {
            purpose: "pilot".to_owned(),
            our_items: 5,
            peer_items: 4,
            attempt: 2,
            created: "2026-01-01T00:00:00Z".to_owned(),
            finished: "2026-01-01T00:01:00Z".to_owned(),
            purged: "2026-01-02T00:00:00Z".to_owned(),
            failure: Some(failure),
            settled: true,
            ..job("suspended")
        });
        for words in [
            "begun 2 times",
            "purpose  pilot",
            "5 here, 4 there",
            "bank alone",
            "peer-lost: the link was down\n  mend: resume it",
            "2026-01-01T00:00:00Z, by bank",
            "ended    2026-01-01T00:01:00Z",
            "purged   2026-01-02",
        ] {
            assert!(shown.contains(words), "{words} is missing in:\n{shown}");
        }
    }
}
