//! Whether the entries in a certificate can mean each other. Signatures show who said what; nothing keeps a signer from
//! naming an entry that says something else, and a reader from taking the two for one story.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

use super::Refusal;
use super::refusal::RefusalCode;
use super::verdict::Proven;
use crate::entry::{
    AgreementEntry, Body, ContributionEntry, DatasetEntry, Header, Kind, LeafHash, QueryEntry, ResultEntry, ServeEntry,
    SettlementEntry, UnitRow,
};

/// Checks every reference of one entry to another that is attached: it must be of the kind that the field asks for, and
/// fit what the entry says.
pub(super) fn coherent(entries: &[Proven]) -> Result<(), Refusal> {
    let attached = Attached(entries.iter().map(|proven| (proven.leaf, proven)).collect());
    // A certificate is about one job, however one entry leads to another.
    let mut jobs = entries.iter().filter_map(|proven| proven.entry.body().job());
    let first = jobs.next();
    if !jobs.all(|job| Some(job) == first) {
        return Err(Refusal::new(RefusalCode::Related, "it holds entries of two jobs"));
    }
    entries.iter().try_for_each(|proven| {
        attached.check(proven.entry.header(), proven.entry.body()).map_err(Refusal::of(RefusalCode::Related))
    })
}

/// The entries of a certificate by their leaves.
struct Attached<'e>(BTreeMap<LeafHash, &'e Proven>);

impl Attached<'_> {
    fn check(&self, header: &Header, body: &Body) -> Result<(), &'static str> {
        match body {
            Body::Result(result) => self.result(header.by, result),
            Body::Agreement(agreement) => self.agreement(header, agreement),
            Body::Dataset(dataset) => self.dataset(header.by, dataset),
            Body::Query(query) => self.query(header.by, query),
            Body::Serve(serve) => self.serve(header.by, serve),
            Body::Contribution(contribution) => self.contribution(contribution),
            Body::Settlement(settlement) => self.settlement(settlement),
            _ => Ok(()),
        }
    }

    fn result(&self, by: PartyId, result: &ResultEntry) -> Result<(), &'static str> {
        let Some(named) = self.find(result.agreement) else { return Ok(()) };
        let (_, Body::Agreement(agreement)) = named else { return Err("a result names an entry that is no agreement") };
        ensure(agreement.job == result.job, "a result names the agreement on another job")?;
        ensure(agreement.is_signed_by(by), "a result is by none of those who signed its agreement")?;
        let known = result.peers.iter().all(|peer| agreement.participant(peer.peer).is_some());
        ensure(known, "a result has a link with somebody who is no party of its agreement")
    }

    fn agreement(&self, header: &Header, agreement: &AgreementEntry) -> Result<(), &'static str> {
        for participant in &agreement.parties {
            let Some(leaf) = participant.dataset else { continue };
            let own = self.is_dataset_of(leaf, participant.party);
            ensure(own, "an agreement names an entry that is no data set of the party")?;
        }
        // Who the leader is says which logs are the leader's, if it is attached and says so.
        let said = header.rel.iter().filter_map(|leaf| self.find(*leaf)).find_map(|(by, body)| match body {
            Body::Party(party) if by.by == header.by => Some(party),
            _ => None,
        });
        let Some(leader) = said else { return Ok(()) };
        let mut logs =
            leader.keys.iter().map(|key| key.key.name()).filter(|name| *name != header.by.as_str()).peekable();
        let right = logs.peek().is_none() || logs.any(|name| name == header.log.as_str());
        ensure(right, "an agreement names a log that is not its leader's")
    }

    fn dataset(&self, by: PartyId, dataset: &DatasetEntry) -> Result<(), &'static str> {
        let right = dataset.supersedes.is_none_or(|earlier| self.is_dataset_of(earlier, by));
        ensure(right, "a data set replaces an entry that is no data set of its owner")
    }

    fn query(&self, by: PartyId, query: &QueryEntry) -> Result<(), &'static str> {
        let Some(named) = self.find(query.agreement) else { return Ok(()) };
        let (_, Body::Agreement(agreement)) = named else {
            return Err("a question names an entry that is no agreement");
        };
        ensure(agreement.job == query.job, "a question names the agreement on another job")?;
        let signed = agreement.is_signed_by(by) && agreement.is_signed_by(query.responder);
        ensure(signed, "a question is between parties who have not both signed its agreement")
    }

    fn serve(&self, by: PartyId, serve: &ServeEntry) -> Result<(), &'static str> {
        let Some(named) = self.find(serve.query) else { return Ok(()) };
        let (asked, Body::Query(query)) = named else { return Err("an answer names an entry that is no question") };
        let same = (query.job, query.commitment, query.batch, &query.purpose)
            == (serve.job, serve.commitment, serve.batch, &serve.purpose);
        let between = (asked.by, query.responder) == (serve.asker, by);
        ensure(
            same && between,
            "an answer is to another question, or between other parties, than the one that it names",
        )
    }

    fn contribution(&self, contribution: &ContributionEntry) -> Result<(), &'static str> {
        let own = |row: &UnitRow| row.dataset.is_none_or(|leaf| self.is_dataset_of(leaf, row.responder));
        ensure(
            contribution.units.iter().all(own),
            "a contribution counts units of an entry that is no data set of the responder",
        )
    }

    fn settlement(&self, settlement: &SettlementEntry) -> Result<(), &'static str> {
        let named = self.0.get(&settlement.contribution);
        let right = named.is_none_or(|named| named.entry.kind() == Kind::Contribution);
        ensure(right, "a settlement names an entry that is no contribution")
    }

    fn find(&self, leaf: LeafHash) -> Option<(&Header, &Body)> {
        self.0.get(&leaf).map(|proven| (proven.entry.header(), proven.entry.body()))
    }

    /// Whether an entry, if it is here, is about a data set of this party.
    fn is_dataset_of(&self, leaf: LeafHash, owner: PartyId) -> bool {
        self.find(leaf).is_none_or(|(header, body)| matches!(body, Body::Dataset(_)) && header.by == owner)
    }
}

fn ensure(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}
