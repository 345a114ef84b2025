//! The files of one room, and those of one protocol crate, use each other in one direction: whoever reads a file has to
//! know those below it and none that in turn need it.
//!
//! What counts as a use, and what cannot be seen, stands in `paths.rs`. A `mod.rs` that hands names on uses nobody by it.

use std::collections::{BTreeMap, VecDeque};

use super::paths::{Crate, Names};
use super::tree::{Source, made_up, production_sources, root};

/// Who uses whom inside a room, with the line that says so.
type Graph = BTreeMap<String, BTreeMap<String, usize>>;

/// The graph of those files whose module lies below `room`; below the crate's root for an empty one.
fn graph(all: &Crate, room: &[String]) -> Graph {
    let files: BTreeMap<&Names, &str> =
        all.modules().filter(|(names, _)| names.starts_with(room)).map(|(names, file)| (names, &*file.file)).collect();
    let mut graph = Graph::new();
    for (names, file) in &files {
        let used = graph.entry((*file).to_owned()).or_default();
        for reference in all.references(names) {
            if let Some(other) = files.get(&reference.to.module) {
                used.entry((*other).to_owned()).or_insert(reference.line);
            }
        }
    }
    graph
}

/// Circles, shortest first from each file, until every file that is part of one stands in a complaint.
fn circles(graph: &Graph) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for file in graph.keys() {
        if told.contains(&file.as_str()) {
            continue;
        }
        let Some(circle) = shortest_circle(graph, file) else { continue };
        let steps = circle.windows(2).map(|pair| format!("{}:{} uses {}", pair[0], graph[pair[0]][pair[1]], pair[1]));
        complaints.push(format!("a circle of files: {}", steps.collect::<Vec<_>>().join(", ")));
        told.extend(circle);
    }
    complaints
}

/// The shortest way from a file back to itself, the file at both ends.
fn shortest_circle<'a>(graph: &'a Graph, start: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way = vec![start, file];
                while let Some(earlier) = before.get(way[way.len() - 1]) {
                    way.push(earlier);
                }
                way.truncate(way.len() - usize::from(file == start));
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next.as_str()) {
                before.insert(next, file);
                open.push_back(next);
            }
        }
    }
    None
}

/// The rooms of `src/` that are folders.
fn rooms() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("src")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn circles_of(folder: &str, files: &[(&str, &str)], room: &str) -> Vec<String> {
    let files: Vec<Source> = files.iter().map(|(path, text)| made_up(path, text)).collect();
    let room: Vec<String> = room.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    circles(&graph(&Crate::of(folder, &files), &room))
}

#[test]
fn neither_a_room_nor_a_protocol_crate_has_a_circle_of_files() {
    let src = Crate::of("src", &production_sources("src"));
    let mut found: Vec<String> = rooms().into_iter().flat_map(|room| circles(&graph(&src, &[room]))).collect();
    for name in super::anatomy::present() {
        let sources = format!("protocols/{name}/src");
        found.extend(circles(&graph(&Crate::of(&sources, &production_sources(&sources)), &[])));
    }
    super::assert_none(&found);
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    for (name, files) in [
        ("imports", vec![("src/a/b.rs", "use super::c::C; pub struct B;"), ("src/a/c.rs", "use crate::a::b::B;")]),
        (
            "paths in code",
            vec![("src/a/b.rs", "fn f() { super::c::f() }"), ("src/a/c.rs", "fn f(_: crate::a::b::B) {}")],
        ),
        (
            "an imported module",
            vec![("src/a/b.rs", "use super::c; fn f() { c::f() }"), ("src/a/c.rs", "use super::b::*; pub fn f() {}")],
        ),
        (
            "names that the room hands on",
            vec![
                ("src/a/mod.rs", "mod b; mod c; pub use b::B; use c::{C as D};"),
                ("src/a/b.rs", "use super::D; pub struct B;"),
                ("src/a/c.rs", "use crate::{a::B, x::Y}; pub struct C;"),
            ],
        ),
        (
            "everything handed on",
            vec![
                ("src/a/mod.rs", "mod b; mod c; pub use b::*; pub use c::*;"),
                ("src/a/b.rs", "use super::C; pub struct B;"),
                ("src/a/c.rs", "use super::B; pub enum C {}"),
            ],
        ),
        (
            "the room's own file",
            vec![("src/a/mod.rs", "mod b; pub struct A(b::B);"), ("src/a/b.rs", "use super::A; pub struct B;")],
        ),
        (
            "three files, one a folder",
            vec![
                ("src/a/b.rs", "use super::c::C; pub struct B;"),
                ("src/a/c/mod.rs", "mod d; pub(super) use d::C;"),
                ("src/a/c/d.rs", "use crate::a::e::E; pub struct C;"),
                ("src/a/e.rs", "use super::b::B; pub struct E;"),
            ],
        ),
    ] {
        assert_eq!(circles_of("src", &files, "a").len(), 1, "{name}");
    }
}

#[test]
fn files_that_use_each_other_in_one_direction_are_no_complaint() {
    for (name, files) in [
        (
            "a room that hands on and is imported from",
            vec![
                ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub(crate) use c::C; const A: u8 = 1;"),
                ("src/a/b.rs", "use super::{A, C}; pub struct B;"),
                ("src/a/c.rs", "use super::A; pub(crate) struct C;"),
            ],
        ),
        (
            "only a test looks back",
            vec![
                ("src/a/b.rs", "use super::c::C; pub struct B;"),
                ("src/a/c.rs", "pub struct C; #[cfg(test)] mod tests { use super::super::b::B; }"),
            ],
        ),
        (
            "a comment looks back",
            vec![("src/a/b.rs", "use super::c::C;"), ("src/a/c.rs", "/// See [`super::b::B`].\npub struct C;")],
        ),
        (
            "other crates with the names of files",
            vec![("src/a/b.rs", "use super::c::C; use bytes;"), ("src/a/c.rs", "use std::b::X; fn f() { ::b::f() }")],
        ),
        (
            "a circle through another room is for the arrows between rooms",
            vec![("src/a/b.rs", "use crate::z::Z; pub struct B;"), ("src/z.rs", "use crate::a::b::B; pub struct Z;")],
        ),
    ] {
        assert_eq!(circles_of("src", &files, "a"), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_circle_names_files_and_lines_and_each_is_told_once() {
    let files = [
        ("protocols/x/src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("protocols/x/src/a.rs", "use crate::b::B;\npub struct A;"),
        ("protocols/x/src/b.rs", "\nuse crate::A;\npub struct B;"),
        ("protocols/x/src/c.rs", "use crate::{A, b::B};"),
    ];
    let told = circles_of("protocols/x/src", &files, "");
    let wanted = "a circle of files: protocols/x/src/a.rs:1 uses protocols/x/src/b.rs, protocols/x/src/b.rs:2 uses protocols/x/src/a.rs";
    assert_eq!(told, [wanted]);
}
