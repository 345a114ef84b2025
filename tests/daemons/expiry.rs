//! Terms that end: every party checks when, and a job whose terms are over begins no attempt.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tacitly::jobs::wire::{self as pb, reply::What as Answer};
use tacitly::test_bed::until;

use crate::support::stage::Stage;
use crate::support::{Pair, SUBMIT, mobiles};

#[test]
fn a_job_is_proposed_until_a_moment_and_ends_if_nobody_begins_it_before() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..40), &mobiles(20..60));
    let submit = |moment: Timestamp| {
        let moment = moment.to_string();
        pair.bank.tacitly(&[&SUBMIT[..], &["--expires", &moment]].concat())
    };
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    for refused in [now - day, now + day * 400] {
        assert_eq!(submit(refused).unwrap_err().code(), "bad-request", "{refused}");
    }
    let tomorrow = (now + day).strftime("%Y-%m-%d").to_string();
    for refused in ["tomorrow".to_owned(), tomorrow.clone(), format!("{tomorrow}T23:59:60Z")] {
        let refused = pair.bank.tacitly(&[&SUBMIT[..], &["--expires", &refused]].concat()).unwrap_err();
        assert_eq!(refused.code(), "bad-request", "{refused}");
    }
    let job = submit(now + day).unwrap();
    let id = job["id"].as_str().unwrap();
    let shown = || pair.bank.tacitly(&["job", "show", id]).unwrap();
    assert!(until(|| (shown()["state"] == "done").then_some(())).is_some(), "{}", shown());
    let explained = pair.bank.tacitly(&["job", "explain", id]).unwrap().to_string();
    assert!(explained.contains("no attempt begins after that"), "{explained}");

    // A person there does not decide in time.
    pair.shop.tacitly(&["dataset", "allow", "ids", "bank", "--manual"]).unwrap();
    let job = submit(Timestamp::now() + SignedDuration::from_secs(4)).unwrap();
    let id = job["id"].as_str().unwrap();
    for party in [&pair.bank, &pair.shop] {
        let shown = || party.tacitly(&["job", "show", id]).ok();
        let ended = until(|| shown().filter(|job| job["state"] == "failed"));
        let ended = ended.unwrap_or_else(|| panic!("{:?}\n{}", shown(), party.log()));
        assert_eq!((&ended["failure"]["code"], &ended["attempt"]), (&"terms-expired".into(), &0.into()), "{ended}");
    }
    assert_eq!(pair.shop.tacitly(&["approve", id]).unwrap_err().code(), "job-state");
}

#[test]
fn terms_that_are_over_or_never_end_as_they_say_are_not_signed() {
    let stage = Stage::set();
    let now = Timestamp::now();
    let moment = |time: Timestamp| Some(time.as_millisecond().cast_unsigned());
    let day = SignedDuration::from_hours(24);
    for (expires, code) in
        [(moment(now - day), "bad-request"), (moment(now + day * 400), "bad-request"), (Some(u64::MAX), "bad-request")]
    {
        match stage.liar.ask(stage.liar.proposal_with(|terms| terms.expires = expires)) {
            Answer::Decided(pb::Decided { refused: Some(reason), .. }) => assert_eq!(reason.code, code),
            other => panic!("{other:?}"),
        }
    }
    match stage.liar.ask(stage.liar.proposal_with(|terms| terms.expires = moment(now + day))) {
        Answer::Decided(pb::Decided { refused: None, .. }) => {}
        other => panic!("{other:?}"),
    }
    std::thread::sleep(Duration::from_millis(100));
    stage.goes_on();
}
