//! Sessions between two members of a job who have no link with each other: through the leader, who is trusted with
//! nothing but to pass on. So of 128 banks each needs a link with the leader only, and the others' keys (a roster).
//!
//! | file | holds |
//! |---|---|
//! | `relay.rs` | [`Relay`]: the service; [`Membership`]: our place in one attempt at a job |
//! | `member.rs`, `line.rs`, `transport.rs` | a member's lines with the others, as a transport that [`Network`](crate::session::Network) runs on |
//! | `leader.rs` | the leader between them |
//! | `seal.rs` | the channel inside a line |
//! | `circle.rs` | who takes part, and who was found to break the rules |
//! | `post.rs`, `message.rs` | how pieces travel; bytes ↔ messages |
//!
//! # How
//!
//! A member that opens a session with another opens a *line*: bytes in both directions, cut into numbered *pieces*. A
//! piece is a question to the leader, who asks the receiver the same, byte for byte; the answer comes back the same way,
//! and only then the next piece goes out. Inside a line is TLS 1.3 in which both ends prove the Ed25519 keys that stand in
//! the job's terms, as raw public keys (RFC 7250); inside that, the same envelopes as on any link, with their sessions,
//! acknowledgements and replay. A line that breaks is replaced by another one, as a connection is.
//!
//! # What the leader can do
//!
//! It sees who talks to whom, when, and how many bytes. It can withhold, which ends as any lost link: the session stalls,
//! and the job names the leader for it. One that lets just so much through that no link is given up holds the job until
//! its deadline. Nothing else goes unnoticed:
//!
//! | the leader | what comes of it |
//! |---|---|
//! | changes a piece, or makes one up | its signature fails: `relay-signature`, the leader is named |
//! | gives a piece to another member, or under another name | `relay-address`, the leader is named |
//! | leaves a piece out or swaps two | an honest one hands on in order only: `relay-order`, the leader is named |
//! | repeats a piece | it was taken: nothing happens |
//! | repeats a whole line of earlier | its handshake fails, since we prove a fresh one: nothing happens |
//! | says that a piece was taken which it dropped | the next one is a gap: `relay-order`; without a next one, silence |
//!
//! The signature of each piece is there for the name. TLS alone would notice the same tampering, and could not tell
//! the leader's from the origin's: a member that puts rubbish into its own line would have the leader blamed, and the
//! other way round. With it, what is signed, in order and no record of a channel that was established is its origin's
//! doing (`relay-record`). A leader that is lied to by a member names it by the same rules, and hands nothing of it on. A
//! handshake that fails names nobody, since old pieces may have been repeated into it.
//!
//! # Bounds
//!
//! A piece carries at most 128 KiB. A member has 8 pieces under way, of all its lines; the leader takes no more of it at a
//! time and keeps none: what it holds is what is under way, at most 1 MiB for each member. How fast a member may bring them
//! is the pace of the service (`requests_per_second`, where each 16 KiB counts). A receiver keeps 8 pieces of a line that
//! are not read yet, and 4 lines with each member. Of a line one piece is under way in each direction, so it carries 128 KiB
//! per round trip over both links.
//!
//! # Who goes this way
//!
//! Two parties that are peers of each other use their own link, also while it is down. Being peers is mutual; where one has
//! removed the other it is not, and their session stalls until it is mended.

mod circle;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod leader;
mod line;
mod member;
mod message;
mod post;
#[allow(clippy::module_inception)] // The room's one large service bears its name.
mod relay;
mod seal;
#[cfg(test)]
mod tests;
mod transport;

pub use circle::{Broken, Circle};
pub use message::generated as wire;
pub use post::Post;
pub use relay::{Membership, Relay};
