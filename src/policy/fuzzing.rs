//! What the fuzz target of this room calls.

use std::collections::BTreeSet;

use super::{Asked, Change, Known, LimitForm, LimitName, Other, Rule, decide, difference};

const LIMITS: [LimitName; 3] = [
    LimitName { name: "max_items", form: LimitForm::Cap, what: "items" },
    LimitName { name: "min_items", form: LimitForm::Floor, what: "items" },
    LimitName { name: "methods", form: LimitForm::Words(&["one", "two"]), what: "methods" },
];

/// A change that is read makes a rule that is the same when it is written and read again, can be shown, differs from what
/// was there only in words for people, and decides; one that is not read is refused in words.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn rule(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = Known { kinds: &["align", "intersect"], columns: &["city", "age"], limits: &LIMITS };
    let change = match Change::read(text, &known) {
        Ok(change) => change,
        Err(refused) => {
            assert!(!refused.is_empty());
            return;
        }
    };
    let before = Rule::open(&known);
    let rule = change.merge(&before);
    assert_eq!(change.merge(&rule), rule, "the same change twice changes something the second time");
    let written = serde_json::to_string(&rule).expect("a rule can be written");
    let again: Rule = serde_json::from_str(&written).expect("a rule can be read back");
    assert_eq!(again, rule, "a rule is not written as it was read");
    assert!(!rule.to_string().is_empty());
    assert_eq!(difference(&before, &rule, &LIMITS).is_empty(), before == rule, "a difference is shown, and no other");
    let party = "shop".parse().expect("a fixed, valid name");
    let receivers = BTreeSet::from([party]);
    let me = "bank".parse().expect("a fixed, valid name");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let asked = |kind| Asked { kind, purpose: "fuzz", receivers: &receivers, me, now };
    let other = |rule| Other { party, rule, jobs_today: u64::MAX };
    assert!(decide(&other(None), &asked("align")).is_err(), "without a rule nothing is allowed");
    assert!(decide(&other(Some(&rule)), &asked("train")).is_err(), "a kind that it does not name");
    let with = decide(&other(Some(&rule)), &asked("align"));
    assert!(rule.per_day == 0 || with.is_err(), "as many jobs as can be are too many");
}
