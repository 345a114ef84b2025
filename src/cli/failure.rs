//! How a command ends when it does not succeed: what, and how to mend it.

use std::fmt;
use std::process::ExitCode;

use rustix::process::Signal;

use crate::codes;

/// A command's failure, as the person at the terminal sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Option<String>,
    text: String,
    hint: Option<String>,
    /// The signal that ended the command, of which there is nothing to tell.
    signal: Option<Signal>,
    /// The time was over that somebody gave it.
    is_late: bool,
}

/// What the program `timeout` exits with.
const LATE: u8 = 124;

impl Failure {
    /// A failure in the words of an error.
    pub(crate) fn plain(error: impl fmt::Display) -> Self {
        Self { code: None, text: error.to_string(), hint: None, signal: None, is_late: false }
    }

    /// A failure with a hint how to mend it.
    pub(crate) fn hinted(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::plain(text.into()) }
    }

    /// A failure with a stable code from the table of [`crate::codes`].
    pub(crate) fn coded(code: &str, text: impl Into<String>, hint: &str) -> Self {
        let hint = if hint.is_empty() { None } else { Some(hint.to_owned()) };
        Self { code: Some(code.to_owned()), hint, ..Self::plain(text.into()) }
    }

    /// The ending by an option that says how long to wait.
    pub(crate) fn out_of_time(text: String, hint: &str) -> Self {
        Self { is_late: true, ..Self::hinted(text, hint) }
    }

    /// The ending by this signal.
    pub(crate) fn ended_by(signal: Signal) -> Self {
        Self { signal: Some(signal), ..Self::plain(format!("ended by {signal:?}")) }
    }

    /// The ending of a command whose reader has gone, as `head` does when it has enough.
    pub(crate) fn nobody_reads() -> Self {
        Self::ended_by(Signal::PIPE)
    }

    /// The same failure with a better hint.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same failure with one more thing to do about it.
    pub(crate) fn with_second_hint(self, hint: String) -> Self {
        let hint = self.hint.as_ref().map_or(hint.clone(), |first| format!("{first}\n  {hint}"));
        self.with_hint(hint)
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.signal.is_some()
    }

    /// Whether somebody asked for this ending, as is usual with what runs until then.
    pub(crate) fn was_asked_for(&self) -> bool {
        self.signal.is_some_and(|signal| [Signal::INT, Signal::TERM].contains(&signal))
    }

    /// What the command exits with: after a signal, what a shell makes of it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let without_signal = if self.is_late { ExitCode::from(LATE) } else { ExitCode::FAILURE };
        self.signal.map_or(without_signal, |signal| {
            ExitCode::from(u8::try_from(signal.as_raw()).map_or(u8::MAX, |number| 128 | number))
        })
    }

    /// The same as one JSON object, for `--json`.
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!({ "error": { "code": self.code, "text": self.text, "hint": self.hint } }).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "error[{code}]: {}", self.text)?,
            None => write!(f, "error: {}", self.text)?,
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        let code = crate::rpc::status::code_of(&status);
        match code {
            Some(code) if code == codes::DAEMON_GONE => {
                Self::coded(code.name, format!("the connection to the daemon broke: {}", status.message()), code.hint)
            }
            Some(code) => Self::coded(code.name, status.message(), code.hint),
            None if status.code() == tonic::Code::Unimplemented => {
                let hint = "restart the daemon with the program that is installed now; `tacitly doctor` compares both";
                Self::hinted("what answers there does not know this call", hint)
            }
            None => Self::plain(format!("{}: {}", status.code().description(), status.message())),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::plain(error)
    }
}

impl From<crate::test_bed::TestBedError> for Failure {
    fn from(error: crate::test_bed::TestBedError) -> Self {
        Self::plain(error)
    }
}
