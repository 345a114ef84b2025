//! Whether what stands in the clear is as we wrote it.
//!
//! Peers, pins, invitations, rosters, datasets and rules decide whom this party trusts with what, and stand in the clear.
//! Over all of them, and over the schema, stands one seal: it is checked when the store is opened, before one of these rows
//! is changed, and when rules are read. Over every line of the audit trail stands another, which covers the one before it.
//!
//! Both are made with a key of their own, which is sealed with the sealing key; so a new sealing key changes neither, and
//! that it opens shows which key the store is sealed with.
//!
//! An older copy of the whole file has sound seals, and so has an audit trail that was cut off at its end.

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::seal::fill_random;
use super::{SealFault, Sealer, StoreError};

/// The name of the sealed key.
pub(crate) const KEY: &str = "integrity-key";
/// The name of the seal over the rows that decide.
pub(crate) const ROWS: &str = "trusted-rows";
/// What the seal over a line of the audit trail is for.
const EVENT: &str = "event";

/// Makes and checks seals over what stands in the clear.
pub(crate) struct Integrity {
    sealer: Sealer,
    key: Zeroizing<[u8; 32]>,
}

impl Integrity {
    fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { sealer: Sealer::new(key.clone()), key }
    }

    /// A fresh key.
    pub(super) fn fresh() -> Result<Self, StoreError> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(key.as_mut())?;
        Ok(Self::new(key))
    }

    /// Opens the sealed key: only the key opens it with which the store is sealed.
    pub(super) fn open(sealer: &Sealer, blob: &[u8]) -> Result<Self, StoreError> {
        let broken = |fault| StoreError::SealBroken { what: KEY.to_owned(), fault };
        let opened = sealer.open(KEY, &[], blob).map_err(|fault| match fault {
            SealFault::OtherKey(sealed_with) => StoreError::WrongKey { sealed_with, given: sealer.key_id() },
            fault => broken(fault),
        })?;
        let key = opened.as_slice().try_into().map_err(|_| broken(SealFault::Truncated))?;
        Ok(Self::new(Zeroizing::new(key)))
    }

    /// The seal over a line of the audit trail that follows one with this seal.
    pub(super) fn seal_event(&self, before: Option<&[u8]>, line: [&str; 5]) -> Result<Vec<u8>, StoreError> {
        let before = before.map(|seal| HEXLOWER.encode(seal)).unwrap_or_default();
        self.sealer.seal(EVENT, &with(&before, line), &[])
    }

    /// Whether a line of the audit trail and its place behind the one with this seal are as they were written.
    pub(super) fn is_event(&self, before: Option<&[u8]>, line: [&str; 5], seal: &[u8]) -> bool {
        let before = before.map(|seal| HEXLOWER.encode(seal)).unwrap_or_default();
        self.sealer.open(EVENT, &with(&before, line), seal).is_ok()
    }

    /// The key, sealed.
    pub(super) fn sealed(&self, sealer: &Sealer) -> Result<Vec<u8>, StoreError> {
        sealer.seal(KEY, &[], self.key.as_ref())
    }

    /// The seal over the rows that decide, a line each.
    pub(super) fn seal_rows(&self, lines: &[String]) -> Result<Vec<u8>, StoreError> {
        self.sealer.seal(ROWS, &texts(lines), &[])
    }

    /// Whether the rows that decide are as they were sealed.
    pub(super) fn are_rows(&self, lines: &[String], seal: &[u8]) -> bool {
        self.sealer.open(ROWS, &texts(lines), seal).is_ok()
    }
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn with<'t>(before: &'t str, line: [&'t str; 5]) -> Vec<&'t str> {
    [before].into_iter().chain(line).collect()
}
