//! An opened output against the commitment in a certificate.

use data_encoding::HEXLOWER;
use tacitly_attestation::certificate::{Levels, Trust};
use tacitly_attestation::commitment::{Salt, Subject, opens};
use tacitly_attestation::entry::{Body, LeafHash};
use tacitly_attestation::policy::Policy;
use zeroize::Zeroizing;

use super::{Refused, check};

/// The output that a party has on record for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedOutput {
    /// Whose keys the certificate was verified with.
    pub trust: Trust,
    /// How far the certificate reaches.
    pub levels: Levels,
    /// The entry about the job's end in the certificate.
    pub leaf: LeafHash,
    /// Who received the output, and signed that entry.
    pub owner: String,
    /// The SHA-256 of the output, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Checks that an opened output is the one to which an entry in the certificate commits, and the certificate itself.
/// `opening` is what `tacitly job open` writes: the salt and the digest of the output, a line of 64 hexadecimal digits each.
///
/// Learns: that the party had an output of this digest when it signed the entry, and whose it was; of the output itself
/// nothing that cannot be guessed and hashed.
///
/// # Errors
/// [`Refused`]: what [`check`] refuses; `output-malformed` if the opening cannot be read; `output-none` if no entry in the
/// certificate commits to an output; `output-mismatch` if none of them commits to this one.
pub fn check_output(opening: &[u8], certificate: &[u8], policy: Option<&Policy>) -> Result<StatedOutput, Refused> {
    let verdict = check(certificate, policy)?;
    let unreadable = || Refused::new("output-malformed", "it is not two lines of 64 lower-case hexadecimal digits");
    let mut values = [Zeroizing::new([0; 32]), Zeroizing::new([0; 32])];
    let mut lines = opening.trim_ascii_end().split(|byte| *byte == b'\n');
    for value in &mut values {
        let line = lines.next().filter(|line| line.len() == 64).ok_or_else(unreadable)?;
        HEXLOWER.decode_mut(line, &mut value[..]).map_err(|_| unreadable())?;
    }
    if lines.next().is_some() {
        return Err(unreadable());
    }
    let [salt, digest] = values;
    let salt = Salt::new(*salt);
    let mut stated = 0;
    for proven in &verdict.entries {
        let Body::Result(result) = proven.entry.body() else { continue };
        let Some(commitment) = &result.output else { continue };
        stated += 1;
        if opens(commitment, Subject::Output, &salt, &digest[..]) {
            return Ok(StatedOutput {
                trust: verdict.trust,
                levels: verdict.levels.clone(),
                leaf: proven.leaf,
                owner: proven.entry.header().by.to_string(),
                sha256: HEXLOWER.encode(&digest[..]),
            });
        }
    }
    Err(match stated {
        0 => Refused::new("output-none", "no entry in the certificate commits to an output"),
        _ => Refused::new("output-mismatch", "no entry in the certificate commits to this output with this salt"),
    })
}
