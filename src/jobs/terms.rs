//! The terms of a job: what both sides sign before anything is read.

use std::collections::BTreeMap;

use tacitly_core::{MalformedTerms, PartyId, Terms, Value};

/// The protocol that these terms belong to.
const PROTOCOL: &str = "tacitly.job";
/// Its version; a peer with another is refused by the value of this field.
const VERSION: u64 = 1;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Receivers learn which of their rows are shared.
    Intersect,
    /// Both sides get the shared rows in one common order.
    Align,
    /// Receivers learn how many rows are shared.
    Cardinality,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Intersect, Self::Align, Self::Cardinality];

    /// The name in terms, rules and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intersect => "intersect",
            Self::Align => "align",
            Self::Cardinality => "cardinality",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The terms of one job between two parties. Both sign the hash of [`JobTerms::to_terms`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTerms {
    /// The job's number, unique.
    pub job: String,
    /// What is computed.
    pub kind: Kind,
    /// Who proposes.
    pub proposer: PartyId,
    /// Who approves.
    pub approver: PartyId,
    /// The proposer's dataset.
    pub proposer_dataset: String,
    /// The approver's dataset.
    pub approver_dataset: String,
    /// Rows of the proposer's file, so that the approver can judge cost and risk before it decides.
    pub proposer_rows: u64,
    /// Normalisation profiles of the key columns, in order.
    pub key: Vec<String>,
    /// Who receives a result, sorted.
    pub receivers: Vec<PartyId>,
    /// Why.
    pub purpose: String,
}

impl JobTerms {
    /// The canonical terms.
    #[must_use]
    pub fn to_terms(&self) -> Terms {
        let by_party = |values: [(PartyId, Value); 2]| {
            Value::Map(values.into_iter().map(|(id, value)| (id.to_string(), value)).collect::<BTreeMap<_, _>>())
        };
        let datasets = by_party([
            (self.proposer, self.proposer_dataset.as_str().into()),
            (self.approver, self.approver_dataset.as_str().into()),
        ]);
        Terms::new()
            .with("protocol", PROTOCOL)
            .with("version", VERSION)
            .with("job", self.job.as_str())
            .with("kind", self.kind.name())
            .with("proposer", self.proposer.as_str())
            .with("approver", self.approver.as_str())
            .with("datasets", datasets)
            .with("rows", self.proposer_rows)
            .with("key", self.key.clone())
            .with("receivers", self.receivers.iter().map(|id| id.as_str()).collect::<Vec<_>>())
            .with("purpose", self.purpose.as_str())
    }

    /// Reads terms, usually a proposer's.
    ///
    /// # Errors
    /// [`MalformedTerms`], naming the first field that is missing, unknown, of another version or contradictory.
    pub fn from_terms(terms: &Terms) -> Result<Self, MalformedTerms> {
        let party = |field| terms.text(field)?.parse::<PartyId>().map_err(|_| MalformedTerms::Field(field));
        if terms.text("protocol")? != PROTOCOL {
            return Err(MalformedTerms::Field("protocol"));
        }
        if terms.integer("version")? != VERSION {
            return Err(MalformedTerms::Field("version"));
        }
        let (proposer, approver) = (party("proposer")?, party("approver")?);
        let dataset = |id: PartyId| {
            let map = terms.get("datasets").and_then(Value::as_map);
            map.and_then(|map| map.get(id.as_str())).and_then(Value::as_text).map(str::to_owned)
        };
        let texts = |field| {
            let list = terms.list(field)?;
            list.iter()
                .map(|value| value.as_text().map(str::to_owned).ok_or(MalformedTerms::Field(field)))
                .collect::<Result<Vec<_>, _>>()
        };
        let receivers = texts("receivers")?
            .iter()
            .map(|name| name.parse().map_err(|_| MalformedTerms::Field("receivers")))
            .collect::<Result<Vec<PartyId>, _>>()?;
        let read = Self {
            job: terms.text("job")?.to_owned(),
            kind: Kind::of(terms.text("kind")?).ok_or(MalformedTerms::Field("kind"))?,
            proposer,
            approver,
            proposer_dataset: dataset(proposer).ok_or(MalformedTerms::Field("datasets"))?,
            approver_dataset: dataset(approver).ok_or(MalformedTerms::Field("datasets"))?,
            proposer_rows: terms.integer("rows")?,
            key: texts("key")?,
            receivers,
            purpose: terms.text("purpose")?.to_owned(),
        };
        let takes_part = |id: &PartyId| *id == proposer || *id == approver;
        let receivers_fit = !read.receivers.is_empty()
            && read.receivers.is_sorted_by(|a, b| a < b)
            && read.receivers.iter().all(takes_part)
            && (read.kind != Kind::Align || read.receivers.len() == 2);
        if proposer == approver {
            return Err(MalformedTerms::Field("approver"));
        }
        if !receivers_fit {
            return Err(MalformedTerms::Field("receivers"));
        }
        // A field that this version does not know would be signed without being understood.
        if read.to_terms() != *terms {
            return Err(MalformedTerms::NotCanonical);
        }
        Ok(read)
    }

    /// The other side, as seen by `me`.
    #[must_use]
    pub fn peer_of(&self, me: PartyId) -> PartyId {
        if me == self.proposer { self.approver } else { self.proposer }
    }

    /// The dataset that `id` brings.
    #[must_use]
    pub fn dataset_of(&self, id: PartyId) -> &str {
        if id == self.proposer { &self.proposer_dataset } else { &self.approver_dataset }
    }

    /// Whether `id` receives a result.
    #[must_use]
    pub fn receives(&self, id: PartyId) -> bool {
        self.receivers.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> JobTerms {
        JobTerms {
            job: "01J".to_owned(),
            kind: Kind::Intersect,
            proposer: "bank".parse().unwrap(),
            approver: "shop".parse().unwrap(),
            proposer_dataset: "customers".to_owned(),
            approver_dataset: "members".to_owned(),
            proposer_rows: 7,
            key: vec!["cn-mobile".to_owned()],
            receivers: vec!["bank".parse().unwrap()],
            purpose: "pilot".to_owned(),
        }
    }

    #[test]
    fn terms_read_back_as_they_were() {
        assert_eq!(JobTerms::from_terms(&sample().to_terms()), Ok(sample()));
    }

    #[test]
    fn contradictory_or_unknown_terms_are_refused_by_field() {
        let bank: PartyId = "bank".parse().unwrap();
        let stranger: PartyId = "stranger".parse().unwrap();
        let cases = [
            (JobTerms { receivers: vec![], ..sample() }, MalformedTerms::Field("receivers")),
            (JobTerms { receivers: vec![stranger], ..sample() }, MalformedTerms::Field("receivers")),
            (JobTerms { receivers: vec![bank, bank], ..sample() }, MalformedTerms::Field("receivers")),
            (JobTerms { kind: Kind::Align, ..sample() }, MalformedTerms::Field("receivers")),
            (JobTerms { approver: bank, ..sample() }, MalformedTerms::Field("approver")),
        ];
        for (terms, refusal) in cases {
            assert_eq!(JobTerms::from_terms(&terms.to_terms()), Err(refusal));
        }
        let newer = sample().to_terms().with("version", 2);
        assert_eq!(JobTerms::from_terms(&newer), Err(MalformedTerms::Field("version")));
        let unknown = sample().to_terms().with("payload", "balance");
        assert_eq!(JobTerms::from_terms(&unknown), Err(MalformedTerms::NotCanonical));
    }
}
