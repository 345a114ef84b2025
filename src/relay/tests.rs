//! Two members through a leader: an honest one, one that does all it can, and members that lie to either.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tacitly_core::{PartyId, Roles, Script, SessionTag};
use tokio::sync::Notify;

use super::circle::{ADDRESS, ORDER, RECORD, SIGNATURE};
use super::message::{LineId, MAX_BODY, Outcome, Piece, Place, decode_outcome, encode_outcome};
use super::{Broken, Circle, Membership, Post, Relay};
use crate::codes;
use crate::peers::Handler as _;
use crate::session::{Absence, Completed, Ended, Options, SessionLimits, drive};
use crate::store::{FileSigner, JobId, Signer};
use crate::transport::{Pending, Settings};

/// A fresh signing key.
pub(super) fn key() -> Arc<dyn Signer> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(FileSigner::create(&folder.path().join("key")).unwrap())
}

fn id(name: &str) -> PartyId {
    name.parse().unwrap()
}

/// What somebody does to what passes through its hands: it changes where it goes, and may answer itself.
type Trick = Box<dyn FnMut(&mut Vec<(PartyId, Bytes)>) -> Option<Outcome> + Send>;

/// The links of everybody with the leader.
#[derive(Default)]
struct Hands {
    relays: Mutex<BTreeMap<PartyId, Arc<Relay>>>,
    tricks: Mutex<BTreeMap<PartyId, Trick>>,
    /// All that the leader has handed on.
    seen: Mutex<Vec<(PartyId, Bytes)>>,
}

struct Hand {
    me: PartyId,
    hands: Arc<Hands>,
}

impl Hands {
    async fn put(&self, me: PartyId, party: PartyId, body: Bytes) -> Option<Bytes> {
        if me == id("hub") {
            self.seen.lock().unwrap().push((party, body.clone()));
        }
        let mut delivered = vec![(party, body)];
        let said = self.tricks.lock().unwrap().get_mut(&me).and_then(|trick| trick(&mut delivered));
        let mut answer = None;
        for (to, body) in delivered {
            let relay = self.relays.lock().unwrap().get(&to)?.clone();
            answer = relay.answer(me, body).await;
        }
        said.map(encode_outcome).or(answer)
    }
}

impl Post for Hand {
    fn reaches(&self, _: PartyId) -> bool {
        true
    }

    fn put(&self, party: PartyId, body: Bytes) -> Pending<'_, Option<Bytes>> {
        Box::pin(self.hands.put(self.me, party, body))
    }
}

/// One attempt of a hub and three members.
struct Stage {
    hands: Arc<Hands>,
    signers: BTreeMap<PartyId, Arc<dyn Signer>>,
    memberships: BTreeMap<PartyId, Membership>,
}

impl Stage {
    fn new() -> Self {
        let parties = ["hub", "bank", "shop", "mill"].map(id);
        let signers: BTreeMap<PartyId, _> = parties.map(|party| (party, key())).into();
        let hands = Arc::new(Hands::default());
        // Signs of life on these links are half as frequent.
        let heartbeat = Duration::from_millis(200);
        let reconnect_window = Duration::from_secs(1);
        let settings = Settings { heartbeat, reconnect_window, ..Settings::default() };
        let keys = signers.iter().map(|(party, signer)| (*party, signer.public_key())).collect();
        let circle = Circle { job: JobId::from_bytes([7; 16]), attempt: 1, leader: id("hub"), keys };
        let mut memberships = BTreeMap::new();
        for (me, signer) in &signers {
            let hand = Hand { me: *me, hands: hands.clone() };
            let relay = Arc::new(Relay::new(*me, signer.clone(), Arc::new(hand), settings.clone()));
            hands.relays.lock().unwrap().insert(*me, relay.clone());
            memberships.insert(*me, relay.join(circle.clone()));
        }
        Self { hands, signers, memberships }
    }

    fn membership(&self, name: &str) -> &Membership {
        &self.memberships[&id(name)]
    }

    fn trick(&self, who: &str, trick: impl FnMut(&mut Vec<(PartyId, Bytes)>) -> Option<Outcome> + Send + 'static) {
        self.hands.tricks.lock().unwrap().insert(id(who), Box::new(trick));
    }

    /// Has bank and shop send each other these messages in one session.
    async fn swap(&self, label: &str, messages: &[Vec<u8>]) -> [Result<Vec<Vec<u8>>, Ended>; 2] {
        let tag = SessionTag([label.len() as u8; 16]);
        let side = |me: &str, peer: &str| {
            let (me, peer, messages) = (id(me), id(peer), messages.to_vec());
            let link = self.memberships[&me].open(peer, tag, SessionLimits::default()).unwrap();
            let party = Script::new(Roles::new(tag, me, [peer]), async move |mailbox| {
                let mut heard = Vec::new();
                for message in messages {
                    mailbox.send(peer, message);
                    heard.push(mailbox.receive(peer).await?.to_vec());
                }
                Ok(heard)
            });
            tokio::spawn(drive(Box::new(party), vec![link], Options::default()))
        };
        let (bank, shop) = (side("bank", "shop"), side("shop", "bank"));
        let answer = |ended: Result<Completed<Vec<Vec<u8>>>, Ended>| ended.map(|completed| completed.output);
        [answer(bank.await.unwrap()), answer(shop.await.unwrap())]
    }

    /// The same under a leader or a member that breaks the rules: who is named, where.
    async fn named(&self, at: &str) -> Broken {
        let messages = messages();
        tokio::select! {
            broken = self.membership(at).broken() => broken,
            ended = self.swap("named", &messages) => panic!("nobody was named, and it ended with {ended:?}"),
        }
    }
}

/// A word that nobody but its receiver must ever see.
const SECRET: &[u8] = b"the-balance-of-account-4711";

fn messages() -> Vec<Vec<u8>> {
    [1, 100, 100_000, 900_000, 7].map(|length| SECRET.iter().copied().cycle().take(length).collect()).into()
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// A piece of a long message: on the line in use, once the channel is there.
fn is_data(piece: &Piece, from: &str) -> bool {
    piece.place.from == id(from) && piece.body.len() > 10_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_speak_through_a_leader_who_reads_nothing() {
    let stage = Stage::new();
    let messages = messages();
    let [bank, shop] = stage.swap("honest", &messages).await;
    assert_eq!(bank.as_ref(), Ok(&messages));
    assert_eq!(shop.as_ref(), Ok(&messages));
    let seen = stage.hands.seen.lock().unwrap().clone();
    let bytes: usize = seen.iter().map(|(_, piece)| piece.len()).sum();
    assert!(bytes > 2_000_000, "it all went through the leader: {bytes}");
    for (_, piece) in &seen {
        assert!(!contains(piece, &SECRET[..8]), "in clear");
        assert!(!contains(piece, &[6; 16]), "the session's tag in clear");
        assert!(Piece::decode(piece.clone()).unwrap().body.len() <= MAX_BODY);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_changes_a_byte_is_named() {
    for place in [0, 1, 2, 5] {
        let stage = Stage::new();
        stage.trick("hub", move |delivered| {
            let (to, bytes) = delivered.pop()?;
            let mut changed = bytes.to_vec();
            let piece = Piece::decode(bytes)?;
            if piece.place.from == id("bank") && piece.place.number >= place {
                // In the middle of the body.
                let middle = changed.len() / 2;
                changed[middle] ^= 1;
            }
            delivered.push((to, changed.into()));
            None
        });
        assert_eq!(stage.named("shop").await, Broken { who: id("hub"), rule: SIGNATURE }, "piece {place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_makes_up_a_piece_is_named() {
    let stage = Stage::new();
    let hub = stage.signers[&id("hub")].clone();
    stage.trick("hub", move |delivered| {
        let (to, bytes) = delivered.pop()?;
        let Piece { place, .. } = Piece::decode(bytes)?;
        let forged = Piece::sign(place, Bytes::from_static(b"pay mill"), &*hub).unwrap();
        delivered.push((to, forged.encode()));
        None
    });
    assert_eq!(stage.named("shop").await, Broken { who: id("hub"), rule: SIGNATURE });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_gives_a_piece_to_another_member_is_named_there() {
    let stage = Stage::new();
    stage.trick("hub", |delivered| {
        delivered.iter_mut().for_each(|(to, _)| *to = id("mill"));
        None
    });
    assert_eq!(stage.named("mill").await, Broken { who: id("hub"), rule: ADDRESS });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_drops_or_swaps_pieces_is_named() {
    // It says that it has brought the piece. Dropped: it never does. Swapped: right after the next one.
    for swaps in [false, true] {
        let stage = Stage::new();
        let mut held: Option<(Place, PartyId, Bytes)> = None;
        stage.trick("hub", move |delivered| {
            let Piece { place, .. } = Piece::decode(delivered[0].1.clone()).filter(|piece| is_data(piece, "bank"))?;
            match &held {
                None => {
                    let (to, bytes) = delivered.pop()?;
                    held = Some((place, to, bytes));
                    return Some(Outcome::Taken);
                }
                Some((before, to, bytes)) if swaps && before.line == place.line => delivered.push((*to, bytes.clone())),
                Some(_) => {}
            }
            None
        });
        assert_eq!(stage.named("shop").await, Broken { who: id("hub"), rule: ORDER }, "swaps: {swaps}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leader_repeats_counts_once_and_old_lines_do_not_come_back() {
    let stage = Stage::new();
    let old: Arc<Mutex<Vec<(PartyId, Bytes)>>> = Arc::default();
    let kept = old.clone();
    stage.trick("hub", move |delivered| {
        let mut old = kept.lock().unwrap();
        old.push(delivered[0].clone());
        // Each piece twice, and one of long ago before it.
        let earlier = old[old.len() / 2].clone();
        delivered.insert(0, earlier);
        delivered.push(old.last()?.clone());
        None
    });
    for label in ["first", "second one"] {
        let [bank, shop] = stage.swap(label, &messages()).await;
        assert_eq!((bank, shop), (Ok(messages()), Ok(messages())), "{label}");
    }
    // All that was ever said, to members that have new memberships in the same attempt and remember nothing.
    let old = old.lock().unwrap().clone();
    let hands = stage.hands.clone();
    hands.tricks.lock().unwrap().clear();
    let keys = stage.signers.iter().map(|(party, signer)| (*party, signer.public_key())).collect();
    let circle = Circle { job: JobId::from_bytes([7; 16]), attempt: 1, leader: id("hub"), keys };
    let relays = hands.relays.lock().unwrap().clone();
    let memberships = relays.iter().map(|(party, relay)| (*party, relay.join(circle.clone()))).collect();
    let again = Stage { hands: hands.clone(), signers: stage.signers.clone(), memberships };
    let replay = async {
        for (to, piece) in old {
            relays[&to].clone().answer(id("hub"), piece).await;
        }
    };
    let messages = messages();
    let (_, [bank, shop]) = tokio::join!(replay, again.swap("a third one", &messages));
    assert_eq!((bank, shop), (Ok(messages.clone()), Ok(messages)));
    for membership in again.memberships.values().chain(stage.memberships.values()) {
        let named = tokio::time::timeout(Duration::ZERO, membership.broken()).await;
        assert!(named.is_err(), "somebody was named: {named:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_withholds_makes_a_session_stall_that_names_the_missing() {
    for answer in [Outcome::Taken, Outcome::Later, Outcome::Away, Outcome::Gone] {
        let stage = Stage::new();
        // The channel comes about, and then nothing more.
        let mut withholds = false;
        stage.trick("hub", move |delivered| {
            let piece = Piece::decode(delivered[0].1.clone())?;
            withholds |= is_data(&piece, "bank");
            withholds.then(|| {
                delivered.clear();
                answer
            })
        });
        let [bank, shop] = stage.swap("withheld", &messages()).await;
        for (ended, missing) in [(bank, "shop"), (shop, "bank")] {
            match ended.unwrap_err() {
                Ended::Stalled { who, cause: Absence::PeerLost, .. } => assert_eq!(who, id(missing)),
                // Said by the other side, whose patience ended a moment earlier.
                Ended::PeerFailed { who, code, .. } => assert_eq!((who, &*code), (id(missing), "peer-lost")),
                other => panic!("{answer:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_signs_rubbish_is_named_and_its_leader_is_not() {
    let stage = Stage::new();
    let shop = stage.signers[&id("shop")].clone();
    stage.trick("shop", move |delivered| {
        let (to, bytes) = delivered.pop()?;
        let piece = Piece::decode(bytes)?;
        let rubbish = is_data(&piece, "shop");
        let body = if rubbish { Bytes::from(vec![23; piece.body.len()]) } else { piece.body };
        delivered.push((to, Piece::sign(piece.place, body, &*shop).unwrap().encode()));
        None
    });
    assert_eq!(stage.named("bank").await, Broken { who: id("shop"), rule: RECORD });
    let hub = tokio::time::timeout(Duration::ZERO, stage.membership("hub").broken()).await;
    assert!(hub.is_err(), "to the leader it looks like any other piece: {hub:?}");
}

/// A piece that shop brings to the hub.
fn brought(stage: &Stage, edit: impl FnOnce(&mut Place), signer: &str) -> Bytes {
    let mut place = Place {
        job: JobId::from_bytes([7; 16]),
        attempt: 1,
        from: id("shop"),
        to: id("bank"),
        line: LineId::fresh().unwrap(),
        opens: true,
        number: 0,
    };
    edit(&mut place);
    Piece::sign(place, Bytes::from_static(b"?"), &*stage.signers[&id(signer)]).unwrap().encode()
}

#[tokio::test]
async fn a_member_that_lies_to_the_leader_is_named_there_and_brings_nothing_on_its_way() {
    for (what, rule) in
        [("forged", SIGNATURE), ("of another", ADDRESS), ("to itself", ADDRESS), ("to a stranger", ADDRESS)]
    {
        let stage = Stage::new();
        let piece = match what {
            "forged" => brought(&stage, |_| {}, "mill"),
            "of another" => brought(&stage, |place| place.from = id("mill"), "shop"),
            "to itself" => brought(&stage, |place| place.to = id("shop"), "shop"),
            _ => brought(&stage, |place| place.to = id("stranger"), "shop"),
        };
        let hub = stage.hands.relays.lock().unwrap()[&id("hub")].clone();
        let outcome = hub.answer(id("shop"), piece).await.and_then(decode_outcome);
        assert_eq!(outcome, Some(Outcome::Gone), "{what}");
        assert_eq!(stage.membership("hub").broken().await, Broken { who: id("shop"), rule }, "{what}");
        assert!(stage.hands.seen.lock().unwrap().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_member_that_leaves_out_a_piece_is_named_by_the_leader() {
    let stage = Stage::new();
    let hub = stage.hands.relays.lock().unwrap()[&id("hub")].clone();
    stage.trick("hub", |delivered| {
        delivered.clear();
        Some(Outcome::Taken)
    });
    let line = LineId::fresh().unwrap();
    let at =
        |number| brought(&stage, |place| (place.line, place.opens, place.number) = (line, number == 0, number), "shop");
    for (number, outcome) in [(0, Outcome::Taken), (0, Outcome::Taken), (1, Outcome::Taken), (3, Outcome::Gone)] {
        assert_eq!(hub.clone().answer(id("shop"), at(number)).await.and_then(decode_outcome), Some(outcome));
    }
    assert_eq!(stage.membership("hub").broken().await, Broken { who: id("shop"), rule: ORDER });
}

#[tokio::test]
async fn the_last_number_that_there_is_names_the_member_that_counts_so_and_goes_nowhere() {
    let stage = Stage::new();
    let hub = stage.hands.relays.lock().unwrap()[&id("hub")].clone();
    // Nothing has come on the line yet: its next piece is the first.
    stage.trick("hub", |delivered| {
        delivered.clear();
        Some(Outcome::Away)
    });
    let line = LineId::fresh().unwrap();
    let at =
        |number| brought(&stage, |place| (place.line, place.opens, place.number) = (line, number == 0, number), "shop");
    assert_eq!(hub.clone().answer(id("shop"), at(0)).await.and_then(decode_outcome), Some(Outcome::Away));
    stage.hands.seen.lock().unwrap().clear();
    assert_eq!(hub.answer(id("shop"), at(u64::MAX)).await.and_then(decode_outcome), Some(Outcome::Gone));
    assert_eq!(stage.membership("hub").broken().await, Broken { who: id("shop"), rule: ORDER });
    assert!(stage.hands.seen.lock().unwrap().is_empty(), "an honest receiver would have to name the leader");
}

#[tokio::test]
async fn a_member_that_floods_fills_its_own_places_only() {
    let stage = Stage::new();
    let hub = stage.hands.relays.lock().unwrap()[&id("hub")].clone();
    // Bank hangs: what is brought to it stays under way.
    let reached = Arc::new(Notify::new());
    struct Hanging(Arc<Notify>, Arc<Hands>);
    impl Post for Hanging {
        fn reaches(&self, _: PartyId) -> bool {
            true
        }
        fn put(&self, party: PartyId, body: Bytes) -> Pending<'_, Option<Bytes>> {
            Box::pin(async move {
                self.1.seen.lock().unwrap().push((party, body));
                self.0.notified().await;
                None
            })
        }
    }
    let post = Arc::new(Hanging(reached.clone(), stage.hands.clone()));
    let relay = Arc::new(Relay::new(id("hub"), stage.signers[&id("hub")].clone(), post, Settings::default()));
    let keys = stage.signers.iter().map(|(party, signer)| (*party, signer.public_key())).collect();
    let circle = Circle { job: JobId::from_bytes([7; 16]), attempt: 1, leader: id("hub"), keys };
    let membership = relay.join(circle);
    drop(hub);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let piece = brought(&stage, |_| {}, "shop");
        asked.spawn(relay.clone().answer(id("shop"), piece));
    }
    for _ in 0..92 {
        let outcome = asked.join_next().await.unwrap().unwrap().and_then(decode_outcome);
        assert_eq!(outcome, Some(Outcome::Later));
    }
    assert_eq!(stage.hands.seen.lock().unwrap().len(), 8, "of a hundred at once");
    // Another member is not kept waiting by that.
    let line = LineId::fresh().unwrap();
    let mill = brought(&stage, |place| (place.from, place.line) = (id("mill"), line), "mill");
    let mill = asked.spawn(relay.clone().answer(id("mill"), mill));
    while stage.hands.seen.lock().unwrap().len() < 9 {
        tokio::task::yield_now().await;
    }
    mill.abort();
    reached.notify_waiters();
    drop(membership);
}

#[tokio::test]
async fn a_leader_opens_no_session_through_itself_nor_a_member_with_a_stranger() {
    let stage = Stage::new();
    for (at, with) in [("hub", "bank"), ("bank", "hub"), ("bank", "bank"), ("bank", "stranger")] {
        let refused = stage.membership(at).open(id(with), SessionTag([1; 16]), SessionLimits::default()).err().unwrap();
        assert_eq!((refused.code, refused.who), (codes::LINK_DOWN, Some(id(with))), "{at} with {with}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_an_attempt_in_which_a_leader_has_no_seat_are_not_handed_on() {
    let stage = Stage::new();
    let hub = stage.hands.relays.lock().unwrap()[&id("hub")].clone();
    // A line that opens may be early, another one is late.
    let other = |opens: bool| {
        let number = u64::from(!opens);
        brought(&stage, |place| (place.attempt, place.opens, place.number) = (2, opens, number), "shop")
    };
    assert_eq!(hub.clone().answer(id("shop"), other(true)).await.and_then(decode_outcome), Some(Outcome::Later));
    assert_eq!(hub.answer(id("shop"), other(false)).await.and_then(decode_outcome), Some(Outcome::Gone));
    assert!(stage.hands.seen.lock().unwrap().is_empty());
}
