//! What a check of a party has found.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was checked, in one word.
    pub what: &'static str,
    /// What was found.
    pub text: String,
    /// How to mend it; empty if there is nothing to mend.
    pub hint: String,
}

impl Finding {
    /// All is well.
    pub fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, what, text: text.into(), hint: String::new() }
    }

    /// Somebody should look at it.
    pub fn warn(what: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Warn, what, text: text.into(), hint: hint.into() }
    }

    /// It is broken.
    pub fn fail(what: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Fail, what, text: text.into(), hint: hint.into() }
    }
}
