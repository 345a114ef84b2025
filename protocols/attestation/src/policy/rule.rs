//! What stands in a policy: its witnesses, and what its names stand for.

use crate::note::VerifierKey;

/// One witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its name within the policy.
    pub name: String,
    /// The key it cosigns with.
    pub key: VerifierKey,
}

/// What a name of the policy stands for; members are places in the list of rules, all of them earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Witness(usize),
    Group { needed: usize, members: Vec<usize> },
}
