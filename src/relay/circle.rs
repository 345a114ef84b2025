//! Who takes part in one attempt at a job, and who was found to break the rules.

use std::collections::BTreeMap;

use tacitly_core::PartyId;
use tokio::sync::watch;

use crate::store::{JobId, PublicKey};

/// The parties of one attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// The job.
    pub job: JobId,
    /// The number of the attempt.
    pub attempt: u32,
    /// Through whom the others reach each other.
    pub leader: PartyId,
    /// The keys of all parties, as every one of them has signed in the terms.
    pub keys: BTreeMap<PartyId, PublicKey>,
}

/// A party has broken the rules of the relay, and nobody else can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} broke the rules of the relay: {rule}")]
pub struct Broken {
    /// Who.
    pub who: PartyId,
    /// Which rule.
    pub rule: &'static str,
}

/// A piece came from, or is for, somebody who cannot have sent or get it.
pub(super) const ADDRESS: &str = "relay-address";
/// A piece is not as its origin signed it.
pub(super) const SIGNATURE: &str = "relay-signature";
/// A piece before this one was left out.
pub(super) const ORDER: &str = "relay-order";
/// What a member has signed is no record of the channel that it has with us.
pub(super) const RECORD: &str = "relay-record";

/// Who was first found to break the rules in an attempt, and the word about it.
#[derive(Debug)]
pub(super) struct Finding(watch::Sender<Option<Broken>>);

impl Finding {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(super) fn accuse(&self, who: PartyId, rule: &'static str) {
        let first = self.0.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert(Broken { who, rule });
            first
        });
        if first {
            tracing::error!(peer = %who, rule, "a party broke the rules of the relay");
        }
    }

    /// Returns once somebody is found.
    pub(super) async fn found(&self) -> Broken {
        let mut watched = self.0.subscribe();
        match watched.wait_for(Option::is_some).await.map(|broken| *broken) {
            Ok(Some(broken)) => broken,
            _ => std::future::pending().await,
        }
    }
}
