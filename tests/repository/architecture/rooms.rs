//! Rooms of `src/` know only the rooms below them, read from their `crate::…` paths.

use std::collections::BTreeSet;

use super::tree::{Source, Token, made_up, production_tokens, sources, starts_with};

/// What each room may use, the highest first. A new room gets a line here, and with it a place; one that is not there yet
/// may have its line.
const ROOMS: [(&str, &[&str]); 26] = [
    ("main", &["cli", "daemon"]),
    (
        "cli",
        &[
            "chain",
            "codes",
            "daemon",
            "errors",
            "evidence",
            "intake",
            "kernel",
            "kinds",
            "link_bench",
            "new_file",
            "policy",
            "rpc",
            "synthetic",
            "store",
            "test_bed",
        ],
    ),
    (
        "daemon",
        &[
            "attest",
            "chain",
            "codes",
            "console",
            "datasets",
            "errors",
            "intake",
            "jobs",
            "kernel",
            "kinds",
            "peers",
            "policy",
            "relay",
            "rpc",
            "session",
            "store",
            "counters",
            "transport",
        ],
    ),
    ("console", &["rpc"]),
    (
        "rpc",
        &[
            "attest",
            "chain",
            "codes",
            "datasets",
            "errors",
            "intake",
            "jobs",
            "kernel",
            "new_file",
            "peers",
            "policy",
            "session",
            "store",
            "transport",
        ],
    ),
    // A kind reaches the world through what the engine hands it.
    ("kinds", &["codes", "datasets", "errors", "intake", "jobs", "policy"]),
    (
        "jobs",
        &[
            "attest",
            "chain",
            "codes",
            "datasets",
            "errors",
            "intake",
            "peers",
            "policy",
            "relay",
            "session",
            "store",
            "counters",
            "transport",
        ],
    ),
    ("relay", &["codes", "peers", "session", "store", "transport"]),
    ("datasets", &["attest", "chain", "codes", "errors", "intake", "peers", "policy", "session", "store", "transport"]),
    ("attest", &["chain", "codes", "errors", "intake", "peers", "policy", "session", "store", "transport"]),
    ("peers", &["chain", "codes", "errors", "intake", "policy", "session", "store", "transport"]),
    // It measures the two rooms below, and nobody builds on it.
    ("link_bench", &["session", "transport"]),
    ("session", &["transport"]),
    ("policy", &["codes", "errors"]),
    ("transport", &[]),
    ("store", &["codes", "counters", "new_file"]),
    ("intake", &["codes"]),
    ("chain", &["codes"]),
    ("codes", &[]),
    ("errors", &[]),
    ("evidence", &[]),
    ("kernel", &[]),
    ("new_file", &[]),
    ("synthetic", &[]),
    ("counters", &[]),
    ("test_bed", &[]),
];

/// Rooms that serve every kind of job alike.
const WITHOUT_KINDS: [&str; 9] = ["attest", "datasets", "evidence", "jobs", "peers", "policy", "relay", "rpc", "store"];

fn may_use(room: &str) -> Option<&'static [&'static str]> {
    ROOMS.iter().find(|(name, _)| *name == room).map(|(_, below)| *below)
}

/// The modules from the crate's root to this file: `src/jobs/mod.rs` is `[jobs]`, `src/jobs/run.rs` is `[jobs, run]`.
fn modules(path: &str) -> Vec<&str> {
    path.trim_start_matches("src/").trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect()
}

/// The names that stand right below the crate's root in the paths of a file, with their lines. Such a path begins with
/// `crate::`, with the library's name, or with enough `super::` to reach the root.
fn names_below_the_root(tokens: &[Token], depth: usize) -> BTreeSet<(&str, usize)> {
    let mut names = BTreeSet::new();
    for at in 0..tokens.len() {
        let rest = &tokens[at..];
        let after_root = if starts_with(rest, &["crate", ":", ":"]) || starts_with(rest, &["tacitly", ":", ":"]) {
            Some(3)
        } else {
            let supers = rest.chunks(3).take_while(|chunk| starts_with(chunk, &["super", ":", ":"])).count();
            let continues = at >= 3 && starts_with(&tokens[at - 3..], &["super", ":", ":"]);
            (supers > 0 && supers >= depth && !continues).then_some(3 * supers)
        };
        if let Some(after_root) = after_root {
            names.extend(first_names(&rest[after_root..]));
        }
    }
    names
}

/// The name that follows, or all names of a `{a, b::c}` group.
fn first_names(tokens: &[Token]) -> Vec<(&str, usize)> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first.text != "{" {
        return vec![(&first.text, first.line)];
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for pair in tokens.windows(2) {
        match pair[0].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") && pair[1].text != "}" {
            names.push((pair[1].text.as_str(), pair[1].line));
        }
    }
    names
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let modules = modules(&source.path);
    let room = modules[0];
    if room == "lib" {
        return Vec::new();
    }
    let Some(below) = may_use(room) else {
        return vec![format!("{}: the room {room} has no line in tests/repository/architecture/rooms.rs", source.path)];
    };
    let tokens = production_tokens(source);
    names_below_the_root(&tokens, modules.len())
        .into_iter()
        .filter(|(name, _)| *name != room && !below.contains(name))
        .map(|(name, line)| match may_use(name) {
            Some(_) => format!("{}:{line}: {room} does not know {name}", source.path),
            None => format!("{}:{line}: {name} is no room: name the room it comes from", source.path),
        })
        .collect()
}

/// Protocol crates of kinds of jobs that a file names, directly or through the façade.
fn kinds_named(source: &Source) -> Vec<String> {
    let crates = super::anatomy::protocol_crates();
    let tokens = production_tokens(source);
    let found = (0..tokens.len()).filter_map(|at| {
        let name = crates.iter().find(|name| {
            let short = name.trim_start_matches("tacitly_");
            starts_with(&tokens[at..], &[name]) || starts_with(&tokens[at..], &["crate", ":", ":", short])
        })?;
        Some(format!("{}:{}: {name} belongs to a kind, and this room serves all", source.path, tokens[at].line))
    });
    found.collect()
}

#[test]
fn rooms_that_serve_every_kind_name_no_protocol_of_one() {
    let mut complaints = Vec::new();
    for room in WITHOUT_KINDS {
        let mut sources = sources(&format!("src/{room}"), &["rs"]);
        sources.retain(|source| !source.is_test());
        complaints.extend(sources.iter().flat_map(kinds_named));
    }
    super::assert_none(&complaints);
}

#[test]
fn a_kinds_protocol_is_seen_by_either_name() {
    for text in ["use tacitly_psi::Items;", "fn f(_: tacitly_aggregation::Sum) {}", "use crate::psi::PsiTerms;"] {
        assert_eq!(kinds_named(&made_up("src/store/a.rs", text)).len(), 1, "{text}");
    }
    for text in ["use tacitly_core::Seed; use tacitly_attestation::hash;", "/// [`tacitly_psi`]\nfn psi() {}"] {
        assert_eq!(kinds_named(&made_up("src/store/a.rs", text)), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn rooms_know_only_the_rooms_below_them() {
    let complaints: Vec<String> = sources("src", &["rs"])
        .iter()
        .filter(|source| !source.is_generated() && !source.is_test())
        .flat_map(wrong_arrows)
        .collect();
    super::assert_none(&complaints);
}

#[test]
fn the_table_of_rooms_has_no_circle_and_no_unknown_room() {
    let mut placed: Vec<&str> = Vec::new();
    while placed.len() < ROOMS.len() {
        let next =
            ROOMS.iter().find(|(room, below)| !placed.contains(room) && below.iter().all(|used| placed.contains(used)));
        let Some((room, _)) = next else { panic!("only {placed:?} can be put in order") };
        placed.push(room);
    }
}

#[test]
fn an_arrow_that_points_up_is_seen_however_it_is_written() {
    for (path, text) in [
        ("src/store/ledger.rs", "use crate::jobs::Job;"),
        ("src/store/ledger.rs", "use crate::{store::Key, jobs::{Job, State}};"),
        ("src/store/ledger.rs", "fn f(job: &crate::jobs::Job) {}"),
        ("src/store/ledger.rs", "use super::super::jobs::Job;"),
        ("src/store/mod.rs", "use super::jobs::Job;"),
        ("src/store.rs", "use super::{jobs};"),
        ("src/session/run.rs", "use crate::policy::Rule;"),
        ("src/main.rs", "use tacitly::store::Ledger;"),
        ("src/jobs/run.rs", "use crate::Job;"),
        ("src/attic/old.rs", ""),
    ] {
        assert_eq!(wrong_arrows(&made_up(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn an_arrow_that_points_down_or_stays_inside_is_no_complaint() {
    for (path, text) in [
        ("src/jobs/run.rs", "use crate::{session::Session, store::{Ledger, Key}};"),
        ("src/jobs/run.rs", "use super::Job; use crate::jobs::State; pub(crate) struct S;"),
        ("src/jobs/mod.rs", "#[cfg(test)] mod tests { use crate::cli::x; }"),
        ("src/jobs/mod.rs", "/// Like [`crate::cli::x`].\nstruct S; const T: &str = \"crate::cli\";"),
        ("src/main.rs", "fn main() { tacitly::cli::run() }"),
        ("src/lib.rs", "pub use crate::jobs::Job;"),
    ] {
        assert_eq!(wrong_arrows(&made_up(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}
