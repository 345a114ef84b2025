//! What a kind of job that serves tells the engine. A service answers questions for months, also after a restart, from
//! what its set-up has left.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::{Party, PartyId, SessionTag};

use super::super::part::{PartOutput, Stop};
use super::super::reserve::{Units, Use};
use crate::codes::{self, Error};
use crate::store::{Charge, MaterialStream};
use crate::transport::Pending;

/// A service that runs.
pub struct Serving {
    /// What answers.
    pub service: Arc<dyn Service>,
    /// Keeps it up, by refilling its material say. It ends with the service, or ends it: it is begun anew after a while, or
    /// is over if the upkeep [failed](Stop::Failed).
    pub upkeep: Pending<'static, Stop>,
}

/// What answers at one party.
pub trait Service: Send + Sync {
    /// What is counted when questions are charged, a code.
    fn unit(&self) -> &'static str {
        "question"
    }

    /// The material that it uses, for whoever looks how much is left.
    fn streams(&self) -> Vec<MaterialStream> {
        Vec::new()
    }

    /// Whether a question may be answered, and at what price. Cheap: it reads no file and computes nothing long.
    ///
    /// # Errors
    /// Why not, in words that the asker may read; the refusal goes on record.
    fn admit(&self, asked: &Put<'_>) -> Result<Admission, Error>;

    /// Answers an admitted question, on a thread that may compute.
    ///
    /// # Errors
    /// Why there is no answer. The asker is named by it only if the question itself breaks the rules.
    fn answer(&self, asked: &Put<'_>, material: Vec<Units>) -> Result<Vec<u8>, Error>;

    /// Our side of a session that another party of the job opens: a dealer's stream, a refill, a copy of an index.
    ///
    /// # Errors
    /// Why not, in words that the other party may read.
    fn session(&self, _opened: Opened) -> Pending<'static, Result<Session, Error>> {
        Box::pin(async { Err(Error::new(codes::BAD_REQUEST, "this service has no sessions")) })
    }
}

/// A question as it is put to a service.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// Who asks.
    pub from: PartyId,
    /// What for, as it stands in the asker's entry.
    pub purpose: &'a str,
    /// The question.
    pub question: &'a [u8],
}

/// On what terms a question is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What it uses up of which material.
    pub material: Vec<Use>,
    /// What it uses of which budgets, beside those of the rule.
    pub charges: Vec<Charge>,
    /// How many units it counts as in the entries about it.
    pub units: u32,
}

/// A session that another party opens.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Who.
    pub from: PartyId,
    /// The tag that both parties of it have.
    pub tag: SessionTag,
    /// What the other party says it is about.
    pub opening: Bytes,
}

/// Our side of a session of a service.
pub struct Session {
    /// What runs it, with the tag of the session.
    pub party: Box<dyn Party<Output = PartOutput>>,
    /// Keeps what came of it. Until it has, the other party does not take the session for complete.
    pub keep: Keep,
}

/// Keeps what came of a session.
pub type Keep = Box<dyn FnOnce(PartOutput) -> Pending<'static, Result<(), Error>> + Send>;
