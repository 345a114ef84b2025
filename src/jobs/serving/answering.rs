//! The responder's half: a question is checked, admitted, answered by the service, put on record, and released.

use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::PartyId;

use super::quota::Side;
use super::service::{Admission, Put};
use super::services::{RunningService, Services};
use crate::attest::queries::{Checked, CheckedQuery, Code, Decision, Released};
use crate::codes::{self, Error};
use crate::counters::COUNTERS;
use crate::store::Charge;

/// What a question is answered with, and at what price.
struct Answered {
    answers: Vec<Bytes>,
    units: u32,
    charges: Vec<Charge>,
}

/// Answers a question of a party of the job. The bytes may be released when this returns.
///
/// # Errors
/// [`codes::PROTOCOL_VIOLATION`] naming the party, for a question that is none; [`codes::NOT_SERVING`] if the service has
/// ended meanwhile; an error of the store or the log. Nothing is on record then, and the party may ask again.
pub(in crate::jobs) async fn answer(
    services: &Services,
    service: &Arc<RunningService>,
    from: PartyId,
    request: Bytes,
) -> Result<Bytes, Error> {
    let (run, began) = (&service.run, std::time::Instant::now());
    let responder = &run.core().queries.responder;
    let key = &run.terms().parties.get(&from).ok_or_else(|| Error::lie(from, "it is no party of the job"))?.key;
    // It may have been revoked since the service began.
    run.core().peers.refuse_revoked(from, key)?;
    let checked = match responder.check(from, key, &service.under, request).await? {
        Checked::Decided(reply) => return Ok(reply),
        Checked::New(checked) => checked,
    };
    let decided = decide(services, service, from, &checked).await;
    if service.stop.is_cancelled() {
        return Err(Error::new(codes::NOT_SERVING, "the service has just ended"));
    }
    let decision = match decided {
        Ok(Answered { answers, units, charges }) => Decision::Answer { answers, units, charges },
        Err(Refused::ByRule(why)) => Decision::Refuse(reason(&why)?),
        Err(Refused::Failed(why)) => {
            tracing::warn!(job = %run.job().id, peer = %from, code = why.code.name, "a question could not be answered");
            Decision::Fail(reason(&why)?)
        }
        // It may pass: nothing goes on record, and the same question may come again.
        Err(Refused::ForNow(why)) => return Err(why),
    };
    let number = checked.questions().len();
    // Over a budget an answer has become a refusal.
    let Released { reply, answered } = responder.serve(*checked, decision).await?;
    if answered {
        service.counts.answered(number)
    } else {
        service.counts.refused(number)
    }
    COUNTERS.question(answered, began.elapsed());
    Ok(reply)
}

/// Why a question is not answered.
enum Refused {
    ByRule(Error),
    Failed(Error),
    ForNow(Error),
}

async fn decide(
    services: &Services,
    service: &Arc<RunningService>,
    from: PartyId,
    checked: &CheckedQuery,
) -> Result<Answered, Refused> {
    let run = &service.run;
    let purpose = checked.purpose().as_str().to_owned();
    let questions = checked.questions().to_vec();
    let charged = service.quota.charges(run, from, &purpose, questions.len(), Side::Answers).await;
    let mut charges = charged.map_err(|why| match why.code {
        codes::REFUSED_BY_RULE | codes::REFUSED_NO_RULE => Refused::ByRule(why),
        _ => Refused::ForNow(why),
    })?;
    let (mut units, mut wanted) = (0u32, Vec::with_capacity(questions.len()));
    for question in &questions {
        let put = Put { from, purpose: &purpose, question };
        let admission = service.service.admit(&put).map_err(Refused::ByRule)?;
        let Admission { material, charges: more, units: counted } = admission;
        units = units.saturating_add(counted);
        charges.extend(more);
        wanted.push(material);
    }
    let mut material = Vec::with_capacity(wanted.len());
    for uses in wanted {
        let mut taken = Vec::with_capacity(uses.len());
        for wanted in uses {
            taken.push(run.core().reserve.take(&wanted).await.map_err(|why| match why.code {
                codes::MATERIAL_NONE => Refused::ByRule(why),
                _ => Refused::ForNow(why),
            })?);
        }
        material.push(taken);
    }
    let internal = |what: &str| Refused::Failed(Error::internal(what));
    let permit = services.answering.clone().acquire_owned().await;
    let permit = permit.map_err(|_| internal("the pool of answers is closed"))?;
    let service = service.service.clone();
    let computed = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let answer = |(question, material): (&Bytes, _)| {
            service.answer(&Put { from, purpose: &purpose, question }, material).map(Bytes::from)
        };
        questions.iter().zip(material).map(answer).collect::<Result<Vec<_>, Error>>()
    });
    let answers = computed.await.map_err(|_| internal("answering ended unexpectedly"))?.map_err(Refused::Failed)?;
    Ok(Answered { answers, units, charges })
}

/// Why, as it goes on record: the name of a code.
fn reason(why: &Error) -> Result<Code, Error> {
    Code::parse(why.code.name).map_err(|error| Error::internal(error.to_string()))
}
