//! The link with one peer.
//!
//! | file | holds |
//! |---|---|
//! | `keep.rs` | a link with the tasks that keep it: [`keep`]; a call of the peer: [`welcome`] |
//! | `connection_loop.rs`, `outbound.rs` | one connection in use: what comes in, what goes out |
//! | `dialler.rs`, `greeting.rs` | how a connection comes about |
//! | `session_link.rs`, `doorbell.rs` | our end of one session, and what wakes whoever computes for it |
//! | `link.rs`, `common.rs` | the link, and what all links share |
//! | `state.rs`, `session.rs` | what is known about a link and its sessions: envelopes in, envelopes out |
//! | `pending_requests.rs`, `answering.rs` | what we ask the peer; what it asks our services, each at its own pace |
//! | `window.rs`, `turns.rs`, `rate_limiter.rs` | their parts |

mod answering;
mod common;
mod connection_loop;
mod dialler;
mod doorbell;
mod greeting;
mod keep;
#[allow(clippy::module_inception)] // The room's one large type bears its name.
mod link;
mod link_state;
mod outbound;
mod pending_requests;
mod rate_limiter;
mod session;
mod session_link;
mod state;
mod turns;
mod window;

pub use answering::{BUSY, NO_SERVICE};
pub(crate) use common::Common;
pub use common::Inbox;
pub use doorbell::Doorbell;
pub(crate) use keep::{keep, welcome};
pub(crate) use link::Link;
pub use link_state::{Departure, LinkState};
pub use session_link::{SessionLimits, SessionLink, UnfitFrame};
pub use window::{BEYOND_WINDOW, FALSE_ACKNOWLEDGEMENT};
