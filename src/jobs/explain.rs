//! What a person reads before approving: who takes part with what, what each party learns, and what the kind says of it.

use std::fmt::Write as _;

use tacitly_core::text::printable;

use super::kind::{JobKind, Local};
use super::serving::QUESTIONS_PER_DAY;
use super::terms::JobTerms;

/// The most characters of a line.
const LONGEST: usize = 16 << 10;

/// Explains a job in words, a line each.
pub(super) fn explain(terms: &JobTerms, kind: &dyn JobKind, local: &Local) -> String {
    let mut text = String::new();
    let mut line = |word: &str, sentence: &str| {
        // The last guard: whatever a kind puts into its words, a line stays one line.
        let _infallible = writeln!(text, "{word:<8} {}", printable(sentence, LONGEST));
    };
    line("job", &format!("{} · {} · proposed by {}", terms.job, terms.kind, terms.leader));
    if !terms.purpose.is_empty() {
        line("purpose", &terms.purpose);
    }
    if let Some(moment) = terms.expiry() {
        line("until", &format!("{moment}: no attempt begins after that"));
    }
    for (party, said) in &terms.parties {
        let name = if *party == local.me { "we".to_owned() } else { party.to_string() };
        let dataset = said.dataset.as_ref().map_or_else(|| "no data".to_owned(), |name| format!("the dataset {name}"));
        let result = if said.receives { "receives a result" } else { "receives nothing" };
        line("party", &format!("{name}: {}, with {dataset}; {result}", said.role));
    }
    for party in terms.parties.keys() {
        let name = if *party == local.me { "we".to_owned() } else { party.to_string() };
        let learned: Vec<String> =
            kind.learns(terms, None, *party).into_iter().map(|learned| learned.sentence).collect();
        let learned = if learned.is_empty() { "nothing".to_owned() } else { learned.join("; ") };
        line("learns", &format!("{name}: {learned}"));
    }
    if kind.serves(terms) {
        let end = terms.expiry().map(|moment| format!(", at the latest until {moment}")).unwrap_or_default();
        line("serves", &format!("it answers questions once it is set up, until somebody revokes it{end}"));
        line("record", "every question and its answer, on both sides, by commitments; the purpose in clear");
        for (party, rule) in &local.rules {
            if let Some(most) = rule.limits.cap(QUESTIONS_PER_DAY.name) {
                line("quota", &format!("{party}: at most {most} questions a day for one purpose"));
            }
        }
    }
    for (word, sentence) in kind.explain(terms, local) {
        line(word, &sentence);
    }
    text.trim_end().to_owned()
}
