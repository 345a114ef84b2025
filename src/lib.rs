//! Institutions compute on each other's data without showing it.

pub mod intake;
