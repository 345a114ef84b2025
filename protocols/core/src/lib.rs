//! What every protocol of Tacitly shares: who takes part, what they agreed, how a protocol is driven,
//! and how it may end.
//!
//! Nothing here opens a socket, reads a clock or draws randomness of its own. A protocol is a [`Party`]:
//! a deterministic state machine that a driver polls for frames and feeds with frames. The same object runs
//! in the daemon, in the [simulator](simulate), in fuzzers, in benches and under Python.
//!
//! | module | holds |
//! |---|---|
//! | [`PartyId`] | the name of an institution |
//! | [`Terms`] | what all sides agree before round 1, as canonical bytes with one hash |
//! | [`Frame`], [`Channel`] | numbered messages bound to one session |
//! | [`Party`] | the one shape of every protocol |
//! | [`Mapped`] | a party whose answer is made into something else |
//! | [`Script`], [`Mailbox`] | a party written as an async function, resumed by hand |
//! | [`Fault`], [`Stall`], [`Halt`] | the endings that are not an answer, each naming someone |
//! | [`Seed`] | the only randomness a party gets |
//! | [`Dyadic`] | fractions in terms, without floats |
//! | [`text`] | words of somebody else in front of a person |

mod dyadic;
mod fault;
mod frame;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub mod fuzzing;
mod mapped;
mod party;
mod party_id;
mod script;
mod seed;
#[cfg(any(test, doc, feature = "simulate"))]
pub mod simulate;
mod terms;
pub mod text;

pub use dyadic::{Dyadic, MalformedDyadic};
pub use fault::{Fault, Halt, Misuse, Stall, Violation, code};
pub use frame::{Channel, Frame, SessionTag};
pub use mapped::Mapped;
pub use party::{Checkpoint, Party, Progress};
pub use party_id::{MalformedPartyId, PartyId};
pub use script::{Mailbox, Roles, Script};
pub use seed::Seed;
pub use terms::{MalformedTerms, Terms, TermsHash, TermsMismatch, Value};
