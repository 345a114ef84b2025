//! Rosters: who the members of a consortium are, and that nobody but its founder says so.

use serde_json::{Value as Json, json};
use tacitly_attestation::entry::{Count, MalformedEntry};
use tacitly_attestation::note::{KeyUse, Note, NoteSignature, VerifierKey};
use tacitly_attestation::roster::{MalformedRoster, Roster, RosterFault, RosterFingerprint, SignedRoster};

use super::support::{code, party, signer};

const BAD: &str = include_str!("../../vectors/bad_rosters.json");

fn of(names: &[&str]) -> Roster {
    Roster {
        name: code("east-banks"),
        version: Count::new(1).unwrap(),
        founder: signer("bank-a").public,
        members: names.iter().map(|name| signer(name).public).collect(),
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("the-longest-names-of-members-{at:03}")).collect()
}

fn sign(roster: &Roster) -> Result<SignedRoster, RosterFault<std::convert::Infallible>> {
    SignedRoster::sign(roster, &signer("bank-a").private)
}

#[test]
fn a_roster_says_who_the_members_are_and_reads_back_as_it_was_written() {
    let signed = sign(&of(&["bank-a", "shop-b"])).unwrap();
    assert_eq!(SignedRoster::parse(&signed.encode()).unwrap(), signed);
    let members: Vec<_> = signed.roster().members().map(|(party, _)| party).collect();
    assert_eq!(members, [party("bank-a"), party("shop-b")]);
    assert_eq!(signed.roster().key_of(party("shop-b")), Some(&signer("shop-b").public));
    assert_eq!(signed.roster().key_of(party("regulator")), None);
    assert!(signed.roster().keys().find("shop-b", signer("shop-b").public.id()).is_some());
    // A notary may found a consortium that it is no member of.
    let notary = Roster { founder: signer("notary").public, ..of(&["bank-a", "shop-b"]) };
    assert!(SignedRoster::sign(&notary, &signer("notary").private).is_ok());
}

#[test]
fn a_roster_of_128_members_fits_and_one_of_129_is_refused() {
    let names = numbered(129);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let most = sign(&of(&names[..128])).unwrap();
    let bytes = most.encode();
    println!("{} bytes", bytes.len());
    assert!(bytes.len() <= SignedRoster::MAX_BYTES);
    assert_eq!(SignedRoster::parse(&bytes).unwrap().roster().members().count(), 128);
    let refused = sign(&of(&names)).unwrap_err().to_string();
    assert!(refused.contains("members") && refused.contains("more than 128"), "{refused}");
}

#[test]
fn any_other_member_key_name_or_version_has_another_fingerprint_and_another_signature_has_not() {
    let first = of(&["bank-a", "shop-b"]);
    let fingerprint = |roster: &Roster| sign(roster).unwrap().fingerprint();
    for other in [
        of(&["bank-a", "regulator", "shop-b"]),
        of(&["bank-a", "shop-c"]),
        Roster { name: code("west-banks"), ..first.clone() },
        Roster { version: Count::new(2).unwrap(), ..first.clone() },
        Roster {
            members: vec![
                signer("bank-a").public,
                VerifierKey::new("shop-b", KeyUse::Text, signer("stranger").public.public()).unwrap(),
            ],
            ..first.clone()
        },
    ] {
        assert_ne!(fingerprint(&other), fingerprint(&first));
    }
    let notary = Roster { founder: signer("notary").public, ..first.clone() };
    let notarys = SignedRoster::sign(&notary, &signer("notary").private).unwrap().fingerprint();
    assert_ne!(notarys, fingerprint(&first), "the fingerprint says who the founder is");
}

#[test]
fn a_fingerprint_is_read_out_in_eight_groups_of_four_and_typed_as_people_type() {
    let fingerprint = sign(&of(&["bank-a", "shop-b"])).unwrap().fingerprint();
    let shown = fingerprint.to_string();
    let groups: Vec<&str> = shown.split('-').collect();
    assert_eq!((groups.len(), groups.iter().all(|group| group.len() == 4)), (8, true), "{shown}");
    for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', " "), shown.replace('-', "")] {
        assert_eq!(RosterFingerprint::parse(&typed), Ok(fingerprint), "{typed}");
    }
    let last = &shown[..shown.len() - 1];
    for wrong in ["", last, &format!("{last}1"), &format!("{shown}A"), &format!("{last}="), "一二三四"] {
        assert!(RosterFingerprint::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn only_the_founder_signs_and_signs_once() {
    let roster = of(&["bank-a", "shop-b"]);
    let forged = SignedRoster::sign(&roster, &signer("shop-b").private);
    assert_eq!(forged, Err(RosterFault::Malformed(MalformedRoster::Signature)));

    let signed = sign(&roster).unwrap();
    let note = Note::parse(&signed.encode()).unwrap();
    let shop = signer("shop-b");
    let others = NoteSignature::sign(note.text(), &shop.public, &shop.private).unwrap();
    let line = format!("{}\n", note.signatures()[0]);
    for (under, why) in [
        (format!("{others}\n"), "a member's signature alone"),
        (format!("{line}{others}\n"), "a member's signature below"),
        (format!("{line}{line}"), "the same signature twice"),
    ] {
        let bytes = format!("{}\n{under}", note.text());
        assert_eq!(SignedRoster::parse(bytes.as_bytes()), Err(MalformedRoster::Signature), "{why}");
    }
    assert!(matches!(SignedRoster::parse(note.text().as_bytes()), Err(MalformedRoster::Note(_))));
    let long = vec![b'a'; SignedRoster::MAX_BYTES + 1];
    assert!(matches!(SignedRoster::parse(&long), Err(MalformedRoster::Fields(MalformedEntry::TooLong(_)))));
}

#[test]
fn a_later_version_by_the_same_founder_takes_the_earlier_ones_place_and_nothing_else_does() {
    let first = of(&["bank-a", "shop-b"]);
    let second = Roster { version: Count::new(2).unwrap(), ..of(&["bank-a", "regulator"]) };
    assert!(second.replaces(&first));
    assert!(!first.replaces(&second) && !first.replaces(&first));
    assert!(!Roster { name: code("west-banks"), ..second.clone() }.replaces(&first));
    assert!(!Roster { founder: signer("shop-b").public, ..second }.replaces(&first));
}

#[test]
fn every_single_changed_byte_of_a_roster_is_refused() {
    let bytes = sign(&of(&["bank-a", "shop-b"])).unwrap().encode();
    for at in 0..bytes.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            assert!(SignedRoster::parse(&changed).is_err(), "byte {at} ^ {mask:#04x}");
        }
    }
}

/// The founder signs what each case says, so that the fields alone are at fault.
#[test]
fn bad_rosters_are_refused_by_what_is_wrong_with_them() {
    let bad: Json = serde_json::from_str(BAD).unwrap();
    let good = json!({
        "founder": signer("bank-a").public.to_string(),
        "members": [signer("bank-a").public.to_string(), signer("shop-b").public.to_string()],
        "name": "east-banks",
        "version": 1,
    });
    let founder = signer("bank-a");
    let read = |line: &str| {
        let mut note = Note::new(format!("tacitly-roster@v1\n{line}\n")).unwrap();
        let signature = NoteSignature::sign(note.text(), &founder.public, &founder.private).unwrap();
        note.add(signature);
        SignedRoster::parse(&note.encode())
    };
    assert!(read(&good.to_string()).is_ok());
    for case in bad["cases"].as_array().unwrap() {
        let line = match &case["line"] {
            Json::String(line) => line.clone(),
            _ => {
                let mut changed = good.clone();
                for (field, value) in case["with"].as_object().unwrap() {
                    match value {
                        Json::Null => drop(changed.as_object_mut().unwrap().remove(field)),
                        value => changed[field] = value.clone(),
                    }
                }
                changed.to_string()
            }
        };
        let refused = read(&line).expect_err(case["desc"].as_str().unwrap()).to_string();
        assert!(refused.contains(case["says"].as_str().unwrap()), "{}: {refused}", case["desc"]);
    }
}
