//! How two parties reach each other: one authenticated connection per pair, one link above it that outlives it.
//!
//! | part | holds |
//! |---|---|
//! | [`TlsIdentity`], [`Pin`], [`PeerDirectory`] | who a party is, and whom it knows |
//! | [`Transport`], [`Connection`], [`Envelope`] | moving envelopes between two parties: [`Grpc`] for real, [`MemoryHub`] in one process |
//! | [`SessionLink`], [`LinkState`], [`Inbox`], [`Pace`] | what a link offers whatever becomes of its connections |
//! | [`https`] | one question to somebody who is no peer |
//! | [`LinkError`], [`Refusal`] | what can be wrong with a link |
//!
//! See `README.md` in this folder for the rules of the streams.

mod connection;
mod directory;
mod enrolment;
mod envelope;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    include!("generated/tacitly.exchange.v1.rs");
}
mod grpc;
pub mod https;
mod identity;
mod link;
mod memory;
mod settings;
mod stream;
mod streams;
mod tls;
mod wire;

pub use connection::{Connection, LastSeen, Pending, Transport};
pub use directory::{Entry, PeerDirectory, Roster};
pub use enrolment::{Application, EnrolError, Enroller, Inviter, Welcome};
pub use envelope::{BootId, CloseReason, Envelope, Hello, Lane, Notice, Window, WireRange};
pub use error::{LinkError, Refusal, TlsAlert};
pub use grpc::Grpc;
pub(crate) use grpc::bare;
pub use identity::{IdentityError, MalformedPin, Pin, TlsIdentity};
pub use link::{
    BEYOND_WINDOW, BUSY, Departure, Doorbell, FALSE_ACKNOWLEDGEMENT, Inbox, LinkState, NO_SERVICE, SessionLimits,
    SessionLink, UnfitFrame,
};
pub(crate) use link::{Common, Link, keep, welcome};
pub use memory::{MemoryHub, MemoryTransport, Tap};
pub use settings::{Pace, Settings, UnfitSettings};
pub(crate) use stream::over_stream;
