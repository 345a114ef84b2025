//! A change of a rule, as its owner writes it: what it names changes, what it omits stays.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::limits::{Known, Limit, LimitForm, LimitName};
use super::rule::{Approval, Receivers, Rule};

/// The fields of a rule and what each may be set to.
const FIELDS: [(&str, &str); 8] = [
    ("kinds", "a list of names, or \"all\" for those there are now"),
    ("receivers", "any, us or peer"),
    ("approval", "automatic or manual"),
    ("purposes", "a list of words, or null for any purpose"),
    ("columns", "a list of names, or \"all\" for those there are now"),
    ("per_day", "a whole number, 0 for no limit"),
    ("expires", "a moment such as 2027-01-01T00:00:00Z, or null for no end"),
    ("limits", "an object with a number or a list of words under each name"),
];

/// What to change of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    kinds: Option<Vec<String>>,
    receivers: Option<Receivers>,
    approval: Option<Approval>,
    purposes: Option<Option<Vec<String>>>,
    columns: Option<Vec<String>>,
    per_day: Option<u64>,
    expires: Option<Option<jiff::Timestamp>>,
    limits: BTreeMap<String, Option<Limit>>,
}

impl Change {
    /// Reads a change from a JSON object with the fields of a [`Rule`], any of them. `null` takes a limit away; `"all"`
    /// stands for the names that are known now, which the rule will hold one by one.
    ///
    /// # Errors
    /// Which field or name is wrong and what it may be, in words for who wrote it.
    pub fn read(json: &str, known: &Known<'_>) -> Result<Self, String> {
        let fields: serde_json::Map<String, Value> =
            serde_json::from_str(json).map_err(|_| "the rule is not one JSON object".to_owned())?;
        let mut change = Self::default();
        for (name, value) in &fields {
            let Some((_, form)) = FIELDS.iter().find(|(field, _)| field == name) else {
                let fields = FIELDS.map(|(field, _)| field).join(", ");
                return Err(format!("a rule has no field {name:?}; its fields are {fields}"));
            };
            change.take(name, value, known).map_err(|wrong| match wrong {
                Wrong::Form => format!("{name} of a rule is {form}, not {value}"),
                Wrong::Name(text) => text,
            })?;
        }
        Ok(change)
    }

    /// The end that the change gives the rule, if it gives one.
    #[must_use]
    pub fn expires(&self) -> Option<jiff::Timestamp> {
        self.expires.flatten()
    }

    /// A rule with this change: everything that the change does not name is as it was.
    #[must_use]
    pub fn merge(&self, rule: &Rule) -> Rule {
        let mut limits = rule.limits.clone();
        for (name, limit) in &self.limits {
            limits.set(name, limit.clone());
        }
        Rule {
            kinds: self.kinds.as_ref().unwrap_or(&rule.kinds).clone(),
            receivers: self.receivers.unwrap_or(rule.receivers),
            approval: self.approval.unwrap_or(rule.approval),
            purposes: self.purposes.as_ref().unwrap_or(&rule.purposes).clone(),
            columns: self.columns.as_ref().unwrap_or(&rule.columns).clone(),
            per_day: self.per_day.unwrap_or(rule.per_day),
            expires: self.expires.unwrap_or(rule.expires),
            limits,
        }
    }

    fn take(&mut self, field: &str, value: &Value, known: &Known<'_>) -> Result<(), Wrong> {
        match field {
            "kinds" => self.kinds = Some(listed(value, known.kinds, "kind of job", "kinds")?),
            "columns" => self.columns = Some(listed(value, known.columns, "column", "columns")?),
            "receivers" => self.receivers = Some(read(value)?),
            "approval" => self.approval = Some(read(value)?),
            "purposes" => self.purposes = Some(if value.is_null() { None } else { Some(distinct(value)?) }),
            "per_day" => self.per_day = Some(read(value)?),
            "expires" => self.expires = Some(read(value)?),
            _ => {
                for (name, value) in value.as_object().ok_or(Wrong::Form)? {
                    self.limits.insert(name.clone(), limit(name, value, known.limits)?);
                }
            }
        }
        Ok(())
    }
}

/// Why a field is refused.
enum Wrong {
    /// It is not what its form says.
    Form,
    /// It holds a name that there is not, in words.
    Name(String),
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    serde_json::from_value(value.clone()).map_err(|_| Wrong::Form)
}

/// A list of words, each once, in the order given.
fn distinct(value: &Value) -> Result<Vec<String>, Wrong> {
    let mut words = Vec::new();
    for word in read::<Vec<String>>(value)? {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    Ok(words)
}

/// A list of names that there are.
fn listed(value: &Value, known: &[&str], one: &str, many: &str) -> Result<Vec<String>, Wrong> {
    if value.as_str() == Some("all") {
        return Ok(known.iter().map(|name| (*name).to_owned()).collect());
    }
    let names = distinct(value)?;
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => {
            Err(Wrong::Name(format!("there is no {one} {unknown:?}; the {many} are {}", known.join(", "))))
        }
        None => Ok(names),
    }
}

fn limit(name: &str, value: &Value, known: &[LimitName]) -> Result<Option<Limit>, Wrong> {
    let Some(limit) = known.iter().find(|limit| limit.name == name) else {
        let known = known.iter().map(|limit| limit.name).collect::<Vec<_>>().join(", ");
        return Err(Wrong::Name(format!("a rule has no limit {name:?}; its limits are {known}")));
    };
    let (read, form) = match limit.form {
        // Without the limit none of its words is accepted, so that taking it away says the opposite of what is meant.
        LimitForm::Words(words) => (
            listed(value, words, &format!("word for {name},"), "words").map(|words| Some(Limit::Words(words))),
            format!("some of {}, or \"all\" for those there are now", words.join(", ")),
        ),
        _ if value.is_null() => return Ok(None),
        LimitForm::Names => {
            (distinct(value).map(|names| Some(Limit::Words(names))), "a list of names, or null for any name".to_owned())
        }
        LimitForm::Cap | LimitForm::Floor => {
            (read(value).map(|number| Some(Limit::Number(number))), "a whole number, 0 for no limit".to_owned())
        }
    };
    read.map_err(|wrong| match wrong {
        Wrong::Form => Wrong::Name(format!("{name} is {}: {form}, not {value}", limit.what)),
        told @ Wrong::Name(_) => told,
    })
}
