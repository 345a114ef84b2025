//! placeholder docs
mod encoding;
pub mod checkpoint;
pub mod entry;
pub mod hash;
pub mod lint;
pub mod note;
pub mod policy;
pub mod tree;
pub mod commitment {}
pub mod dataset {}
pub mod transcript {}
pub mod witness { pub struct WitnessState; }
