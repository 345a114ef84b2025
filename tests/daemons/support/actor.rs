//! What the peer that lies does in a job: it follows a script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message as _;
use tacitly::attest::wire as logs;
use tacitly::jobs::wire::{self as pb, reply::What as Answer, request::What as Ask};
use tacitly::jobs::{JobTerms, RECEIPT_CONTEXT, attempt_label};
use tacitly::peers::wire;
use tacitly::session::AttemptTag;
use tacitly::store::Signer as _;
use tacitly::transport::{Connection, Envelope, Notice, Settings};
use tacitly_core::{Frame, Party, PartyId, Seed, SessionTag, Terms};
use tacitly_psi::{Flow, Member, PsiParty, PsiTerms};
use tokio::time::interval;

use super::agreement::{Offer, Offers};
use super::body::is_answers;
use super::heard::{BEAT, canonical};
use super::liar::{Liar, NAME};
use super::script::{Agreed, Script, Seen};
use super::words::{asked, said};

/// Our number for every session: there is one at a time.
const CHANNEL: u64 = 1;

/// The labels of words, and the one session of a job in one piece.
const OFFERS: &str = "offers";
const AGREEMENT: &str = "agreement";
const REHASH: &str = "of kind rehash ";
const WHOLE: &str = "main 0";

/// The session of one attempt.
struct Session {
    tag: SessionTag,
    /// The daemon's number for it.
    channel: Option<u64>,
    party: AttemptTag<PsiParty>,
    consumed: u64,
}

/// How a conversation ended.
enum Over {
    /// The script wants it so.
    HungUp,
    /// The daemon hung up, or the connection broke.
    Gone,
}

/// The liar at work.
pub(crate) struct Actor {
    liar: Arc<Liar>,
    script: Script,
    seen: Arc<Mutex<Seen>>,
    /// The terms, with the daemon's consent to them.
    job: Option<(JobTerms, pb::Consent)>,
    attempt: u32,
    /// It is at that attempt.
    is_at_work: bool,
    /// What both have offered in it.
    offers: Option<Offers>,
    session: Option<Session>,
    /// What the daemon has opened last, before us or after us, and its number for it.
    opened_there: Option<(SessionTag, u64)>,
    out: VecDeque<Envelope>,
    requests: u64,
    /// Words that the daemon was asked for, by request, and those to ask for again.
    asked: BTreeMap<u64, pb::Collect>,
    later: Vec<pb::Collect>,
}

impl Actor {
    pub(crate) fn new(liar: Arc<Liar>, script: Script, seen: Arc<Mutex<Seen>>) -> Self {
        let job = liar.terms.lock().unwrap().clone();
        Self {
            liar,
            script,
            seen,
            job,
            attempt: 0,
            is_at_work: false,
            offers: None,
            session: None,
            opened_there: None,
            out: VecDeque::new(),
            requests: 0,
            asked: BTreeMap::new(),
            later: Vec::new(),
        }
    }

    pub(crate) async fn play(mut self) {
        loop {
            let Ok(connection) = self.liar.clone().call().await else { return };
            (self.session, self.opened_there, self.is_at_work) = (None, None, false);
            self.out.clear();
            self.asked.clear();
            self.later.clear();
            if let Some(job) = self.script.nudges.take() {
                // The attempt that the one before us had begun.
                let standing = pb::Standing { job, attempt: 1, ..self.standing(pb::Task::None) };
                self.ask(Ask::Standing(standing));
            }
            match self.converse(connection).await {
                Over::HungUp if !self.script.stays_away => {}
                _ => return,
            }
        }
    }

    async fn converse(&mut self, mut connection: Connection) -> Over {
        let mut beat = interval(BEAT);
        loop {
            while let Some(envelope) = self.out.pop_front() {
                if connection.send(envelope).await.is_err() {
                    return Over::Gone;
                }
            }
            tokio::select! {
                _ = beat.tick() => {
                    self.out.push_back(Envelope::Heartbeat);
                    std::mem::take(&mut self.later).into_iter().for_each(|collect| self.collect(collect));
                }
                heard = connection.receive() => match heard {
                    Ok(envelope) => if let Some(over) = self.hear(envelope) {
                        return over;
                    },
                    Err(_) => return Over::Gone,
                },
            }
        }
    }

    fn hear(&mut self, envelope: Envelope) -> Option<Over> {
        match envelope {
            Envelope::Request { id, service, body } => {
                if service != "jobs" {
                    let body = if service == "attest" { self.answer_about_logs(body) } else { Bytes::new() };
                    self.out.push_front(Envelope::Response { id, outcome: Ok(said(body)) });
                    return None;
                }
                let ask = pb::Request::decode(body).unwrap().what.unwrap();
                let body = pb::Reply { what: Some(self.answer(ask)) }.encode_to_vec().into();
                // The answer goes out before whatever the question has brought about.
                self.out.push_front(Envelope::Response { id, outcome: Ok(said(body)) });
            }
            Envelope::Response { id, outcome } => return self.hear_words(id, outcome.ok()?),
            Envelope::SessionOpen { session, channel, .. } => {
                self.opened_there = Some((session, channel));
                self.begin();
            }
            Envelope::SessionFrame { frame, .. } => return self.take(frame),
            Envelope::SessionEnd { notice, .. } => self.seen.lock().unwrap().told.push(notice.code().to_owned()),
            Envelope::Bye(_) => return Some(Over::Gone),
            _ => {}
        }
        None
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Propose(proposal) => {
                let canonical = Terms::parse(&proposal.terms).unwrap();
                let terms = JobTerms::from_terms(&canonical).unwrap();
                let consent = Some(self.liar.consent(self.script.context, &terms));
                self.job = Some((terms, proposal.consent.unwrap()));
                self.liar.terms.lock().unwrap().clone_from(&self.job);
                return Answer::Decided(pb::Decided { job: proposal.job, consent, refused: None });
            }
            _ if self.script.always_busy => {}
            Ask::Start(_) if self.script.is_done_at_once => {
                let signature = self.liar.signer.sign(RECEIPT_CONTEXT, &self.terms().to_terms().hash().0).unwrap();
                let receipt = pb::Receipt { party: NAME.to_owned(), signature: signature.to_string() };
                let (state, receipts) = ("done".to_owned(), vec![receipt]);
                return Answer::Standing(pb::Standing { state, receipts, ..self.standing(pb::Task::None) });
            }
            Ask::Begin(_) => return Answer::Standing(pb::Standing { free: true, ..self.standing(pb::Task::None) }),
            Ask::Start(start) => {
                if start.attempt != self.attempt || !self.is_at_work {
                    (self.attempt, self.session, self.is_at_work) = (start.attempt, None, true);
                    if !self.script.dawdles {
                        self.offer();
                    }
                }
                return Answer::Standing(self.standing(pb::Task::Computing));
            }
            Ask::Stop(_) => {
                (self.session, self.is_at_work) = (None, false);
                return Answer::Standing(self.standing(pb::Task::None));
            }
            Ask::Present(present) if !self.is_at_work || present.attempt != self.attempt => {
                return Answer::Pending(pb::Pending {});
            }
            Ask::Present(_) if !self.script.dawdles || self.script.says_it_works => {
                return Answer::AtWork(pb::AtWork { still_ms: 0 });
            }
            Ask::Standing(standing) if standing.state == "suspended" => {
                let state = standing.state;
                return Answer::Standing(pb::Standing { state, ..self.standing(pb::Task::None) });
            }
            Ask::Standing(standing) if standing.reason.is_none() && standing.state != "done" => {
                // Another process than the one that began waits for the daemon to begin again.
                let task = if self.is_at_work { pb::Task::Computing } else { pb::Task::None };
                return Answer::Standing(self.standing(task));
            }
            Ask::Standing(standing) => {
                let code = standing.reason.map(|reason| reason.code).unwrap_or_default();
                self.seen.lock().unwrap().told.push(code);
            }
            _ => {}
        }
        Answer::Busy(pb::Busy {})
    }

    fn answer_about_logs(&self, asked: Bytes) -> Bytes {
        use logs::reply::What as Answer;
        use logs::request::What as Ask;
        let answer = match logs::Request::decode(asked).unwrap().what.unwrap() {
            Ask::LastCosigned(_) if self.script.contradicts => Answer::Cosigned(logs::Cosigned::default()),
            Ask::AddCheckpoint(_) if self.script.contradicts => {
                let mut seen = self.seen.lock().unwrap();
                seen.asked_to_cosign += 1;
                let body = format!("{}\n", 1 + seen.asked_to_cosign % 2).into_bytes().into();
                Answer::Witnessed(logs::Witnessed { status: 409, body })
            }
            Ask::Copy(asked) => Answer::Copied((self.script.copied)(asked)),
            Ask::MirrorCosignature(_) => Answer::Noted(logs::Noted {}),
            _ => Answer::Unknown(logs::Unknown {}),
        };
        logs::Reply { what: Some(answer) }.encode_to_vec().into()
    }

    /// How the job stands here, as the daemon is told.
    fn standing(&self, task: pb::Task) -> pb::Standing {
        let job = self.job.as_ref().map(|(terms, _)| terms.job.to_string()).unwrap_or_default();
        let state = "running".to_owned();
        pb::Standing { job, state, attempt: self.attempt, task: task.into(), ..pb::Standing::default() }
    }

    fn terms(&self) -> &JobTerms {
        &self.job.as_ref().unwrap().0
    }

    fn ask(&mut self, ask: Ask) {
        self.requests += 1;
        self.out.push_back(asked(ask).request(self.requests));
    }

    /// Says our word under a label, and asks for both.
    fn say(&mut self, label: &str, bytes: Bytes) {
        let (job, attempt) = (self.terms().job, self.attempt);
        let word = Some(self.liar.word(job, label, bytes));
        self.collect(pb::Collect { job: job.to_string(), attempt, label: label.to_owned(), word });
    }

    fn collect(&mut self, collect: pb::Collect) {
        self.ask(Ask::Collect(collect.clone()));
        self.asked.insert(self.requests, collect);
    }

    /// The daemon's answer to a question of ours: both words, or that it is asked again.
    fn hear_words(&mut self, id: u64, reply: Bytes) -> Option<Over> {
        let asked = self.asked.remove(&id).filter(|asked| asked.attempt == self.attempt && self.is_at_work)?;
        let answer = match wire::Reply::decode(reply).unwrap().what.unwrap() {
            wire::reply::What::Body(body) => pb::Reply::decode(body).unwrap().what.unwrap(),
            wire::reply::What::Busy(_) => Answer::Busy(pb::Busy {}),
        };
        match answer {
            Answer::Words(both) => return self.follow(&asked.label, both.words),
            Answer::Pending(_) | Answer::Busy(_) => self.later.push(asked),
            _ => {}
        }
        None
    }

    /// Says what follows both words under a label.
    fn follow(&mut self, label: &str, words: Vec<pb::Word>) -> Option<Over> {
        let victim = self.liar.victim;
        match label {
            OFFERS if self.script.forgets && self.attempt == 1 => {
                self.script.nudges = Some(self.terms().job.to_string());
                return Some(Over::HungUp);
            }
            // There is nothing more to do with a word that was a lie.
            OFFERS if self.script.says.is_some() => {}
            OFFERS => {
                let offers = self.offers.insert(Offers::read(words));
                let (liar, terms) = (&*self.liar, &self.job.as_ref().unwrap().0);
                let name = if self.script.signs_agreements { NAME } else { "somebody-else" };
                let word = offers.shown(terms, liar.line(name, &offers.note(terms)));
                let bytes = match self.script.has_signed {
                    Some(lie) => lie(&Agreed { liar, terms, offers }, word),
                    None => word.encode_to_vec().into(),
                };
                self.say(AGREEMENT, bytes);
            }
            AGREEMENT => self.say(&format!("ready {}", self.attempt), pb::ReadyWord::default().encode_to_vec().into()),
            _ if self.is_in_buckets() => {
                let round = label.strip_prefix(REHASH).map_or(0, |round| round.parse::<u32>().unwrap() + 1);
                let theirs = words.iter().filter(|word| label.starts_with(REHASH) && word.party == victim.as_str());
                let theirs = theirs.map(|word| serde_json::from_slice::<u32>(&word.bytes).unwrap());
                self.seen.lock().unwrap().rehashes.extend(theirs);
                self.say(&format!("{REHASH}{round}"), serde_json::to_vec(&self.script.rehash).unwrap().into());
            }
            _ if self.script.opens_nothing => {}
            _ => self.open(),
        }
        None
    }

    /// Says what it brings.
    fn offer(&mut self) {
        let (terms, leader) = self.job.clone().unwrap();
        let items = (self.script.items)(self.attempt).len() as u64;
        let word = pb::OfferWord {
            terms_hash: terms.to_terms().hash().0.to_vec().into(),
            leader: Some(leader),
            consent: Some(self.liar.consent(self.script.context, &terms)),
            offer: (self.script.offer)(Offer::of(items)),
            dataset: Bytes::new(),
            salt: vec![7; 16].into(),
            opening: None,
        };
        let bytes = self.script.says.map_or_else(|| word.encode_to_vec().into(), |lie| lie(word.clone()));
        self.say(OFFERS, bytes);
    }

    fn offer_of(&self, party: PartyId) -> Option<Offer> {
        self.offers.as_ref().unwrap().of(party)
    }

    /// Whether the sets are cut, as far as we are concerned.
    fn is_in_buckets(&self) -> bool {
        let (ours, theirs) = (self.offer_of(self.liar.me), self.offer_of(self.liar.victim).unwrap());
        ours.is_some_and(|ours| ours.items.max(theirs.items) > ours.capacity.whole)
    }

    /// Opens this attempt's session with a party that is honest about its set.
    fn open(&mut self) {
        let job = self.terms();
        let items = canonical(&(self.script.items)(self.attempt));
        let (me, victim) = (self.liar.me, self.liar.victim);
        let members = [Member::new(me, items.len() as u64), Member::new(victim, self.offer_of(victim).unwrap().items)];
        let key = job.params.get("key").unwrap().as_list().unwrap();
        let key: Vec<&str> = key.iter().map(|profile| profile.as_text().unwrap()).collect();
        let receivers: Vec<PartyId> = job.receivers().into_iter().collect();
        let terms = PsiTerms::new(Flow::Intersect, members, &receivers, &key, &job.job.to_string()).unwrap();
        let hash = terms.to_terms().hash();
        let tag = SessionTag::of(&hash, &attempt_label(WHOLE, self.attempt));
        let party = PsiParty::new(terms, me, WHOLE, items, Seed::from_bytes([6; 32]), None).unwrap();
        let party = AttemptTag::new(party, SessionTag::of(&hash, WHOLE), tag);
        self.session = Some(Session { tag, channel: None, party, consumed: 0 });
        self.out.push_back(Envelope::SessionOpen {
            session: tag,
            channel: CHANNEL,
            window: Settings::default().window,
        });
        self.begin();
    }

    /// Begins this attempt's session once both have opened it.
    fn begin(&mut self) {
        let Some((session, channel)) = self.opened_there else { return };
        let Some(ours) = self.session.as_mut().filter(|ours| ours.tag == session) else { return };
        ours.channel = Some(channel);
        if self.script.abandons {
            let notice = Notice::new(Notice::ABANDONED, "");
            self.out.push_back(Envelope::SessionEnd { session, channel: CHANNEL, notice });
            return;
        }
        self.pump();
    }

    fn take(&mut self, frame: Frame) -> Option<Over> {
        self.seen.lock().unwrap().received.entry(self.attempt).or_default().push(frame.clone());
        if self.script.hangs_up && self.attempt == 1 && is_answers(&frame.body) {
            return Some(Over::HungUp);
        }
        let session = self.session.as_mut()?;
        // The daemon is honest; what it sends before it hears of a lie is fit for an honest party.
        session.party.receive(self.liar.victim, frame).unwrap();
        session.consumed += 1;
        let (channel, consumed) = (session.channel.unwrap(), session.consumed);
        if !self.script.never_ends {
            self.out.push_back(Envelope::SessionAcknowledgement { channel, consumed });
        }
        self.pump();
        None
    }

    /// Sends what there is to send, as the script wants it.
    fn pump(&mut self) {
        let Some(session) = self.session.as_mut() else { return };
        let Some(channel) = session.channel else { return };
        let consumed = if self.script.never_ends { 0 } else { session.consumed };
        if session.party.poll_checkpoint().is_some() {
            session.party.stored();
        }
        let mut seen = self.seen.lock().unwrap();
        while let Some(frame) = session.party.poll_send(self.liar.victim) {
            for frame in (self.script.lie)(self.attempt, frame) {
                seen.sent.entry(self.attempt).or_default().push(frame.clone());
                self.out.push_back(Envelope::SessionFrame { channel, frame, consumed });
            }
        }
        let Some(outcome) = session.party.output() else { return };
        seen.outcome = Some(outcome);
        drop(seen);
        if self.script.never_ends {
            return;
        }
        let (session, notice) = (session.tag, Notice::new(Notice::COMPLETE, ""));
        self.out.push_back(Envelope::SessionEnd { session, channel: CHANNEL, notice });
        let terms = self.terms();
        let receipts = if terms.receives(self.liar.me) {
            let signature = self.liar.signer.sign(RECEIPT_CONTEXT, &terms.to_terms().hash().0).unwrap().to_string();
            vec![pb::Receipt { party: NAME.to_owned(), signature }]
        } else {
            Vec::new()
        };
        let standing = pb::Standing { receipts, ..self.standing(pb::Task::Computed) };
        self.ask(Ask::Standing(standing));
    }
}
