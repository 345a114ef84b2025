//! Arbitrary terms: one encoding for every value, and one value for every encoding.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tacitly_core::{Dyadic, Terms, Value, fuzzing};

fn dyadic() -> impl Strategy<Value = Dyadic> {
    // Numbers of every length, and shifts near both ends.
    let shift = prop_oneof![0..70_u32, 1000..=Dyadic::MAX_SHIFT];
    (any::<bool>(), any::<u64>(), 0..64_u32, shift)
        .prop_map(|(neg, num, smaller, shift)| Dyadic::new(neg, num >> smaller, shift).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::Integer),
        dyadic().prop_map(Value::Dyadic),
        ".{0,6}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map("(neg|num|shift|[a-c])", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

fn terms() -> impl Strategy<Value = Terms> {
    prop::collection::btree_map("[a-c.]{0,2}", value(), 0..4).prop_map(|fields: BTreeMap<String, Value>| {
        fields.into_iter().fold(Terms::new(), |terms, (name, value)| terms.with(&name, value))
    })
}

/// `-2^a` and so on, written as it stands in an encoding.
fn written(neg: bool, num: u128, shift: u32) -> String {
    format!(r#"{{"x":{{"neg":{neg},"num":{num},"shift":{shift}}}}}"#)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn terms_are_read_back_as_they_were_written(terms in terms()) {
        let bytes = terms.canonical();
        prop_assert_eq!(Terms::parse(&bytes).unwrap(), terms);
        let read: Terms = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(read.canonical(), bytes);
    }

    #[test]
    fn two_terms_are_equal_exactly_if_their_hashes_are_and_differ_where_a_person_sees_it(a in terms(), b in terms()) {
        prop_assert_eq!(a == b, a.hash() == b.hash());
        fuzzing::terms(&[&a.canonical()[..], b"\n", &b.canonical()].concat());
    }

    #[test]
    fn no_second_encoding_of_a_number_is_read(number in dyadic(), more in 1..80_u32) {
        let (neg, num, shift) = (number.is_negative(), u128::from(number.numerator()), number.shift());
        let canonical = written(neg, num, shift);
        let read = Terms::parse(canonical.as_bytes()).unwrap();
        prop_assert_eq!(read.dyadic("x"), Ok(number));
        prop_assert_eq!(read.canonical(), canonical.as_bytes());
        // The same value with more places; zero with a sign; members in another order; a decimal.
        if let Some(wider) = num.checked_mul(1 << more) {
            prop_assert!(Terms::parse(written(neg, wider, shift + more).as_bytes()).is_err());
        }
        if num == 0 {
            prop_assert!(Terms::parse(written(!neg, num, shift).as_bytes()).is_err());
        }
        let other = format!(r#"{{"x":{{"num":{num},"neg":{neg},"shift":{shift}}}}}"#);
        prop_assert!(Terms::parse(other.as_bytes()).is_err());
        let list = format!(r#"{{"x":[{neg},{num},{shift}]}}"#);
        prop_assert!(Terms::parse(list.as_bytes()).is_err());
        let decimal = format!(r#"{{"x":{number}}}"#);
        prop_assert!(Terms::parse(decimal.as_bytes()).is_err());
    }

    #[test]
    fn the_order_is_that_of_the_exact_values(a in dyadic(), b in dyadic()) {
        // Where both fit into 128 bits after scaling to the same places, plain integers decide.
        let shift = a.shift().max(b.shift());
        let scaled = |number: Dyadic| {
            let places = shift - number.shift();
            let size = (places < 63).then(|| i128::from(number.numerator()) << places)?;
            Some(if number.is_negative() { -size } else { size })
        };
        if let (Some(scaled_a), Some(scaled_b)) = (scaled(a), scaled(b)) {
            prop_assert_eq!(a.cmp(&b), scaled_a.cmp(&scaled_b));
        }
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }
}

#[test]
fn a_number_that_terms_cannot_hold_is_refused() {
    assert!(Terms::parse(written(false, 1 << 64, 0).as_bytes()).is_err());
    assert!(Terms::parse(written(false, 1, Dyadic::MAX_SHIFT + 1).as_bytes()).is_err());
    assert!(Terms::parse(written(true, (1 << 64) - 1, Dyadic::MAX_SHIFT).as_bytes()).is_ok());
    assert!(Terms::parse(br#"{"x":{"neg":false,"num":1,"shift":4294967296}}"#).is_err());
}
