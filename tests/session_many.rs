//! Sessions of more than two parties on a virtual clock: one that can do without a peer goes on without it.

mod session_support;

use std::time::Duration;

use session_support::{Bulk, bulk, down, id, join, link_is, pair, run, tag, tight, up};
use tacitly::session::{Completed, Ended, LinkState, Network, Options, drive};
use tacitly::transport::MemoryHub;
use tacitly_core::{Channel, Fault, Frame, Party, PartyId, Progress, Stall};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A coordinator that hears one frame of each of two helpers, or goes on without one of them.
struct Coordinator {
    channels: Vec<(PartyId, Channel)>,
    heard: Vec<PartyId>,
    gone: Vec<PartyId>,
    answered: bool,
}

impl Party for Coordinator {
    type Output = Vec<PartyId>;

    fn poll_send(&mut self, _: PartyId) -> Option<Frame> {
        None
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        let channel = self.channels.iter_mut().find(|(id, _)| *id == from).map(|(_, channel)| channel).unwrap();
        channel.unpack(frame, 1).map_err(Fault::of(from))?;
        self.heard.push(from);
        Ok(())
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        self.gone.push(who);
        if self.gone.len() > 1 { Err(Stall { who, stage: "collecting" }) } else { Ok(()) }
    }

    fn progress(&self) -> Progress {
        Progress { stage: "collecting", done: self.heard.len() as u64, total: 2 }
    }

    fn output(&mut self) -> Option<Vec<PartyId>> {
        let ready = !self.answered && self.heard.len() + self.gone.len() >= 2;
        self.answered |= ready;
        ready.then(|| self.heard.clone())
    }
}

fn coordinate(at: &Network) -> JoinHandle<Result<Completed<Vec<PartyId>>, Ended>> {
    let peers = [id("b"), id("c")];
    let channels = peers.map(|peer| (peer, Channel::new(tag("s")))).into();
    let party: Box<dyn Party<Output = Vec<PartyId>>> =
        Box::new(Coordinator { channels, heard: Vec::new(), gone: Vec::new(), answered: false });
    let links = peers.map(|peer| at.open(peer, tag("s")).unwrap()).into();
    tokio::spawn(drive(party, links, Options::default()))
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_can_do_without_a_peer_goes_on_whether_the_peer_is_lost_or_fails() {
    for fails in [false, true] {
        let hub = MemoryHub::new();
        let a = join(&hub, "a", &["b", "c"], tight());
        let b = join(&hub, "b", &["a"], tight());
        let c = join(&hub, "c", &["a"], tight());
        up(&a, "b").await;
        up(&a, "c").await;
        let at_a = coordinate(&a);
        let helper = Bulk::new(id("a"), tag("s"), 1, 0, 10);
        let at_b = run(&b, helper, "s", Options::default());
        if fails {
            drop(c.open(id("a"), tag("s")).unwrap());
        } else {
            hub.leave(id("c"));
        }
        assert_eq!(at_a.await.unwrap().unwrap().output, [id("b")]);
        assert!(at_b.await.unwrap().is_ok());
    }
}

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
    let ask = |body: &'static str, patience| a.request(id("b"), body.into(), Duration::from_secs(patience));
    assert_eq!(ask("hello", 5).await.unwrap(), "a: hello");
    assert_eq!(b.request(id("a"), "hello".into(), Duration::from_secs(5)).await.unwrap(), "b: hello");
    let declined = |code: &str| LinkError::Declined { peer: id("b"), code: code.to_owned() };
    assert_eq!(ask("panic", 5).await.unwrap_err(), declined("no-answer"));
    assert_eq!(ask("large", 5).await.unwrap_err(), declined("no-answer"));
    assert!(matches!(ask("slow", 5).await.unwrap_err(), LinkError::TimedOut { .. }));
    assert_eq!(ask("slow", 100).await.unwrap(), "slow", "a late answer to the question before disturbs nothing");
    let too_large = a.request(id("b"), vec![0; 1_000_001].into(), Duration::from_secs(1)).await;
    assert!(matches!(too_large, Err(LinkError::TooLarge { .. })));
    let asked = {
        let a = a.clone();
        tokio::spawn(async move { a.request(id("b"), "slow".into(), Duration::from_secs(100)).await })
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
    let known = session_support::roster(&["b"]);
    let transport = std::sync::Arc::new(hub.join(id("a")));
    let inbox = std::sync::Arc::new(session_support::Echo::default());
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
