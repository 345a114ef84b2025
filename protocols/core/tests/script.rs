//! A script as a party: what its driver may do to it, and what it may do itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tacitly_core::{
    Channel, Checkpoint, Fault, Frame, Halt, Mailbox, Misuse, Party, PartyId, Roles, Script, SessionTag, Stall, code,
};

const TAG: SessionTag = SessionTag([7; 16]);

fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

fn roles() -> Roles {
    Roles::new(TAG, id("own"), ["a", "b", "own", "a"].map(id))
}

fn script<T: Send, F, Fut>(body: F) -> Script<T>
where
    F: FnOnce(Mailbox) -> Fut,
    Fut: Future<Output = Result<T, Halt>> + Send + 'static,
{
    Script::new(roles(), body)
}

/// A script that receives one message of `a`, then one of `b`.
fn both() -> Script<(Bytes, Bytes)> {
    script(async |mailbox: Mailbox| {
        mailbox.round(4);
        mailbox.progress("receiving", 1, 2);
        let a = mailbox.receive(id("a")).await?;
        Ok((a, mailbox.receive(id("b")).await?))
    })
}

fn peer() -> Channel {
    Channel::new(TAG)
}

fn code_of(result: Result<(), Fault>) -> (PartyId, &'static str, u32) {
    let Err(Fault::Peer { who, violation }) = result else { panic!("{result:?}") };
    (who, violation.code, violation.round)
}

/// After its end a party sends nothing, takes nothing and loses nobody.
fn assert_over<T: Send>(mut party: Script<T>) {
    assert!(party.output().is_none() && party.poll_halt().is_none() && party.poll_checkpoint().is_none());
    assert!(party.poll_send(id("a")).is_none() && party.poll_send(id("b")).is_none());
    assert_eq!(party.receive(id("a"), peer().pack(vec![1])), Err(Misuse::Over.into()));
    assert_eq!((party.lost(id("a")), party.progress().stage), (Ok(()), "over"));
}

#[test]
fn a_script_says_whose_message_it_waits_for() {
    let (mut party, mut a, mut b) = (both(), peer(), peer());
    let waits = |party: &Script<(Bytes, Bytes)>| ["a", "b"].map(|name| party.waits_for(id(name)));
    assert_eq!(waits(&party), [true, false]);
    party.receive(id("a"), a.pack("first")).unwrap();
    assert_eq!(waits(&party), [false, true]);
    party.receive(id("b"), b.pack("second")).unwrap();
    assert_eq!(waits(&party), [false, false]);
}

#[test]
fn messages_wait_until_they_are_asked_for_and_keep_their_order() {
    let (mut party, mut a, mut b) = (both(), peer(), peer());
    party.receive(id("b"), b.pack("early")).unwrap();
    assert_eq!((party.progress().stage, party.progress().done), ("receiving", 1));
    assert!(party.output().is_none());
    party.receive(id("a"), a.pack("first")).unwrap();
    assert_eq!(party.output(), Some(("first".into(), "early".into())));
    assert_eq!(party.output(), None);
}

#[test]
fn a_frame_that_is_not_the_next_one_of_a_peer_is_its_breach_and_the_script_is_over() {
    let (mut channel, mut stranger) = (peer(), Channel::new(SessionTag([8; 16])));
    let first = channel.pack(vec![1]);
    let second = channel.pack(vec![2]);
    for (from, frames, wanted) in [
        ("a", vec![second.clone()], code::FRAME_ORDER),
        ("a", vec![first.clone(), first.clone()], code::FRAME_ORDER),
        ("a", vec![stranger.pack(vec![1])], code::FRAME_SESSION),
        ("a", vec![Frame { body: vec![0; Frame::MAX_BODY + 1].into(), ..first.clone() }], code::FRAME_SIZE),
        ("stranger", vec![first.clone()], code::NOT_A_PARTY),
        ("own", vec![first], code::NOT_A_PARTY),
    ] {
        let mut party = both();
        let results: Vec<_> = frames.into_iter().map(|frame| party.receive(id(from), frame)).collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok));
        assert_eq!(code_of(last.clone()), (id(from), wanted, 4));
        assert_over(party);
    }
}

#[test]
fn more_than_was_asked_for_is_a_breach_before_the_answer_and_after_it() {
    let (mut party, mut a, mut b) = (both(), peer(), peer());
    party.receive(id("a"), a.pack("first")).unwrap();
    party.receive(id("a"), a.pack("surplus")).unwrap();
    assert_eq!(code_of(party.receive(id("b"), b.pack("last"))), (id("a"), code::UNEXPECTED, 4));
    assert_over(party);
    let (mut party, mut a, mut b) = (both(), peer(), peer());
    party.receive(id("a"), a.pack("first")).unwrap();
    party.receive(id("b"), b.pack("last")).unwrap();
    assert!(party.output().is_some());
    assert_eq!(code_of(party.receive(id("a"), a.pack("surplus"))), (id("a"), code::UNEXPECTED, 4));
    assert_over(party);
}

#[test]
fn a_peer_that_runs_ahead_fills_no_memory() {
    for (size, held) in [(0, 16), (64, 8), (1000, 1), (5000, 1)] {
        let waits = async |mailbox: Mailbox| mailbox.receive(id("b")).await.map_err(Halt::from);
        let mut party = Script::new(roles().with_backlog(1024), waits);
        let mut a = peer();
        for _ in 0..held {
            party.receive(id("a"), a.pack(vec![0; size])).unwrap();
        }
        assert_eq!(code_of(party.receive(id("a"), a.pack(vec![0; size]))).1, code::BACKLOG, "{size}");
        assert_over(party);
    }
}

#[test]
fn a_loss_resolves_what_waits_for_it_and_the_script_goes_on_without() {
    let mut party = script(async |mailbox: Mailbox| {
        mailbox.progress("receiving", 0, 2);
        let a = mailbox.receive(id("a")).await;
        assert!(mailbox.is_lost(id("a")) && mailbox.peers() == [id("b")]);
        mailbox.broadcast("who is there");
        Ok((a, mailbox.receive(id("b")).await?))
    });
    assert_eq!(party.lost(id("a")), Ok(()));
    assert_eq!(party.lost(id("stranger")), Ok(()));
    assert!(party.poll_send(id("a")).is_none(), "nothing is sent to whom we lost");
    assert_eq!(party.poll_send(id("b")).unwrap().body, "who is there");
    // What it had on its way does not count any more.
    party.receive(id("a"), peer().pack("late")).unwrap();
    party.receive(id("b"), peer().pack("me")).unwrap();
    let stall = Stall { who: id("a"), stage: "receiving" };
    assert_eq!(party.output(), Some((Err(stall), "me".into())));
}

#[test]
fn what_a_peer_sent_before_it_was_lost_is_still_received() {
    let (mut party, mut a) = (both(), peer());
    party.receive(id("b"), peer().pack("from b")).unwrap();
    assert_eq!(party.lost(id("b")), Ok(()));
    party.receive(id("a"), a.pack("from a")).unwrap();
    assert_eq!(party.output(), Some(("from a".into(), "from b".into())));
}

#[test]
fn a_loss_that_the_script_cannot_do_without_stalls_now_or_when_it_is_needed() {
    let mut now = both();
    assert_eq!(now.lost(id("a")), Err(Stall { who: id("a"), stage: "receiving" }));
    assert_over(now);
    let mut later = both();
    assert_eq!(later.lost(id("b")), Ok(()));
    let mut a = peer();
    later.receive(id("a"), a.pack("from a")).unwrap();
    assert_eq!(later.receive(id("a"), a.pack("more")), Ok(()), "that it stalled is still to be told");
    assert_eq!(later.poll_halt(), Some(Halt::Stalled(Stall { who: id("b"), stage: "receiving" })));
    assert_over(later);
}

#[test]
fn nothing_leaves_before_the_checkpoint_it_depends_on_is_durable() {
    let mut party = script(async |mailbox: Mailbox| {
        mailbox.send(id("a"), "before");
        mailbox.checkpoint("first", vec![1]).await;
        mailbox.send(id("a"), "between");
        mailbox.checkpoint("second", vec![2]).await;
        mailbox.send(id("a"), "after");
        Ok(())
    });
    party.stored();
    let bodies = |party: &mut Script<()>| -> Vec<Bytes> {
        std::iter::from_fn(|| party.poll_send(id("a"))).map(|frame| frame.body).collect()
    };
    assert_eq!(bodies(&mut party), ["before"], "what was not handed out cannot have been stored");
    assert_eq!(party.poll_checkpoint(), Some(Checkpoint::new("first", [1])));
    assert_eq!((party.poll_checkpoint(), bodies(&mut party).len()), (None, 0));
    party.stored();
    party.stored();
    assert_eq!(bodies(&mut party), ["between"]);
    assert_eq!(party.poll_checkpoint().unwrap().slot, "second");
    assert!(party.output().is_none());
    party.stored();
    // The answer is there and the last message still leaves.
    assert_eq!((party.output(), bodies(&mut party)), (Some(()), vec![Bytes::from("after")]));
}

#[test]
fn a_script_that_streams_makes_a_message_only_when_the_last_one_has_left() {
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    let mut party = script(async move |mailbox: Mailbox| {
        for number in 0..100_u64 {
            counter.store(number + 1, Ordering::SeqCst);
            mailbox.send(id("a"), number.to_be_bytes().to_vec());
            mailbox.drained(id("a")).await;
        }
        Ok(())
    });
    for number in 0..100_u64 {
        let frame = party.poll_send(id("a")).unwrap();
        assert_eq!((frame.sequence, frame.body), (number, number.to_be_bytes().to_vec().into()));
        assert_eq!(made.load(Ordering::SeqCst), number + 1);
        assert!(party.poll_send(id("b")).is_none());
    }
    assert_eq!((party.poll_send(id("a")), party.output()), (None, Some(())));
}

#[test]
fn a_script_that_streams_to_somebody_who_is_lost_goes_on() {
    let mut party = script(async |mailbox: Mailbox| {
        mailbox.send(id("a"), "x");
        mailbox.drained(id("a")).await;
        Ok(())
    });
    assert!(party.output().is_none());
    assert_eq!((party.lost(id("a")), party.output()), (Ok(()), Some(())));
}

#[test]
fn a_mistake_of_the_script_itself_ends_it_as_misuse() {
    let halt = |mut party: Script<()>| {
        let halt = party.poll_halt();
        assert_over(party);
        let Some(Halt::Fault(Fault::Misuse(Misuse::Input(why)))) = halt else { panic!("{halt:?}") };
        why
    };
    let large = script(async |mailbox: Mailbox| {
        mailbox.send(id("a"), vec![0; Frame::MAX_BODY + 1]);
        Ok(())
    });
    assert!(halt(large).contains("larger than a frame"));
    let send = script(async |mailbox: Mailbox| {
        mailbox.send(id("stranger"), "x");
        mailbox.receive(id("a")).await?;
        Ok(())
    });
    assert!(halt(send).contains("no peer"));
    let receive = script(async |mailbox: Mailbox| {
        mailbox.receive(mailbox.me()).await?;
        Ok(())
    });
    assert!(halt(receive).contains("no peer"));
    let drained = script(async |mailbox: Mailbox| {
        mailbox.drained(id("stranger")).await;
        Ok(())
    });
    assert!(halt(drained).contains("no peer"));
}

#[test]
fn a_fault_that_comes_up_without_a_frame_is_reported_once() {
    let mut party = script(async |mailbox: Mailbox| -> Result<(), Halt> {
        mailbox.checkpoint("x", vec![]).await;
        Err(mailbox.blame(id("a"), "share-digest", Some(3)))
    });
    assert_eq!(party.poll_halt(), None);
    assert!(party.poll_checkpoint().is_some());
    party.stored();
    let Some(Halt::Fault(Fault::Peer { who, violation })) = party.poll_halt() else { panic!() };
    assert_eq!((who, violation.code, violation.round, violation.index), (id("a"), "share-digest", 0, Some(3)));
    assert_over(party);
}

#[test]
fn a_script_is_dropped_with_what_it_holds_as_soon_as_it_is_over() {
    let held = Arc::new(());
    let kept = held.clone();
    let mut party = script(async move |mailbox: Mailbox| {
        let body = mailbox.receive(id("a")).await?;
        drop(kept);
        Ok(body)
    });
    assert_eq!(Arc::strong_count(&held), 2);
    assert!(party.receive(id("stranger"), peer().pack(vec![1])).is_err());
    assert_eq!(Arc::strong_count(&held), 1);
}
