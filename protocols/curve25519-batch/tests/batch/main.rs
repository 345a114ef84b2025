//! The batch functions against curve25519-dalek, on every backend of this CPU.

mod agreement;
mod edges;
mod fuzzing;
mod oracle;
