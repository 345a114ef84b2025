//! What the process at the other end does.

use super::error::BenchError;
use super::other::{ECHO, SENDERS};
use super::{lockstep, star};

/// What the process at the other end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers every round.
    Echo,
    /// Many parties that send.
    Senders,
}

impl Role {
    /// The role of that name, as it stands on a command line.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Echo, Self::Senders].into_iter().find(|role| role.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Echo => ECHO,
            Self::Senders => SENDERS,
        }
    }

    /// Plays the role until the input ends.
    ///
    /// # Errors
    /// [`BenchError`]
    pub fn play(self) -> Result<(), BenchError> {
        match self {
            Self::Echo => lockstep::echo(),
            Self::Senders => star::send(),
        }
    }
}
