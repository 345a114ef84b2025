//! The limits that jobs of private set intersection let a rule set.

use crate::codes::{self, Error};
use crate::policy::{LimitForm, LimitName, Limits};

pub(super) const MIN_INTERSECTION: &str = "min_intersection";
const MAX_PEER_ITEMS: &str = "max_peer_items";
const MAX_RATIO: &str = "max_ratio";

/// Every limit that a rule may name.
pub(super) static LIMITS: [LimitName; 3] = [
    LimitName {
        name: MIN_INTERSECTION,
        form: LimitForm::Floor,
        what: "the smallest intersection that may be released",
    },
    // A set of all telephone numbers is a dictionary attack.
    LimitName { name: MAX_PEER_ITEMS, form: LimitForm::Cap, what: "the largest set the peer may bring" },
    LimitName { name: MAX_RATIO, form: LimitForm::Cap, what: "how many times larger than ours the peer's set may be" },
];

/// The smallest intersection that may be released, if a size phase has to run first for it.
pub(super) fn minimum(limits: &Limits) -> Option<u64> {
    Some(limits.floor(MIN_INTERSECTION)).filter(|minimum| *minimum > 1)
}

/// Checks the set sizes once both are known, before round 1.
///
/// # Errors
/// [`codes::REFUSED_BY_RULE`] with the limit that is passed.
pub(super) fn check_sizes(limits: &Limits, our_items: u64, peer_items: u64) -> Result<(), Error> {
    if let Some(most) = limits.cap(MAX_PEER_ITEMS)
        && peer_items > most
    {
        let text = format!("a set of {peer_items} keys was brought, at most {most} are allowed");
        return Err(Error::new(codes::REFUSED_BY_RULE, text));
    }
    if let Some(ratio) = limits.cap(MAX_RATIO)
        && peer_items > our_items.saturating_mul(ratio)
    {
        let text = match ratio {
            1 => "the set brought is larger than ours".to_owned(),
            ratio => format!("the set brought is more than {ratio} times as large as ours"),
        };
        return Err(Error::new(codes::REFUSED_BY_RULE, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Limit;

    #[test]
    fn a_dictionary_sized_set_is_refused_before_round_1() {
        let limits = Limits::default().with(MAX_PEER_ITEMS, Limit::Number(1000)).with(MAX_RATIO, Limit::Number(10));
        assert!(check_sizes(&limits, 100, 1000).is_ok());
        assert_eq!(check_sizes(&limits, 500, 1001).unwrap_err().code, codes::REFUSED_BY_RULE);
        assert_eq!(check_sizes(&limits, 50, 501).unwrap_err().code, codes::REFUSED_BY_RULE);
        assert!(check_sizes(&Limits::default(), 1, u64::MAX).is_ok());
    }

    #[test]
    fn a_minimum_that_every_result_meets_needs_no_size_phase() {
        for (floor, minimum_kept) in [(0, None), (1, None), (2, Some(2))] {
            let limits = Limits::default().with(MIN_INTERSECTION, Limit::Number(floor));
            assert_eq!(minimum(&limits), minimum_kept, "{floor}");
        }
    }
}
