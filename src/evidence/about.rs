//! What a certificate is about: a job, or one question under a standing job, in one sentence.

use tacitly_attestation::certificate::Verdict;
use tacitly_attestation::entry::{Id, ServeStatus};

/// The job that a certificate is about, as its agreement states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The job's number, as `tacitly job list` shows it.
    pub job: String,
    /// By which protocol.
    pub protocol: String,
    /// For which purpose.
    pub purpose: String,
    /// Who took part.
    pub parties: Vec<String>,
}

/// The job that a certificate is about: that of the agreement which its entry is, or which its result names. An agreement
/// that is attached for another reason says nothing of what the certificate is about.
#[must_use]
pub fn about(verdict: &Verdict) -> Option<About> {
    verdict.agreement().map(|agreement| About {
        job: job_number(agreement.job),
        protocol: agreement.protocol.to_string(),
        purpose: agreement.purpose.to_string(),
        parties: agreement.parties.iter().map(|party| party.party.to_string()).collect(),
    })
}

/// The number of a job as people know it; in entries it stands as 32 hexadecimal digits.
#[must_use]
pub fn job_number(id: Id) -> String {
    ulid::Ulid::from_bytes(id.0).to_string()
}

/// Who asked whom, under which job and for which purpose, and what came of it; `None` if the certificate is about no
/// question. The number of questions in a batch stands in an entry as a power of two.
#[must_use]
pub fn question(verdict: &Verdict) -> Option<String> {
    let question = verdict.question()?;
    let (asker, responder, job, batch, purpose) = match (question.query, question.serve) {
        (Some((header, query)), _) => (header.by, query.responder, query.job, query.batch, &query.purpose),
        (None, Some((header, serve))) => (serve.asker, header.by, serve.job, serve.batch, &serve.purpose),
        (None, None) => return None,
    };
    let asked = match batch.get() {
        1 => "one question".to_owned(),
        most => format!("up to {most} questions"),
    };
    let became = match question.serve.map(|(_, serve)| serve) {
        Some(serve) => {
            let reason = serve.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            match serve.status {
                ServeStatus::Served => format!("{responder} answered and counted {} × {}", serve.units, serve.unit),
                ServeStatus::Refused => format!("{responder} refused{reason}"),
                ServeStatus::Failed => format!("{responder} could not answer{reason}"),
            }
        }
        None => "no answer is shown".to_owned(),
    };
    let job = job_number(job);
    Some(format!("{asker} asked {responder} {asked} under job {job}, for the purpose {purpose}; {became}"))
}
