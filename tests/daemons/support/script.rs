//! What a party that lies does in one job, and what it has seen of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tacitly::attest::wire as logs;
use tacitly::jobs::wire as pb;
use tacitly::jobs::{CONSENT_CONTEXT, JobTerms};
use tacitly_core::Frame;
use tacitly_psi::PsiOutcome;

use super::agreement::{Offer, Offers};
use super::liar::Liar;

/// What both sides agree on before anything runs.
pub(crate) struct Agreed<'a> {
    pub(crate) liar: &'a Liar,
    pub(crate) terms: &'a JobTerms,
    pub(crate) offers: &'a Offers,
}

/// What the liar does in one job.
pub(crate) struct Script {
    /// Its set, by attempt.
    pub(crate) items: Box<dyn Fn(u32) -> Vec<String> + Send>,
    /// What leaves in place of each frame of an honest party, by attempt.
    pub(crate) lie: Box<dyn FnMut(u32, Frame) -> Vec<Frame> + Send>,
    /// What its signature under the terms is made for.
    pub(crate) context: &'static str,
    /// Whether it signs what goes into the daemon's log.
    pub(crate) signs_agreements: bool,
    /// In the first attempt it hangs up at the daemon's first answers and calls again as another process.
    pub(crate) hangs_up: bool,
    /// Having hung up, it does not call again.
    pub(crate) stays_away: bool,
    /// It says yes to everything and never that it has read its data.
    pub(crate) dawdles: bool,
    /// It says so, whenever it is asked.
    pub(crate) says_it_works: bool,
    /// It answers "busy" to everything but a proposal.
    pub(crate) always_busy: bool,
    /// It agrees to all that goes before a session, and opens none.
    pub(crate) opens_nothing: bool,
    /// It signs that it has its result as soon as an attempt begins.
    pub(crate) is_done_at_once: bool,
    /// It ends every session as soon as it is open.
    pub(crate) abandons: bool,
    /// When it should sign the first agreement it hangs up, and calls again as a process that knows nothing of the attempt.
    pub(crate) forgets: bool,
    /// It acknowledges nothing, and says neither that its session is over nor that the job is.
    pub(crate) never_ends: bool,
    /// As a witness it says every time that it knows another size of the log than the time before.
    pub(crate) contradicts: bool,
    /// It begins by asking the daemon to go on with this job.
    pub(crate) nudges: Option<String>,
    /// What it says of its set and its memory.
    pub(crate) offer: fn(Offer) -> Bytes,
    /// Under which rehash index its set fits its buckets, as it says where there are any.
    pub(crate) rehash: u32,
    /// What it says under the label "offers", in place of an honest word; it says no more after that.
    pub(crate) says: Option<fn(pb::OfferWord) -> Bytes>,
    /// What it says under the label "agreement", made from an honest word.
    pub(crate) has_signed: Option<fn(&Agreed<'_>, pb::AgreementWord) -> Bytes>,
    /// What it shows of its log to a mirror.
    pub(crate) copied: fn(logs::CopyFrom) -> logs::Copied,
}

impl Script {
    /// An honest party with this set.
    pub(crate) fn honest(items: &[String]) -> Self {
        let items = items.to_vec();
        Self {
            items: Box::new(move |_| items.clone()),
            lie: Box::new(|_, frame| vec![frame]),
            context: CONSENT_CONTEXT,
            signs_agreements: true,
            hangs_up: false,
            stays_away: false,
            dawdles: false,
            says_it_works: false,
            always_busy: false,
            opens_nothing: false,
            is_done_at_once: false,
            abandons: false,
            forgets: false,
            never_ends: false,
            contradicts: false,
            nudges: None,
            offer: |offer| offer.write(),
            rehash: 0,
            says: None,
            has_signed: None,
            copied: |_| logs::Copied::default(),
        }
    }

    /// The same, with other frames in place of the one with this number.
    pub(crate) fn instead_of(self, sequence: u64, mut lie: impl FnMut(Frame) -> Vec<Frame> + Send + 'static) -> Self {
        let lie = move |_, frame: Frame| if frame.sequence == sequence { lie(frame) } else { vec![frame] };
        Self { lie: Box::new(lie), ..self }
    }

    /// The same, with another body in the frame with this number.
    pub(crate) fn body(self, sequence: u64, edit: impl Fn(Bytes) -> Bytes + Send + 'static) -> Self {
        self.instead_of(sequence, move |frame| vec![Frame { body: edit(frame.body), ..frame }])
    }
}

/// What the liar has seen in one job.
#[derive(Default)]
pub(crate) struct Seen {
    /// The frames of the daemon, by attempt.
    pub(crate) received: BTreeMap<u32, Vec<Frame>>,
    /// The frames that were sent, by attempt.
    pub(crate) sent: BTreeMap<u32, Vec<Frame>>,
    /// Its own answer.
    pub(crate) outcome: Option<PsiOutcome>,
    /// The stable code with which the daemon ended the session or the job.
    pub(crate) told: Vec<String>,
    /// How often it was asked to cosign the daemon's log.
    pub(crate) asked_to_cosign: u64,
    /// The rehashes under which the daemon's set fits its buckets, as it said.
    pub(crate) rehashes: Vec<u32>,
}
