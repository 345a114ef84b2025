//! Sessions between parties in one process, on a virtual clock: honest runs first, then everything that can go wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tacitly::session::{
    Absence, CancellationToken, Completed, Ended, LinkState, LocalFailure, Network, Options, Status, drive,
};
use tacitly::transport::{LinkError, MemoryHub};
use tacitly_core::{Channel, Fault, Frame, Party, PartyId, Progress, Seed, Stall, code};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Bulk, bulk, down, id, join, pair, reaches, run, start, tag, tight, up};

fn slowly() -> Option<Box<dyn FnMut(u64) + Send>> {
    Some(Box::new(|_| std::thread::sleep(Duration::from_millis(1))))
}

#[tokio::test(start_paused = true)]
async fn both_ends_of_a_bulk_exchange_get_everything_through_a_small_window_and_agree_on_what_went_over() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, at_b) = start(&a, &b, 500);
    let (at_a, at_b) = (at_a.await.unwrap().unwrap(), at_b.await.unwrap().unwrap());
    assert_eq!(at_a.output, Bulk::answer(500, 1000));
    assert_eq!(at_b.output, Bulk::answer(500, 1000));
    let (ours, theirs) = (&at_a.transcripts[&id("b")], &at_b.transcripts[&id("a")]);
    assert_eq!((ours.sent, ours.received), (theirs.received, theirs.sent));
    assert_eq!((ours.sent.frames, ours.sent.bytes), (500, 500_000));
    assert_eq!(ours.sent.digest, ours.received.digest, "both sent the same");
}

#[tokio::test(start_paused = true)]
async fn many_sessions_share_a_link() {
    let (_hub, a, b) = pair(tight()).await;
    let mut running = Vec::new();
    for at in 0..20 {
        let session = format!("s{at}");
        let (at_a, at_b) = bulk(&session, 20, 100);
        running.push(run(&a, at_a, &session, Options::default()));
        running.push(run(&b, at_b, &session, Options::default()));
    }
    for outcome in running {
        assert_eq!(outcome.await.unwrap().unwrap().output, Bulk::answer(20, 100));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_a_peer_that_opens_it_later() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, at_b) = bulk("s", 10, 10);
    let early = run(&a, at_a, "s", Options::default());
    sleep(Duration::from_secs(60)).await;
    let late = run(&b, at_b, "s", Options::default());
    assert!(early.await.unwrap().is_ok() && late.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_dead_before_the_session_is_lost_after_the_reconnect_window() {
    let (hub, a, _b) = pair(tight()).await;
    hub.leave(id("b"));
    down(&a, "b").await;
    let begun = Instant::now();
    let (at_a, _) = bulk("s", 10, 10);
    let ended = run(&a, at_a, "s", Options::default()).await.unwrap().unwrap_err();
    assert_eq!(ended, Ended::Stalled { who: id("b"), cause: Absence::PeerLost, stage: "exchanging" });
    assert!(ended.is_resumable());
    assert!((29..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_in_the_middle_shows_within_two_heartbeats_and_is_lost_after_the_window() {
    let (hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 1_000_000, 10);
    let counters = at_a.counters.clone();
    at_a.before_send = slowly();
    let status = watch::Sender::new(Status::default());
    let mut watched = status.subscribe();
    let at_a = run(&a, at_a, "s", Options { status: Some(status), ..Options::default() });
    let at_b = run(&b, at_b, "s", Options::default());
    reaches(&counters.received, 50).await;
    let begun = Instant::now();
    hub.cut(id("a"), id("b"));
    watched.wait_for(|status| status.peers.get(&id("b")).is_some_and(|traffic| !traffic.up)).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_millis(10_100), "{:?}", begun.elapsed());
    let state = down(&a, "b").await;
    assert!(matches!(state, LinkState::Down { reason: LinkError::Silent { .. } | LinkError::Unreachable { .. }, .. }));
    for (ended, who) in [(at_a, "b"), (at_b, "a")] {
        let ended = ended.await.unwrap().unwrap_err();
        assert!(matches!(ended, Ended::Stalled { who: lost, cause: Absence::PeerLost, .. } if lost == id(who)));
    }
    assert!((39..42).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_after_the_answer_takes_nothing_away() {
    let (hub, a, b) = pair(tight()).await;
    let (at_a, at_b) = start(&a, &b, 10);
    let at_a = at_a.await.unwrap();
    hub.leave(id("b"));
    assert_eq!(at_a.unwrap().output, Bulk::answer(10, 1000));
    drop(at_b);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_died_before_it_consumed_our_last_frames_leaves_us_without_completion() {
    let (hub, a, b) = pair(tight()).await;
    let at_a = Bulk::new(id("b"), tag("s"), 3, 1, 10);
    let has_answer = at_a.counters.clone();
    let at_a = run(&a, at_a, "s", Options::default());
    let mut at_b = Bulk::new(id("a"), tag("s"), 1, 3, 10);
    let hub_at_b = hub.clone();
    at_b.before_receive = Some(Box::new(move |frame| {
        if frame == 2 {
            // What dies with the peer is the last acknowledgement, not its own frame.
            let begun = std::time::Instant::now();
            while has_answer.received.load(Ordering::SeqCst) == 0 && begun.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            hub_at_b.leave(id("b"));
        }
    }));
    let at_b = run(&b, at_b, "s", Options::default());
    // The party of this test goes on without a peer once it has its answer; what counts is that it was asked.
    let begun = Instant::now();
    assert!(at_a.await.unwrap().is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(30), "it did not wait for the last acknowledgement");
    drop(at_b);
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_protocol_fails_says_so_and_says_no_more_than_a_code_and_a_stage() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, mut at_b) = bulk("s", 100, 10);
    at_b.fault_at = Some(7);
    let begun = Instant::now();
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    let ended = at_b.await.unwrap().unwrap_err();
    assert_eq!(ended.culprit(), Some(id("a")));
    let expected = Ended::PeerFailed { who: id("b"), code: code::MALFORMED.to_owned(), stage: "exchanging".to_owned() };
    let ended = at_a.await.unwrap().unwrap_err();
    assert!(!ended.is_resumable());
    assert_eq!(ended, expected);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_failed_before_we_opened_the_session_says_so_when_we_do() {
    let (_hub, a, b) = pair(tight()).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (at_a, at_b) = bulk("s", 10, 10);
    let _ = run(&b, at_b, "s", Options { cancel, ..Options::default() }).await;
    sleep(Duration::from_secs(1)).await;
    let ended = run(&a, at_a, "s", Options::default()).await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Cancelled { by, .. } if by == id("b")), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_peer_declines_ends_at_once() {
    for declined_first in [true, false] {
        let (_hub, a, b) = pair(tight()).await;
        if declined_first {
            b.decline(id("a"), tag("s"), "no-such-job", "starting").unwrap();
        }
        let (at_a, _) = bulk("s", 10, 10);
        let at_a = run(&a, at_a, "s", Options::default());
        sleep(Duration::from_secs(1)).await;
        if !declined_first {
            b.decline(id("a"), tag("s"), "no-such-job", "starting").unwrap();
        }
        let expected = Ended::PeerFailed { who: id("b"), code: "no-such-job".to_owned(), stage: "starting".to_owned() };
        assert_eq!(at_a.await.unwrap().unwrap_err(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_peer_never_opens_ends_after_the_opening_window() {
    let (_hub, a, _b) = pair(tight()).await;
    let begun = Instant::now();
    let (at_a, _) = bulk("s", 10, 10);
    let ended = run(&a, at_a, "s", Options::default()).await.unwrap().unwrap_err();
    assert!(matches!(ended, Ended::Stalled { cause: Absence::NeverOpened, .. }), "{ended}");
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_comes_back_inside_the_window_costs_nothing_but_time() {
    let (hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 300, 1000);
    let counters = at_a.counters.clone();
    at_a.before_receive = slowly();
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    reaches(&counters.received, 100).await;
    hub.cut(id("a"), id("b"));
    sleep(Duration::from_secs(15)).await;
    down(&a, "b").await;
    hub.heal(id("a"), id("b"));
    let (at_a, at_b) = (at_a.await.unwrap().unwrap(), at_b.await.unwrap().unwrap());
    assert_eq!(at_a.output, Bulk::answer(300, 1000));
    assert_eq!(at_b.output, Bulk::answer(300, 1000));
    assert_eq!(at_a.transcripts[&id("b")].sent, at_b.transcripts[&id("a")].received);
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_again_and_again_lose_and_repeat_nothing() {
    let (hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 2000, 100);
    let severing = hub.clone();
    at_a.before_receive = Some(Box::new(move |frame| {
        if frame % 100 == 50 {
            severing.sever(id("a"), id("b"));
        }
    }));
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    let (at_a, at_b) = (at_a.await.unwrap().unwrap(), at_b.await.unwrap().unwrap());
    assert_eq!(at_a.output, Bulk::answer(2000, 100));
    assert_eq!(at_b.output, Bulk::answer(2000, 100));
    assert_eq!(at_a.transcripts[&id("b")].sent, at_b.transcripts[&id("a")].received);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_network_does_a_session_ends_with_the_right_answer_or_a_typed_stall() {
    let mut completed = 0;
    for seed in 0..150 {
        let mut rng = Seed::from_bytes([seed; 32]).into_rng();
        let (hub, a, b) = pair(tight()).await;
        let (at_a, at_b) = bulk("s", 200, 10);
        let progress = [at_a.counters.clone(), at_b.counters.clone()];
        let running = [run(&a, at_a, "s", Options::default()), run(&b, at_b, "s", Options::default())];
        let mishaps = async {
            loop {
                let at = progress[0].received.load(Ordering::SeqCst) + rng.random_range(0..50);
                // The clock stands still while this looks, so it must not look for ever.
                for _ in 0..5000 {
                    if progress[0].received.load(Ordering::SeqCst) < at {
                        tokio::task::yield_now().await;
                    }
                }
                let silence = Duration::from_millis(rng.random_range(0..60_000));
                match rng.random_range(0..3) {
                    0 => hub.cut(id("a"), id("b")),
                    1 => hub.sever(id("a"), id("b")),
                    _ => {
                        hub.sever(id("a"), id("b"));
                        hub.cut(id("a"), id("b"));
                    }
                }
                sleep(silence).await;
                hub.heal(id("a"), id("b"));
            }
        };
        let ends = async {
            let mut ends = Vec::new();
            for outcome in running {
                ends.push(
                    timeout(Duration::from_secs(3600), outcome)
                        .await
                        .unwrap_or_else(|_| panic!("seed {seed} hangs"))
                        .unwrap(),
                );
            }
            ends
        };
        let ends = tokio::select! { ends = ends => ends, () = mishaps => unreachable!() };
        for end in ends {
            match end {
                Ok(done) => {
                    assert_eq!(done.output, Bulk::answer(200, 10), "seed {seed}");
                    completed += 1;
                }
                Err(ended) => assert!(ended.is_resumable(), "seed {seed}: {ended}"),
            }
        }
        a.shutdown(Duration::ZERO).await;
        b.shutdown(Duration::ZERO).await;
    }
    assert!((50..290).contains(&completed), "{completed} of 300 completed: the mishaps are too many or too few");
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_slows_its_peer_down_and_fills_no_memory() {
    let (_hub, a, b) = pair(tight()).await;
    let at_a = Bulk::new(id("b"), tag("s"), 60, 0, 1000);
    let mut at_b = Bulk::new(id("a"), tag("s"), 0, 60, 1000);
    let sent = at_a.counters.clone();
    at_b.before_receive = Some(Box::new(move |frame| {
        std::thread::sleep(Duration::from_millis(5));
        let ahead = sent.sent.load(Ordering::SeqCst) - frame;
        assert!(ahead <= 4, "{ahead} frames under way");
    }));
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    assert!(at_a.await.unwrap().is_ok());
    assert_eq!(at_b.await.unwrap().unwrap().output, Bulk::answer(60, 1000));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_our_side_and_tells_the_peer() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, mut at_b) = bulk("s", 10, 10);
    at_b.fault_at = None;
    at_b.checkpoint_at = Some(3);
    let never: tacitly::session::CheckpointSink = Box::new(|_| Box::pin(std::future::pending()));
    let at_b = run(&b, at_b, "s", Options { checkpoint: Some(never), ..Options::default() });
    let deadline = Instant::now() + Duration::from_secs(90);
    let at_a = run(&a, at_a, "s", Options { deadline: Some(deadline), ..Options::default() });
    assert_eq!(at_a.await.unwrap().unwrap_err(), Ended::Deadline { stage: "exchanging" });
    assert_eq!(Instant::now(), deadline);
    // A peer that waits for its own disk hears of it as soon as it can.
    at_b.abort();
    let _ = at_b.await;
    let (at_a, at_b) = bulk("t", 10, 10);
    let deadline = Some(Instant::now() + Duration::from_secs(5));
    let at_a = run(&a, at_a, "t", Options { deadline, ..Options::default() });
    sleep(Duration::from_secs(6)).await;
    let at_b = run(&b, at_b, "t", Options::default());
    assert!(matches!(at_a.await.unwrap().unwrap_err(), Ended::Deadline { .. }));
    assert!(matches!(at_b.await.unwrap().unwrap_err(), Ended::PeerFailed { code, .. } if code == "deadline"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_session_ends_on_both_sides_within_a_second_even_in_the_middle_of_a_long_computation() {
    let (_hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 100, 10);
    at_a.before_send = Some(Box::new(|frame| {
        if frame == 5 {
            std::thread::sleep(Duration::from_secs(2));
        }
    }));
    let counters = at_a.counters.clone();
    let cancel = CancellationToken::new();
    let at_a = run(&a, at_a, "s", Options { cancel: cancel.clone(), ..Options::default() });
    let at_b = run(&b, at_b, "s", Options::default());
    reaches(&counters.sent, 5).await;
    let begun = std::time::Instant::now();
    cancel.cancel();
    let stage = "exchanging".to_owned();
    assert_eq!(at_a.await.unwrap().unwrap_err(), Ended::Cancelled { by: id("a"), stage: stage.clone() });
    assert_eq!(at_b.await.unwrap().unwrap_err(), Ended::Cancelled { by: id("a"), stage });
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_leaves_no_peer_waiting_not_even_while_its_party_computes() {
    let (_hub, a, b) = pair(tight()).await;
    for running in [false, true] {
        let session = format!("running: {running}");
        let (mut at_a, at_b) = bulk(&session, 100, 10);
        let counters = at_a.counters.clone();
        at_a.before_send = Some(Box::new(|frame| {
            if frame == 5 {
                std::thread::sleep(Duration::from_secs(1));
            }
        }));
        let link = a.open(id("b"), tag(&session)).unwrap();
        let driver = drive(Box::new(at_a), vec![link], Options::default());
        let at_b = run(&b, at_b, &session, Options::default());
        if running {
            let driver = tokio::spawn(driver);
            reaches(&counters.sent, 5).await;
            driver.abort();
        } else {
            drop(driver);
        }
        let begun = std::time::Instant::now();
        let ended = at_b.await.unwrap().unwrap_err();
        assert!(matches!(&ended, Ended::PeerFailed { code, .. } if code == "abandoned"), "{ended}");
        assert!(ended.is_resumable());
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_panics_ends_its_session_and_nothing_else() {
    let (_hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 10, 10);
    at_a.before_send = Some(Box::new(|frame| assert!(frame < 3, "on purpose")));
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options::default());
    assert!(matches!(at_a.await.unwrap().unwrap_err(), Ended::Local { code: "panic", .. }));
    assert!(matches!(at_b.await.unwrap().unwrap_err(), Ended::PeerFailed { code, .. } if code == "panic"));
    let (at_a, at_b) = start(&a, &b, 10);
    assert!(at_a.await.unwrap().is_ok() && at_b.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_process_restarted_ends_the_session_at_once() {
    let (hub, a, b) = pair(tight()).await;
    let (mut at_a, at_b) = bulk("s", 1_000_000, 10);
    let counters = at_a.counters.clone();
    at_a.before_send = slowly();
    let at_a = run(&a, at_a, "s", Options::default());
    let _at_b = run(&b, at_b, "s", Options::default());
    reaches(&counters.received, 10).await;
    let begun = Instant::now();
    let again = join(&hub, "b", &["a"], tight());
    let ended = at_a.await.unwrap().unwrap_err();
    assert_eq!(ended, Ended::Stalled { who: id("b"), cause: Absence::PeerRestarted, stage: "exchanging" });
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    up(&again, "a").await;
    let (at_a, at_b) = start(&a, &again, 10);
    assert!(at_a.await.unwrap().is_ok() && at_b.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_durable_before_anything_is_acknowledged_or_sent_beyond_it() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, mut at_b) = bulk("s", 40, 10);
    at_b.checkpoint_at = Some(20);
    let (sent_by_a, sent_by_b) = (at_a.counters.clone(), at_b.counters.clone());
    let sink: tacitly::session::CheckpointSink = Box::new(move |checkpoint| {
        let (sent_by_a, sent_by_b) = (sent_by_a.clone(), sent_by_b.clone());
        Box::pin(async move {
            assert_eq!(checkpoint.bytes, 20u64.to_be_bytes());
            let before = sent_by_b.sent.load(Ordering::SeqCst);
            sleep(Duration::from_secs(100)).await;
            assert_eq!(sent_by_b.sent.load(Ordering::SeqCst), before, "something was sent while it was being stored");
            assert!(sent_by_a.sent.load(Ordering::SeqCst) <= 24, "frame 20 was acknowledged before it was stored");
            Ok(())
        })
    });
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options { checkpoint: Some(sink), ..Options::default() });
    assert!(at_a.await.unwrap().is_ok() && at_b.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_stored_ends_the_session_and_the_peer_learns_the_code_only() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, mut at_b) = bulk("s", 40, 10);
    at_b.checkpoint_at = Some(20);
    let detail = "/var/lib/tacitly is full; free some space".to_owned();
    let failure = LocalFailure { code: "disk-full", detail: detail.clone() };
    let sink: tacitly::session::CheckpointSink = Box::new(move |_| {
        let failure = failure.clone();
        Box::pin(async { Err(failure) })
    });
    let at_a = run(&a, at_a, "s", Options::default());
    let at_b = run(&b, at_b, "s", Options { checkpoint: Some(sink), ..Options::default() });
    assert_eq!(at_b.await.unwrap().unwrap_err(), Ended::Local { code: "disk-full", detail, stage: "exchanging" });
    let told = at_a.await.unwrap().unwrap_err();
    assert!(matches!(&told, Ended::PeerFailed { code, .. } if code == "disk-full"));
    assert!(!told.to_string().contains("/var"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_not_done_before_our_answer_is_durable() {
    let (_hub, a, b) = pair(tight()).await;
    let (at_a, at_b) = bulk("s", 10, 10);
    let at_a = run(&a, at_a, "s", Options::default());
    let settle: tacitly::session::Settle<Vec<u8>> = Box::new(|answer, _| {
        Box::pin(async {
            sleep(Duration::from_secs(20)).await;
            Ok(answer)
        })
    });
    let begun = Instant::now();
    let at_b = run(&b, at_b, "s", Options { settle: Some(settle), ..Options::default() });
    assert!(at_a.await.unwrap().is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(20));
    assert!(at_b.await.unwrap().is_ok());
}

/// A party that comes to its answer while it is asked for a frame, and has none.
struct Late {
    asked: u32,
}

impl Party for Late {
    type Output = u32;

    fn poll_send(&mut self, _: PartyId) -> Option<Frame> {
        self.asked += 1;
        None
    }

    fn receive(&mut self, _: PartyId, _: Frame) -> Result<(), Fault> {
        Ok(())
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        Err(Stall { who, stage: "thinking" })
    }

    fn progress(&self) -> Progress {
        Progress { stage: "thinking", done: 0, total: 0 }
    }

    fn output(&mut self) -> Option<u32> {
        (self.asked > 0).then_some(self.asked)
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_no_frame_is_not_overlooked() {
    let (_hub, a, _b) = pair(tight()).await;
    let link = a.open(id("b"), tag("s")).unwrap();
    let done = timeout(Duration::from_secs(1), drive(Box::new(Late { asked: 0 }), vec![link], Options::default()));
    assert_eq!(done.await.expect("it waits for nothing").unwrap().output, 1);
}

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
