//! Parties written as scripts, over links: they come to their answer, and an ending that comes up without a frame is not
//! overlooked.

use std::time::Duration;

use tacitly::session::{Absence, CheckpointSink, Completed, Ended, Network, Options, Settings, drive};
use tacitly::transport::MemoryHub;
use tacitly_core::{Fault, Halt, Mailbox, PartyId, Roles, Script};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{id, join, pair, tag, tight, up};

type Outcome<T> = JoinHandle<Result<Completed<T>, Ended>>;

/// Drives a script at `network` with these peers, in a task, and stores its checkpoints at once.
fn play<T, F, Fut>(network: &Network, me: &str, peers: &[&str], script: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce(Mailbox) -> Fut,
    Fut: Future<Output = Result<T, Halt>> + Send + 'static,
{
    let party = Script::new(Roles::new(tag("s"), id(me), peers.iter().map(|peer| id(peer))), script);
    let links = peers.iter().map(|peer| network.open(id(peer), tag("s")).unwrap()).collect();
    let sink: CheckpointSink = Box::new(|_| Box::pin(async { Ok(()) }));
    tokio::spawn(drive(Box::new(party), links, Options { checkpoint: Some(sink), ..Options::default() }))
}

async fn ended<T>(outcome: Outcome<T>) -> Result<T, Ended> {
    let outcome = timeout(Duration::from_secs(600), outcome).await.expect("it waits for nothing");
    outcome.unwrap().map(|completed| completed.output)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rounds_and_a_stream_in_between_come_to_the_same_answer_on_both_sides() {
    let (_hub, a, b) = pair(tight()).await;
    let script = |peer: PartyId| {
        async move |mailbox: Mailbox| {
            let mut sum = 0_u64;
            for round in 0..1000_u32 {
                mailbox.round(round + 1);
                mailbox.send(peer, u64::from(round).to_be_bytes().to_vec());
                let body = mailbox.receive(peer).await?;
                sum += body.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            for _ in 0..100 {
                mailbox.send(peer, vec![1; 1000]);
                mailbox.drained(peer).await;
            }
            for _ in 0..100 {
                sum += mailbox.receive(peer).await?.len() as u64;
            }
            Ok(sum)
        }
    };
    let (at_a, at_b) = (play(&a, "a", &["b"], script(id("b"))), play(&b, "b", &["a"], script(id("a"))));
    let expected: u64 = (0..1000_u32).flat_map(u32::to_be_bytes).map(u64::from).sum::<u64>() + 100_000;
    assert_eq!((ended(at_a).await, ended(at_b).await), (Ok(expected), Ok(expected)));
}

#[tokio::test(start_paused = true)]
async fn a_dispute_that_comes_up_after_a_checkpoint_ends_the_session_and_the_peer_hears_its_code() {
    let (_hub, a, b) = pair(tight()).await;
    let dispute = Fault::Dispute { a: id("b"), b: id("c"), code: "share-digest" };
    let told = dispute.clone();
    let at_a = play(&a, "a", &["b"], async move |mailbox: Mailbox| -> Result<(), Halt> {
        mailbox.receive(id("b")).await?;
        mailbox.checkpoint("seen", vec![1]).await;
        Err(told.into())
    });
    let at_b = play(&b, "b", &["a"], async |mailbox: Mailbox| {
        mailbox.send(id("a"), vec![1]);
        mailbox.receive(id("a")).await?;
        Ok(())
    });
    let at_a = ended(at_a).await.unwrap_err();
    assert_eq!((at_a.code(), at_a.culprit(), at_a.is_resumable()), ("share-digest", None, false));
    assert_eq!(at_a, Ended::Fault(dispute));
    let Err(Ended::PeerFailed { who, code, .. }) = ended(at_b).await else { panic!("it was told nothing") };
    assert_eq!((who, code.as_str()), (id("a"), "share-digest"));
}

#[tokio::test(start_paused = true)]
async fn whoever_was_lost_is_left_out_or_stalls_the_session_when_it_is_needed() {
    for needs in [false, true] {
        let hub = MemoryHub::new();
        let a = join(&hub, "a", &["b", "c"], tight());
        let b = join(&hub, "b", &["a"], tight());
        let _c = join(&hub, "c", &["a"], tight());
        up(&a, "b").await;
        up(&a, "c").await;
        let at_a = play(&a, "a", &["b", "c"], async move |mailbox: Mailbox| {
            mailbox.progress("collecting", 0, 2);
            // c goes away meanwhile; whether it is missed while we wait for b or after that, the ending is the same.
            let mut heard = vec![mailbox.receive(id("b")).await?];
            match mailbox.receive(id("c")).await {
                Ok(body) => heard.push(body),
                Err(stall) if needs => return Err(stall.into()),
                Err(_) => {}
            }
            mailbox.send(id("b"), "enough");
            Ok(heard)
        });
        hub.leave(id("c"));
        let at_b = play(&b, "b", &["a"], async |mailbox: Mailbox| {
            mailbox.send(id("a"), "here");
            Ok(mailbox.receive(id("a")).await?)
        });
        let at_a = ended(at_a).await;
        if needs {
            let stalled = Ended::Stalled { who: id("c"), cause: Absence::PeerLost, stage: "collecting" };
            assert_eq!(at_a, Err(stalled));
            assert!(matches!(ended(at_b).await, Err(Ended::PeerFailed { .. })));
        } else {
            assert_eq!((at_a.unwrap(), ended(at_b).await.unwrap()), (vec!["here".into()], "enough".into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn patience_ends_with_the_peer_that_moves_nothing_and_with_no_other() {
    for needs in [false, true] {
        let hub = MemoryHub::new();
        let patience = Some(Duration::from_secs(60));
        let a = join(&hub, "a", &["b", "c"], Settings { patience, ..tight() });
        let (b, c) = (join(&hub, "b", &["a"], tight()), join(&hub, "c", &["a"], tight()));
        up(&a, "b").await;
        up(&a, "c").await;
        let begun = Instant::now();
        let at_a = play(&a, "a", &["b", "c"], async move |mailbox: Mailbox| {
            mailbox.progress("collecting", 0, 2);
            let early = mailbox.receive(id("b")).await?;
            let missed = mailbox.receive(id("c")).await;
            if needs {
                missed?;
            }
            mailbox.send(id("b"), early);
            Ok(mailbox.receive(id("b")).await?)
        });
        // It has nothing to do for as long as c keeps everybody waiting, and is not blamed for that.
        let at_b = play(&b, "b", &["a"], async |mailbox: Mailbox| {
            mailbox.send(id("a"), "here");
            let body = mailbox.receive(id("a")).await?;
            mailbox.send(id("a"), body);
            Ok(())
        });
        let at_c = play(&c, "c", &["a"], async |mailbox: Mailbox| Ok(mailbox.receive(id("a")).await?));
        let at_a = ended(at_a).await;
        assert!((60..65).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        if needs {
            let stalled = Ended::Stalled { who: id("c"), cause: Absence::NoProgress, stage: "collecting" };
            assert!(stalled.is_resumable() && stalled.code() == "no-progress");
            assert_eq!(at_a, Err(stalled));
        } else {
            assert_eq!((at_a, ended(at_b).await), (Ok("here".into()), Ok(())));
        }
        let Err(Ended::PeerFailed { who, code, .. }) = ended(at_c).await else { panic!("it was told nothing") };
        assert_eq!((who, code.as_str()), (id("a"), "no-progress"));
    }
}

#[tokio::test(start_paused = true)]
async fn patience_does_not_run_while_the_peer_has_not_opened_the_session_or_the_link_is_down() {
    let hub = MemoryHub::new();
    let patience = Some(Duration::from_secs(20));
    let a = join(&hub, "a", &["b"], Settings { patience, ..tight() });
    let b = join(&hub, "b", &["a"], tight());
    up(&a, "b").await;
    let at_a = play(&a, "a", &["b"], async |mailbox: Mailbox| Ok(mailbox.receive(id("b")).await?));
    sleep(Duration::from_secs(15)).await;
    let at_b = play(&b, "b", &["a"], async |mailbox: Mailbox| {
        mailbox.checkpoint("slow", vec![1]).await;
        mailbox.send(id("a"), "late");
        Ok(())
    });
    hub.cut(id("a"), id("b"));
    hub.sever(id("a"), id("b"));
    sleep(Duration::from_secs(25)).await;
    hub.heal(id("a"), id("b"));
    assert_eq!((ended(at_a).await, ended(at_b).await), (Ok("late".into()), Ok(())));
}
