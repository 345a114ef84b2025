//! The name of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The name of a job, the same on all sides: a ULID, so that names sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Ulid);

/// The text is not a [`JobId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job id is a ULID: 26 characters of 0-9 and A-Z without I, L, O and U")]
pub struct MalformedJobId;

impl JobId {
    /// A new name.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Ulid::generate())
    }

    /// The name of these 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }
}

impl FromStr for JobId {
    type Err = MalformedJobId;

    fn from_str(text: &str) -> Result<Self, MalformedJobId> {
        let id = Self(text.parse().map_err(|_| MalformedJobId)?);
        // Lower case and look-alike letters would give one job several names.
        if id.to_string() == text { Ok(id) } else { Err(MalformedJobId) }
    }
}

impl TryFrom<String> for JobId {
    type Error = MalformedJobId;

    fn try_from(text: String) -> Result<Self, MalformedJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_one_name() {
        let id = JobId::fresh();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "01", &id.to_string().to_lowercase(), &format!("{id}0"), "银行银行银行银行ab"] {
            assert_eq!(text.parse::<JobId>(), Err(MalformedJobId), "{text}");
        }
    }
}
