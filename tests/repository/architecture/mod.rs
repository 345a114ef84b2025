//! The house rules that a machine can check: which crate and which room may know which, what peer-facing code may not
//! contain, and how a protocol crate looks.
//!
//! Every rule is a function from material to complaints, so that it runs on this tree and, in the tests below each
//! rule, on a small made-up piece that breaks it. A rule that cannot fail is no rule.

mod anatomy;
mod circles;
mod code;
mod crates;
mod map;
mod methods;
mod paths;
mod rooms;
mod tree;

/// Fails with all complaints, one a line.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
