//! Evidence checked without any daemon: a certificate's verdict, and its page to print.

use pyo3::prelude::*;
use tacitly::codes;
use tacitly::evidence::{self, Policy, Refused};

use crate::failure::Failure;

fn refused(refusal: &Refused) -> Failure {
    (&codes::Error::new(codes::EVIDENCE, refusal.to_string())).into()
}

fn policy_of(text: Option<&str>) -> Result<Option<Policy>, Failure> {
    let malformed = |error| (&codes::Error::new(codes::BAD_REQUEST, format!("the policy: {error}"))).into();
    text.map(Policy::parse).transpose().map_err(malformed)
}

/// What a certificate proves, as JSON; the exception says what does not hold.
#[pyfunction]
#[pyo3(signature = (certificate, policy=None))]
pub(crate) fn verify_evidence(certificate: &[u8], policy: Option<&str>) -> PyResult<String> {
    let policy = policy_of(policy)?;
    let verdict = evidence::check(certificate, policy.as_ref()).map_err(|refusal| refused(&refusal))?;
    Ok(evidence::summary(&verdict).to_string())
}

/// The page of a certificate to print, in Chinese and English.
#[pyfunction]
#[pyo3(signature = (certificate, policy=None))]
pub(crate) fn evidence_page(certificate: &[u8], policy: Option<&str>) -> PyResult<String> {
    let policy = policy_of(policy)?;
    let (page, _) = evidence::page(certificate, policy.as_ref()).map_err(|refusal| refused(&refusal))?;
    Ok(page)
}
