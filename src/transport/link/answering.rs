//! What the peer asks our services. Each service has its own pace, and what goes beyond it waits here while everything
//! else is read; what goes beyond that is declined.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::time::Instant;

use super::rate_limiter::RateLimiter;
use super::turns::Turns;
use crate::transport::envelope::{Envelope, Notice};
use crate::transport::settings::{Pace, Settings};

/// The code of a request that is declined because the peer has as many under way with this service as it may.
pub const BUSY: &str = "busy";

/// The code of a request that is declined because nobody of that name answers here, or not yet.
pub const NO_SERVICE: &str = "no-service";

/// A request counts once more for each of so many bytes.
const REQUEST_UNIT: u64 = 16 << 10;

/// The most bytes of requests that wait for one service, unless it is a single one.
const MAX_WAITING: usize = 2 << 20;

/// The most refusals that wait for a peer: one that makes us say more and does not read breaks the rules.
const MAX_REFUSALS: usize = 1024;

/// One question of the peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) service: String,
    pub(super) body: Bytes,
}

/// What is under way with one of our services.
struct Service {
    pace: RateLimiter,
    /// Number and body of what waits for its pace, the oldest first, and the bytes of it.
    waiting: VecDeque<(u64, Bytes)>,
    waiting_bytes: usize,
    /// How many are being answered.
    at_work: usize,
}

pub(super) struct Answering {
    /// Those that have been asked: no more than there are, since only those are told here.
    services: BTreeMap<String, Service>,
    answers: Turns<Envelope>,
    refusals: VecDeque<Envelope>,
    /// How fast the peer is told that it asks in vain; beyond it, its requests are not read for a while.
    refusing: RateLimiter,
}

impl Answering {
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            services: BTreeMap::new(),
            answers: Turns::default(),
            refusals: VecDeque::new(),
            refusing: RateLimiter::new(Some(settings.requests_per_second), now),
        }
    }

    /// The peer asks a service of this pace, `None` if there is no such service. What can be answered is said by
    /// [`next`](Self::next).
    pub(super) fn ask(
        &mut self,
        asked: Asked,
        pace: Option<Pace>,
        closing: bool,
        settings: &Settings,
        now: Instant,
    ) -> Result<(), &'static str> {
        let Asked { id, service: name, body } = asked;
        let code = match pace {
            _ if closing => Notice::SHUTDOWN,
            None => NO_SERVICE,
            Some(pace) => {
                let unsent = self.answers.len_of(&name);
                let service = self.services.entry(name).or_insert_with(|| Service::new(pace, settings, now));
                if unsent + service.at_work + service.waiting.len() < settings.max_requests
                    && (service.waiting.is_empty() || service.waiting_bytes + body.len() <= MAX_WAITING)
                {
                    service.waiting_bytes += body.len();
                    service.waiting.push_back((id, body));
                    return Ok(());
                }
                BUSY
            }
        };
        self.refusing.charge(units(&body), now);
        self.refusals.push_back(Envelope::Response { id, outcome: Err(code.to_owned()) });
        if self.refusals.len() > MAX_REFUSALS { Err("request-backlog") } else { Ok(()) }
    }

    /// The next question that may be answered now. Its answer is brought by [`finish`](Self::finish).
    pub(super) fn next(&mut self, now: Instant) -> Option<Asked> {
        self.services.iter_mut().find_map(|(name, service)| {
            let (id, body) = service.next(now)?;
            Some(Asked { id, service: name.clone(), body })
        })
    }

    /// The moment at which [`next`](Self::next) has something, if something waits.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let waiting = self.services.values().filter(|service| !service.waiting.is_empty());
        waiting.map(|service| service.pace.wait(now).unwrap_or(now)).min()
    }

    /// The moment before which nothing more is read from a peer that asks in vain without end.
    pub(super) fn read_again_at(&self, now: Instant) -> Option<Instant> {
        self.refusing.wait(now)
    }

    /// The answer to one of the peer's questions, or `None` if the connection it came on is gone.
    pub(super) fn finish(&mut self, name: &str, answer: Option<Envelope>) {
        if let Some(service) = self.services.get_mut(name) {
            service.at_work = service.at_work.saturating_sub(1);
        }
        if let Some(answer) = answer {
            self.answers.push(name, answer);
        }
    }

    /// Declines what waits, since our process stops.
    pub(super) fn close(&mut self) {
        for service in self.services.values_mut() {
            let declined = |(id, _)| Envelope::Response { id, outcome: Err(Notice::SHUTDOWN.to_owned()) };
            self.refusals.extend(service.waiting.drain(..).map(declined));
            service.waiting_bytes = 0;
        }
    }

    /// The connection is gone, and with it whoever waits for answers.
    pub(super) fn interrupt(&mut self) {
        self.answers.clear();
        self.refusals.clear();
        for service in self.services.values_mut() {
            service.waiting.clear();
            service.waiting_bytes = 0;
        }
    }

    /// The next answer that should go out.
    pub(super) fn outbound(&mut self) -> Option<Envelope> {
        self.refusals.pop_front().or_else(|| self.answers.pop().map(|(_, answer)| answer))
    }

    /// Whether an answer of ours is still to be made or sent.
    pub(super) fn owes(&self) -> bool {
        let at_work = self.services.values().any(|service| service.at_work > 0);
        at_work || !self.answers.is_empty() || !self.refusals.is_empty()
    }
}

impl Service {
    fn new(pace: Pace, settings: &Settings, now: Instant) -> Self {
        let pace = match pace {
            Pace::Usual => RateLimiter::new(Some(settings.requests_per_second), now),
            Pace::Own { per_second, at_once } => RateLimiter::with_burst(per_second, at_once, now),
        };
        Self { pace, waiting: VecDeque::new(), waiting_bytes: 0, at_work: 0 }
    }

    fn next(&mut self, now: Instant) -> Option<(u64, Bytes)> {
        if self.pace.wait(now).is_some() {
            return None;
        }
        let (id, body) = self.waiting.pop_front()?;
        self.waiting_bytes -= body.len();
        self.at_work += 1;
        self.pace.charge(units(&body), now);
        Some((id, body))
    }
}

fn units(body: &Bytes) -> u64 {
    1 + body.len() as u64 / REQUEST_UNIT
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;

    const SLOW: Pace = Pace::Own { per_second: NonZeroU64::new(2).unwrap(), at_once: 4 };

    fn settings() -> Settings {
        Settings { max_requests: 8, requests_per_second: NonZeroU64::new(10).unwrap(), ..Settings::default() }
    }

    fn ask(answering: &mut Answering, service: &str, id: u64, bytes: usize, pace: Option<Pace>, now: Instant) {
        let asked = Asked { id, service: service.to_owned(), body: vec![0; bytes].into() };
        answering.ask(asked, pace, false, &settings(), now).unwrap();
    }

    fn begun(answering: &mut Answering, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| answering.next(now)).map(|asked| asked.id).collect()
    }

    fn refused(answering: &mut Answering) -> Vec<(u64, String)> {
        let refusal = |envelope| match envelope {
            Envelope::Response { id, outcome: Err(code) } => (id, code),
            other => panic!("{other:?}"),
        };
        answering.refusals.drain(..).map(refusal).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_its_pace_a_service_keeps_requests_waiting_and_the_others_do_not_notice() {
        let now = Instant::now();
        let mut answering = Answering::new(&settings(), now);
        (1..=8).for_each(|id| ask(&mut answering, "slow", id, 1, Some(SLOW), now));
        assert_eq!(begun(&mut answering, now), [1, 2, 3, 4, 5], "what is at once, and the one that goes beyond it");
        assert!(answering.next_at(now).is_some_and(|at| at > now) && answering.read_again_at(now).is_none());
        ask(&mut answering, "other", 9, 1, Some(Pace::Usual), now);
        assert_eq!(answering.next_at(now), Some(now));
        assert_eq!(begun(&mut answering, now), [9]);
        let later = now + Duration::from_secs(1);
        assert_eq!(begun(&mut answering, later), [6, 7]);
        assert!(refused(&mut answering).is_empty() && answering.owes());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_wait_is_declined_and_a_flood_of_that_is_read_slowly() {
        let now = Instant::now();
        let mut answering = Answering::new(&settings(), now);
        (1..=9).for_each(|id| ask(&mut answering, "slow", id, 1, Some(SLOW), now));
        ask(&mut answering, "none", 10, 1, None, now);
        (11..=13).for_each(|id| ask(&mut answering, "large", id, 900_000, Some(SLOW), now));
        let codes = [(9, BUSY), (10, NO_SERVICE), (13, BUSY)].map(|(id, code)| (id, code.to_owned()));
        assert_eq!(refused(&mut answering), codes);
        assert!(answering.read_again_at(now).is_some(), "the large one has used up more than a second");
        let asked = Asked { id: 14, service: "other".to_owned(), body: Bytes::new() };
        answering.ask(asked, Some(SLOW), true, &settings(), now).unwrap();
        assert_eq!(refused(&mut answering), [(14, Notice::SHUTDOWN.to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_reads_and_work_that_nobody_waits_for_count_as_under_way() {
        let now = Instant::now();
        let mut answering = Answering::new(&settings(), now);
        (1..=8).for_each(|id| ask(&mut answering, "usual", id, 1, Some(Pace::Usual), now));
        assert_eq!(begun(&mut answering, now).len(), 8);
        let answer = |id| Envelope::Response { id, outcome: Ok(Bytes::new()) };
        answering.finish("usual", Some(answer(1)));
        ask(&mut answering, "usual", 9, 1, Some(Pace::Usual), now);
        assert_eq!(refused(&mut answering)[0], (9, BUSY.to_owned()));
        answering.interrupt();
        assert!(answering.outbound().is_none() && answering.owes(), "seven are still at work");
        ask(&mut answering, "usual", 10, 1, Some(Pace::Usual), now);
        ask(&mut answering, "usual", 11, 1, Some(Pace::Usual), now);
        assert_eq!(refused(&mut answering), [(11, BUSY.to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_no_refusal_breaks_the_rules() {
        let now = Instant::now();
        let mut answering = Answering::new(&settings(), now);
        let asked = |id| Asked { id, service: "none".to_owned(), body: Bytes::new() };
        let ask = |id| answering.ask(asked(id), None, false, &settings(), now);
        assert_eq!((1..2000).map(ask).find_map(Result::err), Some("request-backlog"));
    }
}
