//! Entries: what they may say, what they must never hold, and whose signatures they need.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tacitly_attestation::entry::{
    Bucket, Entry, EntryFault, EntryRefusal, Kind, LeafHash, MalformedEntry, Phase, Reason, SCHEMA, SignedEntry,
};
use tacitly_attestation::lint::Shape;
use tacitly_attestation::note::KeyRing;

use super::support::{body, header, party, signed, signer};

/// Made-up values of every shape that must never be logged, and prose.
const PERSONAL: [(&str, Option<Shape>); 15] = [
    ("11010519491231002x", Some(Shape::IdentityNumber)),
    ("11010519491231002X", Some(Shape::IdentityNumber)),
    ("110105194912310020", Some(Shape::IdentityNumber)),
    ("110105491231002", Some(Shape::IdentityNumber)),
    ("13812345678", Some(Shape::PhoneNumber)),
    ("+8613812345678", Some(Shape::PhoneNumber)),
    ("+4915112345678", Some(Shape::PhoneNumber)),
    ("4111111111111111", Some(Shape::CardNumber)),
    ("6222021234567890128", Some(Shape::CardNumber)),
    ("d41d8cd98f00b204e9800998ecf8427e", Some(Shape::Hash)),
    ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Some(Shape::Hash)),
    ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Some(Shape::Hash)),
    ("someone@bank.example", Some(Shape::MailAddress)),
    ("the customer called; he will pay on Monday!", None),
    ("SELECT * FROM accounts WHERE name = 'x'", None),
];

fn entry(kind: Kind) -> Entry {
    Entry::new(header("bank-a", kind.as_str(), vec![LeafHash::parse(LEAF).unwrap()]), body(kind)).unwrap()
}

const LEAF: &str = "leaf-sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn json_of(entry: &Entry) -> Json {
    serde_json::from_str(entry.text().lines().nth(1).unwrap()).unwrap()
}

fn parse(json: &Json) -> Result<Entry, MalformedEntry> {
    Entry::parse(&format!("{SCHEMA}\n{json}\n"))
}

fn refusal(json: &Json) -> EntryRefusal {
    match parse(json) {
        Err(MalformedEntry::Refused(refusal)) => refusal,
        other => panic!("{json}: {other:?}"),
    }
}

/// Every value in a JSON tree that is no list or map, as a JSON pointer and as the refusal names it.
fn leaves(json: &Json, pointer: &str, field: &str, found: &mut Vec<(String, String)>) {
    match json {
        Json::Object(map) => {
            for (name, value) in map {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                leaves(value, &format!("{pointer}/{name}"), &inner, found);
            }
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                leaves(value, &format!("{pointer}/{at}"), &format!("{field}[{at}]"), found);
            }
        }
        _ => found.push((pointer.to_owned(), field.to_owned())),
    }
}

fn places(json: &Json) -> Vec<(String, String)> {
    let mut found = Vec::new();
    leaves(json, "", "", &mut found);
    found
}

fn with(json: &Json, pointer: &str, value: Json) -> Json {
    let mut changed = json.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

#[test]
fn every_kind_reads_back_as_it_was_written() {
    assert_eq!(Kind::ALL.len(), 17);
    for kind in Kind::ALL {
        let entry = entry(*kind);
        assert_eq!(entry.kind(), *kind);
        assert_eq!(entry.body(), &body(*kind));
        assert_eq!(Entry::parse(entry.text()).unwrap(), entry);
        let signed = signed(entry, &["bank-a", "shop-b"]);
        let read = SignedEntry::parse(&signed.encode()).unwrap();
        assert_eq!((&read, read.leaf()), (&signed, signed.leaf()));
    }
}

#[test]
fn no_field_takes_a_personal_value_and_the_refusal_names_the_field_and_not_the_value() {
    let mut fields = BTreeSet::new();
    for kind in Kind::ALL {
        let json = json_of(&entry(*kind));
        for (pointer, field) in places(&json) {
            let random = ["id", "nonce", "job", "query", "dataset"].contains(&field.as_str())
                && json.pointer(&pointer).unwrap().as_str().is_some_and(|text| text.len() == 32);
            for (value, _) in PERSONAL {
                if random && value.len() == 32 {
                    continue; // What a field declared as 128 random bits holds cannot be told from any other.
                }
                let refusal = refusal(&with(&json, &pointer, json!(value)));
                assert_eq!(refusal.field, field, "{kind}");
                let shown = format!("{refusal} {refusal:?}").to_lowercase();
                assert!(!shown.contains(&value.to_lowercase()), "{shown}");
                fields.insert(format!("{kind}.{field}"));
            }
        }
    }
    assert!(fields.len() > 150, "{} fields were tried", fields.len());
}

#[test]
fn in_names_and_codes_the_refusal_says_what_the_value_looks_like() {
    let json = json_of(&entry(Kind::Query));
    for (value, shape) in PERSONAL {
        // A party's name has room for most of them; the others fail its form already.
        let refusal = refusal(&with(&json, "/responder", json!(value)));
        let fits =
            value.len() <= 32 && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if let Some(shape) = shape.filter(|_| fits) {
            assert_eq!(refusal.reason, Reason::Personal(shape), "{value}");
        } else {
            assert!(matches!(refusal.reason, Reason::Form(_)), "{value}");
        }
    }
    let json = json_of(&entry(Kind::Party));
    for name in ["张三 13812345678", "Bank 110105194912310020", "客户４１１１１１１１１１１１１１１１"]
    {
        assert!(matches!(refusal(&with(&json, "/name", json!(name))).reason, Reason::Personal(_)), "{name}");
    }
}

#[test]
fn a_salted_commitment_a_digest_and_a_leaf_do_not_stand_in_each_others_place() {
    let hash = LEAF.strip_prefix("leaf-sha256:").unwrap();
    let json = json_of(&entry(Kind::Query));
    for tag in ["", "sha256:", "leaf-sha256:", "tree-sha256:", "dataset-sha256:", "transcript-sha256:", "salted-sm3:"] {
        let refusal = refusal(&with(&json, "/commitment", json!(format!("{tag}{hash}"))));
        assert_eq!(refusal.field, "commitment");
    }
    assert!(parse(&with(&json, "/commitment", json!(format!("salted-sha256:{hash}")))).is_ok());
}

#[test]
fn numbers_have_ranges_and_texts_are_no_numbers() {
    for kind in Kind::ALL {
        let json = json_of(&entry(*kind));
        for (pointer, field) in places(&json) {
            let number = json.pointer(&pointer).unwrap().is_u64();
            let other = if number { json!(1u64 << 53) } else { json!(13_812_345_678u64) };
            for wrong in [other, json!(u64::MAX), json!([]), json!({})] {
                assert_eq!(refusal(&with(&json, &pointer, wrong)).field, field, "{kind}");
            }
        }
    }
    // Seconds and microseconds are not milliseconds.
    let json = json_of(&entry(Kind::Tick));
    for time in [1_795_000_000u64, 1_795_000_000_000_000] {
        assert_eq!(refusal(&with(&json, "/t", json!(time))).field, "t");
    }
}

#[test]
fn a_field_missing_or_undeclared_is_refused_and_its_name_not_repeated() {
    for kind in Kind::ALL {
        let json = json_of(&entry(*kind));
        for name in ["by", "id", "kind", "log", "nonce", "rel", "t"] {
            let mut without = json.clone();
            without.as_object_mut().unwrap().remove(name);
            let expected = EntryRefusal { field: name.to_owned(), reason: Reason::Missing };
            assert_eq!(refusal(&without), expected, "{kind}");
        }
        let mut more = json.clone();
        more.as_object_mut().unwrap().insert("13812345678".to_owned(), json!(1));
        let refusal = refusal(&more);
        assert_eq!(refusal, EntryRefusal { field: "(entry)".to_owned(), reason: Reason::Undeclared });
        assert!(!refusal.to_string().contains("138"));
    }
    let nested = with(&json_of(&entry(Kind::Agreement)), "/limits/0", json!({"of": "runs", "most": 1, "note": "x"}));
    assert_eq!(refusal(&nested), EntryRefusal { field: "limits[0]".to_owned(), reason: Reason::Undeclared });
}

#[test]
fn only_the_canonical_form_is_an_entry() {
    let text = entry(Kind::Tick).text().to_owned();
    let line = text.lines().nth(1).unwrap();
    for (text, why) in [
        (text.replace(SCHEMA, "tacitly-entry@v2"), MalformedEntry::Schema),
        (line.to_owned() + "\n", MalformedEntry::Schema),
        (text.trim_end().to_owned(), MalformedEntry::Line),
        (text.clone() + "\n", MalformedEntry::Line),
        (format!("{text}{line}\n"), MalformedEntry::Line),
        (text.replace(":[", ": ["), MalformedEntry::NotCanonical),
        (text.replace("{\"by\"", "{\"by\":\"bank-a\",\"by\""), MalformedEntry::NotCanonical),
        (text.replace("60000", "60000.0"), MalformedEntry::NotJson),
        (text.replace("60000", "6e4"), MalformedEntry::NotJson),
        (text.replace("60000", "-60000"), MalformedEntry::NotJson),
        (text.replace("60000", "null"), MalformedEntry::NotJson),
        (text.replace("60000", "true"), MalformedEntry::NotJson),
        (text.replace("60000", &"[".repeat(40_000)), MalformedEntry::NotJson),
        (text.replace("bank-a\"", "b\\u0061nk-a\""), MalformedEntry::NotCanonical),
    ] {
        assert_eq!(Entry::parse(&text), Err(why), "{}", &text[..text.len().min(300)]);
    }
    let long = vec![b'a'; 70_000];
    assert_eq!(SignedEntry::parse(&long), Err(MalformedEntry::TooLong(70_000)));
}

#[test]
fn what_no_single_field_can_say_is_checked_as_well() {
    let cases = [
        (Kind::Serve, "/status", json!("refused"), "only answered questions have units"),
        (Kind::Serve, "/asker", json!("bank-a"), "nobody answers himself"),
        (Kind::Query, "/responder", json!("bank-a"), "nobody asks himself"),
        (Kind::Query, "/batch", json!(0), "a batch has at least one question"),
        (Kind::Serve, "/batch", json!(8), "the batch is too small to tell its hits"),
        (Kind::Serve, "/hits", json!(129), "more hits than questions"),
        (Kind::Agreement, "/parties/1/party", json!("bank-a"), "a party stands twice"),
        (Kind::Party, "/keys/0/until", json!(super::support::NOW_MS), "a key ends before it begins"),
        (Kind::Policy, "/needed", json!(4), "from 1 to all members must sign"),
        (Kind::Policy, "/needed", json!(0), "from 1 to all members must sign"),
        (Kind::Policy, "/members/0", json!("shop-b"), "a member stands twice"),
        (Kind::Contribution, "/ranges/0/from", json!(20), "a range ends before it begins"),
        (Kind::Settlement, "/payments/0/payer", json!("bank-a"), "nobody pays himself"),
    ];
    for (kind, pointer, value, why) in cases {
        let refusal = refusal(&with(&json_of(&entry(kind)), pointer, value));
        assert!(refusal.to_string().contains(why), "{refusal}");
    }
    for (kind, pointer, why) in [
        (Kind::Settlement, "/payments", "a settlement has at least one payment"),
        (Kind::Erasure, "/targets", "an erasure names at least one entry"),
        (Kind::Party, "/keys", "a party has at least one key"),
        (Kind::Contribution, "/ranges", "a contribution names the entries it is computed from"),
    ] {
        let refusal = refusal(&with(&json_of(&entry(kind)), pointer, json!([])));
        assert!(refusal.to_string().contains(why), "{refusal}");
    }
    let json = json_of(&entry(Kind::Serve));
    let mut refused = with(&with(&json, "/status", json!("refused")), "/units", json!(0));
    assert!(refusal(&refused).to_string().contains("an answered question has an answer"));
    refused.as_object_mut().unwrap().remove("answer");
    assert!(refusal(&refused).to_string().contains("a question that was not answered has a reason"));
    refused.as_object_mut().unwrap().insert("reason".to_owned(), json!("over-quota"));
    assert!(refusal(&refused).to_string().contains("only answered questions have hits"));
    refused.as_object_mut().unwrap().remove("hits");
    assert!(parse(&refused).is_ok());
    let mut served = json.clone();
    served.as_object_mut().unwrap().insert("reason".to_owned(), json!("over-quota"));
    assert!(refusal(&served).to_string().contains("a question that was not answered has a reason"));
    served.as_object_mut().unwrap().remove("reason");
    served.as_object_mut().unwrap().remove("answer");
    assert!(refusal(&served).to_string().contains("an answered question has an answer"));
    let items = vec![json!(LEAF); 129];
    let refusal = refusal(&with(&json_of(&entry(Kind::Erasure)), "/targets", json!(items)));
    assert_eq!(refusal, EntryRefusal { field: "targets".to_owned(), reason: Reason::TooMany(128) });
}

#[test]
fn a_party_whose_name_looks_like_a_phone_number_cannot_be_written_either() {
    let mut header = header("bank-a", "x", vec![]);
    header.by = party("13812345678");
    let refused = Entry::new(header, body(Kind::Pad)).unwrap_err();
    let expected = EntryRefusal { field: "by".to_owned(), reason: Reason::Personal(Shape::PhoneNumber) };
    assert_eq!(refused, MalformedEntry::Refused(expected));
}

#[test]
fn each_kind_needs_the_signatures_that_its_meaning_asks_for() {
    let ring: KeyRing = ["bank-a", "shop-b", "regulator"].iter().map(|name| signer(name).public).collect();
    let both: &[Kind] = &[Kind::Agreement, Kind::Statement, Kind::Settlement];
    for kind in Kind::ALL {
        let one = signed(entry(*kind), &["bank-a"]);
        let two = signed(entry(*kind), &["shop-b", "bank-a"]);
        let other = signed(entry(*kind), &["shop-b"]);
        let fault = |missing: &str| Err(EntryFault::Unsigned { missing: missing.to_owned() });
        match kind {
            // Any two of the three members, the recorder among them.
            Kind::Policy => {
                assert_eq!(one.verify(&ring), fault("regulator, shop-b"));
                let others = signed(entry(*kind), &["shop-b", "regulator"]);
                assert_eq!(others.verify(&ring), fault("bank-a"));
            }
            kind if both.contains(kind) => assert_eq!(one.verify(&ring), fault("shop-b")),
            _ => assert_eq!(one.verify(&ring).unwrap(), BTreeSet::from([party("bank-a")])),
        }
        assert_eq!(two.verify(&ring).unwrap(), BTreeSet::from([party("bank-a"), party("shop-b")]), "{kind}");
        assert!(matches!(other.verify(&ring), Err(EntryFault::Unsigned { .. })), "{kind}");
        assert!(matches!(two.verify(&KeyRing::default()), Err(EntryFault::Unsigned { .. })), "{kind}");
    }
}

#[test]
fn the_counterparty_signs_the_same_text_and_its_line_is_added() {
    let entry = entry(Kind::Settlement);
    let ours = signed(entry.clone(), &["bank-a"]);
    let theirs = signed(SignedEntry::parse(&ours.encode()).unwrap().entry().clone(), &["shop-b"]);
    let both = ours.with(theirs.signatures()[0].clone()).unwrap();
    assert_eq!(both, signed(entry, &["bank-a", "shop-b"]));
}

#[test]
fn an_entry_names_the_earlier_ones_it_rests_on() {
    let agreement = entry(Kind::Agreement);
    assert_eq!(agreement.references().len(), 3, "one in the header, two data sets");
    assert_eq!(entry(Kind::Pad).references(), [LeafHash::parse(LEAF).unwrap()]);
    assert_eq!(Kind::Dataset.phase(), Phase::Before);
    assert_eq!(Kind::Serve.phase(), Phase::During);
}

#[test]
fn a_bucket_shows_the_order_of_magnitude_only() {
    let of = |count| Bucket::of(count).get();
    assert_eq!([of(0), of(1), of(2), of(3), of(1_000_000)], [0, 1, 2, 4, 1 << 20]);
    assert_eq!(of(u64::MAX), 1 << 40);
}
