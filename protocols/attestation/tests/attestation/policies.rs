//! Policies: what their text may say, and when witnesses suffice.

use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyUse, MalformedKey, VerifierKey};
use tacitly_attestation::policy::{CheckpointFault, MalformedPolicy, Policy, PolicyFault, Quorum, Witness};

use super::support::{NOW, checkpoint, cosign, log_key, policy, signer, witness_key};

fn nested() -> String {
    let mut text = format!("signer {}\nlog {}\n", signer("bank-a").public, log_key("bank-a").public);
    for name in ["x1", "x2", "x3", "y1", "y2", "y3"] {
        text += &format!("witness {name} {}\n", witness_key(name).public);
    }
    text + "group x 2 x1 x2 x3\ngroup y any y1 y2 y3\ngroup both all x y\nquorum both\n"
}

#[test]
fn a_nested_quorum_asks_what_its_lines_say() {
    let policy = Policy::parse(&nested()).unwrap();
    for (cosigned, quorum) in [
        (&["x1", "x2", "y3"][..], Quorum::Met),
        (&["x1", "x2", "x3", "y1", "y2", "y3"], Quorum::Met),
        (&["x1", "x2", "x3"], Quorum::Missed),
        (&["x1", "y1", "y2", "y3"], Quorum::Missed),
        (&["x1", "x1", "y1"], Quorum::Missed),
        (&["x", "y", "both"], Quorum::Missed),
        (&[], Quorum::Missed),
    ] {
        assert_eq!(policy.quorum(cosigned.iter().copied()), quorum, "{cosigned:?}");
    }
    assert_eq!(Policy::parse("quorum none\n").unwrap().quorum([]), Quorum::NotAsked);
    let one = format!("witness w {}\nquorum w\n", witness_key("w").public);
    assert_eq!(Policy::parse(&one).unwrap().quorum(["w"]), Quorum::Met);
}

#[test]
fn comments_addresses_and_spaces_do_not_change_a_policy() {
    let loose = nested().lines().fold("# ours\n\n".to_owned(), |text, line| {
        let address =
            if line.starts_with("log") || line.starts_with("witness") { "\thttps://host.example/" } else { "" };
        text + &format!("\t {}{address}  \n  # why\n", line.replace(' ', " \t "))
    });
    let policy = Policy::parse(&loose).unwrap();
    assert_eq!(policy.canonical(), nested());
    assert_eq!(policy.digest(), Policy::parse(&nested()).unwrap().digest());
    assert_eq!(Policy::parse(policy.canonical()).unwrap(), policy);
}

#[test]
fn what_is_not_a_policy_is_refused_by_line_and_reason() {
    let w = witness_key("w").public;
    let v = witness_key("v").public;
    let log = log_key("bank-a").public;
    let one = format!("witness w {w}\n");
    let two = format!("{one}witness v {v}\n");
    for (text, line, fault) in [
        (String::new(), 0, PolicyFault::Unterminated),
        ("\n".to_owned(), 0, PolicyFault::Quorum),
        ("quorum none".to_owned(), 0, PolicyFault::Unterminated),
        ("quorum none\nquorum none\n".to_owned(), 2, PolicyFault::Quorum),
        ("quorum\n".to_owned(), 1, PolicyFault::Words),
        ("quorum a b\n".to_owned(), 1, PolicyFault::Words),
        ("quorum w\n".to_owned(), 1, PolicyFault::UnknownName),
        ("Quorum none\n".to_owned(), 1, PolicyFault::Keyword),
        ("quorum none\u{7f}\n".to_owned(), 1, PolicyFault::Characters),
        ("quorum none\r\n".to_owned(), 1, PolicyFault::Characters),
        (format!("log {w}\n"), 1, PolicyFault::KeyUse),
        (format!("signer {w}\n"), 1, PolicyFault::KeyUse),
        (format!("signer {log}\n"), 1, PolicyFault::SignerName),
        (format!("witness w {log}\n"), 1, PolicyFault::KeyUse),
        ("log x\n".to_owned(), 1, PolicyFault::Key(MalformedKey::Form)),
        (format!("log {log}\nlog {log}\n"), 2, PolicyFault::DuplicateKey),
        (format!("{one}witness other {w}\n"), 2, PolicyFault::DuplicateKey),
        (format!("{one}witness w {v}\n"), 2, PolicyFault::DuplicateName),
        (format!("witness none {w}\n"), 1, PolicyFault::DuplicateName),
        (format!("{one}group w 1 w\n"), 2, PolicyFault::DuplicateName),
        (format!("{one}group g\n"), 2, PolicyFault::Words),
        (format!("{one}group g any\n"), 2, PolicyFault::Threshold),
        (format!("{one}group g 0 w\n"), 2, PolicyFault::Threshold),
        (format!("{one}group g 2 w\n"), 2, PolicyFault::Threshold),
        (format!("{one}group g 01 w\n"), 2, PolicyFault::Threshold),
        (format!("{one}group g most w\n"), 2, PolicyFault::Threshold),
        (format!("{one}group g any none\n"), 2, PolicyFault::UnknownName),
        (format!("{one}group g any g\n"), 2, PolicyFault::UnknownName),
        (format!("{one}group g any w w\n"), 2, PolicyFault::DuplicateMember),
        (format!("{two}group g any w\ngroup h any w v\n"), 4, PolicyFault::DuplicateMember),
        (format!("group g any w\n{one}"), 1, PolicyFault::UnknownName),
    ] {
        assert_eq!(Policy::parse(&text), Err(MalformedPolicy { line, fault }), "{text}");
    }
    let names: Vec<String> = (0..=Policy::MAX_LINES).map(|at| format!("w{at}")).collect();
    let many: String = names.iter().map(|name| format!("witness {name} {}\n", witness_key(name).public)).collect();
    assert_eq!(Policy::parse(&many), Err(MalformedPolicy { line: 1025, fault: PolicyFault::TooLong }));
    let long = "# long\n".repeat(20_000);
    assert_eq!(Policy::parse(&long), Err(MalformedPolicy { line: 0, fault: PolicyFault::TooLong }));
}

#[test]
fn a_policy_holds_128_parties_with_the_longest_names_each_a_signer_a_log_and_a_witness() {
    let names: Vec<String> = (0..128).map(|at| format!("the-longest-names-of-members-{at:03}")).collect();
    let named = |tail: &str, key_use| -> Vec<VerifierKey> {
        let of = |name: &String| VerifierKey::new(&format!("{name}{tail}"), key_use, signer(name).public.public());
        names.iter().map(|name| of(name).unwrap()).collect()
    };
    let signers = named("", KeyUse::Text);
    let logs = named(&format!("/{}", "l".repeat(95)), KeyUse::Text);
    let keys = named("/witness", KeyUse::Cosignature);
    let watching = names.iter().zip(keys).map(|(name, key)| Witness { name: name.clone(), key });
    let policy = Policy::consortium(&signers, &logs, &watching.collect::<Vec<_>>(), 100).unwrap();
    println!("{} bytes", policy.canonical().len());
    assert_eq!(Policy::parse(policy.canonical()).unwrap(), policy);
    assert_eq!(policy.signers().iter().count(), 128);
    assert_eq!(policy.quorum(names[..100].iter().map(String::as_str)), Quorum::Met);
    assert_eq!(policy.quorum(names[..99].iter().map(String::as_str)), Quorum::Missed);
}

#[test]
fn a_checkpoint_stands_with_its_log_and_its_witnesses() {
    let mut signed = checkpoint("bank-a", 5, Hash::of(b"root"));
    let policy = policy(&["shop-b", "regulator"]);
    let standing = policy.judge(&signed).unwrap();
    assert_eq!((standing.cosigned.len(), standing.of, standing.quorum), (0, 2, Quorum::Missed));
    cosign(&mut signed, "stranger");
    cosign(&mut signed, "regulator");
    assert_eq!(policy.judge(&signed).unwrap().quorum, Quorum::Missed);
    cosign(&mut signed, "shop-b");
    let standing = policy.judge(&signed).unwrap();
    assert_eq!(standing.cosigned, [("shop-b".to_owned(), NOW), ("regulator".to_owned(), NOW)]);
    assert_eq!(standing.quorum, Quorum::Met);
}

#[test]
fn a_checkpoint_needs_the_signature_of_its_own_log() {
    let policy = policy(&[]);
    let foreign = checkpoint("regulator", 5, Hash::of(b"root"));
    assert_eq!(policy.judge(&foreign), Err(CheckpointFault::UnknownLog));

    // Another trusted log signs in place of the one that the origin names.
    let own = checkpoint("bank-a", 5, Hash::of(b"root"));
    let mut swapped = tacitly_attestation::checkpoint::SignedCheckpoint::new(own.checkpoint()).unwrap();
    let other = log_key("shop-b");
    swapped.sign(&other.public, &other.private).unwrap();
    assert_eq!(policy.judge(&swapped), Err(CheckpointFault::NotSigned));
}
