//! A stream of bare tonic between two parties, with the certificates and the HTTP/2 settings of a link and nothing of its
//! own: what the rounds of a session are measured against.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tacitly_core::{PartyId, SessionTag};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Grpc;
use super::dial::{self, Line, Target};
use super::listen;
use super::received::broken;
use super::stream::Visitor;
use crate::transport::error::LinkError;
use crate::transport::generated as pb;
use crate::transport::identity::Pin;

/// Sends back whatever comes.
struct Echo;

#[tonic::async_trait]
impl pb::exchange_server::Exchange for Echo {
    type OpenStream = Streaming<pb::Envelope>;

    async fn open(
        &self,
        request: tonic::Request<Streaming<pb::Envelope>>,
    ) -> Result<tonic::Response<Streaming<pb::Envelope>>, Status> {
        Visitor::of(&request)?.open();
        Ok(tonic::Response::new(request.into_inner()))
    }

    type AskStream = Streaming<pb::Envelope>;

    async fn ask(
        &self,
        _: tonic::Request<Streaming<pb::Envelope>>,
    ) -> Result<tonic::Response<Streaming<pb::Envelope>>, Status> {
        Err(Status::unimplemented("nobody is asked anything here"))
    }

    async fn enrol(&self, _: tonic::Request<pb::EnrolRequest>) -> Result<tonic::Response<pb::EnrolReply>, Status> {
        Err(Status::unimplemented("nobody enrols here"))
    }
}

/// Takes calls of the same peers on another port, and sends back whatever comes.
pub(crate) async fn listen(grpc: &Grpc, address: SocketAddr) -> io::Result<SocketAddr> {
    listen::serve(grpc.shared.clone(), address, Echo).await
}

/// A line to somebody who [listens](listen) so.
pub(crate) struct Caller {
    peer: PartyId,
    line: Line,
}

impl Caller {
    pub(crate) async fn dial(
        grpc: &Grpc,
        peer: PartyId,
        pin: Pin,
        address: Option<SocketAddr>,
    ) -> Result<Self, LinkError> {
        let address = address.ok_or(LinkError::NoAddress { peer })?.to_string();
        let target = Target { party: peer, address, proxy: None, pins: vec![pin] };
        Ok(Self { peer, line: dial::dial(&grpc.shared.identity(), &target, &grpc.shared.closing).await? })
    }

    /// So many rounds with messages of so many bytes, and how long each took.
    pub(crate) async fn rounds(&self, rounds: u32, bytes: usize) -> Result<Vec<Duration>, LinkError> {
        let peer = self.peer;
        let ended = |status: Status| broken(peer, &status);
        let session = Bytes::copy_from_slice(&SessionTag([7; 16]).0);
        let body = Bytes::from(vec![7; bytes]);
        let (sender, queue) = mpsc::channel(1);
        let answers = self.line.client.clone().open(ReceiverStream::new(queue)).await;
        let mut answers = answers.map_err(ended)?.into_inner();
        let mut took = Vec::with_capacity(rounds as usize);
        for round in 0..rounds {
            let begun = Instant::now();
            let frame = pb::SessionFrame {
                channel: 1,
                session: session.clone(),
                sequence: round.into(),
                body: body.clone(),
                ..pb::SessionFrame::default()
            };
            let kind = Some(pb::envelope::Kind::SessionFrame(frame));
            let gone = || LinkError::Broken { peer, detail: "it takes nothing more".to_owned() };
            sender.send(pb::Envelope { kind }).await.map_err(|_| gone())?;
            answers.message().await.map_err(ended)?.ok_or_else(gone)?;
            took.push(begun.elapsed());
        }
        Ok(took)
    }
}
