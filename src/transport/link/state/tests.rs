use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::transport::envelope::{Lane, WireRange};

fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

fn hello(from: &str, boot: u8, connection: u64, lost: u64) -> Hello {
    Hello {
        wire: WireRange::OURS,
        features: BTreeSet::new(),
        software: String::new(),
        party: id(from),
        boot: BootId([boot; 16]),
        connection,
        lost,
        lane: Lane::ONLY,
        clock: None,
    }
}

fn up() -> LinkState {
    LinkState::Up {
        since: Instant::now(),
        wire: 1,
        features: BTreeSet::new(),
        software: String::new(),
        clock_ahead: None,
    }
}

fn state(me: &str, peer: &str) -> State {
    State::new(id(me), id(peer), &Settings::default(), Instant::now())
}

/// The connection in use, by its dialler's number.
fn used(state: &State) -> Option<u64> {
    state.current.as_ref().map(|current| current.id)
}

const WINDOW: Window = Window { frames: 64, bytes: 8 << 20 };
const TAG: SessionTag = SessionTag([1; 16]);

/// Party `a`, with a link to `b` that is up.
fn linked() -> State {
    let mut a = state("a", "b");
    a.adopt(id("b"), &hello("b", 1, 10, 0), up()).unwrap();
    a
}

fn open(state: &mut State) -> u64 {
    state.open(TAG, WINDOW, 8, Instant::now()).unwrap()
}

fn receive(state: &mut State, envelope: Envelope) {
    assert_eq!(state.receive(envelope, &Settings::default(), Instant::now()), Ok(Received::Nothing));
    drop(state.take_to_wake());
}

fn end(channel: u64, code: &str) -> Envelope {
    Envelope::SessionEnd { session: TAG, channel, notice: Notice::new(code, "") }
}

fn ended(state: &State, channel: u64) -> Option<String> {
    match &state.sessions[&channel].over {
        Some(Departure::Ended(notice)) => Some(notice.code().to_owned()),
        _ => None,
    }
}

#[test]
fn two_connections_made_at_once_leave_the_same_one_at_both_ends_in_whatever_order_they_are_seen() {
    // Number 10 is dialled by `a`, number 20 by `b`; both were made before either was lost.
    let connections = [("a", 10), ("b", 20)];
    let seen_by = |me: &str, peer: &str, backwards: bool| {
        let mut state = state(me, peer);
        let mut order = connections;
        if backwards {
            order.reverse();
        }
        for (dialler, number) in order {
            state.adopt(id(dialler), &hello(peer, 1, number, 0), up());
        }
        used(&state)
    };
    for order_at_a in [false, true] {
        for order_at_b in [false, true] {
            assert_eq!(seen_by("a", "b", order_at_a), Some(10));
            assert_eq!(seen_by("b", "a", order_at_b), Some(10));
        }
    }
}

#[test]
fn a_dialler_that_dials_again_replaces_its_earlier_connection() {
    let mut b = state("b", "a");
    b.adopt(id("a"), &hello("a", 1, 10, 0), up()).unwrap();
    b.adopt(id("a"), &hello("a", 1, 11, 0), up()).unwrap();
    assert_eq!(used(&b), Some(11));
}

#[test]
fn a_peer_that_has_lost_the_connection_in_use_is_heard_although_its_name_comes_later() {
    let mut a = state("a", "b");
    a.adopt(id("a"), &hello("b", 1, 10, 0), up()).unwrap();
    assert!(a.adopt(id("b"), &hello("b", 1, 20, 0), up()).is_none());
    assert!(a.adopt(id("b"), &hello("b", 1, 20, 9), up()).is_none(), "it has lost another one");
    a.adopt(id("b"), &hello("b", 1, 20, 10), up()).unwrap();
    assert_eq!(used(&a), Some(20));
}

#[test]
fn a_peer_that_has_restarted_is_heard_although_its_name_comes_later_and_its_sessions_are_over() {
    let mut a = state("a", "b");
    a.adopt(id("a"), &hello("b", 1, 10, 0), up()).unwrap();
    let begun = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    let awaited = a.open(SessionTag([2; 16]), WINDOW, 8, Instant::now()).unwrap();
    a.adopt(id("b"), &hello("b", 2, 20, 0), up()).unwrap();
    assert_eq!(a.sessions[&begun].over, Some(Departure::Restarted));
    assert_eq!(a.sessions[&awaited].over, Some(Departure::Restarted), "the new process would never begin it");
}

#[test]
fn sessions_with_an_earlier_process_do_not_touch_those_with_the_next_that_have_the_same_numbers() {
    let mut a = linked();
    let mut earlier = Vec::new();
    for ended_before_the_restart in [true, false] {
        let channel = open(&mut a);
        receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
        earlier.push(channel);
        if ended_before_the_restart {
            a.finish(channel, Notice::new(Notice::CANCELLED, ""));
        }
    }
    let lost_before = a.open(SessionTag([2; 16]), WINDOW, 8, Instant::now()).unwrap();
    receive(&mut a, Envelope::SessionOpen { session: SessionTag([2; 16]), channel: 6, window: WINDOW });
    a.sessions.get_mut(&lost_before).unwrap().end(Departure::Lost);
    a.adopt(id("b"), &hello("b", 2, 11, 0), up()).unwrap();
    a.finish(earlier[1], Notice::new(Notice::PEER_RESTARTED, ""));
    a.finish(lost_before, Notice::new(Notice::PEER_LOST, ""));
    assert_eq!(a.outbound(Instant::now()), None, "the new process is told of nothing that it has not begun");
    let now = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    receive(&mut a, end(5, Notice::COMPLETE));
    assert_eq!(ended(&a, now).as_deref(), Some(Notice::COMPLETE));
}

#[test]
fn the_end_of_a_connection_that_has_been_replaced_changes_nothing() {
    let mut a = state("a", "b");
    let first = a.adopt(id("a"), &hello("b", 1, 10, 0), up()).unwrap();
    a.adopt(id("a"), &hello("b", 1, 11, 0), up()).unwrap();
    assert!(!a.hung_up(first, LinkError::Interrupted { peer: id("b") }, Instant::now()));
    assert!(a.phase.is_up());
}

#[test]
fn a_peer_that_missed_the_end_of_a_session_is_told_when_it_announces_the_session_again() {
    let mut a = linked();
    let channel = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    a.hung_up(1, LinkError::Interrupted { peer: id("b") }, Instant::now());
    a.finish(channel, Notice::new("disk-full", "sorting"));
    a.adopt(id("b"), &hello("b", 1, 11, 10), up()).unwrap();
    assert_eq!(a.outbound(Instant::now()), None);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    let told = Envelope::SessionEnd { session: TAG, channel, notice: Notice::new("disk-full", "sorting") };
    assert_eq!(a.outbound(Instant::now()), Some(told));
}

#[test]
fn a_second_attempt_under_the_same_tag_is_not_ended_by_the_end_of_the_first() {
    let mut a = linked();
    let first = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    a.finish(first, Notice::new(Notice::CANCELLED, ""));
    let second = open(&mut a);
    receive(&mut a, end(5, "cancelled"));
    assert_eq!(ended(&a, second), None);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 6, window: WINDOW });
    receive(&mut a, end(5, "cancelled"));
    assert_eq!(ended(&a, second), None);
    receive(&mut a, end(6, "disk-full"));
    assert_eq!(ended(&a, second).as_deref(), Some("disk-full"));
}

#[test]
fn a_peer_that_begins_a_session_anew_has_left_the_one_we_are_in() {
    let mut a = linked();
    let first = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 6, window: WINDOW });
    assert_eq!(ended(&a, first).as_deref(), Some(Notice::ABANDONED));
    a.finish(first, Notice::new(Notice::ABANDONED, ""));
    let second = open(&mut a);
    assert_eq!(a.sessions[&second].theirs.unwrap().channel, 6);
}

#[test]
fn sessions_take_turns_and_small_things_go_first() {
    let mut a = linked();
    let tags = [SessionTag([1; 16]), SessionTag([2; 16])];
    for (at, tag) in (1..).zip(tags) {
        let channel = a.open(tag, WINDOW, 8, Instant::now()).unwrap();
        receive(&mut a, Envelope::SessionOpen { session: tag, channel: at, window: WINDOW });
        for sequence in 0..2 {
            let frame = Frame { session: tag, sequence, body: Bytes::new() };
            a.sessions.get_mut(&channel).unwrap().outgoing.push(frame);
        }
    }
    a.heartbeat_due = true;
    let said: Vec<Envelope> = std::iter::from_fn(|| a.outbound(Instant::now())).collect();
    assert_eq!(said[0], Envelope::Heartbeat);
    assert!(said[1..3].iter().all(|envelope| matches!(envelope, Envelope::SessionOpen { .. })));
    let frames: Vec<(u64, u64)> = said[3..]
        .iter()
        .map(|envelope| match envelope {
            Envelope::SessionFrame { channel, frame, .. } => (*channel, frame.sequence),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(frames, [(1, 0), (2, 0), (1, 1), (2, 1)]);
}

#[test]
fn a_session_is_not_given_up_while_a_connection_is_in_its_greeting() {
    let mut a = linked();
    let channel = open(&mut a);
    let (settings, start) = (Settings::default(), Instant::now());
    assert!(a.hung_up(1, LinkError::NotYet { peer: id("b") }, start));
    assert!(a.keeps_sessions_waiting());
    let over = start + settings.reconnect_window;
    a.greetings = 1;
    assert_eq!(a.expire(over, &settings), Some(over + settings.greeting_window));
    assert_eq!(a.sessions[&channel].over, None);
    a.greetings = 0;
    a.expire(over, &settings);
    assert_eq!(a.sessions[&channel].over, Some(Departure::Lost));
    assert!(!a.keeps_sessions_waiting());
}

#[test]
fn what_was_consumed_is_told_with_the_next_frame_and_alone_after_a_while() {
    let mut a = linked();
    let channel = open(&mut a);
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    let start = Instant::now();
    let frame = |sequence| Frame { session: TAG, sequence, body: Bytes::from_static(b"body") };
    let consume = |a: &mut State, sequence| {
        receive(a, Envelope::SessionFrame { channel, frame: frame(sequence), consumed: 0 });
        a.sessions.get_mut(&channel).unwrap().incoming.take().unwrap();
        a.consumed(channel, start);
    };
    while a.outbound(start).is_some() {}
    consume(&mut a, 0);
    assert_eq!(a.outbound(start), None, "it waits for a frame");
    a.sessions.get_mut(&channel).unwrap().outgoing.push(frame(0));
    assert_eq!(a.outbound(start), Some(Envelope::SessionFrame { channel: 5, frame: frame(0), consumed: 1 }));
    consume(&mut a, 1);
    assert_eq!(a.outbound(start), None);
    let due = a.send_again_at(start).unwrap();
    assert!(due > start && due < start + Duration::from_millis(50));
    assert_eq!(a.outbound(due), Some(Envelope::SessionAcknowledgement { channel: 5, consumed: 2 }));
    assert_eq!(a.send_again_at(due), None);
}

#[test]
fn whoever_computes_is_rung_for_an_acknowledgement_only_if_it_makes_room_or_settles() {
    let mut a = linked();
    let window = Window { frames: 2, bytes: 1000 };
    let channel = a.open(TAG, window, 8, Instant::now()).unwrap();
    receive(&mut a, Envelope::SessionOpen { session: TAG, channel: 5, window: WINDOW });
    let doorbell = a.sessions[&channel].doorbell.clone();
    let rang = || doorbell.wait(Duration::ZERO);
    let acknowledge = |a: &mut State, consumed| {
        receive(a, Envelope::SessionAcknowledgement { channel, consumed });
    };
    for sequence in 0..2 {
        let frame = Frame { session: TAG, sequence, body: Bytes::new() };
        a.sessions.get_mut(&channel).unwrap().outgoing.push(frame);
    }
    assert!(rang(), "the peer has opened it, too");
    acknowledge(&mut a, 0);
    assert!(!rang(), "nothing new");
    acknowledge(&mut a, 1);
    assert!(rang(), "there is room again");
    acknowledge(&mut a, 2);
    assert!(rang(), "all is settled");
}
