//! Protocol crates look alike, so that who has read one can read all.

use super::tree::root;

/// What a folder below `protocols/` is.
#[derive(Clone, Copy)]
enum Kind {
    /// A protocol between parties: specification, wire contract, vectors and code in one folder.
    Protocol,
    /// What protocols stand on, a format without rounds, or a tool: a README and code.
    Plain,
}

/// Every folder below `protocols/`. A new crate gets a line here.
const CRATES: [(&str, Kind); 9] = [
    ("core", Kind::Plain),
    ("curve25519-batch", Kind::Plain),
    ("algebra", Kind::Plain),
    ("codegen", Kind::Plain),
    ("psi", Kind::Protocol),
    ("regression", Kind::Protocol),
    ("aggregation", Kind::Protocol),
    ("lookup", Kind::Protocol),
    ("attestation", Kind::Plain),
];

/// Crates whose anatomy is being built. As soon as one is whole it must leave this list, so it can only shrink.
const UNDER_CONSTRUCTION: [&str; 0] = [];

/// The headings of a protocol's README, in this order.
const HEADINGS: [&str; 10] = [
    "Goal",
    "Parties",
    "Ideal functionality",
    "Learns",
    "Model",
    "Rounds",
    "Messages",
    "Cost",
    "Differences from the paper",
    "References",
];

/// The files and folders that every protocol crate has.
const PARTS: [&str; 14] = [
    "README.md",
    "proto",
    "vectors",
    "src/lib.rs",
    "src/terms.rs",
    "src/message.rs",
    "src/wire.rs",
    "src/party.rs",
    "src/violation.rs",
    "src/ideal.rs",
    "tests/honest.rs",
    "tests/faults.rs",
    "tests/vectors.rs",
    "tests/properties.rs",
];

fn missing_parts(kind: Kind, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let wanted: &[&str] = match kind {
        Kind::Protocol => &PARTS,
        Kind::Plain => &["README.md"],
    };
    wanted.iter().filter(|part| !exists(part)).map(|part| format!("{part} is missing")).collect()
}

fn wrong_headings(kind: Kind, readme: &str) -> Vec<String> {
    let Kind::Protocol = kind else { return Vec::new() };
    let found: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
    if found == HEADINGS {
        return Vec::new();
    }
    vec![format!("README.md has the headings {found:?}; every protocol has {HEADINGS:?}")]
}

fn complaints(name: &str, kind: Kind) -> Vec<String> {
    let folder = root().join("protocols").join(name);
    let mut found = missing_parts(kind, |part| folder.join(part).exists());
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    found.extend(wrong_headings(kind, &readme));
    found.into_iter().map(|complaint| format!("protocols/{name}: {complaint}")).collect()
}

/// The names of the crates that hold a kind's protocol, whether this tree has them yet or not.
pub(super) fn protocol_crates() -> Vec<String> {
    let protocols = CRATES.iter().filter(|(_, kind)| matches!(kind, Kind::Protocol));
    protocols.map(|(name, _)| format!("tacitly_{}", name.replace('-', "_"))).collect()
}

/// The crates below `protocols/` that this tree has.
pub(super) fn present() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("protocols")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = entries
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_crate_below_protocols_has_its_anatomy() {
    let mut found = Vec::new();
    for name in present() {
        let Some((_, kind)) = CRATES.iter().find(|(known, _)| *known == name) else {
            found.push(format!("protocols/{name} has no line in tests/repository/architecture/anatomy.rs"));
            continue;
        };
        let complaints = complaints(&name, *kind);
        if !UNDER_CONSTRUCTION.contains(&name.as_str()) {
            found.extend(complaints);
        } else if complaints.is_empty() {
            found.push(format!("protocols/{name} is whole: take it out of UNDER_CONSTRUCTION"));
        }
    }
    super::assert_none(&found);
}

#[test]
fn a_missing_part_and_a_heading_out_of_place_are_seen() {
    assert_eq!(missing_parts(Kind::Protocol, |_| true), Vec::<String>::new());
    assert_eq!(missing_parts(Kind::Protocol, |part| part != "vectors"), ["vectors is missing"]);
    assert_eq!(missing_parts(Kind::Plain, |part| part != "vectors"), Vec::<String>::new());
    assert_eq!(missing_parts(Kind::Plain, |_| false), ["README.md is missing"]);

    let readme = HEADINGS.map(|heading| format!("## {heading}\n\ntext\n")).join("\n");
    assert_eq!(wrong_headings(Kind::Protocol, &readme), Vec::<String>::new());
    assert_eq!(wrong_headings(Kind::Protocol, &readme.replace("## Model", "## Trust")).len(), 1);
    assert_eq!(wrong_headings(Kind::Protocol, "").len(), 1);
    assert_eq!(wrong_headings(Kind::Plain, ""), Vec::<String>::new());
}
