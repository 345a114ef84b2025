//! How a party that is not a peer yet becomes one: it holds an invitation, dials, and presents itself.

use bytes::Bytes;
use tacitly_core::PartyId;
use tacitly_core::text::is_printable;

use super::connection::Pending;
use super::envelope::is_code;
use super::error::LinkError;
use super::generated as pb;
use super::identity::Pin;

/// Bounds on what a stranger may hand in, in bytes.
const MAX_TOKEN: usize = 256;
const MAX_IDENTITY_KEY: usize = 1024;
const MAX_ADDRESS: usize = 256;

/// What a joiner knows of its inviter, from the invitation code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inviter {
    /// Its name.
    pub party: PartyId,
    /// Where it can be dialled, as `host:port`.
    pub address: String,
    /// The proxy on the way there, as `http://host:port`.
    pub proxy: Option<String>,
    /// Its key.
    pub pin: Pin,
}

/// What a joiner hands in. It holds a one-time secret, so it does not print.
pub struct Application {
    /// The secret of the invitation.
    pub token: Bytes,
    /// The joiner's signing key, tagged with its algorithm.
    pub identity_key: Bytes,
    /// Where the joiner can be dialled, if it can.
    pub address: Option<String>,
    /// Its signature, with that key, under who joins whom with which pin.
    pub signature: Bytes,
}

/// What the inviter gives in return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The inviter's signing key, tagged with its algorithm.
    pub identity_key: Bytes,
    /// Its signature, with that key, under who welcomes whom with which pin, for this token.
    pub signature: Bytes,
}

/// Decides on those who want to become peers.
pub trait Enroller: Send + Sync + 'static {
    /// `party` proved that it holds the key `pin`, and asks to be pinned. It may be a peer already (its answer was
    /// lost, or it comes back with a new TLS key): its signing key decides then, beside the token.
    ///
    /// The future fails with the stable code that the applicant is told.
    fn enrol(&self, party: PartyId, pin: Pin, application: Application) -> Pending<'_, Result<Welcome, &'static str>>;
}

/// Why an enrolment came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// There was no connection, or it broke.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The inviter said no.
    #[error(
        "{inviter} refused ({code}): the invitation was used before or has expired, or {inviter} knows a party of our name \
         with another key; ask for a new one"
    )]
    Refused {
        /// Who.
        inviter: PartyId,
        /// Why.
        code: String,
    },
    /// The inviter's answer makes no sense.
    #[error("{inviter} gave an answer that cannot be read")]
    Malformed {
        /// Who.
        inviter: PartyId,
    },
}

pub(super) fn application_to_wire(application: Application) -> pb::EnrolRequest {
    pb::EnrolRequest {
        token: application.token,
        identity_key: application.identity_key,
        address: application.address.unwrap_or_default(),
        signature: application.signature,
    }
}

/// A stranger's application, or `None` if it is out of bounds.
pub(super) fn application_from_wire(request: pb::EnrolRequest) -> Option<Application> {
    let fits = request.token.len() <= MAX_TOKEN
        && request.identity_key.len() <= MAX_IDENTITY_KEY
        && request.address.len() <= MAX_ADDRESS
        && request.signature.len() <= MAX_IDENTITY_KEY
        && request.address.chars().all(|c| is_printable(c) && !c.is_whitespace());
    fits.then(|| Application {
        token: request.token,
        identity_key: request.identity_key,
        address: Some(request.address).filter(|address| !address.is_empty()),
        signature: request.signature,
    })
}

pub(super) fn answer_to_wire(answer: Result<Welcome, &'static str>) -> pb::EnrolReply {
    let outcome = match answer {
        Ok(Welcome { identity_key, signature }) => {
            pb::enrol_reply::Outcome::Welcome(pb::Welcome { identity_key, signature })
        }
        Err(code) => pb::enrol_reply::Outcome::Refused(code.to_owned()),
    };
    pb::EnrolReply { outcome: Some(outcome) }
}

pub(super) fn answer_from_wire(inviter: PartyId, reply: pb::EnrolReply) -> Result<Welcome, EnrolError> {
    match reply.outcome {
        Some(pb::enrol_reply::Outcome::Welcome(pb::Welcome { identity_key, signature }))
            if identity_key.len() <= MAX_IDENTITY_KEY && signature.len() <= MAX_IDENTITY_KEY =>
        {
            Ok(Welcome { identity_key, signature })
        }
        Some(pb::enrol_reply::Outcome::Refused(code)) if is_code(&code) => Err(EnrolError::Refused { inviter, code }),
        _ => Err(EnrolError::Malformed { inviter }),
    }
}
