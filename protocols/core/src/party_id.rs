//! The name of an institution, as it stands in certificates, terms and logs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a party: 1 to 32 characters of `a-z`, `0-9` and `-`, with a letter or digit at both ends, and none of the
/// [words](PartyId::RESERVED) that stand for something else wherever a party's name can stand.
///
/// The alphabet is that of a DNS label, so that the same name fits a certificate's subject alternative name,
/// a file name and a log line without quoting. It is small and `Copy`, so it can be a map key everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartyId([u8; PartyId::MAX_LEN]);

/// The text is not a [`PartyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a party name is 1 to 32 characters of a-z, 0-9 and '-', with a letter or digit at both ends, and none of the words \
     that stand for something else: {}", PartyId::RESERVED.join(", ")
)]
pub struct MalformedPartyId;

impl PartyId {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// What no party may be called: whoever reads one of these in a command, a rule, a policy or an audit trail takes it
    /// for what it means there.
    pub const RESERVED: [&str; 14] = [
        "all",
        "any",
        "approver",
        "auditor",
        "both",
        "consortium",
        "daemon",
        "me",
        "nobody",
        "none",
        "operator",
        "peer",
        "rule",
        "us",
    ];

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_LEN);
        // Only ASCII gets in (`from_str` is the one constructor), so the fallback is never taken.
        std::str::from_utf8(&self.0[..end]).unwrap_or("")
    }
}

impl FromStr for PartyId {
    type Err = MalformedPartyId;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let bytes = name.as_bytes();
        let fits = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let ends = [bytes.first(), bytes.last()];
        let is_word = bytes.len() <= Self::MAX_LEN && bytes.iter().all(fits);
        if !is_word || ends.iter().any(|end| end.is_none_or(|byte| *byte == b'-')) || Self::RESERVED.contains(&name) {
            return Err(MalformedPartyId);
        }
        let mut padded = [0; Self::MAX_LEN];
        padded[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(padded))
    }
}

impl TryFrom<String> for PartyId {
    type Error = MalformedPartyId;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<PartyId> for String {
    fn from(id: PartyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_a_dns_label_are_accepted_and_print_as_given() {
        for name in ["a", "bank-a", "9-lives", &"x".repeat(32)] {
            assert_eq!(name.parse::<PartyId>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for name in ["", "-bank", "bank-", "-", "Bank", "bank a", "bank/..", "银行", &"x".repeat(33)] {
            assert_eq!(name.parse::<PartyId>(), Err(MalformedPartyId), "{name:?}");
        }
    }

    #[test]
    fn no_party_is_called_by_a_word_that_means_something_else() {
        assert!(PartyId::RESERVED.is_sorted());
        for word in PartyId::RESERVED {
            assert_eq!(word.parse::<PartyId>(), Err(MalformedPartyId), "{word}");
            assert!(format!("{word}-1").parse::<PartyId>().is_ok());
        }
        assert!(MalformedPartyId.to_string().ends_with("rule, us"));
    }
}
