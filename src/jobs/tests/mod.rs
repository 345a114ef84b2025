//! The engine on real stores, logs and keys, without anybody at the other end of a link.

mod disk;
mod office;
mod orders;
mod runs;
mod said;
mod steps;
