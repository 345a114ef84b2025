//! What `tacitly bench serve` asks: a service that answers with the question. No daemon of an operator has it.

use std::sync::Arc;

use serde_json::Map;
use tacitly_core::PartyId;

use crate::codes::{self, Error};
use crate::jobs::{
    Admission, JobKind, JobTerms, Learned, Offers, Pending, Prepared, Protocol, Put, Run, Service, ServiceRun, Serving,
    Shape, Stop, Summary, Units,
};

/// The name of the kind.
pub const NAME: &str = "bench-echo";

/// The kind.
#[must_use]
pub fn kind() -> Arc<dyn JobKind> {
    Arc::new(Echo)
}

struct Echo;

/// There is nothing to set up.
struct Ready;

impl Prepared for Ready {
    fn offer(&self) -> Vec<u8> {
        Vec::new()
    }

    fn run(self: Box<Self>, _: Run, _: Offers) -> Pending<'static, Result<Summary, Stop>> {
        Box::pin(async { Ok(Summary { parts: 0, items: 0, figures: Map::new() }) })
    }
}

impl Service for Echo {
    fn admit(&self, _: &Put<'_>) -> Result<Admission, Error> {
        Ok(Admission { units: 1, ..Admission::default() })
    }

    fn answer(&self, asked: &Put<'_>, _: Vec<Units>) -> Result<Vec<u8>, Error> {
        Ok(asked.question.to_vec())
    }
}

impl JobKind for Echo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: NAME, version: 1 }
    }

    fn shape(&self) -> Shape {
        Shape::Document
    }

    fn check(&self, terms: &JobTerms) -> Result<(), Error> {
        if terms.parties.len() == 2 { Ok(()) } else { Err(Error::new(codes::BAD_REQUEST, "an echo is between two")) }
    }

    fn learns(&self, _: &JobTerms, _: Option<&Offers>, _: PartyId) -> Vec<Learned> {
        vec![Learned { code: "questions", sentence: "what is asked".to_owned() }]
    }

    fn prepare(self: Arc<Self>, _: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        Box::pin(async { Ok(Box::new(Ready) as Box<dyn Prepared>) })
    }

    fn serves(&self, _: &JobTerms) -> bool {
        true
    }

    fn serve(self: Arc<Self>, _: ServiceRun) -> Pending<'static, Result<Serving, Stop>> {
        Box::pin(async { Ok(Serving { service: Arc::new(Self), upkeep: Box::pin(std::future::pending()) }) })
    }
}
