//! What went wrong, as the exception that Python raises: the class belongs to the code.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tacitly::codes::{Code, Error};
use tacitly::daemon::ServeError;
use tacitly::rpc::status;
use tacitly::store::StoreError;
use tonic::Status;

/// A failure on its way to Python.
#[derive(Default)]
pub(crate) struct Failure {
    code: Option<&'static Code>,
    text: String,
    stage: String,
    peer: String,
    hint: String,
}

impl Failure {
    /// A failure that has no code of its own, with its hint.
    pub(crate) fn plain(text: impl ToString, hint: impl ToString) -> Self {
        Self { text: text.to_string(), hint: hint.to_string(), ..Self::default() }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: Some(error.code),
            text: error.text.clone(),
            stage: error.stage.clone(),
            peer: error.who.map(|who| who.to_string()).unwrap_or_default(),
            hint: error.code.hint.to_owned(),
        }
    }
}

impl From<Status> for Failure {
    fn from(told: Status) -> Self {
        let code = status::code_of(&told);
        let text = match code {
            Some(_) => told.message().to_owned(),
            None => format!("{}: {}", told.code().description(), told.message()),
        };
        Self { code, text, hint: code.map(|code| code.hint.to_owned()).unwrap_or_default(), ..Self::default() }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match &error {
            ServeError::Error(error) => error.into(),
            ServeError::Store(StoreError::Locked { .. }) => {
                Self::plain(&error, "a daemon of this party runs already: use tacitly.connect(folder)")
            }
            _ => Self::plain(&error, ""),
        }
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            let made = || {
                let parts = PyDict::new(py);
                parts.set_item("stage", failure.stage)?;
                parts.set_item("peer", failure.peer)?;
                parts.set_item("hint", failure.hint)?;
                let code = failure.code.map(|code| code.name);
                py.import("tacitly.errors")?.call_method("of", (code, failure.text), Some(&parts))
            };
            made().map_or_else(|error| error, PyErr::from_value)
        })
    }
}
