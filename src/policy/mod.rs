//! Who may ask what of whom: the rule of a dataset's owner for one peer, and the decision it leads to.
//!
//! Deny by default: without a rule nothing is allowed, and a rule allows only what it names. Kinds of job, columns and
//! words of the software stand in a rule one by one, so that no rule grows when the software or a file does. Everything
//! here is a pure function of rules and facts and knows no kind of job; storing rules and recording decisions is the
//! business of those who ask.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

use std::collections::BTreeSet;

use tacitly_core::PartyId;

use crate::codes::{self, Error};

mod change;
mod difference;
mod limits;
mod rule;
#[cfg(test)]
mod tests;

pub use change::Change;
pub use difference::difference;
pub use limits::{Known, Limit, LimitForm, LimitName, Limits};
pub use rule::{Approval, Receivers, Rule};

/// What rules are asked about before anything is read.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The kind of job.
    pub kind: &'a str,
    /// The purpose stated.
    pub purpose: &'a str,
    /// The parties that would receive a result.
    pub receivers: &'a BTreeSet<PartyId>,
    /// We, the dataset's owner.
    pub me: PartyId,
    /// Now.
    pub now: jiff::Timestamp,
}

/// Another party of the job.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// Its name.
    pub party: PartyId,
    /// Our rule for it and the dataset.
    pub rule: Option<&'a Rule>,
    /// Its jobs on the dataset in the last 24 hours.
    pub jobs_today: u64,
}

/// What a rule leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rule approves.
    Approve,
    /// A person decides.
    AskAPerson,
}

/// Decides a proposed job by the rules for all other parties: one that refuses is enough, and so is one that asks a
/// person.
///
/// # Errors
/// That of [`decide`], for the first party whose rule refuses; [`codes::REFUSED_NO_RULE`] if there is no other party.
pub fn decide_all(others: &[Other<'_>], asked: &Asked<'_>) -> Result<Decision, Error> {
    if others.is_empty() {
        return Err(Error::new(codes::REFUSED_NO_RULE, "no rule is about a job without another party"));
    }
    others.iter().try_fold(Decision::Approve, |so_far, other| match decide(other, asked)? {
        Decision::Approve => Ok(so_far),
        Decision::AskAPerson => Ok(Decision::AskAPerson),
    })
}

/// Decides a proposed job by the rule for one other party.
///
/// # Errors
/// [`codes::REFUSED_NO_RULE`] without a rule, [`codes::REFUSED_BY_RULE`] with the limit that is passed; both name the
/// party that the rule is about. The text may go to the peer: it tells what the rule demands of the request, nothing
/// about the data.
pub fn decide(other: &Other<'_>, asked: &Asked<'_>) -> Result<Decision, Error> {
    let (me, party) = (asked.me, other.party);
    let Some(rule) = other.rule else {
        return Err(Error::new(codes::REFUSED_NO_RULE, format!("no rule of {me} lets {party} use the dataset")));
    };
    let refuse =
        |text: String| Err(Error::new(codes::REFUSED_BY_RULE, format!("the rule of {me} for {party}: {text}")));
    if rule.expires.is_some_and(|moment| asked.now >= moment) {
        return refuse("it has expired".to_owned());
    }
    if !rule.kinds.iter().any(|kind| kind == asked.kind) {
        return refuse(format!("jobs of kind {} are not allowed", asked.kind));
    }
    if let Some(purposes) = &rule.purposes
        && !purposes.iter().any(|purpose| purpose == asked.purpose)
    {
        return refuse(match &**purposes {
            [] => "no purpose is allowed".to_owned(),
            purposes => format!("the stated purpose is not among those allowed: {}", purposes.join(", ")),
        });
    }
    let only = |one: PartyId| asked.receivers.iter().all(|receiver| *receiver == one);
    match rule.receivers {
        Receivers::Us if !only(me) => return refuse(format!("only {me}, the dataset's owner, may receive a result")),
        Receivers::Peer if !only(party) => return refuse(format!("only {party} may receive a result")),
        _ => {}
    }
    if rule.per_day > 0 && other.jobs_today >= rule.per_day {
        return refuse(match rule.per_day {
            1 => "1 job per day is allowed, and it is used up".to_owned(),
            jobs => format!("{jobs} jobs per day are allowed, and they are used up"),
        });
    }
    Ok(if rule.approval == Approval::Manual { Decision::AskAPerson } else { Decision::Approve })
}
