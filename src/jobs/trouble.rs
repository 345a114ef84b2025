//! The errors of the rooms below as entries of the one table.

use std::io::ErrorKind;

use tacitly_core::PartyId;

use super::tally::TALLY;
use crate::chain::ChainError;
use crate::codes::{self, Trouble};
use crate::intake::{IntakeError, Problem};
use crate::store::{Failure, StoreError};

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::DiskFull { .. } => codes::DISK_FULL,
            StoreError::Conflict { .. } => codes::JOB_STATE,
            StoreError::NotFound { what: "job", .. } => codes::JOB_UNKNOWN,
            StoreError::NotFound { what: "dataset", .. } => codes::DATASET_UNKNOWN,
            StoreError::NotFound { what: "peer", .. } => codes::PEER_UNKNOWN,
            StoreError::AlreadyExists { what: "dataset", .. } => codes::DATASET_EXISTS,
            StoreError::InUse { what: "dataset", .. } => codes::DATASET_IN_USE,
            StoreError::InUse { what: "peer", .. } => codes::PEER_IN_USE,
            StoreError::RequestKeyReused { .. } => codes::REQUEST_KEY,
            StoreError::Invite(_) => codes::INVITATION,
            StoreError::Invalid { .. } => codes::BAD_REQUEST,
            _ => codes::STORE,
        };
        if [codes::DISK_FULL, codes::STORE].contains(&code) {
            TALLY.store_error(code.name);
        }
        Self::new(code, error.to_string())
    }
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        let code = match &error {
            ChainError::DiskFull { .. } => codes::DISK_FULL,
            ChainError::NotMirrored { .. } => codes::PROTOCOL_VIOLATION,
            ChainError::Behind { .. } | ChainError::Lost { .. } | ChainError::Forked { .. } => codes::LOG_OLD,
            _ => codes::LOG,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IntakeError> for Trouble {
    fn from(error: IntakeError) -> Self {
        let code = match error.problem {
            Problem::Changed => codes::DATASET_CHANGED,
            Problem::Spilling(ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded) => {
                codes::DISK_FULL
            }
            Problem::Spilling(_) | Problem::SpillDamaged => codes::STORE,
            _ => codes::DATASET_INPUT,
        };
        Self::new(code, error.to_string())
    }
}

impl From<&Trouble> for Failure {
    fn from(trouble: &Trouble) -> Self {
        Self {
            code: trouble.code.name.to_owned(),
            who: trouble.who,
            stage: trouble.stage.clone(),
            text: trouble.text.clone(),
        }
    }
}

/// What the ledger keeps of a failure, as trouble again. A code that a newer version wrote is shown as internal.
pub(super) fn of(failure: &Failure) -> Trouble {
    Trouble {
        code: codes::by_name(&failure.code).unwrap_or(codes::INTERNAL),
        text: failure.text.clone(),
        who: failure.who,
        stage: failure.stage.clone(),
    }
}

/// What the peer says or shows breaks the rules.
pub(super) fn lie(peer: PartyId, what: &str) -> Trouble {
    Trouble::new(codes::PROTOCOL_VIOLATION, format!("{peer}: {what}")).with(peer)
}

/// A mistake of ours that nobody can mend from outside.
pub(super) fn internal(what: &str) -> Trouble {
    Trouble::new(codes::INTERNAL, what)
}
