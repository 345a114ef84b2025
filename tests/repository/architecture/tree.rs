//! The files of this repository, and Rust sources as tokens without their tests.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders that hold nothing written by hand.
const NOT_OURS: [&str; 5] = ["target", "node_modules", "__pycache__", ".git", ".venv"];

/// A file with its path from the root, written with `/`.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether the code generator wrote it.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }
}

/// A token with the line it starts on. Groups are flattened into their two delimiters.
#[derive(Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` with one of these extensions, in a fixed order. An absent folder has none.
pub(crate) fn sources(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)))
        .map(|path| Source {
            path: path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect()
}

/// The Rust sources below `folder` that reach production and were written by hand.
pub(crate) fn production_sources(folder: &str) -> Vec<Source> {
    let mut found = sources(folder, &["rs"]);
    found.retain(|source| !source.is_generated() && !source.is_test());
    assert!(!found.is_empty(), "a rule that reads nothing of {folder} cannot fail");
    found
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            paths.push(entry.path());
        } else if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), paths);
        }
    }
}

/// The tokens of a Rust file that reach production: items under `#[cfg(test)]` or `#[test]` are left out, and so are
/// comments.
pub(crate) fn production_tokens(source: &Source) -> Vec<Token> {
    let stream: TokenStream =
        source.text.parse().unwrap_or_else(|error| panic!("{} is not Rust: {error}", source.path));
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    without_tests(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let mut push = |text: &str, span: proc_macro2::Span| {
            tokens.push(Token { text: text.to_owned(), line: span.start().line });
        };
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open, group.span_open());
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Ident(ident) => push(&ident.to_string(), ident.span()),
            TokenTree::Punct(punct) => push(&punct.as_char().to_string(), punct.span()),
            TokenTree::Literal(literal) => push(&literal.to_string(), literal.span()),
        }
    }
}

fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        let marks_a_test = [
            &["#", "[", "cfg", "(", "test", ")"][..],
            &["#", "[", "cfg", "(", "all", "(", "test", ","],
            &["#", "[", "test", "]"],
        ];
        if marks_a_test.iter().any(|mark| starts_with(rest, mark)) {
            at += item_length(rest);
        } else {
            kept.push(Token { text: rest[0].text.clone(), line: rest[0].line });
            at += 1;
        }
    }
    kept
}

/// How many tokens the item at the start of `tokens` has, its attributes included: it ends with the first `;` or
/// closing brace that belongs to no group.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(token.text.as_str(), ";" | "}") {
            return at + 1;
        }
    }
    tokens.len()
}

/// Whether the tokens begin with these texts.
pub(crate) fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// A made-up file for the tests of the rules.
pub(crate) fn made_up(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[test]
fn test_items_and_comments_do_not_reach_production_and_all_else_does() {
    let source = made_up(
        "a.rs",
        concat!(
            "//! one\nfn keep() { \"two\" }\n",
            "#[cfg(test)]\n#[allow(x)]\nmod tests { fn three() {} }\n",
            "#[cfg(test)] use four::{five};\n",
            "#[test]\nfn six() -> [u8; 2] { seven }\n",
            "struct Last; // eight",
        ),
    );
    let text: Vec<String> = production_tokens(&source).into_iter().map(|token| token.text).collect();
    for word in ["keep", "\"two\"", "Last"] {
        assert!(text.iter().any(|found| found == word), "{word} is kept in {text:?}");
    }
    for word in ["tests", "three", "four", "five", "six", "seven", "eight"] {
        assert!(text.iter().all(|found| found != word), "{word} is dropped from {text:?}");
    }
    assert_eq!(production_tokens(&source).last().unwrap().line, 9);
}
