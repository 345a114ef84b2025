//! A peer that has proved who it is and then does as it likes: every trick ends with its name, and costs bounded memory.

use std::time::Duration;

use bytes::Bytes;
use tacitly::session::{Ended, LinkState, Network, Options, SessionLink, Settings, drive};
use tacitly::transport::{
    BootId, CloseReason, Connection, Envelope, Hello, Lane, LinkError, MemoryHub, MemoryTransport, Notice, Transport,
    Window, WireRange,
};
use tacitly_core::{Frame, SessionTag, code};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Bulk, down, id, join, link_is, tag, tight, up};

/// What `mallory` says that it holds of a session.
const WINDOW: Window = Window { frames: 64, bytes: 8 << 20 };

/// How `mallory` introduces itself.
pub(crate) fn hello() -> Hello {
    Hello {
        wire: WireRange::OURS,
        features: ["teleport".to_owned()].into(),
        software: "mallory 6.6.6".to_owned(),
        party: id("mallory"),
        boot: BootId([6; 16]),
        connection: 666,
        lost: 0,
        lane: Lane::ONLY,
        clock: None,
    }
}

/// An honest party `a`, and `mallory` with bare hands on its transport.
fn strangers(settings: Settings) -> (Network, MemoryTransport) {
    let hub = MemoryHub::new();
    let a = join(&hub, "a", &["mallory"], settings);
    (a, hub.join(id("mallory")))
}

/// The same, once both have introduced themselves.
async fn greeted() -> (Network, MemoryTransport, Connection) {
    let (a, mallory) = strangers(tight());
    let mut connection = mallory.dial(id("a")).await.unwrap();
    connection.send(Envelope::Hello(hello())).await.unwrap();
    assert!(matches!(connection.receive().await.unwrap(), Envelope::Hello(_)));
    up(&a, "mallory").await;
    (a, mallory, connection)
}

/// The next envelope that is not a heartbeat.
async fn next(connection: &mut Connection) -> Result<Envelope, LinkError> {
    let next = async {
        loop {
            match connection.receive().await {
                Ok(Envelope::Heartbeat) => {}
                other => return other,
            }
        }
    };
    timeout(Duration::from_secs(60), next).await.expect("nothing came")
}

/// Opens a session at both ends and returns ours, and the number under which `a` knows it.
async fn opened(a: &Network, connection: &mut Connection, session: SessionTag) -> (SessionLink, u64) {
    let link = a.open(id("mallory"), session).unwrap();
    connection.send(Envelope::SessionOpen { session, channel: 1, window: WINDOW }).await.unwrap();
    let Envelope::SessionOpen { channel, .. } = next(connection).await.unwrap() else { panic!("no opening") };
    (link, channel)
}

fn frame(session: SessionTag, sequence: u64) -> Frame {
    Frame { session, sequence, body: Bytes::from_static(b"body") }
}

async fn violation(a: &Network, rule: &'static str) {
    let wanted = LinkError::Violation { peer: id("mallory"), rule };
    link_is(a, "mallory", |state| matches!(state, LinkState::Down { reason, .. } if *reason == wanted)).await;
}

async fn drive_alone(link: SessionLink) -> Ended {
    let party = Bulk::new(link.peer(), link.session(), 0, 1000, 4);
    drive(Box::new(party), vec![link], Options::default()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_flood_beyond_the_window_names_the_peer_and_takes_the_link_down() {
    let (a, _transport, mut connection) = greeted().await;
    let (link, channel) = opened(&a, &mut connection, tag("s")).await;
    for sequence in 0..5 {
        let _ =
            connection.send(Envelope::SessionFrame { channel, frame: frame(tag("s"), sequence), consumed: 0 }).await;
    }
    violation(&a, "frame-window").await;
    let ended = drive_alone(link).await;
    assert_eq!((ended.culprit(), ended.code()), (Some(id("mallory")), "frame-window"));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_or_skipped_frame_names_the_peer() {
    for (sent, at) in [([0, 0], 0), ([0, 2], 2)] {
        let (a, _transport, mut connection) = greeted().await;
        let (link, channel) = opened(&a, &mut connection, tag("s")).await;
        for sequence in sent {
            connection
                .send(Envelope::SessionFrame { channel, frame: frame(tag("s"), sequence), consumed: 0 })
                .await
                .unwrap();
        }
        let ended = drive_alone(link).await;
        assert_eq!((ended.culprit(), ended.code()), (Some(id("mallory")), code::FRAME_ORDER));
        assert!(ended.to_string().ends_with(&format!("at index {at}")), "{ended}");
        violation(&a, code::FRAME_ORDER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_replayed_from_another_session_names_the_peer() {
    let (a, _transport, mut connection) = greeted().await;
    let (link, channel) = opened(&a, &mut connection, tag("s")).await;
    connection.send(Envelope::SessionFrame { channel, frame: frame(tag("earlier"), 0), consumed: 0 }).await.unwrap();
    let ended = drive_alone(link).await;
    assert_eq!((ended.culprit(), ended.code()), (Some(id("mallory")), code::FRAME_SESSION));
}

#[tokio::test(start_paused = true)]
async fn frames_of_a_session_that_has_ended_reach_nobody_and_harm_nothing() {
    let (a, _transport, mut connection) = greeted().await;
    let (link, channel) = opened(&a, &mut connection, tag("s")).await;
    link.finish(Notice::new("bored", ""));
    assert!(
        matches!(next(&mut connection).await.unwrap(), Envelope::SessionEnd { notice, .. } if notice.code() == "bored")
    );
    for sequence in 0..1000 {
        connection
            .send(Envelope::SessionFrame { channel, frame: frame(tag("s"), sequence), consumed: 0 })
            .await
            .unwrap();
    }
    connection.send(Envelope::SessionAcknowledgement { channel, consumed: 7 }).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert!(a.links().borrow()[&id("mallory")].is_up());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_opened_sent_or_asked_cannot_be_used_acknowledged_or_answered() {
    let session = tag("s");
    let frame = frame(session, 0);
    for (envelope, rule) in [
        (Envelope::SessionFrame { channel: 0, frame: frame.clone(), consumed: 0 }, "channel-number"),
        (Envelope::SessionFrame { channel: 99, frame, consumed: 0 }, "channel-number"),
        (Envelope::SessionAcknowledgement { channel: 1, consumed: 1 }, "acknowledgement"),
        (Envelope::SessionAcknowledgement { channel: u64::MAX, consumed: 1 }, "channel-number"),
        (Envelope::Response { id: 1, outcome: Ok(Bytes::new()) }, "response-id"),
        (Envelope::Response { id: 0, outcome: Ok(Bytes::new()) }, "response-id"),
        (Envelope::Hello(hello()), "second-hello"),
    ] {
        let (a, _transport, mut connection) = greeted().await;
        let (_link, _) = opened(&a, &mut connection, session).await;
        connection.send(envelope.clone()).await.unwrap();
        violation(&a, rule).await;
        let told = next(&mut connection).await.unwrap();
        assert_eq!(told, Envelope::Bye(CloseReason::Violation), "after {envelope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_among_sessions_and_a_session_among_requests_break_the_rules() {
    let request = || Envelope::Request { id: 7, service: "echo".to_owned(), body: Bytes::from_static(b"?") };
    let end = || Envelope::SessionEnd { session: tag("s"), channel: 1, notice: Notice::new("bored", "") };
    for (sent, comes) in [(end(), request()), (request(), end())] {
        let hub = MemoryHub::new();
        let a = join(&hub, "a", &["mallory"], tight());
        let mallory = hub.join(id("mallory"));
        let swapped = sent.clone();
        hub.tap(move |_, _, envelope| vec![if envelope == swapped { comes.clone() } else { envelope }]);
        let mut connection = mallory.dial(id("a")).await.unwrap();
        connection.send(Envelope::Hello(hello())).await.unwrap();
        up(&a, "mallory").await;
        connection.send(sent).await.unwrap();
        violation(&a, "request-stream").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_false_acknowledgement_ends_the_session_with_the_peers_name() {
    let (a, _transport, mut connection) = greeted().await;
    let (link, channel) = opened(&a, &mut connection, tag("s")).await;
    connection.send(Envelope::SessionAcknowledgement { channel, consumed: 1 }).await.unwrap();
    let ended = drive_alone(link).await;
    assert_eq!((ended.culprit(), ended.code()), (Some(id("mallory")), "acknowledgement"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_claims_completion_while_we_wait_for_it_does_not_make_us_wait_forever() {
    let (a, _transport, mut connection) = greeted().await;
    let (link, _) = opened(&a, &mut connection, tag("s")).await;
    let notice = Notice::new(Notice::COMPLETE, "");
    connection.send(Envelope::SessionEnd { session: tag("s"), channel: 1, notice }).await.unwrap();
    let begun = Instant::now();
    let ended = drive_alone(link).await;
    assert!(matches!(&ended, Ended::PeerFailed { who, code, .. } if *who == id("mallory") && code == "left-early"));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn sessions_opened_without_end_are_answered_with_a_refusal() {
    let (a, _transport, mut connection) = greeted().await;
    let most = Settings::default().max_sessions;
    for at in 0..=most as u64 {
        let session = tag(&at.to_string());
        connection.send(Envelope::SessionOpen { session, channel: at + 1, window: WINDOW }).await.unwrap();
    }
    let refused = next(&mut connection).await.unwrap();
    assert!(matches!(refused, Envelope::SessionEnd { notice, .. } if notice.code() == "too-many-sessions"));
    assert!(a.links().borrow()[&id("mallory")].is_up());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_without_reading_the_answers_is_bounded() {
    let (a, _transport, connection) = greeted().await;
    let mut connection = connection;
    for id in 1.. {
        let asked =
            connection.send(Envelope::Request { id, service: "echo".to_owned(), body: Bytes::from_static(b"?") });
        if timeout(Duration::from_secs(1), asked).await.is_err()
            || !a.links().borrow()[&crate::support::id("mallory")].is_up()
        {
            break;
        }
        assert!(id < 10_000, "it took {id} requests without an answer being read");
    }
    link_is(&a, "mallory", |state| !state.is_up()).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_introduce_itself_is_not_waited_for() {
    let (a, mallory) = strangers(tight());
    let mut connection = mallory.dial(id("a")).await.unwrap();
    let begun = Instant::now();
    assert!(next(&mut connection).await.is_err());
    assert!(begun.elapsed() <= Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(matches!(down(&a, "mallory").await, LinkState::Down { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_introduction_that_is_wrong_is_refused_by_name_and_the_peer_is_told() {
    let wrong = |edit: fn(&mut Hello)| {
        let mut hello = hello();
        edit(&mut hello);
        Envelope::Hello(hello)
    };
    let violation = |rule| LinkError::Violation { peer: id("mallory"), rule };
    let wrong_party = LinkError::WrongParty { peer: id("mallory"), claimed: id("b") };
    let other_lane = LinkError::Lane { peer: id("mallory"), lane: 3 };
    for (first, error, told) in [
        (wrong(|hello| hello.party = "b".parse().unwrap()), wrong_party, CloseReason::WrongParty),
        (wrong(|hello| hello.connection = 0), violation("hello-connection"), CloseReason::Violation),
        (wrong(|hello| hello.lane = Lane::new(3).unwrap()), other_lane, CloseReason::Lane),
        (Envelope::Heartbeat, violation("hello-first"), CloseReason::Violation),
    ] {
        let (a, mallory) = strangers(tight());
        let mut connection = mallory.dial(id("a")).await.unwrap();
        connection.send(first).await.unwrap();
        let heard = loop {
            match next(&mut connection).await.unwrap() {
                Envelope::Hello(_) => {}
                other => break other,
            }
        };
        assert_eq!(heard, Envelope::Bye(told));
        link_is(&a, "mallory", |state| matches!(state, LinkState::Down { reason, .. } if *reason == error)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn wire_versions_that_do_not_meet_are_named_on_both_sides() {
    let hub = MemoryHub::new();
    let newer = Settings { wire: WireRange { oldest: 2, newest: 3 }, software: "tacitly 9.0.0".to_owned(), ..tight() };
    let a = join(&hub, "a", &["b"], tight());
    let b = join(&hub, "b", &["a"], newer);
    for (network, peer, ours, theirs) in [(&a, "b", "1", "2 to 3"), (&b, "a", "2 to 3", "1")] {
        let state =
            link_is(network, peer, |state| matches!(state, LinkState::Down { reason: LinkError::Version { .. }, .. }));
        let LinkState::Down { reason, .. } = state.await else { unreachable!() };
        let text = reason.to_string();
        assert!(text.contains(&format!("speaks wire version {theirs}")), "{text}");
        assert!(text.contains(&format!("speak {ours};")), "{text}");
        assert!(text.contains("tacitly 9.0.0"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn builds_of_neighbouring_versions_use_what_both_know() {
    let hub = MemoryHub::new();
    let features = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let older = Settings { features: features(&["one", "two"]), ..tight() };
    let wire = WireRange { oldest: 1, newest: 2 };
    let newer = Settings { wire, features: features(&["two", "three"]), ..tight() };
    let a = join(&hub, "a", &["b"], older);
    let _b = join(&hub, "b", &["a"], newer);
    let LinkState::Up { wire, features, .. } = link_is(&a, "b", LinkState::is_up).await else { unreachable!() };
    assert_eq!((wire, features), (1, ["two".to_owned()].into()));
}
