//! What can be wrong with a link. Nobody is accused of breaking a protocol because a cable failed.

use std::time::Duration;

use jiff::Timestamp;
use tacitly_core::PartyId;

use super::envelope::{CloseReason, WireRange};
use super::identity::Pin;

/// Why a link is down, or why something could not be done over it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The link has not been up since this process started.
    #[error("there has been no connection with {peer} yet")]
    NotYet {
        /// Whom we wait for.
        peer: PartyId,
    },
    /// The name is nobody we know.
    #[error("no peer is named {peer}; pin its key with `tacitly peer invite NAME` here or `tacitly peer join` there")]
    UnknownPeer {
        /// The name.
        peer: PartyId,
    },
    /// We know no address to dial, and the peer has not dialled us.
    #[error("no address is set for {peer} and it has not dialled us; set its address or wait for its call")]
    NoAddress {
        /// Whom.
        peer: PartyId,
    },
    /// No connection came about.
    #[error("cannot reach {peer} at {address}: {detail}")]
    Unreachable {
        /// Whom.
        peer: PartyId,
        /// Where we dialled.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// We refuse the peer's certificate.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer refuses our certificate.
    #[error("{peer} refused our certificate: {alert}")]
    RefusedByPeer {
        /// Who.
        peer: PartyId,
        /// Why, as far as TLS tells.
        alert: TlsAlert,
    },
    /// The handshake failed for another reason than a certificate.
    #[error("the TLS handshake with {who} failed: {detail}; both sides need TLS 1.3 and a direct or pass-through path")]
    Handshake {
        /// A party's name, or an address while it has none.
        who: String,
        /// What the TLS library said.
        detail: String,
    },
    /// No wire version in common.
    #[error(
        "{peer} ({theirs_software}) speaks wire version {theirs}, we ({ours_software}) speak {ours}; upgrade the older"
    )]
    Version {
        /// Who.
        peer: PartyId,
        /// What we speak.
        ours: WireRange,
        /// Our build.
        ours_software: String,
        /// What the peer speaks.
        theirs: WireRange,
        /// Its build.
        theirs_software: String,
    },
    /// The greeting names another party than the certificate.
    #[error("{peer} introduced itself as {claimed}, which is not the name in its certificate")]
    WrongParty {
        /// Whose certificate it is.
        peer: PartyId,
        /// The name in the greeting.
        claimed: PartyId,
    },
    /// The greeting names a connection beside the one that is used.
    #[error("{peer} wants a connection in lane {lane}; only lane 0 is used by this version")]
    Lane {
        /// Who.
        peer: PartyId,
        /// Which.
        lane: u8,
    },
    /// Nothing was heard for two heartbeats.
    #[error("nothing was heard from {peer} for {} s", silence.as_secs_f32())]
    Silent {
        /// Whom.
        peer: PartyId,
        /// For how long.
        silence: Duration,
    },
    /// The peer closed the connection on purpose.
    #[error("{peer} closed the connection: {why}")]
    Closed {
        /// Who.
        peer: PartyId,
        /// Its reason.
        why: CloseReason,
    },
    /// The connection broke.
    #[error("the connection with {peer} broke: {detail}")]
    Broken {
        /// With whom.
        peer: PartyId,
        /// What the system said.
        detail: String,
    },
    /// The peer broke the rules of the stream.
    #[error("{peer} broke the rules of the stream: {rule}")]
    Violation {
        /// Who.
        peer: PartyId,
        /// Which rule.
        rule: &'static str,
    },
    /// The peer is no longer in the directory, or the key it connected with is not.
    #[error("{peer} is no longer a peer with the key it connected with")]
    Withdrawn {
        /// Who.
        peer: PartyId,
    },
    /// No answer in time. The request may have been carried out.
    #[error("{peer} did not answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// Who.
        peer: PartyId,
        /// How long we waited.
        after: Duration,
    },
    /// The connection ended between request and answer. The request may have been carried out.
    #[error("the connection with {peer} ended before its answer came")]
    Interrupted {
        /// With whom.
        peer: PartyId,
    },
    /// The peer did not handle the request.
    #[error("{peer} declined the request: {code}")]
    Declined {
        /// Who.
        peer: PartyId,
        /// Why.
        code: String,
    },
    /// Our own message does not fit.
    #[error("a message of {found} bytes, at most {limit} are sent")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// As many sessions with this peer are open as may be.
    #[error("{limit} sessions with {peer} are open already; wait for one to end")]
    TooManySessions {
        /// With whom.
        peer: PartyId,
        /// The limit.
        limit: usize,
    },
    /// The session is open already.
    #[error("this session with {peer} is open already")]
    AlreadyOpen {
        /// With whom.
        peer: PartyId,
    },
    /// Our own process stops.
    #[error("this party is shutting down")]
    ShuttingDown,
}

/// Why a certificate is refused. The text says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is over.
    #[error("the certificate of {party} expired on {}; run `tacitly identity rotate` there", day(*on))]
    Expired {
        /// Whose.
        party: PartyId,
        /// When.
        on: Timestamp,
    },
    /// Its time has not come.
    #[error("the certificate of {party} is valid from {}; check the clocks of both machines", from)]
    NotYetValid {
        /// Whose.
        party: PartyId,
        /// From when.
        from: Timestamp,
    },
    /// Nobody we know has this key.
    #[error("the key {pin} is not pinned for {party}; compare it with `tacitly identity show` there, then pin it")]
    UnknownPin {
        /// Who the certificate says it is.
        party: PartyId,
        /// Its key.
        pin: Pin,
    },
    /// The key is pinned for one party and the certificate names another.
    #[error(
        "the key of {expected} came with a certificate for {found}; make a new one there: `tacitly identity rotate`"
    )]
    WrongName {
        /// Whose key it is, or whom we dialled.
        expected: PartyId,
        /// Whom the certificate names.
        found: PartyId,
    },
    /// It names no party, or cannot be read.
    #[error("the certificate is not one of a party: {0}")]
    NotAParty(&'static str),
}

/// What a peer has against our certificate, as far as a TLS alert tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsAlert {
    /// Expired, or not yet valid by the peer's clock.
    #[error("it is expired, or not valid yet by its clock; run `tacitly identity rotate` here or compare the clocks")]
    OutOfTime,
    /// The key is not pinned there.
    #[error("our key is not pinned there; compare `tacitly identity show` here with `tacitly peer list` there")]
    UnknownPin,
    /// The key is pinned there under another name, or the certificate cannot be read.
    #[error("the name in it is not the one our key is pinned for there, or it cannot be read there")]
    WrongName,
    /// Anything else.
    #[error("for a reason that TLS does not tell; its log does")]
    Other,
}

fn day(timestamp: Timestamp) -> impl std::fmt::Display {
    timestamp.strftime("%Y-%m-%d")
}
