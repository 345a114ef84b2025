//! Arrows between crates point down, nothing below `src/` reaches a runtime or a network, and every licence is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::tree::root;

/// The crates below every protocol, lowest first; each may use those before it.
const FOUNDATION: [&str; 3] = ["tacitly-core", "tacitly-curve25519-batch", "tacitly-algebra"];

/// Crates that no protocol may reach, not even through others: async runtimes, sockets, TLS, databases.
const WORLD: [&str; 18] = [
    "async-std",
    "aws-lc-rs",
    "h2",
    "hyper",
    "mio",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "ring",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tokio",
    "tonic",
    "tower",
];

/// What one package of this workspace declares.
struct Member {
    name: String,
    /// The folder of its manifest, from the root: `protocols/psi`, or empty for the root package.
    folder: String,
    /// Its dependencies inside this repository, those for tests included.
    uses: Vec<String>,
}

/// Which crates of this repository a package may use.
fn may_use(member: &Member, used: &str) -> bool {
    let is_protocol = |name: &str| name != "tacitly" && name != "tacitly-codegen" && name != "tacitly-python";
    if let Some(height) = FOUNDATION.iter().position(|name| *name == member.name) {
        return FOUNDATION[..height].contains(&used);
    }
    match member.name.as_str() {
        "tacitly" => is_protocol(used),
        "tacitly-codegen" => false,
        _ if member.folder.starts_with("protocols/") => FOUNDATION.contains(&used),
        _ => used == "tacitly",
    }
}

fn arrows(members: &[Member]) -> Vec<String> {
    let mut complaints = Vec::new();
    for member in members {
        if member.folder.starts_with("protocols/") && member.folder != member.name.replace("tacitly-", "protocols/") {
            complaints.push(format!("{} is not named after its folder {}", member.name, member.folder));
        }
        for used in &member.uses {
            if used != &member.name && !may_use(member, used) {
                complaints.push(format!("{} depends on {used}: that arrow does not point down", member.name));
            }
        }
    }
    complaints
}

/// Names of the packages that each package links or builds with, tests left out.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn reaches_the_world(graph: &Graph, start: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![vec![start]];
    let mut complaints = Vec::new();
    while let Some(path) = open.pop() {
        let last = path[path.len() - 1];
        if WORLD.contains(&last) {
            complaints.push(format!("{}: nothing below src/ reaches {last}", path.join(" -> ")));
        } else if seen.insert(last) {
            let next = graph.get(last).into_iter().flatten();
            open.extend(next.map(|name| [&path[..], &[name.as_str()]].concat()));
        }
    }
    complaints
}

fn refused_licences(allowed: &[String], packages: &[(String, Option<String>)]) -> Vec<String> {
    let accepts = |licence: &str| {
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).ok()?;
        Some(expression.evaluate(|wanted| allowed.contains(&wanted.to_string())))
    };
    packages
        .iter()
        .filter(|(_, licence)| licence.as_deref().and_then(accepts) != Some(true))
        .map(|(name, licence)| format!("{name}: the licence {licence:?} is not on the list of deny.toml"))
        .collect()
}

fn banned(bans: &[String], packages: &[(String, Option<String>)]) -> Vec<String> {
    let found = packages.iter().filter(|(name, _)| bans.contains(name));
    found.map(|(name, _)| format!("{name} is banned in deny.toml")).collect()
}

/// What `cargo metadata` says of this workspace on this platform.
fn metadata() -> Value {
    let version = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().unwrap()
}

fn members(metadata: &Value) -> Vec<Member> {
    let root = text(&metadata["workspace_root"]);
    packages(metadata)
        .iter()
        .filter(|package| package["source"].is_null())
        .map(|package| Member {
            name: text(&package["name"]),
            folder: text(&package["manifest_path"])
                .trim_start_matches(&root)
                .trim_end_matches("Cargo.toml")
                .trim_matches('/')
                .to_owned(),
            uses: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| !dependency["path"].is_null())
                .map(|dependency| text(&dependency["name"]))
                .collect(),
        })
        .collect()
}

fn graph(metadata: &Value) -> Graph {
    let names: BTreeMap<&str, &str> = packages(metadata)
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let used =
            node["deps"].as_array().unwrap().iter().filter(|dependency| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
            });
        graph
            .entry(names[node["id"].as_str().unwrap()].to_owned())
            .or_default()
            .extend(used.map(|dependency| names[dependency["pkg"].as_str().unwrap()].to_owned()));
    }
    graph
}

#[test]
fn arrows_between_crates_point_down() {
    super::assert_none(&arrows(&members(&metadata())));
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_seen() {
    let member = |name: &str, folder: &str, uses: &[&str]| Member {
        name: name.to_owned(),
        folder: folder.to_owned(),
        uses: uses.iter().map(|name| (*name).to_owned()).collect(),
    };
    let fine = [
        member("tacitly-core", "protocols/core", &["tacitly-core"]),
        member("tacitly-curve25519-batch", "protocols/curve25519-batch", &["tacitly-core"]),
        member("tacitly-psi", "protocols/psi", &["tacitly-core", "tacitly-algebra"]),
        member("tacitly", "", &["tacitly-core", "tacitly-psi"]),
        member("tacitly-python", "python", &["tacitly"]),
    ];
    assert_eq!(arrows(&fine), Vec::<String>::new());
    for (name, folder, used) in [
        ("tacitly-core", "protocols/core", "tacitly-algebra"),
        ("tacitly-psi", "protocols/psi", "tacitly-lookup"),
        ("tacitly-psi", "protocols/psi", "tacitly"),
        ("tacitly-codegen", "protocols/codegen", "tacitly-core"),
        ("tacitly", "", "tacitly-codegen"),
        ("tacitly-python", "python", "tacitly-psi"),
        ("psi", "protocols/psi", "tacitly-core"),
    ] {
        assert_eq!(arrows(&[member(name, folder, &[used])]).len(), 1, "{name} -> {used}");
    }
}

#[test]
fn nothing_below_src_reaches_a_runtime_a_socket_or_a_database() {
    let metadata = metadata();
    let graph = graph(&metadata);
    let below = members(&metadata)
        .into_iter()
        .filter(|member| member.folder.starts_with("protocols/") && member.name != "tacitly-codegen");
    let complaints: Vec<String> = below.flat_map(|member| reaches_the_world(&graph, &member.name)).collect();
    super::assert_none(&complaints);
    assert!(!reaches_the_world(&graph, "tacitly").is_empty(), "the root package does reach it: the graph is not empty");
}

#[test]
fn a_runtime_behind_two_other_crates_is_seen_with_its_path() {
    let graph = Graph::from([
        ("tacitly-psi".to_owned(), BTreeSet::from(["a".to_owned(), "b".to_owned()])),
        ("b".to_owned(), BTreeSet::from(["a".to_owned(), "tokio".to_owned()])),
    ]);
    assert_eq!(
        reaches_the_world(&graph, "tacitly-psi"),
        ["tacitly-psi -> b -> tokio: nothing below src/ reaches tokio"]
    );
    assert_eq!(reaches_the_world(&graph, "a"), Vec::<String>::new());
}

#[test]
fn every_dependency_has_a_licence_on_the_list_and_none_is_banned() {
    let metadata = metadata();
    let deny: toml::Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let texts = |list: &toml::Value, key: &str| -> Vec<String> {
        let entries = list.as_array().unwrap().iter();
        entries.map(|entry| entry.get(key).unwrap_or(entry).as_str().unwrap().to_owned()).collect()
    };
    let packages: Vec<(String, Option<String>)> = packages(&metadata)
        .iter()
        .map(|package| (text(&package["name"]), package["license"].as_str().map(str::to_owned)))
        .collect();
    super::assert_none(&refused_licences(&texts(&deny["licenses"]["allow"], "name"), &packages));
    super::assert_none(&banned(&texts(&deny["bans"]["deny"], "name"), &packages));
}

#[test]
fn a_licence_off_the_list_or_missing_is_refused() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned(), "ISC".to_owned()];
    let refused =
        |licence: Option<&str>| !refused_licences(&allowed, &[("x".to_owned(), licence.map(str::to_owned))]).is_empty();
    for licence in ["MIT", "GPL-3.0-only OR MIT", "Apache-2.0/MIT", "(MIT OR Zlib) AND ISC"] {
        assert!(!refused(Some(licence)), "{licence}");
    }
    for licence in [Some("GPL-3.0-only"), Some("MIT AND Zlib"), Some("MIT WITH odd"), Some(""), None] {
        assert!(refused(licence), "{licence:?}");
    }
}

#[test]
fn a_banned_crate_is_seen() {
    let packages = [("rustls".to_owned(), None), ("openssl".to_owned(), None)];
    assert_eq!(banned(&["openssl".to_owned()], &packages), ["openssl is banned in deny.toml"]);
}
