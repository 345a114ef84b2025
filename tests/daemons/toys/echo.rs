//! A service that only these tests know: it answers with what it is asked, and with a pad that both sides have prepared
//! and that is used once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use serde_json::{Map, Value, json};
use tacitly::codes::{self, Error};
use tacitly::core::{Mapped, Roles, Script};
use tacitly::jobs::{
    Admission, Draft, JobKind, JobTerms, JsonForm, Learned, Offers, Opened, PartOutput, Pending, Prepared, Protocol,
    Put, QUESTIONS_PER_DAY, Questions, Run, Service, ServiceRun, Serving, Session, Shape, Stop, Summary, Units, Use,
};
use tacitly::policy::LimitName;
use tacitly::store::{Charge, MaterialBlock, MaterialStand};
use zeroize::Zeroizing;

/// Bytes of one pad, pads of one block, and how many are to be there at any time.
const PAD: usize = 16;
const BLOCK: u32 = 64;
const LOW: u64 = 128;

/// The leader asks, the other party answers.
pub(crate) struct Echo;

/// The side of it that a party runs.
struct Echoes(ServiceRun);

/// The set-up leaves a word of the party's own.
struct Ready;

impl Prepared for Ready {
    fn offer(&self) -> Vec<u8> {
        Vec::new()
    }

    fn run(self: Box<Self>, run: Run, _: Offers) -> Pending<'static, Result<Summary, Stop>> {
        Box::pin(async move {
            run.put_artefact("word", run.me().as_str().as_bytes()).await?;
            Ok(Summary { parts: 0, items: 0, figures: Map::new() })
        })
    }
}

/// One side of a refill: who was asked says how far it is, who asks makes pads behind what either has.
fn refill(run: &ServiceRun, opened: &Opened, opens: bool, end: u64) -> Session {
    let roles = Roles::new(opened.tag, run.me(), [opened.from]);
    let peer = opened.from;
    let script = Script::new(roles, async move |mailbox| {
        if opens {
            mailbox.round(1);
            let theirs = mailbox.receive(peer).await?;
            let theirs: [u8; 8] = theirs[..].try_into().map_err(|_| mailbox.blame(peer, "not-eight-bytes", None))?;
            let first = end.max(u64::from_be_bytes(theirs));
            let mut pads = vec![0; PAD * BLOCK as usize];
            rand::rng().fill(&mut pads[..]);
            let block = [&first.to_be_bytes()[..], &pads].concat();
            mailbox.broadcast(block.clone());
            Ok(block)
        } else {
            mailbox.broadcast(end.to_be_bytes().to_vec());
            mailbox.round(1);
            let block = mailbox.receive(peer).await?.to_vec();
            if block.len() != 8 + PAD * BLOCK as usize {
                return Err(mailbox.blame(peer, "no-block", None));
            }
            Ok(block)
        }
    });
    let party = Mapped::new(script, |block: Vec<u8>| PartOutput {
        items: 0,
        result: Some(Zeroizing::new(block)),
        is_last_word: false,
    });
    let (run, stream) = (run.clone(), run.stream("pads"));
    let keep = move |output: PartOutput| -> Pending<'static, Result<(), Error>> {
        Box::pin(async move {
            let block = output.result.unwrap_or_default();
            let (first, pads) = block.split_first_chunk().ok_or_else(|| Error::internal("a block has a number"))?;
            let (first, bytes) = (u64::from_be_bytes(*first), Zeroizing::new(pads.to_vec()));
            run.put_material(&stream, &MaterialBlock { first, units: BLOCK, bytes }).await
        })
    };
    Session { party: Box::new(party), keep: Box::new(keep) }
}

impl Service for Echoes {
    fn streams(&self) -> Vec<tacitly::store::MaterialStream> {
        vec![self.0.stream("pads")]
    }

    fn admit(&self, asked: &Put<'_>) -> Result<Admission, Error> {
        let at = asked.question.first_chunk().map(|at| u64::from_be_bytes(*at));
        let at = at.ok_or_else(|| Error::new(codes::BAD_REQUEST, "a question begins with the number of its pad"))?;
        let pad = Use { stream: self.0.stream("pads"), at: Some(at), count: 1 };
        let charge = Charge { limit: "echoes".to_owned(), key: [7; 32], units: 1, most: 1 << 30, window: None };
        Ok(Admission { material: vec![pad], charges: vec![charge], units: 1 })
    }

    fn answer(&self, asked: &Put<'_>, material: Vec<Units>) -> Result<Vec<u8>, Error> {
        let pad = material.first().and_then(|units| units.units.first());
        let pad = pad.ok_or_else(|| Error::internal("an answer has a pad"))?;
        Ok([&pad[..], asked.question.get(8..).unwrap_or_default()].concat())
    }

    fn session(&self, opened: Opened) -> Pending<'static, Result<Session, Error>> {
        let run = self.0.clone();
        Box::pin(async move {
            let end = run.material(&run.stream("pads")).await?.end;
            Ok(refill(&run, &opened, false, end))
        })
    }
}

impl JobKind for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "toy-echo", version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn limits(&self) -> &'static [LimitName] {
        &[QUESTIONS_PER_DAY]
    }

    fn check(&self, terms: &JobTerms) -> Result<(), Error> {
        if terms.parties.len() == 2 { Ok(()) } else { Err(Error::new(codes::BAD_REQUEST, "an echo is between two")) }
    }

    fn learns(&self, terms: &JobTerms, _: Option<&Offers>, who: tacitly::core::PartyId) -> Vec<Learned> {
        let echoed = Learned { code: "echoes", sentence: "what it has asked, as often as it asks".to_owned() };
        let heard = Learned { code: "questions", sentence: "every question".to_owned() };
        vec![if who == terms.leader { echoed } else { heard }]
    }

    fn prepare(self: Arc<Self>, _: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        Box::pin(async move { Ok(Box::new(Ready) as Box<dyn Prepared>) })
    }

    fn serves(&self, _: &JobTerms) -> bool {
        true
    }

    fn serve(self: Arc<Self>, run: ServiceRun) -> Pending<'static, Result<Serving, Stop>> {
        Box::pin(async move {
            let word = run.artefact("word").await?;
            if word.is_none_or(|word| word[..] != *run.me().as_str().as_bytes()) {
                return Err(Error::internal("the set-up has left nothing").into());
            }
            let upkeep = upkeep(run.clone());
            Ok(Serving { service: Arc::new(Echoes(run)), upkeep })
        })
    }

    fn ask(self: Arc<Self>, run: ServiceRun, questions: Arc<Questions>) -> Pending<'static, Result<Vec<Bytes>, Error>> {
        Box::pin(async move {
            let to = run.others().into_iter().next().ok_or_else(|| Error::internal("an echo is between two"))?;
            let mut last = None;
            // A side that was killed has burnt a block of pads: the other goes past it one by one.
            for _ in 0..3 * BLOCK {
                let draft = async || {
                    let count = questions.all().len() as u32;
                    let pads = run.take_material(&run.stream("pads"), None, count).await?;
                    let put = |(at, text): (u64, &Bytes)| Bytes::from([&at.to_be_bytes()[..], text].concat());
                    let puts = (pads.first..).zip(questions.all()).map(put).collect();
                    Ok(Draft {
                        questions: puts,
                        kept: Zeroizing::new(pads.units.iter().flat_map(|pad| pad.to_vec()).collect()),
                    })
                };
                match questions.put(to, draft).await {
                    Ok(told) => {
                        let answers = told.answers.iter().zip(told.kept.chunks(PAD));
                        return answers
                            .map(|(answer, pad)| match answer.strip_prefix(pad) {
                                Some(text) => Ok(Bytes::from([HEXLOWER.encode(pad).as_bytes(), b" ", text].concat())),
                                None => Err(Error::lie(to, "its echo is not under the pad that was named")),
                            })
                            .collect();
                    }
                    Err(why) if why.code != codes::MATERIAL_NONE => return Err(why),
                    // Burnt there; or none is left here, and more are just being made.
                    Err(why) if why.who.is_some() => last = Some(why),
                    Err(why) => {
                        last = Some(why);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            Err(last.unwrap_or_else(|| Error::internal("it was asked at least once")))
        })
    }

    fn json(&self, _: &JobTerms) -> Box<dyn JsonForm> {
        Box::new(Texts)
    }
}

/// A question is an object with a text, an answer one with the pad beside it.
struct Texts;

impl JsonForm for Texts {
    fn question_schema(&self) -> Value {
        let text = json!({ "type": "string", "maxLength": 1000 });
        json!({ "type": "object", "properties": { "text": text }, "required": ["text"], "additionalProperties": false })
    }

    fn answer_schema(&self) -> Value {
        let properties = json!({ "pad": { "type": "string" }, "text": { "type": "string" } });
        json!({ "type": "object", "properties": properties, "required": ["pad", "text"] })
    }

    fn question(&self, said: &Value) -> Result<Bytes, Error> {
        let text = said.as_object().filter(|said| said.len() == 1).and_then(|said| said.get("text")?.as_str());
        let text = text.ok_or_else(|| Error::new(codes::BAD_REQUEST, "a question is an object with a text alone"))?;
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn answer(&self, answer: &[u8]) -> Result<Value, Error> {
        let parts = std::str::from_utf8(answer).ok().and_then(|answer| answer.split_once(' '));
        let (pad, text) = parts.ok_or_else(|| Error::internal("an answer is a pad and a text"))?;
        Ok(json!({ "pad": pad, "text": text }))
    }
}

/// Who asks keeps enough pads on both sides.
fn upkeep(run: ServiceRun) -> Pending<'static, Stop> {
    Box::pin(async move {
        if run.me() != run.terms().leader {
            return std::future::pending().await;
        }
        let Some(to) = run.others().into_iter().next() else { return Stop::Restarted };
        let stream = run.stream("pads");
        loop {
            let MaterialStand { next, end } = match run.material(&stream).await {
                Ok(stand) => stand,
                Err(why) => return why.into(),
            };
            if end - next >= LOW {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let opening = Bytes::from_static(b"pads");
            let refilled =
                run.session(to, opening.clone(), |tag| refill(&run, &Opened { from: to, tag, opening }, true, end));
            if let Err(stop) = refilled.await {
                return stop;
            }
        }
    })
}
