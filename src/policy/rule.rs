//! The rule of a dataset's owner for one peer, and how its owner reads it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{Known, Limit, LimitForm, Limits};

/// What one peer may do with one dataset. The default allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Kinds of job, by name, and no others.
    pub kinds: Vec<String>,
    /// Who may receive results.
    pub receivers: Receivers,
    /// Whether a person decides each job.
    pub approval: Approval,
    /// Purposes that may be stated, and no others; `None` accepts every purpose. Purposes are the peer's own words, so
    /// that new software brings no new ones.
    pub purposes: Option<Vec<String>>,
    /// Our columns that may leave in results of jobs with this peer (its own columns are its own business), by name,
    /// and no others.
    pub columns: Vec<String>,
    /// Jobs per 24 hours, 0 for no limit.
    pub per_day: u64,
    /// The moment from which the rule is void, RFC 3339.
    pub expires: Option<jiff::Timestamp>,
    /// Limits that kinds of job declare.
    pub limits: Limits,
}

impl Rule {
    /// The widest rule of this moment: every kind, column and word that is known now, by name. What comes later is not
    /// in it.
    #[must_use]
    pub fn open(known: &Known<'_>) -> Self {
        let mut limits = Limits::default();
        for limit in known.limits {
            if let LimitForm::Words(words) = limit.form {
                limits.set(limit.name, Some(Limit::Words(owned(words))));
            }
        }
        Self { kinds: owned(known.kinds), columns: owned(known.columns), limits, ..Self::default() }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The rule in words, as its owner reads it in a list.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kinds {
            [] => f.write_str("no kind of job")?,
            kinds => f.write_str(&kinds.join(", "))?,
        }
        match self.receivers {
            Receivers::Any => {}
            Receivers::Us => f.write_str("; only we receive results")?,
            Receivers::Peer => f.write_str("; only the peer receives results")?,
        }
        match &*self.columns {
            [] => f.write_str("; none of our columns")?,
            columns => write!(f, "; of our columns only {}", columns.join(", "))?,
        }
        match self.purposes.as_deref() {
            None => {}
            Some([]) => f.write_str("; for no purpose")?,
            Some(purposes) => write!(f, "; for {}", purposes.join(", "))?,
        }
        for (name, limit) in self.limits.iter() {
            match limit {
                Limit::Number(number) => write!(f, "; {name} {number}")?,
                Limit::Words(words) if words.is_empty() => write!(f, "; {name} none")?,
                Limit::Words(words) => write!(f, "; {name} {}", words.join(", "))?,
            }
        }
        match self.per_day {
            0 => {}
            1 => f.write_str("; 1 job a day")?,
            jobs => write!(f, "; {jobs} jobs a day")?,
        }
        if self.approval == Approval::Manual {
            f.write_str("; a person decides each")?;
        }
        self.expires.map_or(Ok(()), |moment| write!(f, "; until {moment}"))
    }
}

/// Who may receive results under a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Receivers {
    /// Any party of the job.
    #[default]
    Any,
    /// Only we, the dataset's owner.
    Us,
    /// Only the party that the rule is about.
    Peer,
}

impl Receivers {
    /// The name in a rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Us => "us",
            Self::Peer => "peer",
        }
    }
}

/// Who decides a job that a rule covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// The rule itself.
    #[default]
    Automatic,
    /// A person, with `tacitly approve`.
    Manual,
}

impl Approval {
    /// The name in a rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }
}
