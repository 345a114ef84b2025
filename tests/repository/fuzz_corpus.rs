//! Every input in the fuzz corpora, on the stable compiler, through the functions that the fuzz targets call.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A fuzz target by name, with the function it calls.
type Target = (&'static str, fn(&[u8]));

/// A new target gets a line here.
const TARGETS: [Target; 15] = [
    ("attest_message", tacitly::attest::fuzzing::message),
    ("attestation_certificate", tacitly_attestation::fuzzing::certificate),
    ("attestation_entry", tacitly_attestation::fuzzing::entry),
    ("attestation_roster", tacitly_attestation::fuzzing::roster),
    ("curve_mul_encode", tacitly_curve25519_batch::fuzzing::mul_encode),
    ("envelope", tacitly::transport::fuzzing::envelope),
    ("job_message", tacitly::jobs::fuzzing::message),
    ("job_terms", tacitly::jobs::fuzzing::terms),
    ("peer_message", tacitly::peers::fuzzing::message),
    ("psi_ops", tacitly_psi::fuzzing::ops),
    ("psi_receive", tacitly_psi::fuzzing::receive),
    ("psi_wire", tacitly_psi::fuzzing::wire),
    ("relay_message", tacitly::relay::fuzzing::message),
    ("rule", tacitly::policy::fuzzing::rule),
    ("terms", tacitly_core::fuzzing::terms),
];

/// The names in a folder of `fuzz/`, without extensions.
fn names(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_target_has_a_corpus_and_a_line_here() {
    let here: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(here, names("src/bin"), "this table against fuzz/src/bin");
    assert_eq!(here, names("corpus"), "this table against fuzz/corpus");
}

#[test]
fn no_input_of_a_corpus_breaks_a_promise() {
    for (target, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            assert!(std::panic::catch_unwind(|| run(&input)).is_ok(), "{} breaks a promise", path.display());
        }
    }
}
