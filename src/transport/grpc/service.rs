//! What a daemon answers to the calls on its exchange port.

use std::sync::Arc;

use tokio_stream::StreamExt;
use tonic::{Status, Streaming};

use super::received::received;
use super::requests::offered;
use super::shared::Shared;
use super::stream;
use crate::transport::connection::Connection;
use crate::transport::enrolment;
use crate::transport::envelope::Envelope;
use crate::transport::generated as pb;
use crate::transport::streams::{Incoming, Senders, outgoing};
use crate::transport::wire;

/// Streams of envelopes as gRPC sends them from the accepting side.
type Answers = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::Envelope, Status>> + Send>>;

/// What a daemon answers to the calls on its exchange port.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl pb::exchange_server::Exchange for Service {
    type OpenStream = Answers;

    async fn open(&self, request: tonic::Request<Streaming<pb::Envelope>>) -> Result<tonic::Response<Answers>, Status> {
        let visitor = stream::Visitor::of(&request)?;
        let peer = visitor.caller.party;
        if !visitor.caller.known {
            return Err(Status::permission_denied("enrol first"));
        }
        if !visitor.open() {
            return Err(Status::failed_precondition("one stream per connection"));
        }
        let (sessions, outgoing_sessions) = outgoing();
        let (requests, outgoing_requests) = outgoing();
        let (offer, incoming_requests) = offered(peer, outgoing_requests);
        let incoming_sessions = Box::pin(request.into_inner().map(move |item| received(peer, item)));
        let connection = Connection {
            peer,
            dialler: peer,
            pin: Some(visitor.caller.pin),
            outgoing: Senders { sessions, requests },
            incoming: Incoming::new(incoming_sessions, incoming_requests),
            last_seen: visitor.last_seen.clone(),
            cut: visitor.cut.clone().drop_guard(),
        };
        self.shared.arrived.send(Ok(connection)).await.map_err(|_| Status::unavailable("shutting down"))?;
        let mut offer = Some(offer);
        let answers = outgoing_sessions.map(move |envelope| {
            if matches!(envelope, Envelope::Hello(_))
                && let Some(offer) = offer.take()
            {
                visitor.offer_requests(offer);
            }
            Ok(wire::to_wire(envelope))
        });
        Ok(tonic::Response::new(Box::pin(answers)))
    }

    type AskStream = Answers;

    async fn ask(&self, request: tonic::Request<Streaming<pb::Envelope>>) -> Result<tonic::Response<Answers>, Status> {
        let visitor = stream::Visitor::of(&request)?;
        let offered = visitor.take_requests();
        let offered =
            offered.ok_or_else(|| Status::failed_precondition("one stream of requests per greeted connection"))?;
        let outgoing = offered.connect(request.into_inner());
        let outgoing = outgoing.ok_or_else(|| Status::unavailable("the connection is over"))?;
        Ok(tonic::Response::new(Box::pin(outgoing.map(|envelope| Ok(wire::to_wire(envelope))))))
    }

    async fn enrol(
        &self,
        request: tonic::Request<pb::EnrolRequest>,
    ) -> Result<tonic::Response<pb::EnrolReply>, Status> {
        let visitor = stream::Visitor::of(&request)?;
        let enroller = self.shared.enroller.as_ref().filter(|_| self.shared.directory.admits_strangers());
        let enroller = enroller.ok_or_else(|| Status::permission_denied("no invitation is open"))?;
        let application = enrolment::application_from_wire(request.into_inner())
            .ok_or_else(|| Status::invalid_argument("the application is out of bounds"))?;
        let answer = enroller.enrol(visitor.caller.party, visitor.caller.pin, application).await;
        if let (Err(code), Some(from)) = (&answer, visitor.from)
            && self.shared.lines.take(from)
        {
            tracing::warn!(%from, party = %visitor.caller.party, code, "an enrolment was refused");
        }
        Ok(tonic::Response::new(enrolment::answer_to_wire(answer)))
    }
}
