//! One record against the fingerprint in a certificate.

use tacitly_attestation::certificate::{Levels, Trust};
use tacitly_attestation::dataset::Opening;
use tacitly_attestation::entry::{Body, Bucket, LeafHash};
use tacitly_attestation::policy::Policy;
use tacitly_core::text::is_printable;
use zeroize::Zeroizing;

use super::{Refused, check};

/// A record that belongs to a dataset on record. It holds personal data: neither `Clone` nor `Debug`.
pub struct OpenedRow {
    /// Whose keys the certificate was verified with.
    pub trust: Trust,
    /// How far the certificate reaches.
    pub levels: Levels,
    /// The dataset's entry in the certificate.
    pub leaf: LeafHash,
    /// Who signed that entry.
    pub owner: String,
    /// The row, counted from 1 without the header.
    pub row: u64,
    /// The exact number of rows.
    pub rows: u64,
    record: Zeroizing<Vec<u8>>,
}

impl OpenedRow {
    /// The record, one line for a person to read. What is no printable text, or would command a terminal, is escaped.
    #[must_use]
    pub fn record(&self) -> Zeroizing<String> {
        let text = String::from_utf8_lossy(&self.record);
        let mut shown = Zeroizing::new(String::with_capacity(text.len()));
        for character in text.chars() {
            if is_printable(character) {
                shown.push(character);
            } else {
                shown.extend(character.escape_unicode());
            }
        }
        shown
    }
}

/// Checks that an opening shows a record of a dataset whose entry is in the certificate, and the certificate itself.
///
/// Learns: whoever has the opening has read the record already; of the other records only how many there are.
///
/// # Errors
/// [`Refused`]: what [`check`] refuses; `opening-malformed`; `opening-no-dataset` if the certificate holds no dataset's
/// entry; `opening-mismatch` if the record belongs to none of them; `opening-rows` if the entry states another order of
/// magnitude than the fingerprint covers.
pub fn check_opening(opening: &[u8], certificate: &[u8], policy: Option<&Policy>) -> Result<OpenedRow, Refused> {
    let verdict = check(certificate, policy)?;
    let opening = Opening::parse(opening).map_err(|error| Refused::new("opening-malformed", error))?;
    let datasets = verdict.entries.iter().filter_map(|proven| match proven.entry.body() {
        Body::Dataset(dataset) => Some((proven, dataset)),
        _ => None,
    });
    let mut seen = 0;
    for (proven, dataset) in datasets {
        seen += 1;
        let Ok(record) = opening.verify(&dataset.fingerprint) else { continue };
        if Bucket::of(opening.rows()) != dataset.rows {
            let detail = "the dataset has another order of magnitude of rows than its entry says";
            return Err(Refused::new("opening-rows", detail));
        }
        return Ok(OpenedRow {
            trust: verdict.trust,
            levels: verdict.levels.clone(),
            leaf: proven.leaf,
            owner: proven.entry.header().by.to_string(),
            row: opening.index().saturating_add(1),
            rows: opening.rows(),
            record: Zeroizing::new(record.to_vec()),
        });
    }
    Err(match seen {
        0 => Refused::new("opening-no-dataset", "the certificate holds no dataset's entry"),
        _ => Refused::new("opening-mismatch", "the record belongs to no dataset in the certificate"),
    })
}
