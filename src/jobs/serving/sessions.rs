//! Sessions of a service: one party opens them, the other's service gives its side. Material is refilled by them, or a
//! copy of an index goes over.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tacitly_core::{PartyId, SessionTag};
use tokio::time::Instant;

use super::super::asking;
use super::super::core::Core;
use super::super::part::{PartOutput, Stop};
use super::super::parts::of_ended;
use super::message::{self as questions, Answer, Ask, generated as pb};
use super::service::{Opened, ServiceRun, Session};
use super::services::RunningService;
use crate::attest::random;
use crate::codes::{self, Error};
use crate::session::{self, LocalFailure, Options, Settle};
use crate::store::Job;
use crate::transport::SessionLink;

/// The bytes of what tells one session of a service from another.
const NONCE: usize = 16;
/// The longest word about what a session is for.
const MOST_OPENING: usize = 1 << 16;

/// Opens a session with a party, and runs our side of it.
pub(in crate::jobs) async fn open(
    run: &ServiceRun,
    to: PartyId,
    opening: Bytes,
    make: impl FnOnce(SessionTag) -> Session + Send,
) -> Result<(), Stop> {
    let (core, job) = (run.core(), run.job());
    let nonce = random::<NONCE>()?;
    let ask = pb::Open { job: job.id.to_string(), nonce: nonce.to_vec().into(), opening };
    let ask = questions::encode_ask(Ask::Open(ask));
    let answer = core.peers.ask_within_window(to, asking::QUESTIONS, ask).await.map_err(Stop::Lost)?;
    match questions::decode_answer(&answer) {
        Some(Answer::Opened(_)) => {}
        Some(Answer::Refused(why)) => {
            let why = questions::refusal(to, why.reason.as_ref());
            // It is starting or paused there, or has enough sessions: later it may take one.
            return Err(if why.code == codes::NOT_SERVING { Stop::Lost(why) } else { Stop::Failed(why) });
        }
        _ => return Err(Error::lie(to, "its answer to the opening of a session cannot be read").into()),
    }
    let tag = tag(job, core.me(), to, &nonce);
    drive(core, link(core, to, tag)?, make(tag)).await
}

/// Another party opens a session: our service says whether, and with what.
pub(in crate::jobs) async fn accept(
    core: &Arc<Core>,
    service: &Arc<RunningService>,
    from: PartyId,
    asked: pb::Open,
) -> Result<(), Error> {
    let malformed = |text: &str| Error::new(codes::BAD_REQUEST, text);
    let nonce: [u8; NONCE] = asked.nonce[..].try_into().map_err(|_| malformed("a session is told by 16 bytes"))?;
    if asked.opening.len() > MOST_OPENING {
        return Err(malformed("what a session is for is said in 64 KiB at most"));
    }
    let many = || Error::new(codes::NOT_SERVING, "as many sessions of this service as may be are open");
    let place = service.session_place(from).ok_or_else(many)?;
    let tag = tag(service.run.job(), from, core.me(), &nonce);
    let session = service.service.session(Opened { from, tag, opening: asked.opening }).await?;
    let link = link(core, from, tag)?;
    let (core, stop, job) = (core.clone(), service.stop.clone(), service.run.job().id);
    core.tasks.clone().spawn(async move {
        let _place = place;
        match stop.run_until_cancelled(drive(&core, link, session)).await {
            None | Some(Ok(()) | Err(Stop::Stopped | Stop::Restarted)) => {}
            Some(Err(Stop::Lost(why))) => tracing::warn!(%job, text = why.text, "a session of the service was lost"),
            // Whoever breaks the protocol of a service cannot go on in it.
            Some(Err(Stop::Failed(why))) if why.code == codes::PROTOCOL_VIOLATION => core.blame(job, why),
            Some(Err(Stop::Failed(why))) => {
                tracing::warn!(%job, code = why.code.name, text = why.text, "a session of the service failed");
            }
        }
    });
    Ok(())
}

/// What both parties call the session.
fn tag(job: &Job, opener: PartyId, other: PartyId, nonce: &[u8; NONCE]) -> SessionTag {
    SessionTag::of(&job.terms_hash, &format!("service session {} of {opener} with {other}", HEXLOWER.encode(nonce)))
}

fn link(core: &Core, peer: PartyId, tag: SessionTag) -> Result<SessionLink, Error> {
    let link = core.peers.network().open(peer, tag);
    link.map_err(|error| Error::new(codes::LINK_DOWN, error.to_string()).with(peer))
}

async fn drive(core: &Core, link: SessionLink, Session { party, keep }: Session) -> Result<(), Stop> {
    let settle: Settle<PartOutput> = Box::new(move |output: PartOutput, _| {
        Box::pin(async move {
            let failed = |why: Error| LocalFailure { code: why.code.name, detail: why.text };
            keep(output).await.map_err(failed)?;
            Ok(PartOutput::default())
        })
    });
    let deadline = Some(Instant::now() + core.settings.deadline);
    let options = Options { deadline, settle: Some(settle), ..Options::default() };
    session::drive(party, vec![link], options).await.map_err(of_ended)?;
    Ok(())
}
