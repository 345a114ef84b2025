//! What code may not contain: panics on a peer's bytes, the world below `src/`, unfinished work, endless files.

use super::tree::{Source, Token, made_up, production_tokens, sources, starts_with};

/// No hand-written file is longer, unless it stands in [`LONG_FILES`].
const LONGEST: usize = 600;

/// Files that may be longer, each with its reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// Token sequences that end the process, each with its name in complaints.
const PANICS: [(&[&str], &str); 4] = [
    (&[".", "unwrap", "(", ")"], "unwrap()"),
    (&[".", "expect", "("], "expect("),
    (&["panic", "!"], "panic!"),
    (&["unreachable", "!"], "unreachable!"),
];

/// Rooms of `src/` through which a peer's bytes come. Those of the control API come from a party's own operators.
const PEER_FACING: [&str; 8] = ["attest", "datasets", "jobs", "kinds", "peers", "relay", "session", "transport"];

/// Files that only tests, fuzz targets and benches compile; they may fail loudly.
const TEST_TOOLS: [&str; 3] = ["fuzzing.rs", "ideal.rs", "oracle.rs"];

/// Parts of the standard library that touch the world.
const WORLD: [&str; 6] = ["env", "fs", "net", "process", "thread", "time"];

/// Token sequences with which code speaks on its own or draws randomness that is not the party's seed.
const LOOSE_ENDS: [&[&str]; 6] =
    [&["print", "!"], &["println", "!"], &["eprint", "!"], &["eprintln", "!"], &["dbg", "!"], &["SysRng"]];

fn panics(source: &Source) -> Vec<String> {
    if TEST_TOOLS.iter().any(|name| source.path.ends_with(&format!("/{name}"))) {
        return Vec::new();
    }
    let tokens = at_run_time(production_tokens(source));
    let found = (0..tokens.len()).filter_map(|at| {
        let (_, name) = PANICS.iter().find(|(sequence, _)| starts_with(&tokens[at..], sequence))?;
        Some(format!("{}:{}: {name} where a peer's bytes come through", source.path, tokens[at].line))
    });
    found.collect()
}

/// The tokens outside `const { … }`: what fails in there fails the build.
fn at_run_time(tokens: Vec<Token>) -> Vec<Token> {
    let (mut kept, mut depth) = (Vec::new(), 0_usize);
    for token in tokens {
        let begins = depth == 0 && token.text == "{" && kept.last().is_some_and(|last: &Token| last.text == "const");
        match token.text.as_str() {
            "{" if begins || depth > 0 => depth += 1,
            "}" if depth > 0 => depth -= 1,
            _ if depth == 0 => kept.push(token),
            _ => {}
        }
    }
    kept
}

/// Brackets behind a value: they end the process where the index is out of range.
fn indexes(source: &Source) -> Vec<String> {
    let keywords =
        ["as", "dyn", "else", "for", "if", "impl", "in", "let", "match", "mut", "pub", "ref", "return", "static"];
    let tokens = production_tokens(source);
    let behind_a_value = |token: &Token| {
        let is_name = token.text.starts_with(|first: char| first.is_alphabetic() || first == '_');
        (is_name && !keywords.contains(&token.text.as_str())) || matches!(token.text.as_str(), ")" | "]" | "?")
    };
    let found = tokens.windows(2).enumerate().filter(|(at, pair)| {
        let at = *at;
        // `&'a [u8]` and a field `pub(crate) [u8; 4]` are types.
        let is_type = at.checked_sub(1).is_some_and(|before| tokens[before].text == "'")
            || at.checked_sub(3).is_some_and(|before| starts_with(&tokens[before..], &["pub", "("]))
            || at.checked_sub(2).is_some_and(|before| starts_with(&tokens[before..], &["pub", "("]));
        let is_whole = starts_with(&tokens[at + 1..], &["[", ".", ".", "]"]);
        pair[1].text == "[" && behind_a_value(&pair[0]) && !is_type && !is_whole
    });
    found
        .map(|(_, pair)| format!("{}:{}: an index where a peer's bytes come through", source.path, pair[1].line))
        .collect()
}

fn touches_the_world(source: &Source) -> Vec<String> {
    let tokens = production_tokens(source);
    let found = (0..tokens.len()).filter_map(|at| {
        let rest = &tokens[at..];
        let part =
            WORLD.iter().find(|part| starts_with(rest, &["std", ":", ":", part])).map(|part| format!("std::{part}"));
        let loose = || LOOSE_ENDS.iter().find(|sequence| starts_with(rest, sequence)).map(|sequence| sequence.concat());
        Some(format!("{}:{}: {} below src/", source.path, rest[0].line, part.or_else(loose)?))
    });
    found.collect()
}

/// `prost` outside the one file that turns bytes into messages.
fn wire_types_outside_the_wire(source: &Source) -> Vec<String> {
    if source.path.ends_with("/wire.rs") || source.is_generated() {
        return Vec::new();
    }
    let tokens = production_tokens(source);
    let found = tokens.iter().filter(|token| token.text == "prost");
    found.map(|token| format!("{}:{}: prost outside wire.rs", source.path, token.line)).collect()
}

fn unfinished(source: &Source) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimpl", "emented!")];
    let mut complaints = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        for mark in marks {
            let mut places = line.match_indices(mark);
            if places.any(|(start, _)| {
                let before = start.checked_sub(1).and_then(|place| line.as_bytes().get(place));
                !is_word(before) && !is_word(line.as_bytes().get(start + mark.len()))
            }) {
                complaints.push(format!("{}:{}: {mark} marks work that is not done", source.path, at + 1));
            }
        }
    }
    complaints
}

fn too_long(source: &Source, excused: &[(&str, &str)]) -> Vec<String> {
    let lines = source.text.lines().count();
    let is_excused = excused.iter().any(|(path, _)| *path == source.path);
    match (lines > LONGEST, is_excused) {
        (true, false) => vec![format!("{}: {lines} lines, at most {LONGEST}; split it by idea", source.path)],
        (false, true) => vec![format!("{}: no longer needs its place in LONG_FILES", source.path)],
        _ => Vec::new(),
    }
}

/// Sources of the crates below `src/` and of the rooms that face a peer, as far as they exist.
fn peer_facing() -> Vec<Source> {
    let mut found = sources("protocols", &["rs"]);
    found.retain(|source| source.path.contains("/src/"));
    found.extend(PEER_FACING.iter().flat_map(|room| sources(&format!("src/{room}"), &["rs"])));
    found.retain(|source| !source.is_generated() && !source.is_test());
    found
}

/// Files in which a peer's bytes become values, or are bytes only; elsewhere an index is a count of our own.
fn makes_values_of_bytes(source: &Source) -> bool {
    source.path.starts_with("src/transport/")
        || source.path.ends_with("/wire.rs")
        || source.path.ends_with("/message.rs")
}

fn below_src() -> Vec<Source> {
    let mut found = peer_facing();
    found.retain(|source| source.path.starts_with("protocols/") && !source.path.starts_with("protocols/codegen/"));
    found
}

/// Everything written by hand, in every language of the tree.
fn written_by_hand() -> Vec<Source> {
    let extensions =
        ["css", "html", "js", "mjs", "proto", "py", "pyi", "rs", "sh", "sol", "sql", "toml", "yaml", "yml"];
    let mut found = sources(".", &extensions);
    found.retain(|source| !source.is_generated());
    found
}

fn complaints(sources: &[Source], rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    assert!(!sources.is_empty(), "a rule that reads nothing cannot fail");
    sources.iter().flat_map(rule).collect()
}

#[test]
fn peer_facing_code_never_panics_by_choice() {
    let mut sources = peer_facing();
    let mut found = complaints(&sources, panics);
    sources.retain(makes_values_of_bytes);
    found.extend(complaints(&sources, indexes));
    super::assert_none(&found);
}

#[test]
fn the_guard_looks_at_every_room_that_a_peer_reaches() {
    let found = peer_facing();
    for folder in ["src/jobs/", "src/session/", "src/transport/", "protocols/psi/src/", "protocols/attestation/src/"] {
        assert!(found.iter().any(|source| source.path.starts_with(folder)), "{folder} is not looked at");
    }
}

#[test]
fn an_index_is_seen_and_a_type_an_array_or_a_pattern_is_none() {
    for text in ["fn f() { x[0] }", "fn f() { x.y()[..n] }", "fn f() { x[0][n] }", "fn f() { g(&x?[1..]) }"] {
        let found = indexes(&made_up("src/jobs/a.rs", text));
        assert!(!found.is_empty(), "{text}");
    }
    for text in [
        "#[derive(X)] struct S(pub [u8; 4], pub(crate) [u8; 4]); fn f(x: &[u8]) -> [u8; 2] { let [a, b] = x else { return [0; 2] }; vec![a] }",
        "impl X for [u8; 2] {} fn f(x: &mut [u8], y: &'static [u8]) { for z in [1, 2] {} match x { [] => {} } y[..] }",
    ] {
        assert_eq!(indexes(&made_up("src/jobs/a.rs", text)), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_panic_is_seen_with_its_line_and_a_test_may_panic() {
    let source = made_up("a.rs", "fn f() {\n  x.unwrap();\n  y\n    .expect(\"z\");\n  panic!()\n  unreachable!()\n}");
    let lines: Vec<String> = panics(&source).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["a.rs:2", "a.rs:4", "a.rs:5", "a.rs:6"]);
    assert_eq!(panics(&made_up("a.rs", "const X: u8 = 1; fn f() { const { x.unwrap() } }")).len(), 0);
    assert_eq!(panics(&made_up("a.rs", "const fn f() { x.unwrap() }")).len(), 1);
    let inside_a_macro = made_up("a.rs", "fn f() { assert!(x.unwrap()) }");
    assert_eq!(panics(&inside_a_macro).len(), 1);
    assert_eq!(panics(&made_up("protocols/psi/src/ideal.rs", "fn f() { x.unwrap() }")).len(), 0);
    let fine = "fn f() { x.unwrap_or(y.expected) } // .unwrap()\n#[cfg(test)] mod tests { fn g() { x.unwrap() } }";
    assert_eq!(panics(&made_up("a.rs", fine)), Vec::<String>::new());
}

#[test]
fn nothing_below_src_touches_the_world() {
    super::assert_none(&complaints(&below_src(), touches_the_world));
    super::assert_none(&complaints(&below_src(), wire_types_outside_the_wire));
}

#[test]
fn a_file_or_a_wire_type_below_src_is_seen() {
    for text in [
        "use std::fs;",
        "fn f() { std::net::TcpStream::connect(x) }",
        "use std::time::Instant;",
        "fn f() { println!(\"x\") }",
        "use rand::rngs::SysRng;",
    ] {
        assert_eq!(touches_the_world(&made_up("protocols/psi/src/a.rs", text)).len(), 1, "{text}");
    }
    assert_eq!(touches_the_world(&made_up("protocols/psi/src/a.rs", "use std::fmt;")).len(), 0);
    let wire = "use prost::Message;";
    assert_eq!(wire_types_outside_the_wire(&made_up("protocols/psi/src/party.rs", wire)).len(), 1);
    assert_eq!(wire_types_outside_the_wire(&made_up("protocols/psi/src/wire.rs", wire)).len(), 0);
    assert_eq!(wire_types_outside_the_wire(&made_up("protocols/psi/src/generated/a.rs", wire)).len(), 0);
}

#[test]
fn no_work_is_left_open_in_the_tree() {
    super::assert_none(&complaints(&written_by_hand(), unfinished));
}

#[test]
fn a_mark_of_open_work_is_seen_in_comments_and_code() {
    let text = concat!("// TO", "DO: later\nfn f() { to", "do!() }\nMASTO", "DON\n# FIX", "ME");
    assert_eq!(unfinished(&made_up("a.py", text)).len(), 3);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    super::assert_none(&complaints(&written_by_hand(), |source| too_long(source, &LONG_FILES)));
    let missing = LONG_FILES.iter().find(|(path, _)| !super::tree::root().join(path).is_file());
    assert_eq!(missing, None, "an excuse for a file that is gone");
}

#[test]
fn a_long_file_needs_an_excuse_and_a_short_one_may_not_keep_it() {
    let (long, short) = (made_up("a.rs", &"x\n".repeat(601)), made_up("a.rs", &"x\n".repeat(600)));
    let excuse = [("a.rs", "a table that is one idea")];
    assert_eq!(too_long(&long, &[]).len(), 1);
    assert_eq!(too_long(&long, &excuse).len(), 0);
    assert_eq!(too_long(&short, &[]).len(), 0);
    assert_eq!(too_long(&short, &excuse).len(), 1);
}
