//! A dataset is on record before anybody uses it; one record opens to an arbiter and no other; whoever has a certificate
//! checks and reads it without us.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tacitly::attestation::certificate::{Draft, RefusalCode, create};
use tacitly::attestation::dataset::{DatasetSeed, Opener};
use tacitly::attestation::entry::{
    Body, Bucket, DatasetEntry, Digest, Entry, Header, Id, LeafHash, LegalName, Nonce, Origin, PartyEntry, PartyKey,
    SignedEntry, Software, Time,
};
use tacitly::attestation::hash::Hash;
use tacitly::attestation::note::{KeyUse, VerifierKey};
use tacitly::attestation::policy::Policy;
use tacitly::chain::View;
use tacitly::evidence::{check, check_opening, check_output, page};
use tacitly::intake::{Budget, Encoding, Format, Output, OutputFormat, Selection, Source, visit_rows, write_rows};
use tacitly::store::{FileSigner, NoteSigner, Signer};
use tacitly::test_bed::Party;

use crate::support::{Pair, mobiles, setup};

const GOLDEN: &str = include_str!("../../protocols/attestation/vectors/golden.json");
const BAD: &str = include_str!("../../protocols/attestation/vectors/bad_certificates.json");

fn golden(part: &str) -> String {
    serde_json::from_str::<Value>(GOLDEN).unwrap()["log"][part].as_str().unwrap().to_owned()
}

/// The datasets' entries in a party's log, oldest first.
fn dataset_entries(party: &Party) -> Vec<(LeafHash, DatasetEntry)> {
    let mut entries = Vec::new();
    let view = View::open(&party.home.join("log")).unwrap();
    view.each_from(0, |_, bytes| {
        let entry = SignedEntry::parse(bytes).unwrap();
        if let Body::Dataset(dataset) = entry.entry().body() {
            entries.push((entry.leaf(), dataset.clone()));
        }
    })
    .unwrap();
    entries
}

/// Runs a job and returns the bank's certificate of it.
fn certificate(pair: &Pair) -> Vec<u8> {
    let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap();
    let file = pair.file("job.evidence");
    pair.bank.tacitly(&["evidence", job["id"].as_str().unwrap(), "--out", &file.display().to_string()]).unwrap();
    fs::read(file).unwrap()
}

fn open(pair: &Pair, party: &Party, row: u64, name: &str, more: &[&str]) -> Result<Vec<u8>, String> {
    let (file, row) = (pair.file(name), row.to_string());
    let shown = file.display().to_string();
    let words = [&["dataset", "open", "ids", "--row", &row, "--to", "court", "-o", &shown], more].concat();
    party.tacitly(&words).map_err(|error| error.code().to_owned())?;
    Ok(fs::read(file).unwrap())
}

fn reason(result: Result<impl Sized, tacitly::evidence::Refused>) -> &'static str {
    result.map(drop).expect_err("it must not hold").reason
}

#[test]
fn a_dataset_is_on_record_when_its_addition_is_answered_and_one_changed_cell_is_another_fingerprint() {
    let mut pair = Pair::start();
    let mut ids = mobiles(0..100);
    pair.dataset_at("bank", "mobile", "cn-mobile", &ids);
    let first = dataset_entries(&pair.bank);
    let [(leaf, first)] = &first[..] else { panic!("{first:?}") };
    assert_eq!((first.rows, first.supersedes), (Bucket::of(100), None));

    ids[40] = "13900000000".to_owned();
    pair.dataset_at("bank", "mobile", "cn-mobile", &ids);
    let all = dataset_entries(&pair.bank);
    let second = &all[1].1;
    assert_eq!((all.len(), second.supersedes, second.dataset), (2, Some(*leaf), first.dataset));
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.schema, first.schema);

    // Another dataset under the name of one that was forgotten replaces nothing.
    pair.bank.tacitly(&["dataset", "remove", "ids"]).unwrap();
    pair.dataset_at("bank", "mobile", "cn-mobile", &ids);
    let third = &dataset_entries(&pair.bank)[2].1;
    assert_eq!(third.supersedes, None);
    assert_ne!(third.dataset, first.dataset);
    assert_ne!(third.fingerprint, second.fingerprint, "equal content is salted anew");
}

#[test]
fn one_record_opens_to_an_arbiter_and_no_other_record_passes_for_it() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..90), &mobiles(50..120));
    let certificate = certificate(&pair);
    // The agreement has no limits: a cell without words would leave open whether something is missing.
    let (page, _) = page(&certificate, None).unwrap();
    assert!(page.contains("无 none") && !page.contains("<ul></ul>"), "{page}");
    let opening = open(&pair, &pair.bank, 42, "row-42", &[]).unwrap();
    assert_eq!(fs::metadata(pair.file("row-42")).unwrap().permissions().mode() & 0o777, 0o600);

    let opened = check_opening(&opening, &certificate, None).unwrap();
    assert_eq!((opened.owner.as_str(), opened.row, opened.rows), ("bank", 42, 90));
    assert_eq!(*opened.record(), r#"["13800000041","41"]"#);

    for at in 0..opening.len() {
        for mask in [1, 0x80] {
            let mut changed = opening.clone();
            changed[at] ^= mask;
            let reason = reason(check_opening(&changed, &certificate, None));
            assert!(["opening-malformed", "opening-mismatch"].contains(&reason), "byte {at}: {reason}");
        }
    }
    let text = String::from_utf8(opening.clone()).unwrap();
    let moved = text.replace("\"index\":41", "\"index\":42");
    assert_ne!(moved, text);
    assert_eq!(reason(check_opening(moved.as_bytes(), &certificate, None)), "opening-mismatch");
    let theirs = open(&pair, &pair.shop, 42, "theirs", &[]).unwrap();
    // The certificate holds the entries about both sides' data, so each owner's record opens, as its own.
    let opened = check_opening(&theirs, &certificate, None).unwrap();
    assert_eq!((opened.owner.as_str(), opened.row), ("shop", 42));
    assert_eq!(reason(check_opening(b"tacitly-opening@v1\n{}\n", &certificate, None)), "opening-malformed");
    assert_eq!(reason(check_opening(&opening, &certificate[..certificate.len() - 1], None)), "malformed");

    // The same through the command, which shows personal data only when asked.
    let arguments = |show: bool| {
        let (opening, certificate) = (pair.file("row-42"), pair.file("job.evidence"));
        let (opening, certificate) = (opening.display().to_string(), certificate.display().to_string());
        let words = ["evidence", "verify-opening", &opening, "--certificate", &certificate, "--show"];
        pair.bank.tacitly(&words[..words.len() - usize::from(!show)]).unwrap()
    };
    assert_eq!((&arguments(false)["row"], &arguments(false)["record"]), (&42.into(), &Value::Null));
    assert_eq!(arguments(true)["record"], r#"["13800000041","41"]"#);

    assert_eq!(open(&pair, &pair.bank, 0, "none", &[]).unwrap_err(), "bad-request");
    assert_eq!(open(&pair, &pair.bank, 91, "none", &[]).unwrap_err(), "bad-request");
    assert_eq!(open(&pair, &pair.bank, 1, "none", &["--fingerprint", "none"]).unwrap_err(), "dataset-fingerprint");
    assert!(!pair.file("none").exists());
    assert!(open(&pair, &pair.bank, 1, "row-42", &[]).is_err(), "no file is replaced");
    assert_eq!(fs::read(pair.file("row-42")).unwrap(), opening);

    // What was opened is in the audit trail, and what the record says is not.
    let events = pair.bank.tacitly(&["events"]).unwrap().to_string();
    assert!(events.contains("dataset-opened") && !events.contains("13800000041"), "{events}");
}

#[test]
fn the_output_of_a_job_opens_to_a_named_reader_and_to_nothing_else_until_it_is_purged() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..90), &mobiles(50..120));
    let job = || {
        let job = pair.bank.tacitly(&["psi", "--dataset", "ids", "--with", "shop/ids"]).unwrap();
        job["id"].as_str().unwrap().to_owned()
    };
    let at = |name: &str| pair.file(name).display().to_string();
    let (first, second) = (job(), job());
    let certify = |job: &str, name: &str| {
        pair.bank.tacitly(&["evidence", job, "--out", &at(name)]).unwrap();
        fs::read(pair.file(name)).unwrap()
    };
    let (certificate, other) = (certify(&first, "first.evidence"), certify(&second, "second.evidence"));
    let open = |party: &Party, job: &str, name: &str| {
        let words = ["job", "open", job, "--to", "court", "--purpose", "audit", "-o", &at(name)];
        party.tacitly(&words).map_err(|error| error.code().to_owned())
    };
    let told = open(&pair.bank, &first, "opening").unwrap();
    assert_eq!(fs::metadata(pair.file("opening")).unwrap().permissions().mode() & 0o777, 0o600);
    let opening = fs::read(pair.file("opening")).unwrap();
    let stated = check_output(&opening, &certificate, None).unwrap();
    assert_eq!((stated.owner.as_str(), Some(stated.sha256.as_str())), ("bank", told["sha256"].as_str()));

    // It is on record to whom, and that it is the entry about the job's end.
    let view = View::open(&pair.bank.home.join("log")).unwrap();
    let mut found = Vec::new();
    view.each_from(0, |_, bytes| {
        let entry = SignedEntry::parse(bytes).unwrap();
        if let Body::Opening(opening) = entry.entry().body() {
            found.push((entry.leaf().to_string(), opening.target, opening.to.to_string(), opening.purpose.to_string()));
        }
    })
    .unwrap();
    let entry = told["entry"].as_str().unwrap().to_owned();
    assert_eq!(found, [(entry, stated.leaf, "court".to_owned(), "audit".to_owned())]);

    assert_eq!(reason(check_output(&opening, &other, None)), "output-mismatch");
    assert_eq!(reason(check_output(b"00\n", &certificate, None)), "output-malformed");
    for at in 0..opening.len() - 1 {
        let mut changed = opening.clone();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let reason = reason(check_output(&changed, &certificate, None));
        assert!(["output-malformed", "output-mismatch"].contains(&reason), "byte {at}: {reason}");
    }
    let verify = |certificate: &str| {
        command(&["evidence", "verify-output", &at("opening"), "--certificate", &at(certificate), "--json"])
    };
    let (seen, code) = verify("first.evidence");
    assert_eq!((seen["sha256"].as_str(), code), (Some(stated.sha256.as_str()), 0));
    let (seen, code) = verify("second.evidence");
    assert_eq!((seen["reason"].as_str(), code), (Some("output-mismatch"), 1));

    // The shop receives nothing of this job, and what is purged opens to nobody.
    assert_eq!(open(&pair.shop, &first, "theirs").unwrap_err(), "result-none");
    pair.bank.tacitly(&["job", "purge", &first]).unwrap();
    assert_eq!(open(&pair.bank, &first, "late").unwrap_err(), "result-none");
    assert!(!pair.file("theirs").exists() && !pair.file("late").exists());
}

#[test]
fn a_record_of_an_earlier_version_opens_from_a_copy_of_its_file() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..20), &mobiles(10..30));
    let certificate = certificate(&pair);
    let old = dataset_entries(&pair.bank)[0].1.fingerprint.to_string();
    let copy = pair.file("copy.csv");
    fs::copy(pair.file("bank.csv"), &copy).unwrap();
    pair.dataset_at("bank", "mobile", "cn-mobile", &mobiles(0..25));

    let present = open(&pair, &pair.bank, 3, "present", &[]).unwrap();
    assert_eq!(reason(check_opening(&present, &certificate, None)), "opening-mismatch");
    let elsewhere = open(&pair, &pair.bank, 3, "other", &["--fingerprint", &old]).unwrap_err();
    assert_eq!(elsewhere, "dataset-changed", "the file of that version is needed");
    let copy = copy.display().to_string();
    let opening = open(&pair, &pair.bank, 3, "old", &["--fingerprint", &old, "--file", &copy]).unwrap();
    assert_eq!(*check_opening(&opening, &certificate, None).unwrap().record(), r#"["13800000002","2"]"#);

    fs::write(pair.file("bank.csv"), "mobile,n\n13800000000,0\n").unwrap();
    assert_eq!(open(&pair, &pair.bank, 1, "changed", &[]).unwrap_err(), "dataset-changed");
}

#[test]
fn every_changed_byte_of_a_certificate_is_refused_with_a_reason() {
    let mut pair = Pair::start();
    pair.datasets(&mobiles(0..20), &mobiles(10..30));
    let certificate = certificate(&pair);
    let kinds = |verdict: &tacitly::attestation::certificate::Verdict| {
        verdict.entries.iter().map(|proven| proven.entry.kind().as_str()).collect::<Vec<_>>()
    };
    let verdict = check(&certificate, None).unwrap();
    assert!(kinds(&verdict).contains(&"dataset"), "{:?}", kinds(&verdict));
    let known: Vec<&str> = REASONS.iter().map(|code| code.as_str()).collect();
    for at in 0..certificate.len() {
        let mut changed = certificate.clone();
        changed[at] ^= 1;
        let refused = check(&changed, None).expect_err("a changed byte");
        assert!(known.contains(&refused.reason) && !refused.detail.is_empty(), "byte {at}: {refused}");
    }

    // A program sees the reason, and the shell that it failed.
    let mut changed = certificate.clone();
    let at = changed.windows(9).position(|window| window == b"\"status\":").unwrap() + 10;
    changed[at] ^= 1;
    fs::write(pair.file("changed"), changed).unwrap();
    let (seen, code) = command(&["evidence", "verify", &pair.file("changed").display().to_string(), "--json"]);
    assert_eq!((seen["holds"].as_bool(), code), (Some(false), 1));
    assert!(known.contains(&seen["reason"].as_str().unwrap()), "{seen}");
    let (seen, code) = command(&["evidence", "verify", &pair.file("job.evidence").display().to_string(), "--json"]);
    assert_eq!((seen["holds"].as_bool(), code), (Some(true), 0));
    assert_eq!((&seen["trust"], &seen["levels"]["anchored"]), (&"certificate's-own-policy".into(), &"no".into()));
    assert!(seen["levels"]["included"]["size"].as_u64().is_some_and(|size| size > 0), "{seen}");
}

const REASONS: [RefusalCode; 14] = [
    RefusalCode::Malformed,
    RefusalCode::Policy,
    RefusalCode::Entry,
    RefusalCode::EntrySignature,
    RefusalCode::Related,
    RefusalCode::RelatedSignature,
    RefusalCode::Proof,
    RefusalCode::LogUnknown,
    RefusalCode::LogSignature,
    RefusalCode::Inclusion,
    RefusalCode::Cosignature,
    RefusalCode::Quorum,
    RefusalCode::Anchor,
    RefusalCode::Issuer,
];

/// Runs the program without a party; returns its JSON and its exit code.
fn command(words: &[&str]) -> (Value, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_tacitly")).args(words).output().unwrap();
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), output.status.code().unwrap())
}

#[test]
fn the_vectors_are_judged_alike() {
    let (certificate, policy) = (golden("certificate"), golden("policy"));
    let policy = Policy::parse(&policy).unwrap();
    for given in [None, Some(&policy)] {
        assert_eq!(check(certificate.as_bytes(), given).unwrap().levels.to_string(), golden("levels"));
    }
    let cases: Value = serde_json::from_str(BAD).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let [replace, by, code, desc] = ["replace", "by", "code", "desc"].map(|name| case[name].as_str().unwrap());
        let bad = certificate.replacen(replace, by, 1);
        assert_eq!(reason(check(bad.as_bytes(), None)), code, "{desc}");
        assert_eq!(reason(page(bad.as_bytes(), None)), code, "{desc}");
    }
    let others = Policy::consortium(&[], &[], &[], 0).unwrap();
    assert_eq!(reason(check(certificate.as_bytes(), Some(&others))), "entry-signature");

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("certificate"), &certificate).unwrap();
    fs::write(at("policy"), golden("policy")).unwrap();
    fs::write(at("others"), others.canonical()).unwrap();
    let (seen, code) = command(&["evidence", "verify", &at("certificate"), "--policy", &at("policy"), "--json"]);
    assert_eq!((code, &seen["trust"]), (0, &"given-policy".into()));
    let (seen, code) = command(&["evidence", "verify", &at("certificate"), "--policy", &at("others"), "--json"]);
    assert_eq!((code, &seen["reason"]), (1, &"entry-signature".into()));
    let (_, code) = command(&["evidence", "html", &at("certificate"), "-o", &at("page.html")]);
    assert_eq!(code, 0);
    assert!(fs::read_to_string(at("page.html")).unwrap().contains("电子证据证书"));
}

#[test]
fn the_page_answers_six_questions_in_two_languages_and_loads_nothing() {
    let (page, _) = page(golden("certificate").as_bytes(), None).unwrap();
    let mut from = 0;
    for (chinese, english) in [
        ("一、时间", "1. Time"),
        ("二、地点", "2. Place"),
        ("三、人物", "3. Person"),
        ("四、事前", "4. Before"),
        ("五、事中", "5. During"),
        ("六、事后", "6. After"),
    ] {
        let heading = format!("<h2><span lang=zh-Hans>{chinese}</span> <span lang=en>{english}</span></h2>");
        let at = page[from..].find(&heading).unwrap_or_else(|| panic!("{english} is missing or out of order"));
        from += at + heading.len();
    }
    for forbidden in
        ["<script", "<img", "<link", "<iframe", "src=", "href=", "url(", "@import", "http:", "https:", "onload"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("@media print") && page.contains("@page"), "it is made to be printed");
    // Keys of the certificate itself prove less, and the page says so first.
    assert!(page.find("--policy").unwrap() < page.find("一、时间").unwrap());
}

#[test]
fn names_on_the_page_are_text_whatever_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate_of_party(folder.path(), "O'Neil & Söhne (上海)");
    let (page, _) = page(&certificate, None).unwrap();
    assert!(page.contains("O&#39;Neil &amp; Söhne (上海)"), "{page}");
    assert!(!page.contains("O'Neil"), "{page}");
    assert_eq!(reason(check_opening(b"", &certificate, None)), "opening-malformed");
    let opening = serde_json::from_str::<Value>(GOLDEN).unwrap()["hashes"]["dataset"]["opening_of_row_2"].clone();
    let opening = opening.as_str().unwrap();
    assert_eq!(reason(check_opening(opening.as_bytes(), &certificate, None)), "opening-no-dataset");
}

/// A certificate about one entry of the bank's, signed and not yet in any log.
fn certificate_of(folder: &Path, body: impl FnOnce(&VerifierKey) -> Body) -> Vec<u8> {
    let signer: std::sync::Arc<dyn Signer> = std::sync::Arc::new(FileSigner::create(&folder.join("key.pem")).unwrap());
    let key = VerifierKey::new("bank", KeyUse::Text, signer.public_key().as_bytes()).unwrap();
    let header = Header {
        id: Id([1; 16]),
        log: Origin::parse("tacitly/bank").unwrap(),
        by: "bank".parse().unwrap(),
        t: now(),
        nonce: Nonce([2; 16]),
        rel: Vec::new(),
    };
    let mut entry = SignedEntry::new(Entry::new(header, body(&key)).unwrap());
    let signer = NoteSigner(signer);
    entry.sign(&key, &signer).unwrap();
    let draft = Draft {
        id: Id([3; 16]),
        issued: now(),
        issuer: "bank".parse().unwrap(),
        tool: &software(),
        entry: &entry,
        related: &[],
        proof: None,
        anchor: None,
        policy: &Policy::consortium(std::slice::from_ref(&key), &[], &[], 0).unwrap(),
    };
    create(&draft, &key, &signer).unwrap().0
}

fn now() -> Time {
    Time::new(1_795_000_000_000).unwrap()
}

fn software() -> Software {
    Software::parse("tacitly 0.1.0").unwrap()
}

/// A certificate of who a party is.
fn certificate_of_party(folder: &Path, name: &str) -> Vec<u8> {
    certificate_of(folder, |key| {
        Body::Party(PartyEntry {
            name: LegalName::parse(name).unwrap(),
            registration: None,
            keys: vec![PartyKey { key: key.clone(), from: now(), until: None }],
            certificate: None,
            software: software(),
            build: Digest(Hash::of(b"program")),
            region: None,
        })
    })
}

/// A certificate of a dataset with one record that says it has about so many rows, and the opening of that record.
fn dataset_of(folder: &Path, record: &[u8], rows: u64) -> (Vec<u8>, Vec<u8>) {
    let mut opener = Opener::new(&DatasetSeed::new([7; 32]), 0, 1).unwrap();
    opener.push(record);
    let (opening, fingerprint) = opener.finish().unwrap();
    let certificate = certificate_of(folder, |_| {
        Body::Dataset(DatasetEntry {
            dataset: Id([4; 16]),
            fingerprint,
            rows: Bucket::of(rows),
            schema: Digest(Hash::of(b"columns")),
            period: None,
            basis: None,
            supersedes: None,
        })
    });
    (certificate, opening.encode().unwrap())
}

#[test]
fn an_owner_that_states_another_order_of_magnitude_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, opening) = dataset_of(folder.path(), b"[]", 1_000_000);
    assert_eq!(reason(check_opening(&opening, &certificate, None)), "opening-rows");
}

#[test]
fn a_record_cannot_command_the_terminal_of_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let record = "[\"\u{1b}[2J\u{9b}31m\u{202e}gnp.张三\"]\n\u{fffd}";
    let (certificate, opening) = dataset_of(folder.path(), record.as_bytes(), 1);
    let shown = check_opening(&opening, &certificate, None).unwrap().record();
    assert_eq!(*shown, "[\"\\u{1b}[2J\\u{9b}31m\\u{202e}gnp.张三\"]\\u{a}\u{fffd}");
}

fn rows(source: &Source) -> Vec<String> {
    let mut rows = Vec::new();
    let seen = visit_rows(source, None, None, &Budget::of_bytes(1 << 24), |row| {
        rows.push(String::from_utf8(row.to_vec()).unwrap());
    });
    assert_eq!(seen.unwrap().rows, rows.len() as u64);
    rows
}

#[test]
fn records_are_the_rows_of_the_file_word_for_word_whatever_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    // Quotes, a line break in a cell, a row twice, an empty and an invalid number: nothing is left out or mended.
    let text = "mobile,name\r\n13800138000,\"a \"\"b\"\", c\"\r\n,\"two\nlines\"\r\nn/a, 张三 \r\nn/a, 张三 \r\n";
    let expected =
        [r#"["13800138000","a \"b\", c"]"#, r#"["","two\nlines"]"#, r#"["n/a"," 张三 "]"#, r#"["n/a"," 张三 "]"#];
    fs::write(&path, text).unwrap();
    let utf8 = Source { path: path.clone(), format: Format::CSV };
    assert_eq!(rows(&utf8), expected);

    let gbk = folder.path().join("gbk.csv");
    let bytes: Vec<u8> = text.split("张三").collect::<Vec<_>>().join("\u{0}").bytes().collect();
    let bytes: Vec<u8> =
        bytes.into_iter().flat_map(|byte| if byte == 0 { vec![0xd5, 0xc5, 0xc8, 0xfd] } else { vec![byte] }).collect();
    fs::write(&gbk, bytes).unwrap();
    let format = Format::Csv { encoding: Encoding::Gbk, delimiter: ','.try_into().unwrap(), header: true };
    assert_eq!(rows(&Source { path: gbk, format }), expected);

    let parquet = folder.path().join("rows.parquet");
    let output = Output { columns: Vec::new(), format: OutputFormat::Parquet };
    let all = Selection::InputOrder((0..4).collect());
    let file = fs::File::create(&parquet).unwrap();
    write_rows(&utf8, None, &all, &output, &Budget::of_bytes(1 << 24), file).unwrap();
    assert_eq!(rows(&Source { path: parquet, format: Format::Parquet }), expected);
}

#[test]
fn a_gbk_file_with_quoted_commas_goes_through_a_job_whole_and_in_buckets_and_each_row_opens() {
    let name = |row: u64| match row % 3 {
        0 => format!("张三,{row}号"),
        1 => format!("李\"四\",寍乗{row}"),
        _ => format!("王五{row}"),
    };
    let quoted = |row: u64| format!("\"{}\"", name(row).replace('"', "\"\""));
    for bucket_keys in [0, 256] {
        let with = || setup().set("TACITLY_LIMITS__BUCKET_KEYS", bucket_keys);
        let mut pair = Pair::with(with(), with());
        let (ours, theirs) = (mobiles(0..900), mobiles(600..1_500));
        let rows: String = (0..).zip(&ours).map(|(row, id)| format!("{},{id},{row}\r\n", quoted(row))).collect();
        let text = format!("\"姓名,地址\",手机,n\r\n{rows}");
        let (bytes, _, unmappable) = encoding_rs::GBK.encode(&text);
        assert!(!unmappable);
        let file = pair.file("客户.csv");
        fs::write(&file, bytes).unwrap();
        let path = file.display().to_string();
        let words = ["dataset", "add", "ids", &path, "--encoding", "gbk", "--key", "手机=cn-mobile", "--allow", "shop"];
        pair.bank.tacitly(&words).unwrap();
        pair.dataset_at("shop", "phone", "cn-mobile", &theirs);

        let out = pair.file("out.csv");
        let shown = out.display().to_string();
        let words = ["psi", "--dataset", "ids", "--with", "shop/ids", "--out", &shown];
        let job = pair.bank.tacitly(&words).unwrap();
        assert_eq!(job["state"], "done", "{job}");
        let mut reader = csv::Reader::from_path(&out).unwrap();
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), ["姓名,地址", "手机", "n"]);
        let found: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        let expected: Vec<Vec<String>> =
            (600..900).map(|row| vec![name(row), ours[row as usize].clone(), row.to_string()]).collect();
        assert_eq!(found, expected, "buckets of {bucket_keys}");

        let evidence = pair.file("job.evidence");
        let words = ["evidence", job["id"].as_str().unwrap(), "--out", &evidence.display().to_string()];
        pair.bank.tacitly(&words).unwrap();
        let evidence = fs::read(evidence).unwrap();
        for row in [1, 2, 3, 899] {
            let opening = open(&pair, &pair.bank, row, &format!("row-{row}"), &[]).unwrap();
            let opened = check_opening(&opening, &evidence, None).unwrap();
            let cells = [name(row - 1), ours[row as usize - 1].clone(), (row - 1).to_string()];
            assert_eq!(serde_json::from_str::<Vec<String>>(&opened.record()).unwrap(), cells);
        }
    }
}
