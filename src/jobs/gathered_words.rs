//! What the parties of an attempt have said so far, under each label, at the leader of the job.

use std::collections::BTreeMap;

use tacitly_core::PartyId;
use tokio::sync::watch;

use super::word::{Word, Words};

/// The most labels that a member may be ahead, and the most bytes of its words together. What a member says before the
/// leader asks for it waits in memory.
const MOST_LABELS: usize = 16;
const MOST_BYTES: usize = 1 << 20;

/// Where words of an attempt are gathered.
#[derive(Default)]
pub(super) struct GatheredWords(watch::Sender<BTreeMap<String, Gathered>>);

#[derive(Clone, Default)]
struct Gathered {
    heard: Words,
    /// Nothing is added any more.
    complete: bool,
}

/// Why a word is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The party has said something else under this label.
    Changed,
    /// It has said more than an attempt needs.
    TooMuch,
}

impl GatheredWords {
    /// Takes a party's word under a label. The same word again changes nothing.
    pub(super) fn hear(&self, label: &str, party: PartyId, word: &Word) -> Result<(), NotTaken> {
        let mut taken = Ok(());
        self.0.send_if_modified(|labels| {
            if let Some(known) = labels.get(label).and_then(|gathered| gathered.heard.get(&party)) {
                taken = if known.bytes == word.bytes { Ok(()) } else { Err(NotTaken::Changed) };
                return false;
            }
            // What others say ahead never keeps a party from its own word.
            let of_party = labels.values().filter(|gathered| gathered.heard.contains_key(&party));
            let ahead = of_party.filter(|gathered| !gathered.complete).count();
            let said = labels.values().filter_map(|gathered| gathered.heard.get(&party));
            let bytes: usize = said.map(|word| word.bytes.len()).sum();
            if ahead >= MOST_LABELS || bytes + word.bytes.len() > MOST_BYTES {
                taken = Err(NotTaken::TooMuch);
                return false;
            }
            let gathered = labels.entry(label.to_owned()).or_default();
            if gathered.complete {
                return false;
            }
            gathered.heard.insert(party, word.clone());
            true
        });
        taken
    }

    /// Says that these are all words under a label.
    ///
    /// # Errors
    /// The party that has said something else in this attempt.
    pub(super) fn complete(&self, label: &str, words: Words) -> Result<(), PartyId> {
        let mut changed = None;
        self.0.send_modify(|labels| {
            let heard = labels.get(label).map(|gathered| &gathered.heard).into_iter().flatten();
            let differs =
                |(party, word): &(&PartyId, &Word)| words.get(party).is_some_and(|known| known.bytes != word.bytes);
            changed = heard.filter(differs).map(|(party, _)| *party).next();
            labels.insert(label.to_owned(), Gathered { heard: words, complete: true });
        });
        changed.map_or(Ok(()), Err)
    }

    /// Waits until `enough` of the words under a label are there, and returns those.
    pub(super) async fn gathered(&self, label: &str, enough: impl Fn(&Words) -> bool) -> Words {
        let none = Words::new();
        let mut changes = self.0.subscribe();
        let is_enough = |labels: &BTreeMap<String, Gathered>| enough(labels.get(label).map_or(&none, |all| &all.heard));
        let found = changes.wait_for(is_enough).await.map(|labels| heard(&labels, label));
        match found {
            Ok(words) => words,
            // The sender is ours.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until all words under a label are there.
    pub(super) async fn completed(&self, label: &str) -> Words {
        let is_complete = |labels: &BTreeMap<String, Gathered>| labels.get(label).is_some_and(|all| all.complete);
        let mut changes = self.0.subscribe();
        let found = changes.wait_for(is_complete).await.map(|labels| heard(&labels, label));
        match found {
            Ok(words) => words,
            Err(_) => std::future::pending().await,
        }
    }
}

fn heard(labels: &BTreeMap<String, Gathered>, label: &str) -> Words {
    labels.get(label).map(|gathered| gathered.heard.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn word(text: &str) -> Word {
        let signature = format!("ed25519:{}", data_encoding::BASE64.encode(&[7; 64])).parse().unwrap();
        Word { bytes: text.as_bytes().to_vec().into(), signature }
    }

    fn party(at: usize) -> PartyId {
        format!("party-{at}").parse().unwrap()
    }

    #[test]
    fn words_come_in_any_order_and_are_all_there_once_the_leader_says_so() {
        let labels = GatheredWords::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut all = pin!(labels.gathered("offers", |words| words.len() == 2));
        let mut completed = pin!(labels.completed("offers"));
        assert!(all.as_mut().poll(&mut context).is_pending());
        labels.hear("offers", party(2), &word("two")).unwrap();
        labels.hear("offers", party(2), &word("two")).unwrap();
        assert_eq!(labels.hear("offers", party(2), &word("three")), Err(NotTaken::Changed));
        labels.hear("later", party(2), &word("three")).unwrap();
        assert!(all.as_mut().poll(&mut context).is_pending());
        labels.hear("offers", party(1), &word("one")).unwrap();
        let Poll::Ready(words) = all.poll(&mut context) else { panic!("both are there") };
        assert!(completed.as_mut().poll(&mut context).is_pending());
        labels.complete("offers", words.clone()).unwrap();
        assert_eq!(completed.poll(&mut context), Poll::Ready(words));
        labels.hear("offers", party(3), &word("late")).unwrap();
        let mut completed = pin!(labels.completed("offers"));
        assert!(matches!(completed.as_mut().poll(&mut context), Poll::Ready(words) if words.len() == 2));
    }

    #[test]
    fn who_says_something_else_than_in_an_earlier_attempt_is_named_whenever_it_says_so() {
        let kept = Words::from([(party(1), word("one")), (party(2), word("two"))]);
        let labels = GatheredWords::default();
        labels.complete("offers", kept.clone()).unwrap();
        assert_eq!(labels.hear("offers", party(2), &word("three")), Err(NotTaken::Changed));
        let labels = GatheredWords::default();
        labels.hear("offers", party(1), &word("one")).unwrap();
        labels.hear("offers", party(2), &word("three")).unwrap();
        assert_eq!(labels.complete("offers", kept), Err(party(2)));
    }

    #[test]
    fn a_member_that_says_too_much_is_not_taken() {
        let labels = GatheredWords::default();
        for at in 0..MOST_LABELS {
            labels.hear(&format!("label {at}"), party(1), &word("x")).unwrap();
        }
        assert_eq!(labels.hear("one more", party(1), &word("x")), Err(NotTaken::TooMuch));
        assert_eq!(labels.hear("one more", party(2), &word("x")), Ok(()), "another one may still speak");
        let large = word(&"x".repeat(MOST_BYTES));
        assert_eq!(GatheredWords::default().hear("large", party(1), &large), Ok(()));
        let labels = GatheredWords::default();
        labels.hear("large", party(1), &large).unwrap();
        assert_eq!(labels.hear("small", party(1), &word("x")), Err(NotTaken::TooMuch));
    }
}
