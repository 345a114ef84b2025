//! Questions and answers of daemons as they go over the link.

use bytes::Bytes;
use prost::Message;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::peers::wire::{self, reply::What as Reply};
use tacitly::transport::{Connection, Envelope};

use super::heard::hear_alive;

/// A question to one of the daemon's services.
#[derive(Clone)]
pub(crate) struct Question {
    service: &'static str,
    body: Bytes,
}

impl Question {
    /// As it goes over the link.
    pub(crate) fn request(self, id: u64) -> Envelope {
        Envelope::Request { id, service: self.service.to_owned(), body: self.body }
    }
}

pub(crate) fn question(service: &'static str, body: &impl Message) -> Question {
    Question { service, body: body.encode_to_vec().into() }
}

/// What a service of the daemon answers; nothing if it is busy.
pub(crate) async fn await_answer(connection: &mut Connection) -> Option<Bytes> {
    loop {
        if let Envelope::Response { outcome, .. } = hear_alive(connection).await.unwrap() {
            return match wire::Reply::decode(outcome.unwrap()).unwrap().what.unwrap() {
                Reply::Body(body) => Some(body),
                Reply::Busy(_) => None,
            };
        }
    }
}

/// A question about jobs.
pub(crate) fn asked(ask: Ask) -> Question {
    question("jobs", &pb::Request { what: Some(ask) })
}

/// What the daemon says about a job.
pub(crate) fn decoded(answer: Option<Bytes>) -> Answer {
    pb::Reply::decode(answer.unwrap()).unwrap().what.unwrap()
}

/// An answer as it goes over the link.
pub(crate) fn said(body: Bytes) -> Bytes {
    wire::Reply { what: Some(wire::reply::What::Body(body)) }.encode_to_vec().into()
}
