//! What parties ask each other beside sessions: on a stream of its own, each service at its own pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tacitly::session::{LinkError, Options, Settings, drive};
use tacitly::transport::{BUSY, Connection, Entry, Envelope, Grpc, NO_SERVICE, Roster, Transport, Window};
use tacitly_core::{Frame, SessionTag};
use tokio::time::{Instant, timeout};

use crate::hostile::hello;
use crate::site::{PATIENCE, Site, brisk, exchanges, identity, pair};
use crate::support::{Bulk, id, tag, tight, up};

#[tokio::test]
async fn a_flood_of_requests_to_one_service_stalls_neither_a_session_nor_another_service() {
    const FLOOD: usize = 1000;
    let (a, b) = pair().await;
    let answered = Arc::new(AtomicU64::new(0));
    // Two a second are answered: the flood outlasts this test by far.
    let flood: Vec<_> = (0..FLOOD)
        .map(|_| {
            let (network, answered) = (b.network.clone(), answered.clone());
            tokio::spawn(async move {
                let body = Bytes::from(vec![7; 10_000]);
                if network.request(id("a"), "rare", body, 10 * PATIENCE).await.is_ok() {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let begun = async {
        while answered.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, begun).await.expect("nothing is answered");
    for round in 0..5 {
        exchanges(&a.network, &b.network, &format!("s{round}")).await;
        for _ in 0..20 {
            let asked = b.network.request(id("a"), "echo", "hello".into(), PATIENCE).await;
            assert_eq!(asked.unwrap(), "b: hello");
        }
        let asked = a.network.request(id("b"), "echo", "hello".into(), PATIENCE).await;
        assert_eq!(asked.unwrap(), "a: hello");
    }
    assert!(answered.load(Ordering::SeqCst) < FLOOD as u64, "the flood was over before everything else");
    let asked = a.inbox.asked.lock().unwrap()["rare"];
    assert!(asked < FLOOD, "{asked} requests were handled");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A connection of `mallory` with `a` over TLS, on which both have introduced themselves.
async fn greeted(a: &Site) -> Connection {
    let mallory = identity("mallory");
    a.knows("mallory", &[mallory.pin()], None);
    let roster = Arc::new(Roster::new());
    let address = Some(a.listen().await.to_string());
    roster.set(id("a"), Entry { pins: vec![a.pin], address, proxy: None });
    let mut connection = Grpc::new(mallory, roster, None, brisk()).dial(id("a")).await.unwrap();
    connection.send(Envelope::Hello(hello())).await.unwrap();
    assert!(matches!(connection.receive().await.unwrap(), Envelope::Hello(_)));
    up(&a.network, "mallory").await;
    connection
}

async fn next(connection: &mut Connection) -> Envelope {
    timeout(PATIENCE, connection.receive()).await.expect("nothing came").unwrap()
}

/// Sends frames of a session until the other end has consumed all of them; counts the refusals that come meanwhile.
async fn send_frames(connection: &mut Connection, session: SessionTag, ours: u64, frames: u64) -> usize {
    let window = Window { frames: 64, bytes: 8 << 20 };
    connection.send(Envelope::SessionOpen { session, channel: ours, window }).await.unwrap();
    let (mut theirs, mut declined) = (None, 0);
    let (mut sent, mut consumed) = (0, 0);
    while consumed < frames {
        if let Some(channel) = theirs
            && sent < frames.min(consumed + 4)
        {
            let frame = Frame { session, sequence: sent, body: vec![0; 10_000].into() };
            connection.send(Envelope::SessionFrame { channel, frame, consumed: 0 }).await.unwrap();
            sent += 1;
            continue;
        }
        match next(connection).await {
            Envelope::SessionOpen { session: opened, channel, .. } if opened == session => theirs = Some(channel),
            Envelope::SessionAcknowledgement { channel, consumed: count } if channel == ours => consumed = count,
            // It has all that it needs, and says no more about what it has consumed.
            Envelope::SessionEnd { session: ended, notice, .. } if ended == session && notice.is_complete() => break,
            Envelope::Response { outcome: Err(code), .. } => {
                assert_eq!(code, BUSY);
                declined += 1;
            }
            _ => {}
        }
    }
    declined
}

#[tokio::test]
async fn over_its_pace_a_peers_requests_wait_or_are_declined_and_its_sessions_are_read() {
    let a = Site::new(identity("a"), Settings { heartbeat: 2 * PATIENCE, ..brisk() });
    let mut connection = greeted(&a).await;
    let mut ask = 0;
    let most = Settings::default().max_requests;
    // The first flood goes beyond what may wait, the second beyond the pace of refusals.
    for (session, flood) in [(tag("s"), 2 * most), (tag("t"), 1000)] {
        for _ in 0..flood {
            ask += 1;
            let request = Envelope::Request { id: ask, service: "rare".to_owned(), body: Bytes::from_static(b"?") };
            connection.send(request).await.unwrap();
        }
        let link = a.network.open(id("mallory"), session).unwrap();
        let party = Bulk::new(id("mallory"), session, 0, 40, 10_000);
        let running = tokio::spawn(drive(Box::new(party), vec![link], Options::default()));
        let declined = send_frames(&mut connection, session, ask, 40).await;
        assert!(declined <= flood);
        running.abort();
    }
    let handled = a.inbox.asked.lock().unwrap()["rare"];
    assert!(handled < most, "{handled} were handled");
    // What waits is answered in its turn, and another service all the time.
    ask += 1;
    let body = Bytes::from_static(b"!");
    connection.send(Envelope::Request { id: ask, service: "echo".to_owned(), body }).await.unwrap();
    let (mut answered, mut echoed, mut declined) = (0, false, 0);
    while !echoed || answered < 2 || declined == 0 {
        match next(&mut connection).await {
            Envelope::Response { id, outcome: Ok(_) } if id == ask => echoed = true,
            Envelope::Response { outcome: Ok(_), .. } => answered += 1,
            Envelope::Response { outcome: Err(_), .. } => declined += 1,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_a_pace_are_answered_when_their_turn_comes_and_unknown_services_decline() {
    let (_hub, a, _b) = crate::support::pair(tight()).await;
    let begun = Instant::now();
    let asked: Vec<_> = (0..9)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { a.request(id("b"), "rare", "hello".into(), PATIENCE).await })
        })
        .collect();
    for service in ["none", "NO CODE"] {
        let declined = LinkError::Declined { peer: id("b"), code: NO_SERVICE.to_owned() };
        assert_eq!(a.request(id("b"), service, "hello".into(), PATIENCE).await.unwrap_err(), declined);
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "they need not wait for the others");
    for asked in asked {
        assert_eq!(asked.await.unwrap().unwrap(), "a: hello");
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "two a second, and two at once: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_has_answered_what_is_being_answered_and_declines_what_waits() {
    let (_hub, a, b) = crate::support::pair(tight()).await;
    let ask = |service: &'static str, body: &'static str| {
        let a = a.clone();
        tokio::spawn(async move { a.request(id("b"), service, body.into(), 10 * PATIENCE).await })
    };
    let slow = ask("echo", "slow");
    let rare: Vec<_> = (0..20).map(|_| ask("rare", "hello")).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    b.shutdown(10 * PATIENCE).await;
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
    let mut declined = 0;
    for asked in rare {
        match asked.await.unwrap() {
            Ok(_) => {}
            Err(LinkError::Declined { code, .. }) if code == "shutdown" => declined += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(declined, 17);
}
