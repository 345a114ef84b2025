//! Other parties: who is pinned, how one joins; consortia, whose members need not meet; their daemons: asking them outside sessions, and answering them.
//!
//! | file | holds |
//! |---|---|
//! | `peers.rs` | [`Peers`]: invite, join, remove; ask a service over there; wait for a link |
//! | `directory.rs`, `invitation.rs` | what the network asks about partners; what an invitation carries |
//! | `inbox.rs` | [`Inbox`]: which of our services, each a [`Handler`], answers what a peer asks, and how fast |
//! | `rotation.rs` | [`Rotation`]: a new TLS key |
//! | `rosters.rs` | [`Rosters`]: found, join and leave a consortium |
//! | `background.rs` | work that nobody waits for |
//! | `message.rs` | bytes ↔ messages |
//!
//! A question is put to a service, "peers", "attest", "relay", "jobs" or "questions", in that service's own words, and each
//! service has its own pace. Whatever is asked may be asked again.

mod background;
mod directory;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inbox;
mod invitation;
mod message;
#[allow(clippy::module_inception)] // The room's one large service bears its name.
mod peers;
mod rosters;
mod rotation;
#[cfg(test)]
pub(crate) mod tests;

pub use background::Background;
pub use directory::Directory;
pub use inbox::{Handler, Inbox};
pub use invitation::{ENROLMENT_CONTEXT, ReadInvitation, enrolment_words, read_invitation};
pub use message::generated as wire;
pub use peers::{Invitation, PeerView, Peers};
pub use rosters::{MemberView, RosterView, Rosters};
pub use rotation::{IdentityFiles, Rotated, Rotation};
