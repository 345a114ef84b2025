//! Sessions of a service: one party opens them, the other's service gives its side. Material is refilled by them, or a
//! copy of an index goes over.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tacitly_core::{PartyId, SessionTag};
use tokio::time::Instant;

use super::super::asking;
use super::super::core::Core;
use super::super::part::{PartOutput, Stop};
use super::super::parts::of_ended;
use super::message::{self as questions, Answer, Ask, generated as pb};
use super::service::Session;
use crate::attest::random;
use crate::codes::{self, Error};
use crate::session::{self, LocalFailure, Options, Settle};
use crate::store::Job;
use crate::transport::SessionLink;

/// The bytes of what tells one session of a service from another.
pub(in crate::jobs) const NONCE: usize = 16;

/// Opens a session with a party, and runs our side of it.
pub(in crate::jobs) async fn open(
    core: &Core,
    job: &Job,
    to: PartyId,
    opening: Bytes,
    make: impl FnOnce(SessionTag) -> Session + Send,
) -> Result<(), Stop> {
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

/// What both parties call the session.
pub(in crate::jobs) fn tag(job: &Job, opener: PartyId, other: PartyId, nonce: &[u8; NONCE]) -> SessionTag {
    SessionTag::of(&job.terms_hash, &format!("service session {} of {opener} with {other}", HEXLOWER.encode(nonce)))
}

pub(in crate::jobs) fn link(core: &Core, peer: PartyId, tag: SessionTag) -> Result<SessionLink, Error> {
    let link = core.peers.network().open(peer, tag);
    link.map_err(|error| Error::new(codes::LINK_DOWN, error.to_string()).with(peer))
}

/// Runs our side of a session to its end.
pub(in crate::jobs) async fn drive(
    core: &Core,
    link: SessionLink,
    Session { party, keep }: Session,
) -> Result<(), Stop> {
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
