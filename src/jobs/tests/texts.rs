//! What a person reads before approving, whatever words a job has come with.

use proptest::prelude::*;
use tacitly_core::text::is_plain;

use super::super::explain::explain;
use super::super::kind::Local;
use super::super::terms::JobTerms;
use super::super::terms::tests::terms_of;
use super::office::Toy;

fn explained(terms: &JobTerms) -> String {
    explain(terms, &*Toy::reading(), &Local::of("shop".parse().unwrap()))
}

proptest! {
    /// Words that the limits of terms would refuse, so that the last guard stands alone.
    #[test]
    fn no_words_of_a_leader_forge_a_line(words in "\\PC{0,20}[\\x00-\\x1f\u{200b}\u{202e}\u{2028}a-z]{1,20}\\PC{0,20}") {
        let honest = terms_of(&["bank", "shop"]);
        let mut hostile = JobTerms { purpose: words.clone(), kind: words.clone(), ..honest.clone() };
        for party in hostile.parties.values_mut() {
            (party.role, party.dataset) = (words.clone(), Some(words.clone()));
        }
        let (shown, lines) = (explained(&hostile), explained(&honest).lines().count());
        prop_assert_eq!(shown.lines().count(), lines);
        for line in shown.split('\n') {
            prop_assert!(is_plain(line), "{:?}", line);
        }
    }
}
