//! What all sides agree before round 1.
//!
//! Terms are a map of named values with one canonical encoding: JSON with sorted keys, no white space, integers,
//! fractions, texts, lists and maps only. Equal terms have equal bytes and so an equal hash; unequal terms can say in
//! which field they differ, with both values.
//!
//! A fraction is [`Dyadic`], written `{"neg":false,"num":3,"shift":2}`. No map looks like it: booleans stand nowhere
//! else. JSON numbers with a point or an exponent are refused, so no float decides what two parties have agreed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Dyadic;

/// One value in [`Terms`]. There are no floats, free booleans or nulls, so every value has one encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Integer(u64),
    /// A signed number with binary places. It is another value than an integer, also where both are whole.
    Dyadic(Dyadic),
    /// A text.
    Text(String),
    /// Values in an order that carries meaning.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

/// A value is read by what it is, and nothing is tried: entries are read for every question.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let member = Member::deserialize(reader)?;
        member.value().ok_or_else(|| de::Error::custom("a boolean stands in a fraction only"))
    }
}

/// What stands in a map: a value, or the sign of a fraction.
enum Member {
    Sign(bool),
    Value(Value),
}

impl Member {
    fn value(self) -> Option<Value> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Reads)
    }
}

struct Reads;

impl<'de> Visitor<'de> for Reads {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, a fraction, a text, a list or a map")
    }

    fn visit_bool<E>(self, sign: bool) -> Result<Member, E> {
        Ok(Member::Sign(sign))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Value(Value::Integer(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Value(Value::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Member, E> {
        Ok(Member::Value(Value::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Member, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Member::Value(Value::List(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        let (mut values, mut sign) = (BTreeMap::new(), None);
        while let Some((name, member)) = map.next_entry::<String, Member>()? {
            match member {
                Member::Sign(neg) if name == "neg" && sign.is_none() => sign = Some(neg),
                Member::Value(value) => drop(values.insert(name, value)),
                Member::Sign(_) => return Err(de::Error::custom("a boolean stands in a fraction only, once")),
            }
        }
        let Some(neg) = sign else { return Ok(Member::Value(Value::Map(values))) };
        let (num, shift) = (values.remove("num"), values.remove("shift"));
        let (Some(Value::Integer(num)), Some(Value::Integer(shift)), true) = (num, shift, values.is_empty()) else {
            return Err(de::Error::custom("a fraction has neg, num and shift"));
        };
        Ok(Member::Value(Value::Dyadic(Dyadic::read(neg, num, shift).map_err(de::Error::custom)?)))
    }
}

impl Value {
    /// The number, if it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<u64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The signed number with binary places, if it is one.
    #[must_use]
    pub fn as_dyadic(&self) -> Option<Dyadic> {
        if let Self::Dyadic(number) = self { Some(*number) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// The map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        if let Self::Map(values) = self { Some(values) } else { None }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Dyadic(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(values) => {
                f.write_str("{")?;
                for (at, (name, value)) in values.iter().enumerate() {
                    write!(f, "{}{}: {value}", if at == 0 { "" } else { ", " }, shown_name(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A name as it stands in a text for people: quoted and escaped unless it is plain, for it may be a peer's.
fn shown_name(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(is_plain) { name.into() } else { format!("{name:?}").into() }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number)
    }
}

impl From<Dyadic> for Value {
    fn from(number: Dyadic) -> Self {
        Self::Dyadic(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<BTreeMap<String, Value>> for Value {
    fn from(values: BTreeMap<String, Value>) -> Self {
        Self::Map(values)
    }
}

/// The terms of a job or of one protocol session: named values with one canonical encoding and one hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Terms(BTreeMap<String, Value>);

/// Bytes that are not the canonical encoding of [`Terms`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTerms {
    /// Longer than any terms may be.
    #[error("terms of {found} bytes, at most {limit} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not JSON, or JSON with values that terms do not have (floats, booleans, nulls, negative integers, a [`Dyadic`]
    /// that is not in its one form).
    #[error("terms are not JSON of whole numbers, fractions in their one form, texts, lists and maps")]
    NotTerms,
    /// JSON, but not in the one canonical form.
    #[error("terms are not in canonical form (sorted keys, no white space, no repeated key)")]
    NotCanonical,
    /// A field that the reader needs is missing or has another type.
    #[error("terms have no usable field {0:?}")]
    Field(&'static str),
}

/// The SHA-256 of canonical terms, domain-separated: what parties sign and sessions are bound to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TermsHash(pub [u8; 32]);

/// Two honest sides do not mean the same thing: the first field in which their terms differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the terms differ in {field}: ours {ours}, theirs {theirs}")]
pub struct TermsMismatch {
    /// The field, nested names joined by dots; a name that is not plain is quoted.
    pub field: String,
    /// Our value, or `(absent)`.
    pub ours: String,
    /// The other side's value, or `(absent)`.
    pub theirs: String,
}

impl Terms {
    /// The longest canonical encoding that is read.
    pub const MAX_BYTES: usize = 64 << 10;

    /// Terms with nothing in them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same terms with `field` set.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// The whole number in a field.
    ///
    /// # Errors
    /// [`MalformedTerms::Field`] if it is absent or not a number.
    pub fn integer(&self, field: &'static str) -> Result<u64, MalformedTerms> {
        self.get(field).and_then(Value::as_integer).ok_or(MalformedTerms::Field(field))
    }

    /// The signed number with binary places in a field.
    ///
    /// # Errors
    /// [`MalformedTerms::Field`] if it is absent or not such a number.
    pub fn dyadic(&self, field: &'static str) -> Result<Dyadic, MalformedTerms> {
        self.get(field).and_then(Value::as_dyadic).ok_or(MalformedTerms::Field(field))
    }

    /// The text in a field.
    ///
    /// # Errors
    /// [`MalformedTerms::Field`] if it is absent or not a text.
    pub fn text(&self, field: &'static str) -> Result<&str, MalformedTerms> {
        self.get(field).and_then(Value::as_text).ok_or(MalformedTerms::Field(field))
    }

    /// The list in a field.
    ///
    /// # Errors
    /// [`MalformedTerms::Field`] if it is absent or not a list.
    pub fn list(&self, field: &'static str) -> Result<&[Value], MalformedTerms> {
        self.get(field).and_then(Value::as_list).ok_or(MalformedTerms::Field(field))
    }

    /// All fields in canonical order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The one encoding of these terms.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Maps with text keys, integers and texts always serialise; an empty encoding would match no hash.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Reads canonical bytes, usually a peer's.
    ///
    /// # Errors
    /// [`MalformedTerms`] unless `bytes` is exactly what [`Terms::canonical`] writes and no longer than
    /// [`Terms::MAX_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedTerms> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MalformedTerms::TooLong { found: bytes.len(), limit: Self::MAX_BYTES });
        }
        let terms: Self = serde_json::from_slice(bytes).map_err(|_| MalformedTerms::NotTerms)?;
        if terms.canonical() == bytes { Ok(terms) } else { Err(MalformedTerms::NotCanonical) }
    }

    /// The hash that parties sign and sessions are bound to.
    #[must_use]
    pub fn hash(&self) -> TermsHash {
        let mut hash = Sha256::new();
        hash.update(b"tacitly-terms-1\n");
        hash.update(self.canonical());
        TermsHash(hash.finalize().into())
    }

    /// Compares with the other side's terms.
    ///
    /// # Errors
    /// [`TermsMismatch`] naming the first differing field and both values.
    pub fn agree_with(&self, theirs: &Self) -> Result<(), TermsMismatch> {
        first_difference("", &self.0, &theirs.0).map_or(Ok(()), Err)
    }
}

fn first_difference(
    path: &str,
    ours: &BTreeMap<String, Value>,
    theirs: &BTreeMap<String, Value>,
) -> Option<TermsMismatch> {
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    names.into_iter().find_map(|name| {
        let own = shown_name(name);
        let field = if path.is_empty() { own.into_owned() } else { format!("{path}.{own}") };
        match (ours.get(name), theirs.get(name)) {
            (Some(a), Some(b)) if a == b => None,
            (Some(Value::Map(a)), Some(Value::Map(b))) => first_difference(&field, a, b),
            (a, b) => {
                let shown = |value: Option<&Value>| value.map_or("(absent)".to_owned(), Value::to_string);
                Some(TermsMismatch { field, ours: shown(a), theirs: shown(b) })
            }
        }
    })
}

impl fmt::Display for TermsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TermsHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TermsHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Terms {
        Terms::new().with("protocol", "tacitly.psi").with("version", 1).with("receivers", vec!["bank", "shop"])
    }

    #[test]
    fn the_encoding_does_not_depend_on_the_order_of_setting() {
        let other =
            Terms::new().with("receivers", vec!["bank", "shop"]).with("version", 1).with("protocol", "tacitly.psi");
        assert_eq!(sample().canonical(), other.canonical());
        assert_eq!(sample().canonical(), br#"{"protocol":"tacitly.psi","receivers":["bank","shop"],"version":1}"#);
        assert_eq!(sample().hash(), other.hash());
    }

    #[test]
    fn canonical_bytes_read_back_and_nothing_else_does() {
        assert_eq!(Terms::parse(&sample().canonical()).unwrap(), sample());
        for (bytes, why) in [
            (&br#"{"a": 1}"#[..], MalformedTerms::NotCanonical),
            (br#"{"b":1,"a":1}"#, MalformedTerms::NotCanonical),
            (br#"{"a":1,"a":1}"#, MalformedTerms::NotCanonical),
            (br#"{"a":1.5}"#, MalformedTerms::NotTerms),
            (br#"{"a":null}"#, MalformedTerms::NotTerms),
            (br#"{"a":true}"#, MalformedTerms::NotTerms),
            (br#"{"a":-1}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":false,"num":2,"shift":1}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":true,"num":0,"shift":0}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":false,"num":0,"shift":1}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":false,"num":1,"shift":1075}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":false,"num":1}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":0,"num":1,"shift":1,"x":true}}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"num":3,"neg":false,"shift":1}}"#, MalformedTerms::NotCanonical),
            (br#"{"a":[false,3,1]}"#, MalformedTerms::NotTerms),
            (br#"{"a":{"neg":false,"neg":false,"num":1,"shift":1}}"#, MalformedTerms::NotTerms),
            (b"\xff", MalformedTerms::NotTerms),
            (b"", MalformedTerms::NotTerms),
        ] {
            assert_eq!(Terms::parse(bytes), Err(why), "{}", String::from_utf8_lossy(bytes));
        }
        let deep = [vec![b'['; 60_000], vec![b']'; 60_000]].concat();
        assert!(matches!(Terms::parse(&deep), Err(MalformedTerms::TooLong { .. })));
        assert_eq!(Terms::parse(&deep[40_000..80_000]), Err(MalformedTerms::NotTerms), "nesting is bounded");
    }

    #[test]
    fn a_mismatch_names_the_field_and_both_values() {
        let ours = sample().with("key", BTreeMap::from([("profile".to_owned(), Value::from("cn-mobile"))]));
        let theirs = sample().with("key", BTreeMap::from([("profile".to_owned(), Value::from("raw"))]));
        let mismatch = ours.agree_with(&theirs).unwrap_err();
        assert_eq!(mismatch.to_string(), r#"the terms differ in key.profile: ours "cn-mobile", theirs "raw""#);
        let rates = [3, 5].map(|num| sample().with("rate", Dyadic::new(true, num, 2).unwrap()));
        let mismatch = rates[0].agree_with(&rates[1]).unwrap_err();
        assert_eq!(mismatch.to_string(), "the terms differ in rate: ours -0.75, theirs -1.25");
        assert_eq!(ours.agree_with(&ours), Ok(()));
        assert_eq!(sample().agree_with(&theirs).unwrap_err().ours, "(absent)");
    }

    #[test]
    fn what_a_peer_put_into_a_name_is_quoted_and_never_makes_two_values_look_alike() {
        let theirs = sample().with("\u{1b}[2J", 1);
        assert_eq!(sample().agree_with(&theirs).unwrap_err().field, r#""\u{1b}[2J""#);
        let inside = |fields: &[(&str, u64)]| {
            let map = fields.iter().map(|(name, number)| ((*name).to_owned(), Value::from(*number)));
            Terms::new().with("x", vec![Value::from(map.collect::<BTreeMap<_, _>>())])
        };
        let mismatch = inside(&[("a", 1), ("b", 2)]).agree_with(&inside(&[("a: 1, b", 2)])).unwrap_err();
        assert_ne!(mismatch.ours, mismatch.theirs);
        let whole = Terms::new().with("x", Dyadic::from(3));
        assert_ne!(whole.hash(), Terms::new().with("x", 3).hash());
        assert_eq!(
            whole.agree_with(&Terms::new().with("x", 3)).unwrap_err().to_string(),
            "the terms differ in x: ours 3.0, theirs 3"
        );
    }
}
