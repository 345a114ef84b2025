//! What both sides agree before anything leaves; every limit of a session derives from it.

use std::collections::BTreeMap;
use std::fmt;

use tacitly_core::{MalformedTerms, PartyId, Terms, TermsMismatch, Value};

use crate::buckets::Buckets;

/// The most entries that one list may have in one session. A party holds both lists' tags in memory; larger jobs run as
/// a sequence of sessions, one per bucket.
pub const MAX_ROWS: u64 = 1 << 22;

/// The most items that one party may bring to a job, over all its sessions: the longest tag (13 bytes) is safe for it.
pub const MAX_ITEMS: u64 = 1 << 28;

/// The most entries in one frame, so that a frame of points stays below [`tacitly_core::Frame::MAX_BODY`].
pub const MAX_CHUNK: u64 = 1 << 14;

/// Entries per frame unless the terms say otherwise: 128 KiB of points.
pub const DEFAULT_CHUNK: u64 = 4096;

const PROTOCOL: &str = "tacitly.psi";
const VERSION: u64 = 1;
/// Bits of a tag beyond those that the number of pairs eats up.
const SECURITY_BITS: u32 = 48;
const MAX_TEXT: usize = 128;
const MAX_COLUMNS: usize = 16;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Each receiver learns which of its own items the other side holds too.
    Intersect,
    /// Both learn that, in one common order, and check at the end that the order is the same.
    Align,
    /// Each receiver learns how many items both hold, and not which.
    Cardinality,
}

impl Flow {
    /// Every flow.
    pub const ALL: [Self; 3] = [Self::Intersect, Self::Align, Self::Cardinality];

    /// The name that stands in the terms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intersect => "intersect",
            Self::Align => "align",
            Self::Cardinality => "cardinality",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One party's share of the terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Who.
    pub id: PartyId,
    /// How many distinct items it brings to the whole job. Exactly so many where `padded` is absent, at most so many
    /// where it is given, so that a public bound can stand here instead of the true number.
    pub items: u64,
    /// The length of its list in each session, filled up with random points that match nothing. Without it the list is
    /// exactly its `items`, and the job is one session.
    pub padded: Option<u64>,
}

impl Member {
    /// A party with so many distinct items, unpadded.
    #[must_use]
    pub fn new(id: PartyId, items: u64) -> Self {
        Self { id, items, padded: None }
    }

    /// The same party with every one of its lists filled up to `length`.
    #[must_use]
    pub fn padded(self, length: u64) -> Self {
        Self { padded: Some(length), ..self }
    }

    /// The length of its list on the wire.
    #[must_use]
    pub fn list(&self) -> u64 {
        self.padded.unwrap_or(self.items)
    }
}

/// The terms of a two-party intersection. A value of this type is valid: every constructor checks.
///
/// In canonical form ([`PsiTerms::to_terms`]) the parties are a map by name, so that a disagreement reads
/// `parties.bank-a.items: ours 5, theirs 6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsiTerms {
    flow: Flow,
    members: [Member; 2],
    receivers: Vec<PartyId>,
    key: Vec<String>,
    job: String,
    chunk: u64,
    buckets: Option<Buckets>,
}

/// Why something cannot be the terms of an intersection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PsiTermsError {
    /// A field is missing or has another type.
    #[error(transparent)]
    Malformed(#[from] MalformedTerms),
    /// A field has a value outside its range.
    #[error("the field {field:?} of an intersection's terms must be {must}")]
    Value {
        /// Which.
        field: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// A field that these terms do not have, or one that contradicts the others, such as a wrong `tag_bytes`.
    #[error("not the terms of an intersection: the field {} should be {}, not {}", .0.field, .0.ours, .0.theirs)]
    Contradiction(TermsMismatch),
}

impl PsiTerms {
    /// The terms of one job.
    ///
    /// `receivers` are those who learn the result; `align` has both. `key` names the normalisation profile of each key
    /// column, as texts that only have to be equal on both sides. `job` is a name that no other job of these two
    /// parties has, so that nothing computed for one job fits another.
    ///
    /// # Errors
    /// [`PsiTermsError::Value`] naming the field that is out of range.
    pub fn new(
        flow: Flow,
        mut members: [Member; 2],
        receivers: &[PartyId],
        key: &[&str],
        job: &str,
    ) -> Result<Self, PsiTermsError> {
        members.sort_unstable_by_key(|member| member.id);
        let mut receivers = receivers.to_vec();
        receivers.sort_unstable();
        let key = key.iter().map(|profile| (*profile).to_owned()).collect();
        Self { flow, members, receivers, key, job: job.to_owned(), chunk: DEFAULT_CHUNK, buckets: None }.checked()
    }

    /// The same terms with so many entries per frame. Smaller frames cut finer, larger ones give more processors work.
    ///
    /// # Errors
    /// [`PsiTermsError::Value`] unless it is 1 to [`MAX_CHUNK`].
    pub fn with_chunk(self, chunk: u64) -> Result<Self, PsiTermsError> {
        Self { chunk, ..self }.checked()
    }

    /// The same terms for a job that is cut into buckets, one session each. Every list is then `padded` to what
    /// [`Buckets::list`] says.
    ///
    /// # Errors
    /// [`PsiTermsError::Value`] if a list has another length than `buckets` gives it.
    pub fn with_buckets(self, buckets: Buckets) -> Result<Self, PsiTermsError> {
        Self { buckets: Some(buckets), ..self }.checked()
    }

    fn checked(self) -> Result<Self, PsiTermsError> {
        let refuse = |field, must| Err(PsiTermsError::Value { field, must });
        let [first, second] = &self.members;
        let known = |id: &PartyId| [first.id, second.id].contains(id);
        let text_fits = |text: &String| (1..=MAX_TEXT).contains(&text.len());
        if first.id == second.id {
            return refuse("parties", "two different parties");
        }
        if self.members.iter().any(|member| member.items > MAX_ITEMS || member.list() > MAX_ITEMS) {
            return refuse("parties", "two parties with at most 2^28 items each");
        }
        let distinct = self.receivers.windows(2).all(|pair| pair[0] != pair[1]);
        if self.receivers.is_empty() || !distinct || !self.receivers.iter().all(known) {
            return refuse("receivers", "one or both of the parties");
        }
        if self.flow == Flow::Align && self.receivers.len() != 2 {
            return refuse("receivers", "both parties where rows are aligned");
        }
        if !(1..=MAX_COLUMNS).contains(&self.key.len()) || !self.key.iter().all(text_fits) {
            return refuse("key", "1 to 16 profile names of 1 to 128 bytes");
        }
        if !text_fits(&self.job) {
            return refuse("job", "a text of 1 to 128 bytes");
        }
        if !(1..=MAX_CHUNK).contains(&self.chunk) {
            return refuse("chunk", "1 to 16384");
        }
        if let Some(buckets) = &self.buckets
            && self.members.iter().any(|member| member.padded != Some(buckets.list(member.items)))
        {
            return refuse("buckets", "such that every list is padded to the length they give it");
        }
        Ok(self)
    }

    /// What is computed.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Both parties, sorted by name.
    #[must_use]
    pub fn members(&self) -> &[Member; 2] {
        &self.members
    }

    /// Who learns the result, sorted by name.
    #[must_use]
    pub fn receivers(&self) -> &[PartyId] {
        &self.receivers
    }

    /// The normalisation profile of each key column.
    #[must_use]
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// The job's unique name.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Entries per frame.
    #[must_use]
    pub fn chunk(&self) -> u64 {
        self.chunk
    }

    /// How the job is cut, if it is.
    #[must_use]
    pub fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_ref()
    }

    /// The length of the tags that are compared: ⌈(48 + 2·log2 n)/8⌉ bytes for n the larger side, so that two different
    /// items, of the two lists or of one, share a tag with a chance below 2^-47 in the whole job.
    #[must_use]
    pub fn tag_bytes(&self) -> usize {
        let largest = self.members.iter().map(|member| member.items.max(member.list())).max().unwrap_or(0);
        let pairs = u128::from(largest.max(1)).pow(2);
        // ⌈log2 pairs⌉
        let log2 = u128::BITS - (pairs - 1).leading_zeros();
        (SECURITY_BITS + log2).div_ceil(8) as usize
    }

    /// The canonical terms.
    #[must_use]
    pub fn to_terms(&self) -> Terms {
        let member = |member: &Member| {
            let mut fields = BTreeMap::from([("items".to_owned(), Value::Integer(member.items))]);
            fields.extend(member.padded.map(|length| ("padded".to_owned(), Value::Integer(length))));
            (member.id.to_string(), Value::Map(fields))
        };
        let texts = |list: &mut dyn Iterator<Item = String>| Value::List(list.map(Value::Text).collect());
        let whole = Terms::new()
            .with("protocol", PROTOCOL)
            .with("version", VERSION)
            .with("flow", self.flow.name())
            .with("parties", self.members.iter().map(member).collect::<BTreeMap<_, _>>())
            .with("receivers", texts(&mut self.receivers.iter().map(PartyId::to_string)))
            .with("key", texts(&mut self.key.iter().cloned()))
            .with("job", self.job.as_str())
            .with("chunk", self.chunk)
            .with("tag_bytes", self.tag_bytes() as u64);
        match &self.buckets {
            None => whole,
            Some(buckets) => {
                let fields = [("count", buckets.count()), ("rehash", buckets.rehash())];
                let map = fields.map(|(name, number)| (name.to_owned(), Value::Integer(number.into())));
                whole.with("buckets", BTreeMap::from(map))
            }
        }
    }

    /// Reads terms that [`PsiTerms::to_terms`] wrote.
    ///
    /// # Errors
    /// [`PsiTermsError`] if a field is missing, unknown, of another type, out of range, or contradicts the others.
    pub fn from_terms(terms: &Terms) -> Result<Self, PsiTermsError> {
        let flow_name = terms.text("flow")?;
        let flow = Flow::ALL.into_iter().find(|flow| flow.name() == flow_name);
        let flow = flow.ok_or(PsiTermsError::Value { field: "flow", must: "intersect, align or cardinality" })?;
        let parties = terms.get("parties").and_then(Value::as_map).ok_or(MalformedTerms::Field("parties"))?;
        let members = parties.iter().map(|(id, fields)| member(id, fields)).collect::<Option<Vec<_>>>();
        let members = members.ok_or(MalformedTerms::Field("parties"))?;
        let members: [Member; 2] = members.try_into().map_err(|_| MalformedTerms::Field("parties"))?;
        let receivers =
            terms.list("receivers")?.iter().map(|id| id.as_text()?.parse().ok()).collect::<Option<Vec<_>>>();
        let receivers = receivers.ok_or(MalformedTerms::Field("receivers"))?;
        let key = terms.list("key")?.iter().map(Value::as_text).collect::<Option<Vec<_>>>();
        let key = key.ok_or(MalformedTerms::Field("key"))?;
        let mut read =
            Self::new(flow, members, &receivers, &key, terms.text("job")?)?.with_chunk(terms.integer("chunk")?)?;
        if let Some(fields) = terms.get("buckets") {
            read = read.with_buckets(buckets(fields).ok_or(MalformedTerms::Field("buckets"))?)?;
        }
        read.to_terms().agree_with(terms).map_err(PsiTermsError::Contradiction)?;
        Ok(read)
    }
}

fn member(id: &str, fields: &Value) -> Option<Member> {
    let fields = fields.as_map()?;
    let padded = match fields.get("padded") {
        Some(length) => Some(length.as_integer()?),
        None => None,
    };
    Some(Member { id: id.parse().ok()?, items: fields.get("items")?.as_integer()?, padded })
}

fn buckets(fields: &Value) -> Option<Buckets> {
    let fields = fields.as_map()?;
    let number = |name: &str| u32::try_from(fields.get(name)?.as_integer()?).ok();
    Buckets::new(number("count")?, number("rehash")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PartyId {
        name.parse().unwrap()
    }

    fn terms(items: u64, others: u64) -> PsiTerms {
        let members = [Member::new(id("shop"), items), Member::new(id("bank"), others).padded(others + 10)];
        PsiTerms::new(Flow::Intersect, members, &[id("shop")], &["cn-mobile", "raw"], "job-1").unwrap()
    }

    #[test]
    fn terms_have_one_canonical_form_and_read_back() {
        let ours = terms(5, 6);
        assert_eq!(
            String::from_utf8(ours.to_terms().canonical()).unwrap(),
            r#"{"chunk":4096,"flow":"intersect","job":"job-1","key":["cn-mobile","raw"],"parties":{"bank":{"items":6,"padded":16},"shop":{"items":5}},"protocol":"tacitly.psi","receivers":["shop"],"tag_bytes":7,"version":1}"#
        );
        assert_eq!(PsiTerms::from_terms(&ours.to_terms()).unwrap(), ours);
    }

    #[test]
    fn buckets_stand_in_the_terms_with_their_number_rehash_index_and_lengths() {
        let buckets = Buckets::new(3, 1).unwrap();
        let members = [("shop", 100), ("bank", 7_000)]
            .map(|(name, items)| Member::new(id(name), items).padded(buckets.list(items)));
        let cut = PsiTerms::new(Flow::Intersect, members, &[id("shop")], &["raw"], "j").unwrap();
        let cut = cut.with_buckets(buckets).unwrap();
        let canonical = String::from_utf8(cut.to_terms().canonical()).unwrap();
        assert!(canonical.starts_with(r#"{"buckets":{"count":3,"rehash":1},"chunk":4096"#), "{canonical}");
        assert_eq!(PsiTerms::from_terms(&cut.to_terms()).unwrap(), cut);
        let refused = |terms: Terms| PsiTerms::from_terms(&terms).unwrap_err().to_string();
        for bad in [Value::Integer(3), Value::Map(BTreeMap::new())] {
            assert!(refused(cut.to_terms().with("buckets", bad)).contains("buckets"));
        }
        assert!(terms(5, 6).with_buckets(buckets).is_err(), "lists of another length");
    }

    #[test]
    fn tags_are_as_long_as_the_larger_list_demands() {
        for (items, others, bytes) in
            [(0, 0, 7), (1 << 10, 1 << 10, 9), (1 << 16, 3, 10), (1 << 20, (1 << 20) - 10, 11), (1 << 22, 1, 12)]
        {
            assert_eq!(terms(items, others).tag_bytes(), bytes, "{items} and {others}");
        }
        let none = [Member::new(id("a"), 0), Member::new(id("b"), 0)];
        assert_eq!(PsiTerms::new(Flow::Intersect, none, &[id("a")], &["raw"], "j").unwrap().tag_bytes(), 6);
        let most = [Member::new(id("a"), MAX_ITEMS), Member::new(id("b"), 0)];
        assert_eq!(PsiTerms::new(Flow::Intersect, most, &[id("a")], &["raw"], "j").unwrap().tag_bytes(), 13);
    }

    #[test]
    fn values_out_of_range_are_refused_by_field() {
        let (a, b, c) = (id("a"), id("b"), id("c"));
        let members = [Member::new(a, 1), Member::new(b, 1)];
        let many = [Member::new(a, MAX_ITEMS + 1), Member::new(b, 1)];
        let long = [Member::new(a, 1).padded(MAX_ITEMS + 1), Member::new(b, 1)];
        let wide = "x".repeat(129);
        let columns = ["raw"; 17];
        for (flow, members, receivers, key, job, field) in [
            (Flow::Intersect, [members[0], members[0]], &[a][..], &["raw"][..], "j", "parties"),
            (Flow::Intersect, many, &[a], &["raw"], "j", "parties"),
            (Flow::Intersect, long, &[a], &["raw"], "j", "parties"),
            (Flow::Intersect, members, &[], &["raw"], "j", "receivers"),
            (Flow::Intersect, members, &[a, a], &["raw"], "j", "receivers"),
            (Flow::Intersect, members, &[a, c], &["raw"], "j", "receivers"),
            (Flow::Align, members, &[a], &["raw"], "j", "receivers"),
            (Flow::Intersect, members, &[a], &[], "j", "key"),
            (Flow::Intersect, members, &[a], &[""], "j", "key"),
            (Flow::Intersect, members, &[a], &columns, "j", "key"),
            (Flow::Intersect, members, &[a], &["raw"], "", "job"),
            (Flow::Intersect, members, &[a], &["raw"], &wide, "job"),
        ] {
            let refusal = PsiTerms::new(flow, members, receivers, key, job).unwrap_err();
            assert!(matches!(refusal, PsiTermsError::Value { field: found, .. } if found == field), "{refusal}");
        }
        for chunk in [0, MAX_CHUNK + 1] {
            assert!(terms(1, 1).with_chunk(chunk).is_err());
        }
    }

    #[test]
    fn unknown_missing_and_contradicting_fields_are_refused_by_name() {
        let good = terms(5, 6).to_terms();
        for (bad, name) in [
            (good.clone().with("tag_bytes", 1), "tag_bytes"),
            (good.clone().with("version", 2), "version"),
            (good.clone().with("protocol", "tacitly.lookup"), "protocol"),
            (good.clone().with("extra", 1), "extra"),
            (good.clone().with("receivers", vec!["shop", "bank", "third"]), "receivers"),
            (good.clone().with("receivers", vec![1, 2]), "receivers"),
            (good.clone().with("flow", "union"), "flow"),
            (good.clone().with("parties", 2), "parties"),
            (good.clone().with("chunk", "many"), "chunk"),
            (Terms::new(), "flow"),
        ] {
            let refusal = PsiTerms::from_terms(&bad).unwrap_err().to_string();
            assert!(refusal.contains(&format!("{name:?}")) || refusal.contains(&format!("field {name} ")), "{refusal}");
        }
    }
}
