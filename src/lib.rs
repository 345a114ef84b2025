//! Institutions compute on each other's data; the data is never shown.

pub mod sample;
