//! A type's own methods stand in one file: who wants to know what it can do reads that one, and a type that needs more
//! does too much.
//!
//! Implementations of traits may stand elsewhere. Methods that a macro writes are not seen.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Crate, Names, Target};
use super::tree::{Source, Token, made_up, production_sources};

/// The paths of the types whose own methods a file holds.
fn types_with_methods(code: &[Token]) -> Vec<Names> {
    let mut found = Vec::new();
    for (at, token) in code.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| code[before].text.as_str());
        let is_item = matches!(before, None | Some("}" | ";" | "]" | "{" | "unsafe"));
        if token.text == "impl" && is_item {
            found.extend(implemented(&code[at + 1..]));
        }
    }
    found
}

/// The type behind `impl`, unless a trait is implemented for it.
fn implemented(tokens: &[Token]) -> Option<Names> {
    let (mut names, mut angles) = (Names::new(), 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "<" => angles += 1,
            ">" if at == 0 || tokens[at - 1].text != "-" => angles = angles.saturating_sub(1),
            "for" if angles == 0 => return None,
            "{" | "where" if angles == 0 => break,
            text if angles == 0 && text.starts_with(char::is_alphabetic) && text != "dyn" => {
                names.push(text.to_owned())
            }
            _ => {}
        }
    }
    (!names.is_empty()).then_some(names)
}

/// Types with methods in more than one file, each with its files.
fn spread(all: &Crate) -> BTreeMap<Target, BTreeSet<&str>> {
    let mut files: BTreeMap<Target, BTreeSet<&str>> = BTreeMap::new();
    for (names, module) in all.modules() {
        for path in types_with_methods(&module.code) {
            let here = Target { module: names.clone(), item: path.last().cloned() };
            let target = all.resolve(names, &path).filter(|target| target.item.is_some()).unwrap_or(here);
            files.entry(target).or_default().insert(&module.file);
        }
    }
    files.retain(|_, files| files.len() > 1);
    files
}

fn complaints(folder: &str, sources: &[Source]) -> Vec<String> {
    let all = Crate::of(folder, sources);
    let told = |(target, files): (Target, BTreeSet<&str>)| {
        let files: Vec<&str> = files.into_iter().collect();
        format!("{} has methods in {}", target.item.as_deref().unwrap_or_default(), files.join(" and "))
    };
    spread(&all).into_iter().map(told).collect()
}

#[test]
fn a_types_own_methods_stand_in_one_file() {
    let mut found = complaints("src", &production_sources("src"));
    for name in super::anatomy::present() {
        let folder = format!("protocols/{name}/src");
        found.extend(complaints(&folder, &production_sources(&folder)));
    }
    super::assert_none(&found);
}

#[test]
fn methods_in_two_files_are_seen_and_traits_and_namesakes_are_not() {
    let told = |other: &str| {
        let one =
            made_up("src/a/b.rs", "pub struct B<T>(T); impl<T: Fn() -> u8> B<T> where T: for<'x> X<'x> { fn f() {} }");
        let handed_on = made_up("src/a/mod.rs", "mod b; pub use b::B;");
        complaints("src", &[handed_on, one, made_up("src/a/c.rs", other)])
    };
    for text in [
        "use super::B; impl B<u8> { fn g() {} }",
        "impl<T> super::b::B<T> { fn g() {} }",
        "use crate::a::B as Other; const X: u8 = 1; #[rustfmt::skip] impl Other<u8> { fn g() {} }",
    ] {
        assert_eq!(told(text), ["B has methods in src/a/b.rs and src/a/c.rs"], "{text}");
    }
    for text in [
        "use super::B; impl Clone for B<u8> { fn g() {} }",
        "use super::B; impl<T> From<T> for B<T> where T: X { fn g() {} }",
        "pub struct B; impl B { fn g() {} }",
        "use super::B; fn f(x: impl Into<B<u8>>) -> impl Iterator<Item = B<u8>> { x }",
        "#[cfg(test)] mod tests { use super::super::B; impl B<u8> { fn g() {} } }",
    ] {
        assert_eq!(told(text), Vec::<String>::new(), "{text}");
    }
}
