//! How a command ends when it does not succeed: what, and how to mend it.

use std::fmt;

/// A command's failure, as the person at the terminal sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Option<String>,
    text: String,
    mend: Option<String>,
}

impl Failure {
    /// A failure in the words of an error.
    pub(crate) fn plain(error: impl fmt::Display) -> Self {
        Self { code: None, text: error.to_string(), mend: None }
    }

    /// A failure with a hint how to mend it.
    pub(crate) fn hinted(text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { code: None, text: text.into(), mend: Some(mend.into()) }
    }

    /// A failure with a stable code from the table of [`crate::codes`].
    pub(crate) fn coded(code: &str, text: impl Into<String>, mend: &str) -> Self {
        let mend = if mend.is_empty() { None } else { Some(mend.to_owned()) };
        Self { code: Some(code.to_owned()), text: text.into(), mend }
    }

    /// The same as one JSON object, for `--json`.
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!({ "error": { "code": self.code, "text": self.text, "mend": self.mend } }).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "error[{code}]: {}", self.text)?,
            None => write!(f, "error: {}", self.text)?,
        }
        self.mend.as_ref().map_or(Ok(()), |mend| write!(f, "\n  mend: {mend}"))
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        let code = crate::rpc::status::code_of(&status);
        match code {
            Some(code) => Self::coded(code.name, status.message(), code.mend),
            None => Self::plain(format!("{}: {}", status.code().description(), status.message())),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::plain(error)
    }
}

impl From<crate::trial::TrialError> for Failure {
    fn from(error: crate::trial::TrialError) -> Self {
        Self::plain(error)
    }
}
