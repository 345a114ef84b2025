//! How a job is shown: a line of the list, all that is known of one, and what waits for a person.

use serde::Serialize;
use serde_json::Value;
use tacitly_core::text::printable;

use super::kinds;
use super::output::{table, unfolded};
use crate::rpc::control::{Budget, Failure, Job, JobParty, Service};

/// The most parties that a line names.
const NAMED: usize = 3;
/// The most characters of a peer's words.
const LONGEST: usize = 4096;

/// Jobs for `--json`: their terms and what their kind shows of them are JSON, too.
pub(crate) fn json(jobs: &impl Serialize) -> Value {
    unfolded(jobs, &["terms", "summary"])
}

/// Jobs, one in a line, as party `me` sees them.
pub(crate) fn listing(me: &str, jobs: &[Job]) -> String {
    if jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let mut rows = vec![["JOB", "KIND", "PARTIES", "STATE", "DETAIL"].map(str::to_owned).to_vec()];
    rows.extend(
        jobs.iter().map(|job| vec![job.id.clone(), job.kind.clone(), parties(job), job.state.clone(), detail(me, job)]),
    );
    table(&rows)
}

/// The parties of a job, the one that leads it first, with their datasets.
fn parties(job: &Job) -> String {
    let with_dataset = |party: &JobParty| match party.dataset.as_str() {
        "" => party.party.clone(),
        dataset => format!("{}/{dataset}", party.party),
    };
    let (leader, others): (Vec<_>, Vec<_>) = job.parties.iter().partition(|party| party.party == job.leader);
    some(leader.into_iter().chain(others).map(with_dataset))
}

/// Names, or the first of many.
fn some(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_first() {
        Some((first, others)) if names.len() > NAMED => format!("{first} and {} others", others.len()),
        _ => names.join(", "),
    }
}

/// What became of a job, or what it waits for.
fn detail(me: &str, job: &Job) -> String {
    let said = match (&job.failure, job.state.as_str()) {
        (Some(failure), _) if !failure.code.is_empty() => format!("{}: {}", failure.code, failure.text),
        (_, "done") => result(me, job),
        (_, "serving") => format!("ask it with `tacitly ask {}`", job.id),
        (_, "paused") => format!("let it go on with `tacitly job unpause {}`", job.id),
        (_, "proposed") if job.leader != me => {
            format!("waits for you: tacitly job explain {0}, tacitly approve {0}", job.id)
        }
        (_, "proposed") if job.stage.is_empty() => {
            let undecided = job.parties.iter().filter(|party| party.party != me && party.decision == "open");
            format!("waits for {}", some(undecided.map(|party| party.party.clone())))
        }
        _ => job.stage.clone(),
    };
    if job.purged.is_empty() { said } else { format!("{said}; purged") }
}

/// What is known here of the result of a job that is done.
fn result(me: &str, job: &Job) -> String {
    let receivers = job.parties.iter().filter(|party| party.party != me && party.receives);
    match job.result_items {
        Some(items) => kinds::result(job, items),
        None => format!("result went to {}", some(receivers.map(|party| party.party.clone()))),
    }
}

/// All that is known of one job, as party `me` sees it.
pub(crate) fn details(me: &str, job: &Job) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let result = if job.state == "done" { result(me, job) } else { String::new() };
    let failure = job.failure.iter().filter(|failure| !failure.code.is_empty());
    let text = |failure: &Failure| printable(&failure.text, LONGEST);
    let failure = failure.map(|failure| format!("{}: {}\n  hint: {}", failure.code, text(failure), failure.hint));
    let begun = match job.attempt {
        0 | 1 => String::new(),
        attempts => format!(", begun {attempts} times"),
    };
    let stage = match (job.at_rest, job.state.as_str()) {
        (false, "proposed") => detail(me, job),
        (false, _) if job.total > 0 => format!("{}, {} of {}", job.stage, job.done, job.total),
        _ => job.stage.clone(),
    };
    let traffic = match (job.bytes_out, job.bytes_in) {
        (0, 0) => String::new(),
        (out, back) => format!("{:.1} MiB out, {:.1} MiB in", mib(out), mib(back)),
    };
    let leader = if job.leader == me { "us" } else { &job.leader };
    let line = |name: &str, text: String| (name.to_owned(), text);
    let mut lines = vec![
        line("job", format!("{} · {} · {}{begun}", job.id, job.kind, job.state)),
        line("stage", printable(&stage, LONGEST)),
        line("parties", table_of(me, &job.parties)),
        line("purpose", printable(&job.purpose, LONGEST)),
        line("result", result),
    ];
    lines.extend(kinds::summary(job));
    lines.extend(job.service.iter().flat_map(service));
    lines.extend([
        line("purged", job.purged.clone()),
        line("failure", failure.collect()),
        line("traffic", traffic),
        line("proposed", format!("{}, by {leader}", job.created)),
        line("ended", job.finished.clone()),
    ]);
    let told = lines.iter().filter(|(_, text)| !text.is_empty());
    told.map(|(name, text)| format!("{name:<9}{text}")).collect::<Vec<_>>().join("\n")
}

/// How a service stands here.
fn service(service: &Service) -> Vec<(String, String)> {
    let material = service.material.iter().map(|material| format!("{} of {}", material.left, material.stream));
    let Service { since, answered, refused, asked, .. } = service;
    let budget = |budget: &Budget| {
        let Budget { party, asks, purpose, most, left } = budget;
        let whose = if *asks { format!("for {party}") } else { format!("of ours to {party}") };
        ("budget".to_owned(), format!("{left} of {most} questions left today {whose}, purpose {purpose}"))
    };
    let mut lines = vec![
        ("serves".to_owned(), if since.is_empty() { String::new() } else { format!("since {since}") }),
        (
            "asked".to_owned(),
            format!("{answered} answered, {refused} refused, {asked} of ours, since the daemon started"),
        ),
        ("material".to_owned(), material.collect::<Vec<_>>().join(", ")),
    ];
    lines.extend(service.budgets.iter().map(budget));
    lines
}

/// The parties of a job, one in a line below each other.
fn table_of(me: &str, parties: &[JobParty]) -> String {
    let decision = |party: &JobParty| match party.decision.as_str() {
        "open" => "has not decided".to_owned(),
        decision => decision.to_owned(),
    };
    let row = |party: &JobParty| {
        let mut stands = vec![decision(party)];
        stands.extend(party.left_out.then(|| "left out".to_owned()));
        stands.extend(party.has_result.then(|| "has its result".to_owned()));
        vec![
            if party.party == me { format!("{} (us)", party.party) } else { party.party.clone() },
            party.role.clone(),
            if party.dataset.is_empty() { "-".to_owned() } else { party.dataset.clone() },
            if party.receives { "receives" } else { "-" }.to_owned(),
            stands.join(", "),
        ]
    };
    let mut rows = vec![["PARTY", "ROLE", "DATASET", "RESULT", "DECISION"].map(str::to_owned).to_vec()];
    rows.extend(parties.iter().map(row));
    table(&rows).replace('\n', &format!("\n{:9}", ""))
}

#[cfg(test)]
mod tests {
    use tacitly_core::text::is_plain;

    use super::*;

    fn party(name: &str, dataset: &str, receives: bool, decision: &str) -> JobParty {
        JobParty {
            party: name.to_owned(),
            role: if name == "bank" { "proposer" } else { "approver" }.to_owned(),
            dataset: dataset.to_owned(),
            receives,
            decision: decision.to_owned(),
            ..JobParty::default()
        }
    }

    fn job(state: &str) -> Job {
        Job {
            id: "01J".to_owned(),
            kind: "intersect".to_owned(),
            leader: "bank".to_owned(),
            parties: vec![party("bank", "customers", true, "signed"), party("shop", "members", false, "open")],
            summary: "{}".to_owned(),
            state: state.to_owned(),
            ..Job::default()
        }
    }

    #[test]
    fn a_result_that_went_to_the_peer_is_not_shown_as_nothing_shared() {
        let line = listing("shop", &[job("done")]);
        assert!(line.contains("result went to bank") && !line.contains("0 shared"), "{line}");
        let ours = Job { result_items: Some(0), ..job("done") };
        assert!(listing("bank", &[ours]).contains("0 shared"), "a result of nothing is told");
    }

    #[test]
    fn who_must_decide_is_told_how_and_who_waits_is_told_for_whom() {
        let line = listing("shop", &[job("proposed")]);
        assert!(line.contains("waits for you: tacitly job explain 01J, tacitly approve 01J"), "{line}");
        let mut theirs = job("proposed");
        assert!(listing("bank", &[theirs.clone()]).contains("waits for shop"));
        theirs.parties.push(party("mill", "", false, "signed"));
        let line = listing("bank", &[theirs.clone()]);
        assert!(line.contains("waits for shop") && line.contains("bank/customers, shop/members, mill"), "{line}");
        theirs.parties.extend(["mine", "mint"].map(|name| party(name, "", false, "open")));
        theirs.parties.rotate_left(2);
        let line = listing("bank", &[theirs]);
        assert!(line.contains("bank/customers and 4 others") && line.contains("waits for mine, mint, shop"), "{line}");
    }

    #[test]
    fn one_job_is_shown_with_all_that_the_line_leaves_out() {
        let failure = Failure {
            code: "peer-lost".to_owned(),
            text: "the link was down".to_owned(),
            hint: "resume it".to_owned(),
            ..Failure::default()
        };
        let shown = details(
            "shop",
            &Job {
                purpose: "pilot".to_owned(),
                summary: r#"{"our_items":5,"peer_items":4,"buckets":3,"hint":"look there"}"#.to_owned(),
                attempt: 2,
                created: "2026-01-01T00:00:00Z".to_owned(),
                finished: "2026-01-01T00:01:00Z".to_owned(),
                purged: "2026-01-02T00:00:00Z".to_owned(),
                failure: Some(failure),
                at_rest: true,
                ..job("suspended")
            },
        );
        for words in [
            "begun 2 times",
            "purpose  pilot",
            "keys     5 here, 4 there",
            "buckets  3",
            "hint     look there",
            "bank       proposer  customers  receives  signed\n",
            "shop (us)  approver  members    -         has not decided\n",
            "peer-lost: the link was down\n  hint: resume it",
            "2026-01-01T00:00:00Z, by bank",
            "ended    2026-01-01T00:01:00Z",
            "purged   2026-01-02",
        ] {
            assert!(shown.contains(words), "{words} is missing in:\n{shown}");
        }
    }

    proptest::proptest! {
        /// Whatever a peer has got into a job, it stays in its place and commands no terminal.
        #[test]
        fn no_words_of_a_peer_forge_a_line(words in "\\PC{0,20}[\\x00-\\x1f\u{200b}\u{202e}\u{2028}a-z]{1,20}\\PC{0,20}") {
            let failure = Failure { code: "peer-failed".to_owned(), text: words.clone(), ..Failure::default() };
            let mut hostile = Job { purpose: words.clone(), failure: Some(failure), stage: words.clone(), ..job("failed") };
            hostile.parties[0].dataset = words.clone();
            hostile.parties[1].role = words;
            let honest = Job { purpose: "x".to_owned(), stage: "x".to_owned(), ..job("failed") };
            for me in ["bank", "shop"] {
                let (list, all) = (listing(me, &[hostile.clone()]), details(me, &hostile));
                proptest::prop_assert_eq!(list.lines().count(), 2);
                // One line for the failure and one for its hint.
                proptest::prop_assert_eq!(all.lines().count(), details(me, &honest).lines().count() + 2);
                for line in list.split('\n').chain(all.split('\n')) {
                    proptest::prop_assert!(is_plain(line), "{:?}", line);
                }
            }
        }
    }
}
