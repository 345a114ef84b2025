//! A real daemon against a peer that lies: every lie ends the job with the liar's name and the rule it broke, costs
//! bounded memory, and leaves a daemon that does the next job as if nothing had been.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use tacitly::attest::wire as logs;
use tacitly::jobs::wire as pb;
use tacitly::test_bed::until;
use tacitly::transport::Envelope;
use tacitly_attestation::entry::{
    AgreementEntry, Body, Code, Digest, Entry, Header, Id, Milliseconds, Nonce, Origin, SignedEntry, TickEntry, Time,
};
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::tree::CompactRange;
use tacitly_core::{Frame, SessionTag};

use crate::support::agreement::{Capacity, Offer};
use crate::support::body::{POINTS, content, entries, is_answers, message, points, prime_plus, small};
use crate::support::liar::NAME;
use crate::support::script::{Agreed, Script, Seen};
use crate::support::stage::Stage;
use crate::support::{brisk, mobiles, setup};

fn hex(text: &str) -> [u8; 32] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

// What the liar sends: opening (0), points (1), digest of the set (2), answers (3), digest of the answers (4).

#[test]
fn a_message_that_cannot_be_decoded_names_the_liar_in_every_round() {
    let stage = Stage::set();
    for sequence in 0..5 {
        for (case, bytes) in [("nothing", &b""[..]), ("noise", &[0xff; 40]), ("an unknown field", &[0x7a, 1, 0])] {
            let script = stage.honest().body(sequence, |_| Bytes::from_static(bytes));
            stage.accuses(&format!("{case} as frame {sequence}"), script, "malformed");
        }
    }
    let script = stage.honest().body(1, |body| message(4, &content(body).1));
    stage.accuses("answers in place of points", script, "unexpected in round 1");
    stage.goes_on();
}

#[test]
fn a_truncated_frame_names_the_liar_in_every_round() {
    let stage = Stage::set();
    for sequence in 0..5 {
        let script = stage.honest().body(sequence, |body| body.slice(..body.len() - 1));
        stage.accuses(&format!("frame {sequence}"), script, "malformed");
    }
    stage.goes_on();
}

#[test]
fn a_point_of_low_order_names_the_liar_and_its_place() {
    let stage = Stage::set();
    for (case, bad) in [
        ("u = 0", small(0)),
        ("u = 1", small(1)),
        ("u = -1", prime_plus(-1)),
        ("order 8", hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
        ("the other of order 8", hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")),
    ] {
        let script = stage.honest().body(1, points(move |list| list[7] = bad.to_vec()));
        stage.accuses(case, script, "low-order-point in round 1 at index 7");
    }
    stage.goes_on();
}

#[test]
fn a_point_that_is_not_canonical_names_the_liar_and_its_place() {
    let stage = Stage::set();
    let mut bit_255 = small(9);
    bit_255[31] = 0x80;
    for (case, bad) in
        [("p", prime_plus(0)), ("p + 1", prime_plus(1)), ("p + 18", prime_plus(18)), ("bit 255", bit_255)]
    {
        let script = stage.honest().body(1, points(move |list| list[39] = bad.to_vec()));
        stage.accuses(case, script, "point-encoding in round 1 at index 39");
    }
    stage.goes_on();
}

#[test]
fn a_list_of_the_wrong_length_names_the_liar() {
    // A little more than one frame holds.
    let stage = Stage::with(setup(), mobiles(0..40), mobiles(20..4126));
    let longer = points(|list| list.push(list[0].clone()));
    stage.accuses("one point too many", stage.honest().body(1, longer), "count in round 1 at index 4097");
    let shorter = points(|list| drop(list.pop()));
    stage.accuses("one point too few", stage.honest().body(1, shorter), "count in round 1 at index 4095");
    let last = points(|list| drop(list.pop()));
    stage.accuses("the last frame short", stage.honest().body(2, last), "count in round 1 at index 9");
    let early = stage.honest().body(2, |_| message(3, &[0; 32]));
    stage.accuses("the digest before the last frame", early, "unexpected in round 1");
    stage.goes_on();
}

#[test]
fn answers_of_the_wrong_number_or_content_name_the_liar() {
    let stage = Stage::set();
    let tags = |edit: fn(&mut Vec<Vec<u8>>)| {
        move |body: Bytes| {
            assert!(is_answers(&body));
            let size = content(body.clone()).1.len() / 40;
            entries(body, size, edit)
        }
    };
    let more = tags(|list| list.push(list[0].clone()));
    stage.accuses("one answer too many", stage.honest().body(3, more), "count in round 2 at index 41");
    let fewer = tags(|list| drop(list.pop()));
    stage.accuses("one answer too few", stage.honest().body(3, fewer), "count in round 2 at index 39");
    let none = tags(Vec::clear);
    stage.accuses("no answers", stage.honest().body(3, none), "count in round 2 at index 0");
    let other = tags(|list| list[0][0] ^= 1);
    stage.accuses("another answer", stage.honest().body(3, other), "tags-digest in round 2");
    stage.goes_on();
}

#[test]
fn a_frame_repeated_skipped_or_out_of_order_names_the_liar() {
    let stage = Stage::set();
    for sequence in 0..5 {
        let twice = stage.honest().instead_of(sequence, |frame| vec![frame.clone(), frame]);
        stage.accuses(&format!("frame {sequence} twice"), twice, "frame-order");
    }
    let skipped = stage.honest().instead_of(1, |_| Vec::new());
    stage.accuses("frame 1 left out", skipped, "frame-order");
    let mut held = None;
    let swapped = Script {
        lie: Box::new(move |_, frame| match frame.sequence {
            1 => {
                held = Some(frame);
                Vec::new()
            }
            2 => [Some(frame), held.take()].into_iter().flatten().collect(),
            _ => vec![frame],
        }),
        ..stage.honest()
    };
    stage.accuses("frames 1 and 2 swapped", swapped, "frame-order");
    stage.goes_on();
}

#[test]
fn frames_of_another_session_name_the_liar() {
    let stage = Stage::set();
    let (job, recorded) = stage.run(stage.honest());
    assert_eq!(job["state"], "done", "{job}");
    let recorded = recorded.sent[&1].clone();
    for (sequence, old) in (0..).zip(recorded.clone()) {
        let replayed = stage.honest().instead_of(sequence, move |_| vec![old.clone()]);
        stage.accuses(&format!("frame {sequence} with its tag"), replayed, "frame-session in round");
    }
    let [opening, points, digest] = [0, 1, 2].map(|at| recorded[at].body.clone());
    stage.accuses("the opening's body", stage.honest().body(0, move |_| opening.clone()), "malformed in round 0");
    let list = points.clone();
    stage.accuses("the points' body", stage.honest().body(1, move |_| list.clone()), "set-digest in round 1");
    let both = Script {
        lie: Box::new(move |_, frame| {
            let body = match frame.sequence {
                1 => points.clone(),
                2 => digest.clone(),
                _ => frame.body,
            };
            vec![Frame { body, ..frame }]
        }),
        ..stage.honest()
    };
    stage.accuses("the whole list with its digest", both, "set-digest in round 1");
    stage.goes_on();
}

#[test]
fn frames_of_an_earlier_attempt_name_the_liar() {
    let stage = Stage::set();
    let mut earlier: BTreeMap<u64, SessionTag> = BTreeMap::new();
    let script = Script {
        hangs_up: true,
        lie: Box::new(move |attempt, frame| {
            if attempt == 1 {
                earlier.insert(frame.sequence, frame.session);
                return vec![frame];
            }
            let session = if frame.sequence == 1 { earlier[&1] } else { frame.session };
            vec![Frame { session, ..frame }]
        }),
        ..stage.honest()
    };
    stage.accuses("the points of attempt 1 in attempt 2", script, "frame-session in round 1");
    stage.goes_on();
}

#[test]
fn a_peer_that_comes_back_with_another_set_is_named_and_gets_nothing_released_a_second_time() {
    let stage = Stage::set();
    // Once the daemon has all it needs when the liar leaves, once it has not.
    for withholds in [false, true] {
        let (first, second) = (stage.theirs.clone(), mobiles(0..40));
        let script = Script {
            hangs_up: true,
            items: Box::new(move |attempt| if attempt == 1 { first.clone() } else { second.clone() }),
            lie: Box::new(
                move |attempt, frame| {
                    if withholds && attempt == 1 && frame.sequence > 2 { Vec::new() } else { vec![frame] }
                },
            ),
            ..stage.honest()
        };
        let seen = stage.accuses("another set of the same size", script, "set-changed in round 1");
        let released = |attempt| seen.received[&attempt].iter().filter(|frame| is_answers(&frame.body)).count();
        assert_eq!((released(1), released(2)), (1, 0), "answers left for two sets");
        assert_eq!(seen.outcome, None);
    }
    stage.goes_on();
}

#[test]
fn a_peer_that_comes_back_with_a_set_of_another_size_is_named() {
    let stage = Stage::set();
    let (first, second) = (stage.theirs.clone(), mobiles(0..41));
    let script = Script {
        hangs_up: true,
        items: Box::new(move |attempt| if attempt == 1 { first.clone() } else { second.clone() }),
        ..stage.honest()
    };
    let seen = stage.accuses("another size", script, "two things under one label");
    assert!(!seen.received.contains_key(&2), "a second session began");
    stage.goes_on();
}

#[test]
fn a_peer_that_comes_back_with_the_same_set_gets_the_same_answers_and_the_job_its_end() {
    let stage = Stage::set();
    let (job, seen) = stage.run(Script { hangs_up: true, ..stage.honest() });
    assert_eq!((&job["state"], &job["attempt"]), (&"done".into(), &2.into()), "{job}");
    stage.is_exact(&seen);
    let answers = |attempt| {
        let frames = seen.received[&attempt].iter().map(|frame| &frame.body);
        frames.filter(|body| is_answers(body)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(answers(1), answers(2));
    assert_eq!(answers(1).len(), 1);
}

#[test]
fn a_daemon_killed_between_two_attempts_sends_the_same_answers_again_byte_for_byte() {
    let mut stage = Stage::with(brisk(), mobiles(0..40), mobiles(20..60));
    let script = Script { hangs_up: true, stays_away: true, ..stage.honest() };
    let (job, first) = stage.run_until(script, &["suspended"]);
    stage.bank.kill();
    stage.bank.serve().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let play = stage.liar.play(stage.honest(), seen.clone());
    let id = job["id"].as_str().unwrap();
    stage.bank.tacitly(&["job", "resume", id]).unwrap();
    let done = until(|| (stage.bank.tacitly(&["job", "show", id]).ok()?["state"] == "done").then_some(()));
    assert!(done.is_some(), "{}", stage.bank.tacitly(&["job", "show", id]).unwrap());
    play.abort();
    let answers = |seen: &Seen| {
        let frames = seen.received.values().flatten().map(|frame| &frame.body);
        frames.filter(|body| is_answers(body)).cloned().collect::<Vec<_>>()
    };
    let again = seen.lock().unwrap();
    assert_eq!(answers(&first), answers(&again));
    assert_eq!(answers(&again).len(), 1);
    drop(again);
    stage.goes_on();
}

#[test]
fn a_signature_for_something_else_than_the_terms_names_the_liar() {
    let stage = Stage::set();
    let script = Script { context: "something else", ..stage.honest() };
    let seen = stage.accuses("a signature for another context", script, "signature");
    assert!(seen.received.is_empty());
    stage.goes_on();
}

#[test]
fn a_result_that_is_stored_before_anything_was_agreed_names_the_liar() {
    let stage = Stage::set();
    let script = Script { is_done_at_once: true, ..stage.honest() };
    let seen = stage.accuses("a receipt of nothing", script, "before anything was agreed");
    assert!(seen.received.is_empty());
    stage.goes_on();
}

#[test]
fn who_brings_what_cannot_be_or_says_two_things_is_named_before_anything_of_ours_goes_out() {
    let stage = Stage::set();
    type Lie = fn(pb::OfferWord) -> Bytes;
    let cases: [(&str, Lie, &str); 8] = [
        ("noise", |_| vec![0xff; 300].into(), "what it offers cannot be read"),
        ("nothing", |_| Bytes::new(), "a hash of terms has 32 bytes"),
        (
            "other terms",
            |word| pb::OfferWord { terms_hash: vec![1; 32].into(), ..word }.encode_to_vec().into(),
            "on other terms",
        ),
        (
            "no consent",
            |word| pb::OfferWord { consent: None, ..word }.encode_to_vec().into(),
            "the signature under the terms",
        ),
        (
            "the daemon's consent",
            |word| pb::OfferWord { consent: word.leader.clone(), ..word }.encode_to_vec().into(),
            "the signature under the terms",
        ),
        (
            "noise about its data",
            |word| pb::OfferWord { dataset: vec![0xff; 300].into(), ..word }.encode_to_vec().into(),
            "the entry about its data cannot be read",
        ),
        (
            "an entry about something else",
            |word| pb::OfferWord { dataset: sign_of_life(NAME, [9; 32]).into(), ..word }.encode_to_vec().into(),
            "not about its data",
        ),
        (
            "an entry of somebody else",
            |word| pb::OfferWord { dataset: sign_of_life("somebody", [9; 32]).into(), ..word }.encode_to_vec().into(),
            "not about its data",
        ),
    ];
    for (case, lie, rule) in cases {
        let seen = stage.accuses(case, Script { says: Some(lie), ..stage.honest() }, rule);
        assert!(seen.received.is_empty(), "{case}: something of our set went out");
    }
    let script = Script { offer: |_| b"many"[..].into(), ..stage.honest() };
    let seen = stage.accuses("a set that cannot be read", script, "what it says of its set cannot be read");
    assert!(seen.received.is_empty(), "something of our set went out");
    stage.goes_on();
}

/// An entry that tells nothing of anybody's data, well signed with this key.
fn sign_of_life(by: &str, secret: [u8; 32]) -> Vec<u8> {
    let header = Header {
        id: Id([1; 16]),
        log: Origin::parse(&format!("tacitly/{by}")).unwrap(),
        by: by.parse().unwrap(),
        t: Time::new(1_767_225_600_000).unwrap(),
        nonce: Nonce([2; 16]),
        rel: Vec::new(),
    };
    let mut note = SignedEntry::new(Entry::new(header, tick()).unwrap());
    let key = SigningKey::from_bytes(&secret);
    note.sign(&VerifierKey::of(by, KeyUse::Text, &key).unwrap(), &key).unwrap();
    note.encode()
}

fn tick() -> TickEntry {
    TickEntry { interval_ms: Milliseconds::new(60_000).unwrap() }
}

/// A word about the agreement with the liar's signature under something else.
fn under(agreed: &Agreed<'_>, word: pb::AgreementWord, body: impl Into<Body>) -> Bytes {
    let note = SignedEntry::new(Entry::new(agreed.offers.header(agreed.terms), body).unwrap());
    pb::AgreementWord { signature: agreed.liar.line(NAME, &note), ..word }.encode_to_vec().into()
}

#[test]
fn who_signs_another_agreement_than_ours_or_shows_other_offers_is_named() {
    let stage = Stage::set();
    type Lie = fn(&Agreed<'_>, pb::AgreementWord) -> Bytes;
    let cases: [(&str, Lie, &str); 10] = [
        ("noise", |_, _| vec![0xff; 300].into(), "cannot be read"),
        ("nothing", |_, _| Bytes::new(), "cannot be read"),
        ("a sign of life", |agreed, word| under(agreed, word, tick()), "under another one"),
        (
            "other terms",
            |agreed, word| {
                let terms = Digest(Hash::of(b"other terms"));
                under(agreed, word, AgreementEntry { terms, ..agreed.offers.body(agreed.terms) })
            },
            "under another one",
        ),
        (
            "that it learns the size first",
            |agreed, word| {
                let mut body = agreed.offers.body(agreed.terms);
                let me = body.parties.iter_mut().find(|party| party.party == agreed.liar.me).unwrap();
                me.learns.push(Code::parse("intersection-size").unwrap());
                under(agreed, word, body)
            },
            "under another one",
        ),
        (
            "in our name",
            |agreed, word| {
                let signature = agreed.liar.line("bank", &agreed.offers.note(agreed.terms));
                pb::AgreementWord { signature, ..word }.encode_to_vec().into()
            },
            "not its own",
        ),
        (
            "one that somebody else has signed in its name",
            |agreed, word| {
                let mut forged = agreed.offers.note(agreed.terms);
                let stranger = SigningKey::from_bytes(&[9; 32]);
                forged.sign(&VerifierKey::of(NAME, KeyUse::Text, &stranger).unwrap(), &stranger).unwrap();
                let signature = forged.signatures().last().unwrap().to_string();
                pb::AgreementWord { signature, ..word }.encode_to_vec().into()
            },
            "not its own",
        ),
        (
            "an offer of ours that we have not made",
            |_, word| pb::AgreementWord { leader: vec![3; 32].into(), ..word }.encode_to_vec().into(),
            "an offer that the leader has not signed",
        ),
        (
            "offers that we have not shown it",
            |_, word| pb::AgreementWord { offers: vec![3; 32].into(), ..word }.encode_to_vec().into(),
            "other offers than it was shown",
        ),
        (
            "an offer that nobody has made",
            |_, word| pb::AgreementWord { present: vec![0b111].into(), ..word }.encode_to_vec().into(),
            "other offers than it was shown",
        ),
    ];
    for (case, lie, rule) in cases {
        let seen = stage.accuses(case, Script { has_signed: Some(lie), ..stage.honest() }, rule);
        assert!(seen.received.is_empty(), "{case}: something of our set went out");
    }
    stage.goes_on();
}

#[test]
fn who_shows_its_mirror_another_log_than_it_has_signed_is_named_and_nothing_of_it_is_kept() {
    type Lie = fn(logs::CopyFrom) -> logs::Copied;
    let entries = || (0..3).map(|number| Bytes::from(format!("entry {number}\n")));
    let cases: [(&str, Lie, &str); 5] = [
        ("nothing", |_| logs::Copied::default(), "fewer entries than it has signed"),
        (
            "another entry",
            |_| {
                let entries = vec!["entry 0\n".into(), "another 1\n".into(), "entry 2\n".into()];
                logs::Copied { entries, proof: Bytes::new() }
            },
            "not its continuation",
        ),
        (
            "more than it has signed",
            |_| logs::Copied { entries: vec!["entry\n".into(); 4], proof: Bytes::new() },
            "beyond the signed tree",
        ),
        (
            "an entry without bytes",
            |_| logs::Copied { entries: vec![Bytes::new(); 3], proof: Bytes::new() },
            "an entry has 0 bytes",
        ),
        (
            "half a proof",
            |_| logs::Copied { entries: vec!["entry 0\n".into()], proof: vec![7; 33].into() },
            "proof cannot be read",
        ),
    ];
    for (case, lie, rule) in cases {
        let stage = Stage::with(
            setup().set("TACITLY_ATTESTATION__MIRROR_OF", format!("[{NAME}]")),
            mobiles(0..40),
            mobiles(20..60),
        );
        let mut tree = CompactRange::new();
        entries().for_each(|entry| tree.push(leaf_hash(&entry)));
        stage.liar.is_witnessed(3, tree.root());
        let script = Script { copied: lie, ..stage.honest() };
        let play = stage.liar.play(script, Arc::default());
        stage.logs(rule);
        stage.logs("protocol-violation");
        play.abort();
        let copies = stage.bank.tacitly(&["log", "mirrors"]).unwrap();
        let nothing = "tacitly-log@v1 tacitly/mallory\n".len();
        assert_eq!((&copies[0]["size"], &copies[0]["bytes"]), (&0.into(), &nothing.into()), "{case}: {copies}");
        stage.goes_on();
    }
}

#[test]
fn a_flood_of_frames_in_a_session_names_the_flooder_and_takes_no_memory() {
    let stage = Stage::set();
    let before = stage.peak_kib();
    let flood = stage.honest().instead_of(1, |frame| {
        let body = message(POINTS, &vec![9; 900_000]);
        (0..300).map(|at| Frame { sequence: frame.sequence + at, body: body.clone(), ..frame }).collect()
    });
    // Whether the window or the protocol is first to notice is a matter of time.
    stage.accuses("270 MB of points", flood, "broke the protocol: ");
    stage.took_little(before);
    stage.goes_on();
}

#[test]
fn a_rule_of_the_stream_that_is_broken_is_shown_with_the_liars_name() {
    let stage = Stage::set();
    stage.liar.runtime.block_on(async {
        let mut connection = stage.liar.call().await.unwrap();
        let frame = Frame { session: SessionTag([1; 16]), sequence: 0, body: Bytes::new() };
        connection.send(Envelope::SessionFrame { channel: 99, frame, consumed: 0 }).await.unwrap();
        while connection.receive().await.is_ok() {}
    });
    let shown = stage.link_detail("broke the rules");
    assert_eq!(shown, format!("{NAME} broke the rules of the stream: channel-number"));
    stage.logs("the peer broke the rules of the stream");
    stage.goes_on();
}

#[test]
fn impossible_buckets_name_the_liar_and_a_later_rehash_is_followed() {
    const CAPACITY: Capacity = Capacity { whole: 1, bucket: 1 << 20 };
    let stage = Stage::set();
    let says = |offer| Script { offer, ..stage.honest() };
    let in_buckets = || says(|offer| Offer { capacity: CAPACITY, ..offer }.write());
    stage.accuses("no rehash", Script { rehash: 99, ..in_buckets() }, "in a way that there is not");
    // A capacity beyond measure is no more than ours.
    const MOST: Capacity = Capacity { whole: u64::MAX, bucket: u64::MAX };
    let (job, seen) = stage.run(says(|offer| Offer { capacity: MOST, ..offer }.write()));
    assert_eq!(job["state"], "done", "{job}");
    stage.is_exact(&seen);
    let (job, _) = stage.run(says(|offer| Offer { capacity: Capacity { whole: 1, bucket: 1 }, ..offer }.write()));
    assert_eq!(job["failure"]["code"], "limit", "{job}");
    let (job, _) = stage.run(says(|offer| Offer { items: u64::MAX, capacity: CAPACITY, ..offer }.write()));
    assert_eq!(job["failure"]["code"], "too-many-rows", "{job}");

    // A peer whose set overflows under the first rehash index says so, and the daemon sorts its own again.
    let seen = Arc::new(Mutex::new(Seen::default()));
    let play = stage.liar.play(Script { rehash: 1, ..in_buckets() }, seen.clone());
    let mut submitted = stage.submit();
    until(|| seen.lock().unwrap().rehashes.contains(&1).then_some(())).expect("the daemon stayed with its rehash");
    stage.bank.tacitly(&["job", "cancel", stage.jobs().last().unwrap()["id"].as_str().unwrap()]).unwrap();
    submitted.wait().unwrap();
    play.abort();
    let _aborted = stage.liar.runtime.block_on(play);
    stage.goes_on();
}
