//! The private part of the Python package `tacitly`: a daemon in this process, the control API of any daemon, and frames
//! in Arrow's C data interface. What users see is written in Python, over this.

mod client;
mod columns;
mod daemon;
mod evidence;
mod failure;
mod frame;
mod runtime;
mod take;

use pyo3::prelude::*;

/// The private part of `tacitly`; use the package itself.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::client::{Client, Watch};
    #[pymodule_export]
    use super::daemon::{Daemon, create_home, party_of};
    #[pymodule_export]
    use super::evidence::{evidence_page, verify_evidence};
    #[pymodule_export]
    use super::frame::Frame;
    #[pymodule_export]
    use super::take::{Table, take};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// Every error code with its cause and its hint.
    #[pyfunction]
    fn codes() -> Vec<(&'static str, &'static str, &'static str)> {
        tacitly::codes::ALL.iter().map(|code| (code.name, code.cause, code.hint)).collect()
    }

    /// The names of the key profiles.
    #[pyfunction]
    fn profiles() -> Vec<String> {
        tacitly::intake::Profile::ALL.iter().map(ToString::to_string).collect()
    }

    /// The names of the kinds of job of this version.
    #[pyfunction]
    fn kinds() -> Vec<&'static str> {
        tacitly::kinds::names()
    }
}
