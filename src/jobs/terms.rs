//! The terms of a job: what all parties sign before anything is read.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use tacitly_core::text::is_plain;
use tacitly_core::{MalformedTerms, PartyId, Terms, Value};

use crate::codes::{self, Error};
use crate::store::{JobId, PublicKey};

/// The protocol that these terms belong to.
const PROTOCOL: &str = "tacitly.job";
/// Its version; a peer with another is refused by the value of this field.
const VERSION: u64 = 2;

/// The most parties of a job.
pub const MAX_PARTIES: usize = 128;
/// The longest role, the longest name of a kind or of a dataset, and the longest purpose, in bytes.
const MAX_NAME: usize = 64;
const MAX_PURPOSE: usize = 200;
/// For how long terms may stand that end at all, a day of leap included.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The terms of one job. Every party signs the hash of [`JobTerms::to_terms`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTerms {
    /// The job's number, unique.
    pub job: JobId,
    /// What is computed: the name of a kind of job.
    pub kind: String,
    /// Who proposes, numbers the attempts and brings words from each to all.
    pub leader: PartyId,
    /// Who takes part, as what.
    pub parties: BTreeMap<PartyId, PartyTerms>,
    /// What the kind of job asks beside that.
    pub params: Terms,
    /// Why.
    pub purpose: String,
    /// Random, so that nobody finds the terms by their hash, which stands in logs.
    pub nonce: [u8; 16],
    /// From when on no attempt begins any more, in milliseconds since 1970.
    pub expires: Option<u64>,
}

/// One party of a job, in its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyTerms {
    /// As what it takes part, in the kind's words.
    pub role: String,
    /// The key that it signs with.
    pub key: PublicKey,
    /// Its own name for the dataset that it brings, if it brings one.
    pub dataset: Option<String>,
    /// Whether it receives a result.
    pub receives: bool,
}

impl JobTerms {
    /// The canonical terms.
    #[must_use]
    pub fn to_terms(&self) -> Terms {
        let party = |(id, party): (&PartyId, &PartyTerms)| (id.to_string(), party.to_value());
        let terms = Terms::new()
            .with("protocol", PROTOCOL)
            .with("version", VERSION)
            .with("job", self.job.to_string())
            .with("kind", self.kind.as_str())
            .with("leader", self.leader.as_str())
            .with("parties", self.parties.iter().map(party).collect::<BTreeMap<_, _>>())
            .with("params", map_of(&self.params))
            .with("purpose", self.purpose.as_str())
            .with("nonce", HEXLOWER.encode(&self.nonce));
        match self.expires {
            Some(moment) => terms.with("expires", moment),
            None => terms,
        }
    }

    /// Reads terms, usually a leader's.
    ///
    /// # Errors
    /// [`MalformedTerms`], naming the first field that is missing, unknown, of another version or contradictory.
    pub fn from_terms(terms: &Terms) -> Result<Self, MalformedTerms> {
        let wrong = |field| move || MalformedTerms::Field(field);
        if terms.text("protocol")? != PROTOCOL {
            return Err(MalformedTerms::Field("protocol"));
        }
        if terms.integer("version")? != VERSION {
            return Err(MalformedTerms::Field("version"));
        }
        let map = |field: &'static str| terms.get(field).and_then(Value::as_map).ok_or_else(wrong(field));
        let party = |(name, value): (&String, &Value)| {
            let id = name.parse::<PartyId>().ok()?;
            Some((id, PartyTerms::of_value(value.as_map()?)?))
        };
        let parties = map("parties")?.iter().map(party).collect::<Option<BTreeMap<_, _>>>();
        let nonce = HEXLOWER.decode(terms.text("nonce")?.as_bytes()).ok().and_then(|nonce| nonce.try_into().ok());
        let params = map("params")?.iter().fold(Terms::new(), |params, (name, value)| params.with(name, value.clone()));
        let read = Self {
            job: terms.text("job")?.parse().map_err(|_| MalformedTerms::Field("job"))?,
            kind: terms.text("kind")?.to_owned(),
            leader: terms.text("leader")?.parse().map_err(|_| MalformedTerms::Field("leader"))?,
            parties: parties.ok_or_else(wrong("parties"))?,
            params,
            purpose: terms.text("purpose")?.to_owned(),
            nonce: nonce.ok_or_else(wrong("nonce"))?,
            expires: terms.get("expires").map(|_| terms.integer("expires")).transpose()?,
        };
        read.check()?;
        // A field that this version does not know would be signed without being understood.
        if read.to_terms() != *terms {
            return Err(MalformedTerms::NotCanonical);
        }
        Ok(read)
    }

    /// Whether the fields fit each other.
    ///
    /// # Errors
    /// [`MalformedTerms::Field`] with the first that does not.
    pub fn check(&self) -> Result<(), MalformedTerms> {
        let is_name = |text: &str| (1..=MAX_NAME).contains(&text.len()) && is_plain(text);
        let fits = |party: &PartyTerms| is_name(&party.role) && party.dataset.as_deref().is_none_or(is_name);
        if !is_name(&self.kind) {
            return Err(MalformedTerms::Field("kind"));
        }
        if !(2..=MAX_PARTIES).contains(&self.parties.len()) || !self.parties.values().all(fits) {
            return Err(MalformedTerms::Field("parties"));
        }
        if !self.parties.contains_key(&self.leader) {
            return Err(MalformedTerms::Field("leader"));
        }
        if self.receivers().is_empty() {
            return Err(MalformedTerms::Field("receivers"));
        }
        if self.purpose.len() > MAX_PURPOSE || !is_plain(&self.purpose) {
            return Err(MalformedTerms::Field("purpose"));
        }
        Ok(())
    }

    /// When the terms are over, if they ever are.
    #[must_use]
    pub fn expiry(&self) -> Option<Timestamp> {
        // A moment that no clock shows never comes: it is refused before anybody signs.
        Timestamp::from_millisecond(i64::try_from(self.expires?).ok()?).ok()
    }

    /// Whether the terms are over, for a job that would begin now.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expiry().is_some_and(|moment| moment <= now)
    }

    /// Whether the terms end when terms may: in the future, and within a year. Every party asks before it signs.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`]
    pub fn check_expiry(&self, now: Timestamp) -> Result<(), Error> {
        let in_time = |moment| now < moment && moment <= now + LONGEST;
        if self.expires.is_none() || self.expiry().is_some_and(in_time) {
            return Ok(());
        }
        Err(Error::new(codes::BAD_REQUEST, "the terms of a job are over in the future, and within a year"))
    }

    /// The other parties, as seen by `me`.
    pub fn others(&self, me: PartyId) -> impl Iterator<Item = PartyId> + '_ {
        self.parties.keys().copied().filter(move |party| *party != me)
    }

    /// The other party of a job of two, as seen by `me`.
    #[must_use]
    pub fn other(&self, me: PartyId) -> Option<PartyId> {
        let mut others = self.others(me);
        others.next().filter(|_| others.next().is_none())
    }

    /// The dataset that `id` brings.
    #[must_use]
    pub fn dataset_of(&self, id: PartyId) -> Option<&str> {
        self.parties.get(&id)?.dataset.as_deref()
    }

    /// Whether `id` receives a result.
    #[must_use]
    pub fn receives(&self, id: PartyId) -> bool {
        self.parties.get(&id).is_some_and(|party| party.receives)
    }

    /// Who receives a result.
    #[must_use]
    pub fn receivers(&self) -> BTreeSet<PartyId> {
        self.parties.iter().filter(|(_, party)| party.receives).map(|(id, _)| *id).collect()
    }
}

impl PartyTerms {
    fn to_value(&self) -> Value {
        let mut fields = BTreeMap::from([
            ("role".to_owned(), Value::from(self.role.as_str())),
            ("key".to_owned(), Value::from(self.key.to_string())),
            ("receives".to_owned(), Value::from(u64::from(self.receives))),
        ]);
        if let Some(dataset) = &self.dataset {
            fields.insert("dataset".to_owned(), Value::from(dataset.as_str()));
        }
        fields.into()
    }

    fn of_value(fields: &BTreeMap<String, Value>) -> Option<Self> {
        let text = |name: &str| fields.get(name).and_then(Value::as_text);
        Some(Self {
            role: text("role")?.to_owned(),
            key: text("key")?.parse().ok()?,
            dataset: text("dataset").map(str::to_owned),
            receives: fields.get("receives").and_then(Value::as_integer)? == 1,
        })
    }
}

fn map_of(terms: &Terms) -> BTreeMap<String, Value> {
    terms.fields().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Terms of a job of these parties, the first of whom leads and all of whom receive.
    pub(in crate::jobs) fn terms_of(names: &[&str]) -> JobTerms {
        let key: PublicKey = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().unwrap();
        let party = |name: &&str| {
            let party = PartyTerms { role: "member".into(), key, dataset: Some(format!("{name}-ids")), receives: true };
            (name.parse().unwrap(), party)
        };
        JobTerms {
            job: JobId::from_bytes([1; 16]),
            kind: "add".into(),
            leader: names[0].parse().unwrap(),
            parties: names.iter().map(party).collect(),
            params: Terms::new().with("rows", 7),
            purpose: "pilot".into(),
            nonce: [2; 16],
            expires: None,
        }
    }

    #[test]
    fn terms_of_any_number_of_parties_read_back_as_they_were() {
        let names: Vec<String> = (0..MAX_PARTIES).map(|at| format!("party-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for count in [2, 3, 7, MAX_PARTIES] {
            let terms = terms_of(&names[..count]);
            assert_eq!(JobTerms::from_terms(&terms.to_terms()), Ok(terms));
        }
    }

    #[test]
    fn terms_that_end_read_back_and_end_within_a_year() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let at = |moment: &str| {
            let moment: Timestamp = moment.parse().unwrap();
            JobTerms { expires: Some(moment.as_millisecond().cast_unsigned()), ..terms_of(&["bank", "shop"]) }
        };
        let terms = at("2027-11-30T12:00:00Z");
        assert_eq!(JobTerms::from_terms(&terms.to_terms()).as_ref(), Ok(&terms));
        assert!(terms.check_expiry(now).is_ok() && !terms.is_over(now));
        assert!(terms_of(&["bank", "shop"]).check_expiry(now).is_ok());
        for refused in [at("2026-11-30T12:00:00Z"), at("2026-01-01T00:00:00Z"), at("2027-12-02T00:00:00Z")] {
            assert_eq!(refused.check_expiry(now).unwrap_err().code, codes::BAD_REQUEST, "{:?}", refused.expires);
        }
        let never = JobTerms { expires: Some(u64::MAX), ..terms.clone() };
        assert_eq!(never.check_expiry(now).unwrap_err().code, codes::BAD_REQUEST);
        assert!(terms.is_over("2027-11-30T12:00:00Z".parse().unwrap()));
        let text = terms.to_terms().with("expires", "tomorrow");
        assert!(JobTerms::from_terms(&text).is_err());
    }

    #[test]
    fn contradictory_or_unknown_terms_are_refused_by_field() {
        let sample = || terms_of(&["bank", "shop"]);
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let changed = |party: PartyId, change: fn(&mut PartyTerms)| {
            let mut terms = sample();
            change(terms.parties.get_mut(&party).unwrap());
            terms
        };
        let mut nobody_receives = changed(bank, |party| party.receives = false);
        nobody_receives.parties.get_mut(&shop).unwrap().receives = false;
        let cases = [
            (nobody_receives, "receivers"),
            (JobTerms { leader: "stranger".parse().unwrap(), ..sample() }, "leader"),
            (JobTerms { parties: BTreeMap::from([(bank, sample().parties[&bank].clone())]), ..sample() }, "parties"),
            (changed(shop, |party| party.role = String::new()), "parties"),
            (changed(shop, |party| party.dataset = Some("a\nb".into())), "parties"),
            (JobTerms { purpose: "p".repeat(201), ..sample() }, "purpose"),
            (JobTerms { purpose: "pilot\nlearns   nothing".into(), ..sample() }, "purpose"),
            (JobTerms { purpose: "audit \x1b[1A\x1b[2K".into(), ..sample() }, "purpose"),
            (JobTerms { purpose: "for \u{202e}knab".into(), ..sample() }, "purpose"),
            (changed(shop, |party| party.dataset = Some("B\x1b]0;owned\x07".into())), "parties"),
            (changed(shop, |party| party.role = "holder\u{200b}".into()), "parties"),
            (JobTerms { kind: String::new(), ..sample() }, "kind"),
        ];
        for (terms, field) in cases {
            assert_eq!(JobTerms::from_terms(&terms.to_terms()), Err(MalformedTerms::Field(field)), "{field}");
        }
        let newer = sample().to_terms().with("version", 3);
        assert_eq!(JobTerms::from_terms(&newer), Err(MalformedTerms::Field("version")));
        let unknown = sample().to_terms().with("payload", "balance");
        assert_eq!(JobTerms::from_terms(&unknown), Err(MalformedTerms::NotCanonical));
    }
}
