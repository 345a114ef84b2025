//! placeholder docs
pub mod certificate;
pub mod checkpoint;
pub mod commitment;
pub mod dataset;
mod encoding;
pub mod entry;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod hash;
pub mod lint;
pub mod note;
pub mod policy;
pub mod proof;
mod sections;
pub mod transcript;
pub mod tree;
pub mod witness;
