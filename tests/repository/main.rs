//! The tree itself: the rules of the house that a machine can check, and what must agree with the code.

mod architecture;
mod documentation;
mod fuzz_corpus;
mod sample_data;
