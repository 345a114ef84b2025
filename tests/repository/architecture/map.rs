//! The map in the README names every crate and room there is, and nothing else.

use std::collections::BTreeSet;

use super::tree::root;

/// The places in the first column of the map: `protocols/core`, `src/codes.rs`, `tests`.
fn on_the_map(readme: &str) -> BTreeSet<String> {
    let (_, map) = readme.split_once("\n## Map\n").unwrap_or_default();
    let (map, _) = map.split_once("\n## ").unwrap_or((map, ""));
    let rows = map.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    // Every second piece between backticks stands inside a pair of them.
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Protocol crates, the rooms of `src/`, and the other folders; hidden ones and what a build makes left out.
fn in_the_tree() -> BTreeSet<String> {
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let is_folder = |path: &str| root().join(path).is_dir();
    let mut found: BTreeSet<String> =
        super::anatomy::present().into_iter().map(|name| format!("protocols/{name}")).collect();
    let rooms = names("src").into_iter().filter(|name| name != "lib.rs" && name != "main.rs");
    found.extend(rooms.map(|name| format!("src/{name}")));
    found.extend(names("").into_iter().filter(|name| {
        is_folder(name) && !name.starts_with('.') && !["protocols", "src", "target"].contains(&name.as_str())
    }));
    found
}

fn complaints(map: &BTreeSet<String>, tree: &BTreeSet<String>) -> Vec<String> {
    let missing = tree.difference(map).map(|place| format!("{place} is not on the map in README.md"));
    let gone = map.difference(tree).map(|place| format!("{place} is on the map in README.md and not in the tree"));
    missing.chain(gone).collect()
}

#[test]
fn the_map_shows_exactly_the_rooms_there_are() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    super::assert_none(&complaints(&on_the_map(&readme), &in_the_tree()));
}

#[test]
fn a_room_that_is_missing_or_gone_is_seen() {
    let readme = "`x`\n\n## Map\n\n| room | holds |\n|---|---|\n| `a`, `src/b.rs` | what `c` is |\n| `d` | e |\n\n## Next\n| `f` |";
    let map = on_the_map(readme);
    assert_eq!(map, ["a", "d", "src/b.rs"].map(str::to_owned).into());
    assert_eq!(complaints(&map, &map), Vec::<String>::new());
    let tree = ["a", "d", "src/g"].map(str::to_owned).into();
    assert_eq!(complaints(&map, &tree).len(), 2);
    assert_eq!(on_the_map("no map"), BTreeSet::new());
}
