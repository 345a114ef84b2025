//! One word of everybody to everybody: each party tells the leader its own and hears all.
//!
//! Words that outlive an attempt are kept before they are said and repeated byte for byte, so that nobody can answer the
//! same question twice. The leader keeps all words before anybody hears them; whoever asks later hears the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tacitly_core::PartyId;
use tacitly_core::text::is_plain;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::asking;
use super::consent::Signatures;
use super::core::Core;
use super::gathered_words::NotTaken;
use super::machine::{Event, Quorum};
use super::message::{Answer, Ask, generated as pb};
use super::part::Stop;
use super::running::RunningJob;
use super::word::{Word, Words};
use crate::codes::{self, Error};
use crate::store::Job;

/// The pause before a leader is asked again that is not at the attempt yet.
const SOON: Duration = Duration::from_millis(200);
/// How long a member's question is held open for the answer.
pub(super) const HELD: Duration = Duration::from_secs(2);
/// The longest label.
pub(super) const MAX_LABEL: usize = 40;
/// The most bytes of all words under one label: they fit into one message.
const MOST_BYTES: usize = 900 << 10;

/// What is said of a party that changes its word.
const TWO_THINGS: &str = "it says two things under one label";

/// Collects the words of one attempt.
pub(super) struct Collector<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) job: &'a Job,
    pub(super) attempt: u32,
    /// The parties of the attempt, we among them.
    pub(super) with: &'a BTreeSet<PartyId>,
    pub(super) quorum: Quorum,
    pub(super) work: &'a RunningJob,
}

/// Whether words outlive the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// They are kept, and are the same in every attempt.
    Kept,
    /// They are about this attempt.
    OfAttempt,
}

/// How many words are enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) words: Quorum,
    /// From when on no more are waited for than those; nothing: all are.
    pub(super) until: Option<Instant>,
}

impl Need {
    /// Everybody's that the job does not go on without.
    pub(super) const ALL: Self = Self { words: Quorum::All, until: None };
}

impl Collector<'_> {
    /// Says our word under a label and returns everybody's. Of words that are kept, what was said first stands.
    pub(super) async fn all(&self, label: &str, own: Vec<u8>, lasting: Lasting, need: Need) -> Result<Words, Stop> {
        let (store, id, me) = (&self.core.store, self.job.id, self.core.me());
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(Error::internal("the label of a word has 1 to 40 bytes").into());
        }
        let (own_label, all_label) = (format!("word {label}"), format!("words {label}"));
        let mut word = None;
        if lasting == Lasting::Kept {
            if let Some(bytes) = store.secrets().checkpoint(id, &all_label).await? {
                let words = read(&bytes).ok_or_else(|| Error::damaged("kept words cannot be read"))?;
                self.show(label, &words)?;
                return Ok(words);
            }
            if let Some(bytes) = store.secrets().checkpoint(id, &own_label).await? {
                let own = pb::Word::decode(&bytes[..]).ok().and_then(|word| Word::read(&word));
                word = Some(own.ok_or_else(|| Error::damaged("a kept word cannot be read"))?.1);
            }
        }
        let word = match word {
            Some(word) => word,
            None => {
                if own.len() > longest_word(self.job) {
                    return Err(Error::internal("a word to all parties is too long").into());
                }
                let word = Signatures(self.core).word(id, label, own)?;
                if lasting == Lasting::Kept {
                    store.secrets().put_checkpoint(id, &own_label, &word.write(me).encode_to_vec()).await?;
                }
                word
            }
        };
        let words = if self.job.leader == me {
            self.gather(label, word, need).await?
        } else {
            self.ask(label, word, need).await?
        };
        if lasting == Lasting::Kept {
            store.secrets().put_checkpoint(id, &all_label, &write(&words).encode_to_vec()).await?;
        }
        // Nobody hears them before they are kept.
        self.show(label, &words)?;
        Ok(words)
    }

    /// Shows all words under a label to whoever asks. A party may have said another one in the meantime.
    fn show(&self, label: &str, words: &Words) -> Result<(), Error> {
        let changed = |party| Error::lie(party, TWO_THINGS);
        self.work.gathered.complete(label, words.clone()).map_err(changed)
    }

    /// As leader: waits until everybody has said its word that the job does not go on without.
    async fn gather(&self, label: &str, own: Word, need: Need) -> Result<Words, Stop> {
        let (me, needed) = (self.core.me(), self.quorum.of(self.job.parties.len()));
        let changed = |_| Error::internal("we would say two things under one label");
        self.work.gathered.hear(label, me, &own).map_err(changed)?;
        let mut awaited = self.with.clone();
        let mut losses = JoinSet::new();
        for party in awaited.iter().copied().filter(|party| *party != me) {
            let peers = self.core.peers.clone();
            losses.spawn(async move { (party, peers.link_given_up(party).await) });
        }
        let waiting = self.work.meter.wait_for(BTreeSet::new());
        let enough_at_last = need.words.of(self.job.parties.len());
        let mut is_late = false;
        loop {
            let enough = |words: &Words| {
                let missing: BTreeSet<PartyId> =
                    awaited.iter().copied().filter(|party| !words.contains_key(party)).collect();
                let enough = missing.is_empty() || (is_late && words.len() >= enough_at_last);
                waiting.is_for(missing);
                enough
            };
            tokio::select! {
                words = self.work.gathered.gathered(label, enough) => {
                    return Ok(words.into_iter().filter(|(party, _)| awaited.contains(party)).collect());
                }
                () = reached(need.until), if !is_late => is_late = true,
                Some(Ok((party, why))) = losses.join_next() => {
                    if self.quorum == Quorum::All || awaited.len() <= needed {
                        return Err(Stop::Lost(why));
                    }
                    awaited.remove(&party);
                    self.core.happen_at_last(self.job.id, Event::Lost { who: party, why });
                }
            }
        }
    }

    /// As member: tells the leader and hears everybody's.
    async fn ask(&self, label: &str, own: Word, need: Need) -> Result<Words, Stop> {
        let (me, leader) = (self.core.me(), self.job.leader);
        let lie = |text: &str| Error::lie(leader, text);
        let _waiting = self.work.meter.wait_for(BTreeSet::from([leader]));
        loop {
            let ask = Ask::Collect(pb::Collect {
                job: self.job.id.to_string(),
                attempt: self.attempt,
                label: label.to_owned(),
                word: Some(own.write(me)),
            });
            match self.ask_leader(ask).await? {
                Answer::Words(words) => {
                    let words = words.words.iter().map(Word::read).collect::<Option<Words>>();
                    let words = words.ok_or_else(|| lie("the words of all parties cannot be read"))?;
                    self.fits(&words, &own, need).map_err(lie)?;
                    for (party, word) in words.iter().filter(|(party, _)| **party != me) {
                        let signatures = Signatures(self.core);
                        if !signatures.has_said(*party, self.job.id, label, &word.digest(), &word.signature).await? {
                            return Err(lie(&format!("a word that it shows is not signed by {party}")).into());
                        }
                    }
                    return Ok(words);
                }
                answer @ (Answer::Standing(_) | Answer::Unknown(_)) => {
                    return Err(hear(self.core, self.job, leader, answer).await);
                }
                // The question was held open, or the leader begins a moment after us. If it gives the attempt up it says
                // so.
                _ => sleep(SOON).await,
            }
        }
    }

    /// Whether these can be all words, as the leader brings them to us.
    fn fits(&self, words: &Words, own: &Word, need: Need) -> Result<(), &'static str> {
        let may_be_late = need.until.is_some() && words.len() >= need.words.of(self.job.parties.len());
        let ours_is_there = words.get(&self.core.me()).map_or(may_be_late, |ours| ours == own);
        if !ours_is_there || !words.contains_key(&self.job.leader) {
            return Err("our own word, or its own, is not among those of all parties");
        }
        if words.keys().any(|party| !self.with.contains(party)) {
            return Err("a word is of nobody who takes part in this attempt");
        }
        Ok(())
    }

    async fn ask_leader(&self, ask: Ask) -> Result<Answer, Stop> {
        asking::within_window(&self.core.peers, self.job.leader, ask).await.map_err(Stop::Lost)
    }
}

/// Returns at this moment, if there is one.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// As leader: a member says its word and hears everybody's, or that they are not all there yet.
pub(super) async fn answer(
    core: &Core,
    work: &RunningJob,
    job: &Job,
    from: PartyId,
    asked: &pb::Collect,
) -> Result<Answer, Error> {
    let lie = |text: &str| Error::lie(from, text);
    let word = asked.word.as_ref().and_then(Word::read).filter(|(party, _)| *party == from);
    let (_, word) = word.ok_or_else(|| lie("its word cannot be read"))?;
    if asked.label.is_empty() || asked.label.len() > MAX_LABEL || !is_plain(&asked.label) {
        return Err(lie("its word is about nothing that can be"));
    }
    if word.bytes.len() > longest_word(job) {
        return Err(lie("its word to all parties is too long"));
    }
    if !Signatures(core).has_said(from, job.id, &asked.label, &word.digest(), &word.signature).await? {
        return Err(lie("its word is not signed by it"));
    }
    work.gathered.hear(&asked.label, from, &word).map_err(|why| {
        lie(match why {
            NotTaken::Changed => TWO_THINGS,
            NotTaken::TooMuch => "it says more than an attempt needs",
        })
    })?;
    let answer = match tokio::time::timeout(HELD, work.gathered.completed(&asked.label)).await {
        Ok(words) => Answer::Words(write(&words)),
        Err(_) => Answer::Pending(pb::Pending {}),
    };
    Ok(answer)
}

/// The most bytes of one party's word.
fn longest_word(job: &Job) -> usize {
    MOST_BYTES / job.parties.len().max(1)
}

/// A party has answered a question of an attempt with how the job stands there: it is over, or not known.
pub(super) async fn hear(core: &Core, job: &Job, from: PartyId, answer: Answer) -> Stop {
    let event = match answer {
        Answer::Unknown(_) => Event::Unknown { from },
        Answer::Standing(standing) => match Signatures(core).read_standing(job, from, &standing).await {
            Ok(standing) => Event::Standing { from, standing, answers: None },
            Err(why) if why.code == codes::PROTOCOL_VIOLATION => return Stop::Failed(why),
            Err(_) => return Stop::Restarted,
        },
        _ => return Stop::Restarted,
    };
    core.happen_at_last(job.id, event);
    Stop::Restarted
}

fn write(words: &Words) -> pb::Words {
    pb::Words { words: words.iter().map(|(party, word)| word.write(*party)).collect() }
}

fn read(bytes: &[u8]) -> Option<Words> {
    pb::Words::decode(bytes).ok()?.words.iter().map(Word::read).collect()
}
