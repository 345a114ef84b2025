//! The engine on real stores, logs and keys: without anybody at the other end of a link, and with all parties in this
//! process.

mod disk;
mod engines;
mod office;
mod orders;
mod runs;
mod said;
mod steps;
mod texts;
