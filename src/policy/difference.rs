//! What a change of a rule changes, field by field, in words for the rule's owner.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::limits::{Limit, LimitForm, LimitName};
use super::rule::{Approval, Receivers, Rule};

/// One line for each field that differs, such as `per_day: 5 → 10 (wider)`. A line is marked as wider if the new rule
/// allows anything through this field that the old one did not. A limit that is not among `known` counts as wider
/// whatever it became, as nobody can tell.
#[must_use]
pub fn difference(old: &Rule, new: &Rule, known: &[LimitName]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |field: &str, text: Option<String>, wider: bool| {
        lines.extend(text.map(|text| format!("{field}: {text}{}", if wider { " (wider)" } else { "" })));
    };
    line("kinds", list(&old.kinds, &new.kinds), grows(&old.kinds, &new.kinds));
    line(
        "receivers",
        arrow(old.receivers.name(), new.receivers.name()),
        // Between `us` and `peer` each allows what the other does not.
        old.receivers != Receivers::Any,
    );
    line("columns", list(&old.columns, &new.columns), grows(&old.columns, &new.columns));
    let (text, wider) = free_list(old.purposes.as_deref(), new.purposes.as_deref());
    line("purposes", text, wider);
    line("per_day", arrow(number(old.per_day), number(new.per_day)), looser_cap(old.per_day, new.per_day));
    line("approval", arrow(old.approval.name(), new.approval.name()), new.approval == Approval::Automatic);
    let end = |moment: Option<jiff::Timestamp>| moment.map_or("never".to_owned(), |moment| moment.to_string());
    let later = old.expires.is_some_and(|before| new.expires.is_none_or(|now| now > before));
    line("expires", arrow(end(old.expires), end(new.expires)), later);

    let names: BTreeSet<&str> = old.limits.iter().chain(new.limits.iter()).map(|(name, _)| name).collect();
    for name in names {
        let (before, after) = (old.limits.get(name), new.limits.get(name));
        let numbers = (old.limits.floor(name), new.limits.floor(name));
        let (text, wider) = match known.iter().find(|limit| limit.name == name).map(|limit| limit.form) {
            Some(LimitForm::Cap) => (arrow(number(numbers.0), number(numbers.1)), looser_cap(numbers.0, numbers.1)),
            Some(LimitForm::Floor) => (arrow(number(numbers.0), number(numbers.1)), numbers.1 < numbers.0),
            Some(LimitForm::Words(_)) => {
                let lists = [&old.limits, &new.limits].map(|limits| limits.words(name).unwrap_or_default());
                (list(lists[0], lists[1]), grows(lists[0], lists[1]))
            }
            Some(LimitForm::Names) => free_list(old.limits.words(name), new.limits.words(name)),
            None => (arrow(shown(before), shown(after)), true),
        };
        line(name, text, wider);
    }
    lines
}

fn arrow(old: impl Display, new: impl Display) -> Option<String> {
    let (old, new) = (old.to_string(), new.to_string());
    (old != new).then(|| format!("{old} → {new}"))
}

fn number(limit: u64) -> String {
    if limit == 0 { "no limit".to_owned() } else { limit.to_string() }
}

fn looser_cap(old: u64, new: u64) -> bool {
    old > 0 && (new == 0 || new > old)
}

fn shown(limit: Option<&Limit>) -> String {
    match limit {
        None => "no limit".to_owned(),
        Some(Limit::Number(limit)) => number(*limit),
        Some(Limit::Words(words)) => words.join(", "),
    }
}

fn grows(old: &[String], new: &[String]) -> bool {
    new.iter().any(|name| !old.contains(name))
}

fn list(old: &[String], new: &[String]) -> Option<String> {
    let added = new.iter().filter(|name| !old.contains(name)).map(|name| format!("+ {name}"));
    let removed = old.iter().filter(|name| !new.contains(name)).map(|name| format!("- {name}"));
    let parts: Vec<_> = added.chain(removed).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A list without which everything is accepted.
fn free_list(old: Option<&[String]>, new: Option<&[String]>) -> (Option<String>, bool) {
    match (old, new) {
        (Some(old), Some(new)) => (list(old, new), grows(old, new)),
        (old, new) => {
            let words = |list: Option<&[String]>| match list {
                None => "any".to_owned(),
                Some([]) => "none".to_owned(),
                Some(list) => list.join(", "),
            };
            // A single word may be "any"; a limit that comes or goes is a change all the same.
            (old.is_some().ne(&new.is_some()).then(|| format!("{} → {}", words(old), words(new))), old.is_some())
        }
    }
}
