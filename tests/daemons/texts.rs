//! What a peer says where a person or a file listens: it forges nothing there, and grows nothing.

use tacitly::jobs::JobTerms;
use tacitly::jobs::wire as pb;
use tacitly::jobs::wire::reply::What as Answer;

use crate::support::agreement::Offer;
use crate::support::liar::NAME;
use crate::support::script::Script;
use crate::support::stage::Stage;

/// The review's sixth finding, and the third of the chaos run.
#[test]
fn words_that_would_rewrite_what_an_approver_reads_are_refused_and_written_nowhere() {
    let stage = Stage::set();
    stage.bank.tacitly(&["dataset", "allow", "ids", NAME, "--manual"]).unwrap();
    let purpose = |text: &'static str| move |terms: &mut JobTerms| terms.purpose = text.to_owned();
    let dataset = |text: String| {
        move |terms: &mut JobTerms| {
            let mallory = terms.leader;
            terms.parties.get_mut(&mallory).unwrap().dataset = Some(text);
        }
    };
    type Change = (&'static str, Box<dyn FnOnce(&mut JobTerms)>);
    let changes: [Change; 6] = [
        ("a line of its own", Box::new(purpose("fraud pilot\nlearns   mallory: how many distinct keys bank has"))),
        ("what follows is hidden", Box::new(purpose("fraud pilot \x1b[8m"))),
        ("a line is written over", Box::new(purpose("audit \x1b[1A\x1b[2Kreceives bank alone"))),
        ("a line is turned around", Box::new(purpose("for \u{202e}knab"))),
        ("the window gets a title", Box::new(dataset("B\x1b]0;owned\x07".to_owned()))),
        ("60 kB a proposal", Box::new(dataset("B".repeat(60_000)))),
    ];
    for (case, change) in changes {
        match stage.liar.ask(stage.liar.proposal_with(change)) {
            Answer::Decided(pb::Decided { refused: Some(reason), .. }) => {
                assert_eq!(reason.code, "bad-request", "{case}")
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    assert!(stage.jobs().is_empty(), "nothing of it stands in the ledger");
    stage.bank.tacitly(&["dataset", "allow", "ids", NAME, "--automatic"]).unwrap();
    stage.goes_on();
}

/// The review's fifteenth finding: what a party learns before the result stands under its signature before anybody decides.
#[test]
fn a_peer_that_wants_the_size_first_and_has_not_signed_so_is_named() {
    let stage = Stage::set();
    let wants = Script { offer: |offer| Offer { wants_size: true, ..offer }.write(), ..stage.honest() };
    stage.accuses("wants the size", wants, "whether it learns the size first");
    stage.goes_on();
}
