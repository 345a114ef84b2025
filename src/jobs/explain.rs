//! What a person reads before approving: who takes part with what, what each party learns, and what the kind says of it.

use std::fmt::Write as _;

use super::kind::{JobKind, Local};
use super::terms::JobTerms;

/// Explains a job in words, a line each.
pub(super) fn explain(terms: &JobTerms, kind: &dyn JobKind, local: &Local) -> String {
    let mut text = String::new();
    let mut line = |word: &str, sentence: &str| {
        let _infallible = writeln!(text, "{word:<8} {sentence}");
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
    for (word, sentence) in kind.explain(terms, local) {
        line(word, &sentence);
    }
    text.trim_end().to_owned()
}
