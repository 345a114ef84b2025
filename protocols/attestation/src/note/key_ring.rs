//! Keys by name and id.

use std::collections::BTreeMap;

use super::VerifierKey;

/// The keys a verifier trusts, found by the name and id that a signature line gives.
///
/// A name may have several keys, such as before and after a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<(String, u32), VerifierKey>);

impl KeyRing {
    /// Trusts `key` from now on.
    pub fn add(&mut self, key: VerifierKey) {
        self.0.insert((key.name().to_owned(), key.id()), key);
    }

    /// The key that a signature line names, if it is trusted.
    #[must_use]
    pub fn find(&self, name: &str, id: u32) -> Option<&VerifierKey> {
        self.0.get(&(name.to_owned(), id))
    }

    /// All keys, by name and id.
    pub fn iter(&self) -> impl Iterator<Item = &VerifierKey> {
        self.0.values()
    }
}

impl FromIterator<VerifierKey> for KeyRing {
    fn from_iter<I: IntoIterator<Item = VerifierKey>>(keys: I) -> Self {
        let mut ring = Self::default();
        keys.into_iter().for_each(|key| ring.add(key));
        ring
    }
}
