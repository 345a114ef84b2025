//! A document against the commitment to a lawful basis in a certificate.

use tacitly_attestation::certificate::{Levels, Trust};
use tacitly_attestation::commitment::{Salt, Subject, opens};
use tacitly_attestation::entry::{Body, LeafHash};
use tacitly_attestation::policy::Policy;
use zeroize::Zeroizing;

use super::{Refused, check};

/// A document that a dataset's entry states as its lawful basis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedBasis {
    /// Whose keys the certificate was verified with.
    pub trust: Trust,
    /// How far the certificate reaches.
    pub levels: Levels,
    /// The dataset's entry in the certificate.
    pub leaf: LeafHash,
    /// Who signed that entry.
    pub owner: String,
    /// The fingerprint of the version that it was stated for.
    pub fingerprint: String,
    /// The days that the data describe, if they are stated.
    pub period: Option<String>,
}

/// Checks that a document, byte for byte, is the lawful basis that a dataset's entry in the certificate commits to, and
/// the certificate itself. `salt` is what `tacitly dataset open-basis` writes: 64 hexadecimal digits.
///
/// Learns: that the owner stated this document when it signed the entry; not that the document is true or suffices.
///
/// # Errors
/// [`Refused`]: what [`check`] refuses; `basis-salt` if the salt cannot be read; `basis-none` if no dataset's entry in the
/// certificate states a basis; `basis-mismatch` if none of them commits to this document with this salt.
pub fn check_basis(
    document: &[u8],
    salt: &[u8],
    certificate: &[u8],
    policy: Option<&Policy>,
) -> Result<StatedBasis, Refused> {
    let verdict = check(certificate, policy)?;
    let unreadable = || Refused::new("basis-salt", "the salt is not 64 lower-case hexadecimal digits");
    let mut bytes = Zeroizing::new([0; 32]);
    let salt = salt.trim_ascii();
    if salt.len() != 2 * bytes.len() {
        return Err(unreadable());
    }
    data_encoding::HEXLOWER.decode_mut(salt, &mut bytes[..]).map_err(|_| unreadable())?;
    let salt = Salt::new(*bytes);
    let mut stated = 0;
    for proven in &verdict.entries {
        let Body::Dataset(dataset) = proven.entry.body() else { continue };
        let Some(commitment) = &dataset.basis else { continue };
        stated += 1;
        if opens(commitment, Subject::Basis, &salt, document) {
            return Ok(StatedBasis {
                trust: verdict.trust,
                levels: verdict.levels.clone(),
                leaf: proven.leaf,
                owner: proven.entry.header().by.to_string(),
                fingerprint: dataset.fingerprint.to_string(),
                period: dataset.period.as_ref().map(ToString::to_string),
            });
        }
    }
    Err(match stated {
        0 => Refused::new("basis-none", "no dataset's entry in the certificate states a lawful basis"),
        _ => {
            Refused::new("basis-mismatch", "no dataset's entry in the certificate states this document with this salt")
        }
    })
}
