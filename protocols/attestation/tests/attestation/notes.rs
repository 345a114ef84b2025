//! Signed notes and checkpoints: what is taken, what is refused, and who is believed.

use tacitly_attestation::checkpoint::{Checkpoint, MalformedCheckpoint, SignedCheckpoint};
use tacitly_attestation::hash::{Hash, empty_root};
use tacitly_attestation::note::{
    BadSignature, KeyRing, KeyUse, MalformedKey, MalformedNote, Note, NoteSignature, VerifierKey,
};

use super::support::{checkpoint, cosign, key, log_key, signer, witness_key};

const TEXT: &str = "a line\n\nanother line\n";

fn note(names: &[&str]) -> Note {
    let mut note = Note::new(TEXT.to_owned()).unwrap();
    for name in names {
        let key = signer(name);
        note.add(NoteSignature::sign(TEXT, &key.public, &key.private).unwrap());
    }
    note
}

fn ring(names: &[&str]) -> KeyRing {
    names.iter().map(|name| signer(name).public).collect()
}

fn verified(note: &Note, ring: &KeyRing) -> Vec<String> {
    note.verify(ring).unwrap().iter().map(|verified| verified.key.name().to_owned()).collect()
}

#[test]
fn only_trusted_keys_count_and_each_once() {
    let note = Note::parse(&note(&["bank-a", "shop-b", "stranger"]).encode()).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(verified(&note, &ring(&["shop-b", "bank-a"])), ["bank-a", "shop-b"]);
    assert_eq!(verified(&note, &ring(&["nobody"])), Vec::<String>::new());

    let line = note.signatures()[0].to_string();
    let twice = format!("{TEXT}\n{line}\n{line}\n");
    assert_eq!(verified(&Note::parse(twice.as_bytes()).unwrap(), &ring(&["bank-a"])), ["bank-a"]);
}

#[test]
fn a_bad_signature_of_a_trusted_key_spoils_the_note_also_behind_a_good_one() {
    let good = note(&["bank-a"]);
    let other = Note::new("other text\n".to_owned()).unwrap();
    let key = signer("bank-a");
    let stale = NoteSignature::sign(other.text(), &key.public, &key.private).unwrap();
    let both = format!("{TEXT}\n{}\n{stale}\n", good.signatures()[0]);
    let both = Note::parse(both.as_bytes()).unwrap();
    assert_eq!(both.verify(&ring(&["bank-a"])), Err(BadSignature { name: "bank-a".to_owned() }));
    assert_eq!(verified(&both, &ring(&["shop-b"])), Vec::<String>::new());
}

#[test]
fn a_signature_for_one_use_of_a_key_is_none_for_another() {
    let text = key("same-name", KeyUse::Text);
    let cosigner = VerifierKey::new("same-name", KeyUse::Cosignature, text.public.public()).unwrap();
    assert_ne!(text.public.id(), cosigner.id());
    let mut note = Note::new(TEXT.to_owned()).unwrap();
    note.add(NoteSignature::sign(TEXT, &text.public, &text.private).unwrap());
    assert_eq!(verified(&note, &[cosigner.clone()].into_iter().collect()), Vec::<String>::new());
    // Also when the line claims the other key id.
    let mut forged = Note::new(TEXT.to_owned()).unwrap();
    forged.add(NoteSignature::sign(TEXT, &cosigner, &text.private).unwrap());
    assert!(forged.verify(&[cosigner].into_iter().collect()).is_err());
}

#[test]
fn what_is_not_a_note_is_refused_with_its_reason() {
    let good = note(&["bank-a"]).to_string();
    let line = note(&["bank-a"]).signatures()[0].to_string();
    for (bytes, why) in [
        (TEXT.to_owned(), MalformedNote::Signature(1)),
        ("text without blank line\n".to_owned(), MalformedNote::NoSignatures),
        (format!("{TEXT}\n"), MalformedNote::NoSignatures),
        (good.trim_end().to_owned(), MalformedNote::NoSignatures),
        (format!("\u{1}{good}"), MalformedNote::NotText),
        (format!("tab\there\n\n{line}\n"), MalformedNote::NotText),
        (format!("{TEXT}\n{line}\r\n"), MalformedNote::Signature(1)),
        (format!("{TEXT}\n {line}\n"), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{line} \n"), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{line}\nx\n"), MalformedNote::Signature(2)),
        (format!("{TEXT}\n{}\n", line.replace("bank-a", "bank a")), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{}\n", line.replace("bank-a", "bank+a")), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{}\n", line.replace("bank-a", "bank\u{2003}a")), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{}\n", line.replace("bank-a ", "")), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{}\n", line.replace('—', "-")), MalformedNote::Signature(1)),
        (format!("{TEXT}\n— bank-a AAAAAA==\n"), MalformedNote::Signature(1)),
        (format!("{TEXT}\n{}\n", format!("{line}\n").repeat(193).trim_end()), MalformedNote::TooManySignatures),
    ] {
        assert_eq!(Note::parse(bytes.as_bytes()), Err(why), "{bytes}");
    }
    assert_eq!(Note::parse(b"\xff\n\n"), Err(MalformedNote::NotText));
    let huge = vec![b'a'; Note::MAX_BYTES + 1];
    assert_eq!(Note::parse(&huge), Err(MalformedNote::TooLong(huge.len())));
    assert_eq!(Note::new("no line feed".to_owned()), Err(MalformedNote::Unterminated));
}

#[test]
fn sixteen_signatures_and_more_are_read_as_the_specification_asks() {
    let names: Vec<String> = (0..Note::MAX_SIGNATURES).map(|at| format!("party-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let note = Note::parse(&note(&names).encode()).unwrap();
    assert_eq!(verified(&note, &ring(&names)).len(), Note::MAX_SIGNATURES);
}

#[test]
fn a_key_in_text_form_is_checked_in_every_part() {
    let key = signer("bank-a").public;
    let text = key.to_string();
    assert_eq!(VerifierKey::parse(&text), Ok(key.clone()));
    let parts: Vec<&str> = text.splitn(3, '+').collect();
    let [name, id, public] = parts[..] else { panic!() };
    let unsupported = tacitly_base64(&[&[0x06][..], &[7; 1312]].concat());
    for (text, why) in [
        (String::new(), MalformedKey::Form),
        (format!("{name}+{id}"), MalformedKey::Form),
        (format!("{name}+{}+{public}", id.to_uppercase()), MalformedKey::Form),
        (format!("{name}+{}+{public}", &id[1..]), MalformedKey::Form),
        (format!("{name}+{id}+{}", &public[..40]), MalformedKey::Form),
        (format!("{name}+{id}+{public}="), MalformedKey::Form),
        (format!("+{id}+{public}"), MalformedKey::Name),
        (format!("bank a+{id}+{public}"), MalformedKey::Name),
        (format!("bank-b+{id}+{public}"), MalformedKey::Id),
        (format!("{name}+{id}+{unsupported}"), MalformedKey::Type(6)),
        (format!("{name}+{id}+{}", tacitly_base64(&[&[0x01][..], &[0; 32]].concat())), MalformedKey::Point),
        (format!("{name}+{id}+{}", tacitly_base64(&[&[0x01][..], &[1], &[0; 31]].concat())), MalformedKey::Point),
    ] {
        assert_eq!(VerifierKey::parse(&text), Err(why), "{text}");
    }
}

fn tacitly_base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

#[test]
fn a_cosignature_states_its_time_and_a_changed_time_does_not_verify() {
    let mut signed = checkpoint("bank-a", 7, Hash::of(b"root"));
    cosign(&mut signed, "shop-b");
    let ring: KeyRing = [witness_key("shop-b").public, log_key("bank-a").public].into_iter().collect();
    let verified = signed.verify(&ring).unwrap();
    assert_eq!(verified.iter().map(|verified| verified.time).collect::<Vec<_>>(), [None, Some(super::support::NOW)]);

    let line = signed.signatures()[1].to_string();
    let (head, base64) = line.rsplit_once(' ').unwrap();
    let mut bytes = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
    bytes[11] ^= 1;
    let changed = signed.to_string().replace(&line, &format!("{head} {}", tacitly_base64(&bytes)));
    assert!(SignedCheckpoint::parse(changed.as_bytes()).unwrap().verify(&ring).is_err());
}

#[test]
fn what_is_not_a_checkpoint_is_refused_with_its_reason() {
    let root = empty_root();
    for (text, why) in [
        (String::new(), MalformedCheckpoint::Lines),
        (format!("log\n5\n{root}"), MalformedCheckpoint::Lines),
        ("log\n5\n".to_owned(), MalformedCheckpoint::Lines),
        (format!("\n5\n{root}\n"), MalformedCheckpoint::Lines),
        (format!("log\n5\n{root}\n\n"), MalformedCheckpoint::Lines),
        (format!("log\n5\n{root}\nextension\n\nmore\n"), MalformedCheckpoint::Lines),
        (format!("log\n05\n{root}\n"), MalformedCheckpoint::Size),
        (format!("log\n-5\n{root}\n"), MalformedCheckpoint::Size),
        (format!("log\n4611686018427387905\n{root}\n"), MalformedCheckpoint::Size),
        (format!("log\n5\n{root} \n"), MalformedCheckpoint::Root),
        ("log\n5\nAAAA\n".to_owned(), MalformedCheckpoint::Root),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(why), "{text}");
    }
    let extended = format!("log\n5\n{root}\nextension\nmore\n");
    assert_eq!(Checkpoint::parse(&extended).unwrap().to_string(), extended);

    for origin in ["two\nlines", "", "two\n\nlines"] {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: 0, root, extensions: vec![] };
        assert!(SignedCheckpoint::new(&checkpoint).is_err(), "{origin}");
    }
}
