//! The store, as its users meet it: what is kept, what is sealed, who wins a race, and what a crash, a full disk, a
//! wrong key or a stranger's file leads to.

mod backup;
mod crash;
mod full_disk;
mod integrity;
mod keys;
mod ledger;
mod opening;
mod records;
mod rosters;
mod sealing;
mod world;
