//! Institutions compute on each other's data without showing it: secure multi-party computation as a library.

pub mod session;
pub mod transport;
