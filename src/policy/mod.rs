//! Who may ask what of whom: the rule of a dataset's owner for one peer, and the decision it leads to.
//!
//! Deny by default: without a rule nothing is allowed. Everything here is a pure function of the rule and the facts;
//! storing rules and recording decisions is the business of those who ask.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codes::{self, Trouble};

/// What one peer may do with one dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Kinds of job; empty allows every kind.
    pub kinds: Vec<String>,
    /// Who may receive results.
    pub receivers: Receivers,
    /// Whether a person decides each job.
    pub approval: Approval,
    /// Purposes that may be stated; empty allows every purpose.
    pub purposes: Vec<String>,
    /// Our columns that may leave in results of jobs with this peer (its own columns are its own business);
    /// empty allows every column.
    pub columns: Vec<String>,
    /// The smallest intersection that may be released. Above 1, a size phase runs first.
    pub min_intersection: u64,
    /// The largest set the peer may bring, 0 for no limit. A set of all telephone numbers is a dictionary attack.
    pub max_peer_items: u64,
    /// How many times larger than ours the peer's set may be, 0 for no limit.
    pub max_ratio: u64,
    /// Jobs per 24 hours, 0 for no limit.
    pub jobs_per_day: u64,
    /// The moment from which the rule is void, RFC 3339.
    pub expires: Option<jiff::Timestamp>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            receivers: Receivers::Any,
            approval: Approval::Automatic,
            purposes: Vec::new(),
            columns: Vec::new(),
            min_intersection: 0,
            max_peer_items: 0,
            max_ratio: 0,
            jobs_per_day: 0,
            expires: None,
        }
    }
}

impl Rule {
    /// Reads a rule from a JSON object; what it does not name is not limited.
    ///
    /// # Errors
    /// Which field is wrong and what it may be, in words for who wrote it.
    pub fn read(json: &str) -> Result<Self, String> {
        const NAMES: &str = "a list of names";
        const NUMBER: &str = "a whole number, 0 for no limit";
        const FIELDS: [(&str, &str); 10] = [
            ("kinds", NAMES),
            ("receivers", "any, us or peer"),
            ("approval", "automatic or manual"),
            ("purposes", NAMES),
            ("columns", NAMES),
            ("min_intersection", NUMBER),
            ("max_peer_items", NUMBER),
            ("max_ratio", NUMBER),
            ("jobs_per_day", NUMBER),
            ("expires", "a moment such as 2027-01-01T00:00:00Z"),
        ];
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).map_err(|_| "the rule is not one JSON object".to_owned())?;
        for (name, value) in &fields {
            let Some((_, form)) = FIELDS.iter().find(|(known, _)| known == name) else {
                let known = FIELDS.map(|(known, _)| known).join(", ");
                return Err(format!("a rule has no field {name:?}; its fields are {known}"));
            };
            let alone = serde_json::Map::from_iter([(name.clone(), value.clone())]);
            if serde_json::from_value::<Self>(alone.into()).is_err() {
                return Err(format!("{name} of a rule is {form}, not {value}"));
            }
        }
        serde_json::from_value(fields.into()).map_err(|_| "the rule cannot be read".to_owned())
    }
}

/// The rule in words, as its owner reads it in a list.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |names: &[String], every: &str| match names {
            [] => every.to_owned(),
            names => names.join(", "),
        };
        write!(f, "{}", listed(&self.kinds, "every kind of job"))?;
        match self.receivers {
            Receivers::Any => {}
            Receivers::Us => f.write_str("; only we receive results")?,
            Receivers::Peer => f.write_str("; only the peer receives results")?,
        }
        if !self.columns.is_empty() {
            write!(f, "; of our columns only {}", self.columns.join(", "))?;
        }
        if !self.purposes.is_empty() {
            write!(f, "; for {}", self.purposes.join(", "))?;
        }
        if self.min_intersection > 0 {
            write!(f, "; at least {} in common", self.min_intersection)?;
        }
        if self.max_peer_items > 0 {
            write!(f, "; at most {} keys of the peer", self.max_peer_items)?;
        }
        if self.max_ratio > 0 {
            write!(f, "; at most {} times as many as ours", self.max_ratio)?;
        }
        match self.jobs_per_day {
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
    /// Either side or both.
    #[default]
    Any,
    /// Only we, the dataset's owner.
    Us,
    /// Only the peer.
    Peer,
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

/// What a rule is asked about before anything is read.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The kind of job.
    pub kind: &'a str,
    /// Whether we would receive a result.
    pub we_receive: bool,
    /// Whether the peer would.
    pub peer_receives: bool,
    /// The purpose stated.
    pub purpose: &'a str,
    /// Jobs of this peer on this dataset in the last 24 hours.
    pub jobs_today: u64,
    /// Now.
    pub now: jiff::Timestamp,
}

/// What a rule leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rule approves.
    Approve,
    /// A person decides.
    AskAPerson,
}

/// Decides a proposed job.
///
/// # Errors
/// [`codes::REFUSED_NO_RULE`] without a rule, [`codes::REFUSED_BY_RULE`] with the limit that is passed. The text may go
/// to the peer: it tells what the rule demands of the request, nothing about the data.
pub fn decide(rule: Option<&Rule>, asked: &Asked<'_>) -> Result<Decision, Trouble> {
    let Some(rule) = rule else {
        return Err(Trouble::new(codes::REFUSED_NO_RULE, "no rule allows this peer to use the dataset"));
    };
    let refuse = |text: String| Err(Trouble::new(codes::REFUSED_BY_RULE, text));
    if rule.expires.is_some_and(|moment| asked.now >= moment) {
        return refuse("the rule for this peer has expired".to_owned());
    }
    if !covers(&rule.kinds, asked.kind) {
        return refuse(format!("jobs of kind {} are not allowed", asked.kind));
    }
    if !covers(&rule.purposes, asked.purpose) {
        return refuse(format!("the stated purpose is not among those allowed: {}", rule.purposes.join(", ")));
    }
    match rule.receivers {
        Receivers::Us if asked.peer_receives => {
            return refuse("only the dataset's owner may receive a result".to_owned());
        }
        Receivers::Peer if asked.we_receive => return refuse("only the other side may receive a result".to_owned()),
        _ => {}
    }
    if rule.jobs_per_day > 0 && asked.jobs_today >= rule.jobs_per_day {
        return refuse(match rule.jobs_per_day {
            1 => "1 job per day is allowed, and it is used up".to_owned(),
            jobs => format!("{jobs} jobs per day are allowed, and they are used up"),
        });
    }
    Ok(if rule.approval == Approval::Manual { Decision::AskAPerson } else { Decision::Approve })
}

/// Checks the set sizes once both are known, before round 1.
///
/// # Errors
/// [`codes::REFUSED_BY_RULE`] with the limit that is passed.
pub fn check_sizes(rule: &Rule, our_items: u64, peer_items: u64) -> Result<(), Trouble> {
    if rule.max_peer_items > 0 && peer_items > rule.max_peer_items {
        let text = format!("a set of {peer_items} keys was brought, at most {} are allowed", rule.max_peer_items);
        return Err(Trouble::new(codes::REFUSED_BY_RULE, text));
    }
    if rule.max_ratio > 0 && peer_items > our_items.saturating_mul(rule.max_ratio) {
        let text = match rule.max_ratio {
            1 => "the set brought is larger than ours".to_owned(),
            ratio => format!("the set brought is more than {ratio} times as large as ours"),
        };
        return Err(Trouble::new(codes::REFUSED_BY_RULE, text));
    }
    Ok(())
}

fn covers(allowed: &[String], asked: &str) -> bool {
    allowed.is_empty() || allowed.iter().any(|one| one == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked<'static> {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        Asked { kind: "intersect", we_receive: false, peer_receives: true, purpose: "pilot", jobs_today: 3, now }
    }

    #[test]
    fn without_a_rule_everything_is_refused() {
        assert_eq!(decide(None, &asked()).unwrap_err().code, codes::REFUSED_NO_RULE);
    }

    #[test]
    fn each_limit_refuses_what_passes_it_and_nothing_else() {
        let open = Rule::default();
        assert_eq!(decide(Some(&open), &asked()), Ok(Decision::Approve));
        assert_eq!(
            decide(Some(&Rule { approval: Approval::Manual, ..open.clone() }), &asked()),
            Ok(Decision::AskAPerson)
        );
        let passing = [
            Rule { kinds: vec!["intersect".into()], ..open.clone() },
            Rule { receivers: Receivers::Peer, ..open.clone() },
            Rule { purposes: vec!["pilot".into()], ..open.clone() },
            Rule { jobs_per_day: 4, ..open.clone() },
            Rule { expires: Some("2026-11-22T12:00:01Z".parse().unwrap()), ..open.clone() },
        ];
        let refusing = [
            Rule { kinds: vec!["align".into()], ..open.clone() },
            Rule { receivers: Receivers::Us, ..open.clone() },
            Rule { purposes: vec!["research".into()], ..open.clone() },
            Rule { jobs_per_day: 3, ..open.clone() },
            Rule { expires: Some("2026-11-22T12:00:00Z".parse().unwrap()), ..open },
        ];
        for rule in &passing {
            assert_eq!(decide(Some(rule), &asked()), Ok(Decision::Approve), "{rule:?}");
        }
        for rule in &refusing {
            assert_eq!(decide(Some(rule), &asked()).unwrap_err().code, codes::REFUSED_BY_RULE, "{rule:?}");
        }
    }

    #[test]
    fn a_dictionary_sized_set_is_refused_before_round_1() {
        let rule = Rule { max_peer_items: 1000, max_ratio: 10, ..Rule::default() };
        assert!(check_sizes(&rule, 100, 1000).is_ok());
        assert_eq!(check_sizes(&rule, 500, 1001).unwrap_err().code, codes::REFUSED_BY_RULE);
        assert_eq!(check_sizes(&rule, 50, 501).unwrap_err().code, codes::REFUSED_BY_RULE);
    }

    #[test]
    fn a_rule_with_a_misspelt_field_is_not_read_as_a_wider_one() {
        assert!(serde_json::from_str::<Rule>(r#"{"max_peer_item":5}"#).is_err());
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_told_with_the_field_and_what_it_may_be() {
        let told = |json| Rule::read(json).unwrap_err();
        assert_eq!(told(r#"{"receivers":"both"}"#), "receivers of a rule is any, us or peer, not \"both\"");
        assert_eq!(told(r#"{"max_ratio":-1}"#), "max_ratio of a rule is a whole number, 0 for no limit, not -1");
        assert!(
            told(r#"{"max_peer_item":5}"#).starts_with("a rule has no field \"max_peer_item\"; its fields are kinds,")
        );
        assert_eq!(told("both"), "the rule is not one JSON object");
        assert_eq!(Rule::read("{}"), Ok(Rule::default()));
        let full = serde_json::to_string(&Rule { jobs_per_day: 3, ..Rule::default() }).unwrap();
        assert_eq!(Rule::read(&full).unwrap().jobs_per_day, 3);
    }

    #[test]
    fn a_rule_reads_as_words() {
        assert_eq!(Rule::default().to_string(), "every kind of job");
        let rule = Rule {
            kinds: vec!["intersect".into(), "cardinality".into()],
            receivers: Receivers::Us,
            approval: Approval::Manual,
            columns: vec!["city".into()],
            min_intersection: 100,
            jobs_per_day: 1,
            expires: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..Rule::default()
        };
        assert_eq!(
            rule.to_string(),
            "intersect, cardinality; only we receive results; of our columns only city; at least 100 in common; \
             1 job a day; a person decides each; until 2027-01-01T00:00:00Z"
        );
    }
}
