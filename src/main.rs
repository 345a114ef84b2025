//! The party daemon and its command line.

fn main() {}
