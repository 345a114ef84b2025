//! What the fuzz target of this room calls.

use super::{Asked, Rule, check_sizes, decide};

/// A rule that is read is the same rule when it is written and read again, can be shown, and decides; one that is not read
/// is refused in words.
///
/// # Panics
/// If that is not so: never, if this room is right.
pub fn rule(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rule = match Rule::read(text) {
        Ok(rule) => rule,
        Err(refused) => {
            assert!(!refused.is_empty());
            return;
        }
    };
    let written = serde_json::to_string(&rule).expect("a rule can be written");
    assert_eq!(Rule::read(&written).as_ref(), Ok(&rule), "a rule is not written as it was read");
    assert!(!rule.to_string().is_empty());
    let asked = Asked {
        kind: "align",
        we_receive: true,
        peer_receives: true,
        purpose: "fuzz",
        jobs_today: u64::MAX,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let (without, with) = (decide(None, &asked), decide(Some(&rule), &asked));
    assert!(without.is_err(), "without a rule nothing is allowed");
    assert!(rule.jobs_per_day == 0 || with.is_err(), "as many jobs as can be are more than {}", rule.jobs_per_day);
    let sizes = check_sizes(&rule, 0, u64::MAX);
    assert!(rule.max_ratio == 0 || sizes.is_err(), "a peer's set is compared with ours, of whatever size");
}
