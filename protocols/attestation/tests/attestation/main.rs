//! Tests of the whole crate in one binary, so that it links once.

mod certificates;
mod commitments;
mod consortium;
mod datasets;
mod entries;
mod golden;
mod mixed;
mod notes;
mod oracles;
mod policies;
mod properties;
mod questions;
mod rosters;
mod statements;
mod support;
mod tiles;
mod trees;
mod vectors;
mod witnesses;
