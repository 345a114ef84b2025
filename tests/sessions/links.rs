//! Links between parties in one process, on a virtual clock: connections, questions, peers that come and go, the end.

use std::time::Duration;

use tacitly::session::{Ended, LinkState, Network, Options, Settings, StartError};
use tacitly::transport::{LinkError, MemoryHub};
use tokio::time::{Instant, sleep};

use crate::support::{Bulk, bulk, down, id, join, link_is, pair, reaches, run, tag, tight, up};

#[tokio::test(start_paused = true)]
async fn links_that_both_sides_dial_at_the_same_moment_settle_on_one_connection() {
    let (hub, a, b) = pair(tight()).await;
    for round in 0..20 {
        let (at_a, at_b) = bulk(&format!("s{round}"), 200, 10);
        let at_a = run(&a, at_a, &format!("s{round}"), Options::default());
        let at_b = run(&b, at_b, &format!("s{round}"), Options::default());
        hub.sever(id("a"), id("b"));
        a.dial(id("b")).unwrap();
        b.dial(id("a")).unwrap();
        assert!(at_a.await.unwrap().is_ok() && at_b.await.unwrap().is_ok(), "round {round}");
    }
    sleep(Duration::from_secs(3)).await;
    let since = |network: &Network, peer: &str| match &network.links().borrow()[&id(peer)] {
        LinkState::Up { since, .. } => *since,
        LinkState::Down { reason, .. } => panic!("{reason}"),
    };
    let before = (since(&a, "b"), since(&b, "a"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((since(&a, "b"), since(&b, "a")), before, "the link does not flap");
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_or_fail_with_a_reason() {
    let (hub, a, b) = pair(tight()).await;
    let ask = |body: &'static str, patience| a.request(id("b"), "echo", body.into(), Duration::from_secs(patience));
    assert_eq!(ask("hello", 5).await.unwrap(), "a: hello");
    assert_eq!(b.request(id("a"), "echo", "hello".into(), Duration::from_secs(5)).await.unwrap(), "b: hello");
    let declined = |code: &str| LinkError::Declined { peer: id("b"), code: code.to_owned() };
    assert_eq!(ask("panic", 5).await.unwrap_err(), declined("no-answer"));
    assert_eq!(ask("large", 5).await.unwrap_err(), declined("no-answer"));
    assert!(matches!(ask("slow", 5).await.unwrap_err(), LinkError::TimedOut { .. }));
    assert_eq!(ask("slow", 100).await.unwrap(), "slow", "a late answer to the question before disturbs nothing");
    let too_large = a.request(id("b"), "echo", vec![0; 1_000_001].into(), Duration::from_secs(1)).await;
    assert!(matches!(too_large, Err(LinkError::TooLarge { .. })));
    let asked = {
        let a = a.clone();
        tokio::spawn(async move { a.request(id("b"), "echo", "slow".into(), Duration::from_secs(100)).await })
    };
    sleep(Duration::from_secs(1)).await;
    hub.sever(id("a"), id("b"));
    assert_eq!(asked.await.unwrap().unwrap_err(), LinkError::Interrupted { peer: id("b") });
    assert_eq!(ask("again", 5).await.unwrap(), "a: again", "the link comes back by itself");
    hub.leave(id("b"));
    assert!(matches!(
        ask("anyone", 20).await.unwrap_err(),
        LinkError::Unreachable { .. } | LinkError::Interrupted { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_removed_is_cut_and_one_that_is_added_is_dialled_without_restart() {
    let hub = MemoryHub::new();
    let known = crate::support::roster(&["b"]);
    let transport = std::sync::Arc::new(hub.join(id("a")));
    let inbox = std::sync::Arc::new(crate::support::Echo::default());
    let a = Network::start(transport, known.clone(), inbox, tight()).unwrap();
    let b = join(&hub, "b", &["a"], tight());
    let c = join(&hub, "c", &["a"], tight());
    up(&a, "b").await;
    link_is(&c, "a", |state| matches!(state, LinkState::Down { reason: LinkError::Closed { .. }, .. })).await;
    known.set(id("c"), Default::default());
    up(&a, "c").await;
    known.remove(id("b"));
    down(&b, "a").await;
    assert!(!a.links().borrow().contains_key(&id("b")));
    assert!(matches!(a.open(id("b"), tag("s")), Err(LinkError::UnknownPeer { .. })));
}

#[test]
fn a_network_starts_on_a_runtime_only_and_is_used_from_any_thread() {
    let hub = MemoryHub::new();
    let start = || {
        let transport = std::sync::Arc::new(hub.join(id("a")));
        let inbox = std::sync::Arc::new(crate::support::Echo::default());
        Network::start(transport, crate::support::roster(&["b"]), inbox, Settings::default())
    };
    assert_eq!(start().err(), Some(StartError::NoRuntime));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let network = runtime.block_on(async { start() }).unwrap();
    network.refresh();
    drop(network.open(id("b"), tag("s")).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_party_that_shuts_down_lets_sessions_end_and_then_tells_those_that_do_not() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, at_b) = bulk("short", 10, 10);
    let short = (run(&a, at_a, "short", Options::default()), run(&b, at_b, "short", Options::default()));
    let (at_a, mut at_b) = bulk("long", 10, 10);
    at_b.checkpoint_at = Some(5);
    let never: tacitly::session::CheckpointSink = Box::new(|_| Box::pin(std::future::pending()));
    let at_b = run(&b, at_b, "long", Options { checkpoint: Some(never), ..Options::default() });
    let long = run(&a, at_a, "long", Options::default());
    let begun = Instant::now();
    a.shutdown(Duration::from_secs(20)).await;
    assert!((20..24).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(short.0.await.unwrap().is_ok() && short.1.await.unwrap().is_ok());
    let ended = long.await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Local { code: "shutdown", .. }) && ended.is_resumable());
    let state = down(&b, "a").await;
    assert!(matches!(state, LinkState::Down { .. }));
    assert!(matches!(a.open(id("b"), tag("more")), Err(LinkError::ShuttingDown)));
    at_b.abort();
}

#[tokio::test(start_paused = true)]
async fn more_sessions_than_allowed_are_refused_on_our_side_and_on_the_peers() {
    let hub = MemoryHub::new();
    let a = join(&hub, "a", &["b"], Settings { max_sessions: 3, ..tight() });
    let b = join(&hub, "b", &["a"], Settings { max_sessions: 2, ..tight() });
    up(&a, "b").await;
    up(&b, "a").await;
    let open = |label: &str| run(&a, Bulk::new(id("b"), tag(label), 1, 1, 1), label, Options::default());
    let (_one, _two) = (open("1"), open("2"));
    sleep(Duration::from_millis(100)).await;
    let ended = open("3").await.unwrap().unwrap_err();
    assert!(matches!(&ended, Ended::PeerFailed { code, .. } if code == "too-many-sessions"), "{ended}");
    let _three = a.open(id("b"), tag("4")).unwrap();
    let refused = a.open(id("b"), tag("5")).err().unwrap();
    assert_eq!(refused, LinkError::TooManySessions { peer: id("b"), limit: 3 });
    assert_eq!(a.open(id("b"), tag("4")).err().unwrap(), LinkError::AlreadyOpen { peer: id("b") });
    assert!(matches!(a.open(id("c"), tag("5")), Err(LinkError::UnknownPeer { .. })));
}

#[tokio::test(start_paused = true)]
async fn every_cut_a_little_shorter_than_the_window_is_survived() {
    let (hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 3000, 10);
    let received = at_a.counters.clone();
    at_a.before_receive = Some(Box::new(|_| std::thread::sleep(Duration::from_micros(200))));
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    for cut in 0..15 {
        reaches(&received.received, 100 * (cut + 1)).await;
        hub.cut(id("a"), id("b"));
        hub.sever(id("a"), id("b"));
        // Of the window of 30 s, what is left is little more than the longest pause between two dials.
        sleep(Duration::from_millis(20_000 + 635 * cut)).await;
        hub.heal(id("a"), id("b"));
        up(&a, "b").await;
    }
    assert_eq!(at_a.await.unwrap().unwrap().output, Bulk::answer(3000, 10));
    assert_eq!(at_b.await.unwrap().unwrap().output, Bulk::answer(3000, 10));
}
