//! The tacitly binary.
fn main() {}
