//! Which calls a connection takes, and when.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::transport::directory::{Entry, Roster};
use crate::transport::envelope::{BootId, Envelope, Hello, Lane, WireRange};
use crate::transport::generated as pb;
use crate::transport::streams::outgoing;
use crate::transport::wire::{from_wire, to_wire};

fn party(name: &str) -> (Grpc, Arc<Roster>) {
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    let identity = TlsIdentity::generate(name.parse().unwrap(), now - day, now + day).unwrap();
    let roster = Arc::new(Roster::new());
    (Grpc::new(identity, roster.clone(), None, Settings::default()), roster)
}

fn hello(name: &str) -> Envelope {
    Envelope::Hello(Hello {
        clock: None,
        wire: WireRange::OURS,
        features: [].into(),
        software: String::new(),
        party: name.parse().unwrap(),
        boot: BootId([1; 16]),
        connection: 1,
        lost: 0,
        lane: Lane::ONLY,
    })
}

async fn heard(stream: &mut Streaming<pb::Envelope>) -> Envelope {
    from_wire(stream.message().await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn requests_have_one_stream_and_none_before_the_greeting() {
    let ((bank, knows), (shop, _)) = (party("bank"), party("shop"));
    knows.set(shop.me(), Entry { pins: vec![shop.identity().pin()], ..Entry::default() });
    let address = bank.listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap().to_string();
    let target = Target { party: bank.me(), address, proxy: None, pins: vec![bank.identity().pin()] };
    let mut line = dial::dial(&shop.identity(), &target, &shop.shared.closing).await.unwrap();
    let refused = |answer: Result<_, Status>| answer.err().map(|status| status.code());

    assert_eq!(
        refused(line.client.ask(tokio_stream::pending()).await),
        Some(Code::FailedPrecondition),
        "no connection"
    );
    let (sessions, to_send) = outgoing();
    let mut answers = line.client.open(to_send.map(to_wire)).await.unwrap().into_inner();
    let mut accepted = bank.accept().await.unwrap().unwrap();
    assert_eq!(refused(line.client.ask(tokio_stream::pending()).await), Some(Code::FailedPrecondition), "no greeting");
    assert!(sessions.send(hello("shop")).await);
    assert_eq!(accepted.receive().await.unwrap(), hello("shop"));
    accepted.send(hello("bank")).await.unwrap();
    assert_eq!(heard(&mut answers).await, hello("bank"));

    let (requests, to_send) = outgoing();
    let mut responses = line.client.ask(to_send.map(to_wire)).await.unwrap().into_inner();
    assert_eq!(refused(line.client.ask(tokio_stream::pending()).await), Some(Code::FailedPrecondition), "a second one");
    let request = Envelope::Request { id: 1, service: "jobs".to_owned(), body: Bytes::from_static(b"?") };
    assert!(requests.send(request.clone()).await);
    assert_eq!(accepted.receive().await.unwrap(), request, "the first is as good as before");
    let response = Envelope::Response { id: 1, outcome: Ok(Bytes::from_static(b"!")) };
    accepted.send(response.clone()).await.unwrap();
    assert_eq!(heard(&mut responses).await, response);
}
