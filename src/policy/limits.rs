//! The limits of a rule that kinds of job declare: what a limit is, and the strictest of several rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One limit as a rule holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// A number: a cap or a floor, as the limit's [`LimitForm`] says.
    Number(u64),
    /// The words that are accepted, and no others; an empty list accepts none.
    Words(Vec<String>),
}

/// A limit that a kind of job declares, so that a misspelt one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitName {
    /// Its name in a rule, the same in every kind that declares it.
    pub name: &'static str,
    /// What a rule may set it to.
    pub form: LimitForm,
    /// What it limits, in words that follow "NAME is", such as "the smallest intersection that may be released".
    pub what: &'static str,
}

/// What a limit may be set to, and which of two settings is the stricter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitForm {
    /// The largest number allowed: the smaller one is stricter, and none is no limit.
    Cap,
    /// The smallest number allowed: the larger one is stricter, and none is no limit.
    Floor,
    /// Some of these words of the software. A rule without the limit accepts none of them: it was written before they
    /// could be asked for.
    Words(&'static [&'static str]),
    /// Names that the owner chooses, such as parties. A rule without the limit accepts every name.
    Names,
}

/// What there is at this moment: names beyond it are refused, and "all" means these.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The kinds of job.
    pub kinds: &'a [&'a str],
    /// The columns of the dataset.
    pub columns: &'a [&'a str],
    /// The limits that the kinds declare.
    pub limits: &'a [LimitName],
}

/// The limits of one rule, or the strictest of several rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<String, Limit>);

impl Limits {
    /// The cap of this name, if there is one.
    #[must_use]
    pub fn cap(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Limit::Number(number)) if *number > 0 => Some(*number),
            _ => None,
        }
    }

    /// The floor of this name, 0 if there is none.
    #[must_use]
    pub fn floor(&self, name: &str) -> u64 {
        self.cap(name).unwrap_or(0)
    }

    /// The list of this name, if there is one. Without it, words of the software ([`LimitForm::Words`]) are all
    /// refused, names of the owner's choice ([`LimitForm::Names`]) all accepted.
    #[must_use]
    pub fn words(&self, name: &str) -> Option<&[String]> {
        match self.0.get(name) {
            Some(Limit::Words(words)) => Some(words),
            _ => None,
        }
    }

    /// Sets a limit, or takes it away with `None`. The number 0 is no limit.
    pub fn set(&mut self, name: &str, limit: Option<Limit>) {
        match limit {
            None | Some(Limit::Number(0)) => self.0.remove(name),
            Some(limit) => self.0.insert(name.to_owned(), limit),
        };
    }

    /// These limits with one more.
    #[must_use]
    pub fn with(mut self, name: &str, limit: Limit) -> Self {
        self.set(name, Some(limit));
        self
    }

    /// The limit of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Limit> {
        self.0.get(name)
    }

    /// All of them by name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Limit)> {
        self.0.iter().map(|(name, limit)| (name.as_str(), limit))
    }

    /// Per name of `known`, the strictest setting among `all`: the smallest cap, the largest floor, and the words that
    /// every one accepts. Other names are left out, as no kind reads them.
    #[must_use]
    pub fn strictest(all: &[&Self], known: &[LimitName]) -> Self {
        let mut strictest = Self::default();
        for limit in known {
            let caps = all.iter().filter_map(|limits| limits.cap(limit.name));
            let lists = all.iter().map(|limits| limits.words(limit.name));
            let found = match limit.form {
                LimitForm::Cap => caps.min().map(Limit::Number),
                LimitForm::Floor => caps.max().map(Limit::Number),
                LimitForm::Words(_) => in_all(lists.map(Option::unwrap_or_default)).map(Limit::Words),
                LimitForm::Names => in_all(lists.flatten()).map(Limit::Words),
            };
            strictest.set(limit.name, found);
        }
        strictest
    }
}

/// The words that are in every list, sorted; none if there is no list.
fn in_all<'a>(mut lists: impl Iterator<Item = &'a [String]>) -> Option<Vec<String>> {
    let mut words = lists.next()?.to_vec();
    for list in lists {
        words.retain(|word| list.contains(word));
    }
    words.sort_unstable();
    words.dedup();
    Some(words)
}
