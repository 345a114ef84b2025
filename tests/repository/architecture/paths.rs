//! Where the paths in a crate's sources lead, as far as their text tells.
//!
//! Seen are `use` declarations and paths of two or more names in code, from `crate`, `self` or `super`, from a module
//! below, or from a name that the file imports. A name that a module only hands on, with `use child::Name`, leads to the
//! file that defines it. Not seen are methods, macros by their bare name, paths inside strings, and names that a macro
//! makes; modules inside a file are that file.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Source, Token, production_tokens, starts_with};

/// Names from the crate's root to a module; the root has none.
pub(super) type Names = Vec<String>;

/// The modules of one crate.
pub(super) struct Crate {
    modules: BTreeMap<Names, Module>,
}

/// A file of a crate.
pub(super) struct Module {
    pub(super) file: String,
    /// Everything outside `use` declarations.
    pub(super) code: Vec<Token>,
    imports: Vec<Import>,
    /// What it defines itself.
    items: BTreeSet<String>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug, PartialEq)]
struct Import {
    path: Names,
    /// What it is called here; `*` for everything in a module, `_` for a trait without a name.
    name: String,
    line: usize,
}

/// Where a path leads: to a module, or to something that a module defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) module: Names,
    pub(super) item: Option<String>,
}

/// A use of one file by another.
pub(super) struct Reference {
    pub(super) to: Target,
    pub(super) line: usize,
}

/// How many names may hand a name on before it is given up.
const PATIENCE: usize = 16;

impl Crate {
    /// Reads the sources below `folder`, which holds the crate's root.
    pub(super) fn of(folder: &str, sources: &[Source]) -> Self {
        let modules = sources.iter().map(|source| (names(folder, &source.path), Module::of(source))).collect();
        Self { modules }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = (&Names, &Module)> {
        self.modules.iter()
    }

    /// What the file of a module uses of this crate.
    pub(super) fn references(&self, names: &Names) -> Vec<Reference> {
        let module = &self.modules[names];
        let mut found = Vec::new();
        for import in &module.imports {
            let Some(to) = self.resolve(names, &import.path) else { continue };
            let hands_on = to.module.starts_with(names) && !module.mentions(&import.name) && import.name != "_";
            if (to.item.is_some() || import.name == "*") && !hands_on {
                found.push(Reference { to, line: import.line });
            }
        }
        for (path, line) in paths(&module.code) {
            if let Some(to) = self.resolve(names, &path) {
                found.push(Reference { to, line });
            }
        }
        found.retain(|reference| reference.to.module != *names && self.modules.contains_key(&reference.to.module));
        found
    }

    /// Where a path that stands in the file of `from` leads. `None` leaves this crate, or is something of the file's own.
    pub(super) fn resolve(&self, from: &[String], path: &[String]) -> Option<Target> {
        self.resolve_within(from, path, PATIENCE)
    }

    fn resolve_within(&self, from: &[String], path: &[String], patience: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.follow(&[], rest, patience),
            "self" | "super" => self.follow(from, path, patience),
            _ if self.has(&below(from, first)) => self.follow(from, path, patience),
            name => {
                let import = self.modules.get(from)?.import(name)?;
                self.through(from, import, rest, patience)
            }
        }
    }

    /// Whether there is such a module, or at least one below it.
    fn has(&self, names: &Names) -> bool {
        self.modules.range(names.clone()..).next().is_some_and(|(first, _)| first.starts_with(names))
    }

    /// The names `rest`, from inside the module `at`.
    fn follow(&self, at: &[String], rest: &[String], patience: usize) -> Option<Target> {
        let Some((first, rest)) = rest.split_first() else { return Some(Target { module: at.to_vec(), item: None }) };
        let child = below(at, first);
        if first == "self" {
            return self.follow(at, rest, patience);
        }
        if first == "super" {
            return self.follow(at.split_last()?.1, rest, patience);
        }
        if self.has(&child) {
            return self.follow(&child, rest, patience);
        }
        let here = Target { module: at.to_vec(), item: Some(first.clone()) };
        let module = self.modules.get(at)?;
        if module.items.contains(first) {
            return Some(here);
        }
        if let Some(import) = module.import(first) {
            return self.through(at, import, rest, patience).or(Some(here));
        }
        let everything = module.imports.iter().filter(|import| import.name == "*");
        let defined = everything.filter_map(|import| {
            let from = self.resolve_within(at, &import.path, patience.checked_sub(1)?)?;
            let found = self.follow(&from.module, std::slice::from_ref(first), patience.checked_sub(1)?)?;
            let module = self.modules.get(&found.module)?;
            found.item.as_ref().is_some_and(|item| module.items.contains(item)).then_some(found)
        });
        defined.into_iter().next().or(Some(here))
    }

    /// What an import leads to, and `rest` from there.
    fn through(&self, at: &[String], import: &Import, rest: &[String], patience: usize) -> Option<Target> {
        let patience = patience.checked_sub(1)?;
        // `use name;` and `use name as other;` of another crate would otherwise lead back here.
        if import.path.len() == 1 && import.path[0] == import.name {
            return None;
        }
        let target = self.resolve_within(at, &import.path, patience)?;
        if target.item.is_some() { Some(target) } else { self.follow(&target.module, rest, patience) }
    }
}

impl Module {
    fn of(source: &Source) -> Self {
        let (mut imports, mut code) = (Vec::new(), Vec::new());
        let mut tokens = production_tokens(source).into_iter().peekable();
        while let Some(token) = tokens.next() {
            // `use<'a>` in a type is no declaration.
            if token.text == "use" && tokens.peek().is_some_and(|next| next.text != "<") {
                let declared: Vec<Token> = tokens.by_ref().take_while(|token| token.text != ";").collect();
                read_tree(&declared, &mut 0, &[], &mut imports);
            } else {
                code.push(token);
            }
        }
        Self { file: source.path.clone(), items: items(&code), imports, code }
    }

    fn import(&self, name: &str) -> Option<&Import> {
        self.imports.iter().find(|import| import.name == name)
    }

    fn mentions(&self, name: &str) -> bool {
        self.code.iter().any(|token| token.text == name)
    }
}

/// The names of a file's module, below the folder of its crate's root.
fn names(folder: &str, path: &str) -> Names {
    let inside = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/').trim_end_matches(".rs");
    let mut names: Names = inside.split('/').filter(|part| *part != "mod").map(str::to_owned).collect();
    names.retain(|name| name != "lib");
    names
}

fn below(module: &[String], name: &str) -> Names {
    [module, &[name.to_owned()]].concat()
}

/// One tree of a `use` declaration, from `at` on.
fn read_tree(tokens: &[Token], at: &mut usize, prefix: &[String], imports: &mut Vec<Import>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.text.as_str() {
            ":" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|token| token.text != "}") {
                    read_tree(tokens, at, &path, imports);
                    *at += usize::from(tokens.get(*at).is_some_and(|token| token.text == ","));
                }
                *at += 1;
                return;
            }
            text => {
                if text != "*" && (text != "self" || path.is_empty()) {
                    path.push(text.to_owned());
                }
                if tokens.get(*at).is_some_and(|next| next.text == ":") {
                    continue;
                }
                let mut name = if text == "*" { "*".to_owned() } else { path.last().cloned().unwrap_or_default() };
                if tokens.get(*at).is_some_and(|next| next.text == "as") {
                    name = tokens.get(*at + 1).map_or(name, |alias| alias.text.clone());
                    *at += 2;
                }
                imports.push(Import { path, name, line: token.line });
                return;
            }
        }
    }
}

/// The names that stand behind a keyword of an item, outside every group.
fn items(code: &[Token]) -> BTreeSet<String> {
    let keywords = ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "mod"];
    let mut depth = 0_usize;
    let mut items = BTreeSet::new();
    for (at, token) in code.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 0 {
            continue;
        }
        let rest = &code[at..];
        let name = if starts_with(rest, &["macro_rules", "!"]) {
            rest.get(2)
        } else if keywords.contains(&token.text.as_str()) {
            rest.get(1)
        } else {
            None
        };
        items.extend(name.map(|name| name.text.clone()));
    }
    items
}

/// Every path of two names or more, with its line.
fn paths(code: &[Token]) -> Vec<(Names, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let start = at;
        let mut path = Names::new();
        while code.get(at).is_some_and(is_name) {
            path.push(code[at].text.clone());
            at += 1;
            if !starts_with(&code[at..], &[":", ":"]) || !code.get(at + 2).is_some_and(is_name) {
                break;
            }
            at += 2;
        }
        // A path that begins with `::` or stands behind a type leads elsewhere.
        let continues = start >= 2 && starts_with(&code[start - 2..], &[":", ":"]);
        if path.len() > 1 && !continues {
            found.push((path, code[start].line));
        }
        at = at.max(start + 1);
    }
    found
}

fn is_name(token: &Token) -> bool {
    token.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

#[test]
fn a_tree_of_imports_is_read_whole() {
    let text = "pub use crate::{a::{self, B as C, d::*}, e, f::g as _}; use super::h; fn f() -> impl X + use<'a> {}";
    let module = Module::of(&super::tree::made_up("a.rs", text));
    let read: Vec<String> =
        module.imports.iter().map(|import| format!("{} {}", import.path.join("::"), import.name)).collect();
    let wanted = ["crate::a a", "crate::a::B C", "crate::a::d *", "crate::e e", "crate::f::g _", "super::h h"];
    assert_eq!(read, wanted);
    assert!(module.mentions("impl") && !module.mentions("super"));
}
