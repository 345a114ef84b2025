//! Statements: what a kind of job puts on record in words of its own.

use proptest::prelude::*;
use tacitly_attestation::entry::{
    Body, ByteCount, Code, Commitment, Count, Digest, Entry, EntryRefusal, Fingerprint, Id, Kind, LeafHash,
    MAX_STATEMENT_FIELDS, MAX_TEXT_BYTES, MalformedEntry, Reason, SignedEntry, StatementEntry, StatementFields,
    StatementSubject, StatementValue, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::lint;
use tacitly_attestation::note::KeyRing;
use tacitly_core::PartyId;

use super::support::{body, code, header, party, signed, signer};

fn statement(fields: StatementFields) -> StatementEntry {
    let Body::Statement(statement) = body(Kind::Statement) else { panic!() };
    StatementEntry { fields, ..statement }
}

fn entry(statement: StatementEntry) -> Result<Entry, MalformedEntry> {
    Entry::new(header("bank-a", "statement", vec![]), statement)
}

#[test]
fn a_statement_reads_as_a_line_that_people_can_read() {
    let fields = StatementFields::new()
        .with(code("rounds"), StatementValue::Count(Count::new(12).unwrap()))
        .with(code("features"), StatementValue::Codes([code("income"), code("age")].into()))
        .with(code("until"), StatementValue::Time(Time::new(1_795_000_000_000).unwrap()));
    let text = entry(statement(fields.clone())).unwrap().text().to_owned();
    let written = r#""fields":{"features":["age","income"],"rounds":12,"until":"time:1795000000000"},"#;
    assert!(text.contains(written), "{text}");
    let Body::Statement(read) = Entry::parse(&text).unwrap().body().clone() else { panic!() };
    assert_eq!(read.fields, fields);
    assert_eq!(read.fields.get(&code("rounds")), fields.get(&code("rounds")));
    assert_eq!(read.fields.iter().count(), 3);
}

#[test]
fn the_most_fields_with_the_longest_values_fit_and_one_more_is_refused() {
    let codes: std::collections::BTreeSet<Code> =
        (0..16).map(|at| code(&format!("a{:031}", at).replace('0', "z"))).collect();
    let of = |count: usize| {
        (0..count).fold(StatementFields::new(), |fields, at| {
            fields.with(code(&format!("{}{at:03}", "s".repeat(29))), StatementValue::Codes(codes.clone()))
        })
    };
    let full = entry(statement(of(MAX_STATEMENT_FIELDS))).unwrap();
    println!("{} bytes", full.text().len());
    assert!(full.text().len() <= MAX_TEXT_BYTES);
    let refusal = EntryRefusal { field: "fields".to_owned(), reason: Reason::TooMany(MAX_STATEMENT_FIELDS) };
    assert_eq!(entry(statement(of(MAX_STATEMENT_FIELDS + 1))), Err(MalformedEntry::Refused(refusal)));
}

#[test]
fn a_statement_is_signed_by_its_recorder_and_by_all_whom_it_names() {
    let parties: Vec<String> = (0..127).map(|at| format!("p{at:03}")).collect();
    let signers = parties.iter().map(|name| party(name)).collect();
    let most = entry(StatementEntry { signers, ..statement(StatementFields::new()) }).unwrap();
    let names: Vec<&str> = ["bank-a"].into_iter().chain(parties.iter().map(String::as_str)).collect();
    let ring: KeyRing = names.iter().map(|name| signer(name).public).collect();
    let whole = signed(most.clone(), &names);
    assert_eq!(SignedEntry::parse(&whole.encode()).unwrap().verify(&ring).unwrap().len(), 128);
    assert!(signed(most, &names[..127]).verify(&ring).unwrap_err().to_string().contains("p126"));
}

#[test]
fn a_statement_names_the_entries_that_it_is_about() {
    let leaf = |label: &str| LeafHash(Hash::of(label.as_bytes()));
    let fields = StatementFields::new().with(code("replaces"), StatementValue::Entry(leaf("earlier")));
    let subject = StatementSubject::Entry(leaf("agreement"));
    let about = entry(StatementEntry { subject, ..statement(fields) }).unwrap();
    assert_eq!(about.references(), [leaf("agreement"), leaf("earlier")]);
}

fn any_code() -> impl Strategy<Value = Code> {
    "[a-z][a-z0-9._-]{0,31}".prop_filter_map("no code", |text| Code::parse(&text).ok())
}

fn any_hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn any_value() -> impl Strategy<Value = StatementValue> {
    prop_oneof![
        (0..=Count::MAX).prop_map(|count| StatementValue::Count(Count::new(count).unwrap())),
        any_code().prop_map(StatementValue::Code),
        "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
            .prop_filter("no name, or a personal shape", |name| {
                name.parse::<PartyId>().is_ok() && lint::find(name).is_none()
            })
            .prop_map(|name| StatementValue::Party(party(&name))),
        any::<[u8; 16]>().prop_map(|id| StatementValue::Id(Id(id))),
        (Time::MIN..=Time::MAX).prop_map(|time| StatementValue::Time(Time::new(time).unwrap())),
        (0..=ByteCount::MAX).prop_map(|bytes| StatementValue::Bytes(ByteCount::new(bytes).unwrap())),
        any_hash().prop_map(|hash| StatementValue::Digest(Digest(hash))),
        any_hash().prop_map(|hash| StatementValue::Commitment(Commitment(hash))),
        any_hash().prop_map(|hash| StatementValue::Entry(LeafHash(hash))),
        any_hash().prop_map(|hash| StatementValue::Dataset(Fingerprint(hash))),
        prop::collection::btree_set(any_code(), 1..20).prop_map(StatementValue::Codes),
    ]
}

fn any_subject() -> impl Strategy<Value = StatementSubject> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|id| StatementSubject::Job(Id(id))),
        any_hash().prop_map(|hash| StatementSubject::Dataset(Fingerprint(hash))),
        any_hash().prop_map(|hash| StatementSubject::Entry(LeafHash(hash))),
        any_code().prop_map(StatementSubject::Code),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_statement_reads_back_as_what_was_written(
        topic in any_code(),
        subject in any_subject(),
        fields in prop::collection::btree_map(any_code(), any_value(), 0..20),
    ) {
        let fields = fields.into_iter().fold(StatementFields::new(), |fields, (name, value)| fields.with(name, value));
        let written = StatementEntry { topic, subject, signers: vec![party("shop-b")], fields };
        let entry = entry(written.clone()).unwrap();
        let read = Entry::parse(entry.text()).unwrap();
        prop_assert_eq!(&read, &entry);
        prop_assert_eq!(entry.body(), &Body::Statement(written));
    }

    /// Whatever stands where a value should: it is refused, or it is written the same again.
    #[test]
    fn a_value_has_one_spelling(text in "(time:|bytes:|id:|party:|sha256:|leaf-sha256:|)[ -~]{0,48}") {
        let line = serde_json::json!({ "x": text }).to_string();
        let whole = entry(statement(StatementFields::new())).unwrap().text().replace(r#""fields":{}"#, &format!(r#""fields":{line}"#));
        if let Ok(read) = Entry::parse(&whole) {
            prop_assert_eq!(read.text(), &whole);
            let again = Entry::new(read.header().clone(), read.body().clone()).unwrap();
            prop_assert_eq!(again, read);
        }
    }
}
