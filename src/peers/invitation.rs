//! Invitations: what a code carries, and what both sides sign when one joins with it. An invitation is for one party: nobody
//! else may join with it, so no guest chooses the name by which it is known.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tacitly_core::PartyId;

use crate::codes::Error;
use crate::store::{PublicKey, Signature};
use crate::transport::{Inviter, Pin};

/// What every invitation code begins with: its version.
const PREFIX: &str = "tacitly2-";
/// What the signature under an application to join is made for.
pub const ENROLMENT_CONTEXT: &str = "tacitly enrolment 1";
/// What the signature under a welcome is made for.
pub(super) const WELCOME_CONTEXT: &str = "tacitly welcome 1";
/// Bytes of checksum in a code, so that a mistyped one is told from a refused one.
const CHECKSUM: usize = 4;

/// What an invitation code carries.
#[derive(Clone, Debug)]
pub struct ReadInvitation {
    /// Who invites.
    pub inviter: Inviter,
    /// Who is invited.
    pub invited: PartyId,
    /// The one-time secret for the [`Application`](crate::transport::Application).
    pub token: Bytes,
}

/// Reads an invitation code. `None` if it is incomplete, mistyped or of another version.
#[must_use]
pub fn read_invitation(code: &str) -> Option<ReadInvitation> {
    let code = Code::from_text(code)?;
    let token = BASE64URL_NOPAD.decode(code.token.as_bytes()).ok()?.into();
    let inviter = Inviter { party: code.party, address: code.address, proxy: None, pin: code.pin.parse().ok()? };
    Some(ReadInvitation { inviter, invited: code.invited, token })
}

/// The bytes under that signature: who joins whom with which pin.
#[must_use]
pub fn enrolment_words(joiner: PartyId, inviter: PartyId, pin: Pin) -> Vec<u8> {
    format!("{joiner}\n{inviter}\n{pin}").into_bytes()
}

/// The bytes under the inviter's: who welcomes whom with which pin, and the invitation that it is the answer to.
pub(super) fn welcome_words(inviter: PartyId, joiner: PartyId, pin: Pin, token: &[u8]) -> Vec<u8> {
    format!("{inviter}\n{joiner}\n{pin}\n{}", BASE64URL_NOPAD.encode(token)).into_bytes()
}

pub(super) fn is_signed(key: &PublicKey, context: &str, words: &[u8], signature: &[u8]) -> bool {
    let signature = std::str::from_utf8(signature).ok().and_then(|text| text.parse::<Signature>().ok());
    signature.is_some_and(|signature| key.verify(context, words, &signature).is_ok())
}

/// What an invitation code carries.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    pub(super) party: PartyId,
    pub(super) invited: PartyId,
    pub(super) address: String,
    pub(super) pin: String,
    pub(super) token: String,
}

impl Code {
    pub(super) fn to_text(&self) -> Result<String, Error> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| Error::internal(error.to_string()))?;
        bytes.extend_from_slice(&checksum(&bytes));
        Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    fn from_text(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.trim().strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if checksum(body) == sum { serde_json::from_slice(body).ok() } else { None }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(bytes);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A signing key as it stands in an application or a welcome.
pub(super) fn read_key(bytes: &[u8]) -> Option<PublicKey> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_and_a_mistyped_one_does_not() {
        let code = Code {
            party: "bank".parse().unwrap(),
            invited: "shop".parse().unwrap(),
            address: "bank.example:7100".to_owned(),
            pin: "spki-sha256:x".to_owned(),
            token: "AAAA".to_owned(),
        };
        let text = code.to_text().unwrap();
        assert_eq!(Code::from_text(&format!(" {text}\n")).unwrap().address, code.address);
        for at in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert!(Code::from_text(std::str::from_utf8(&typo).unwrap()).is_none(), "position {at}");
            assert!(Code::from_text(&text[..at]).is_none(), "cut at {at}");
        }
    }
}
