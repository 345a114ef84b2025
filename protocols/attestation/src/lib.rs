//! placeholder docs
mod encoding;
mod sections;
pub mod certificate;
pub mod checkpoint;
pub mod commitment;
pub mod dataset;
pub mod entry;
pub mod hash;
pub mod lint;
pub mod note;
pub mod policy;
pub mod proof;
pub mod transcript;
pub mod tree;
pub mod witness;
