//! Keys, policies and reports.

use super::*;

/// Seven rows: two spellings of one number, one repetition, one landline, one empty cell.
const MIXED: &str = "mobile,name\n\
    +86 138-0013-8000,a\n\
    13900139000,b\n\
    ,c\n\
    13800138000,d\n\
    010-12345678,e\n\
    １３９００１３９０００,f\n\
    13700137000,g\n";

fn mobile() -> KeySpec {
    key(&[("mobile", Profile::CnMobile)])
}

#[test]
fn spellings_meet_and_rows_are_those_of_the_file() {
    let file = TestFile::csv(MIXED);
    let first = file.keys(&with(mobile(), Duplicates::First, Invalid::Skip)).unwrap();
    assert_eq!(texts(&first), ["13800138000", "13900139000", "13700137000"]);
    assert_eq!(first.first_rows(), [0, 1, 6]);
    assert_eq!(first.select([2, 0]), Selection::InputOrder(vec![0, 6]));
    assert_eq!(first.align([2, 0]), Selection::Ordered(vec![6, 0]));

    let all = file.keys(&with(mobile(), Duplicates::All, Invalid::Skip)).unwrap();
    assert!(all.ids().eq(first.ids()));
    assert_eq!(
        (0..3).map(|index| all.rows_of(index).collect()).collect::<Vec<Vec<_>>>(),
        [vec![0, 3], vec![1, 5], vec![6]]
    );
    assert_eq!(all.select([1, 0]), Selection::InputOrder(vec![0, 1, 3, 5]));
    assert_eq!(all.align([1]), Selection::Ordered(vec![1]));
}

#[test]
fn the_strict_policies_name_the_row_and_what_to_do() {
    let file = TestFile::csv(MIXED);
    let error = file.keys(&mobile()).unwrap_err();
    assert_eq!(
        file.told(&error),
        "line 4, column \"mobile\": profile cn-mobile refuses the cell: empty (the cell is empty); \
         mend it, or choose `skip` for invalid rows"
    );
    let error = file.keys(&with(mobile(), Duplicates::Error, Invalid::Skip)).unwrap_err();
    assert_eq!(
        file.told(&error),
        "line 5: the row has the same key as line 2; \
         remove one, or choose `first` or `all` for duplicates"
    );
    let file = TestFile::csv("mobile\n13800138000\n010-12345678\n");
    let error = file.keys(&mobile()).unwrap_err();
    assert_eq!((error.code(), error.place), ("cell-invalid", Some(Place::Line(3))));
}

#[test]
fn a_dry_run_counts_every_row_once_whatever_the_policies() {
    let report = dry_run(&TestFile::csv(MIXED).source, &mobile(), &Budget::of_bytes(MEMORY)).unwrap();
    let invalid = InvalidRows { column: "mobile".into(), profile: Profile::CnMobile, rule: Rule::Prefix, rows: 1 };
    let placeholders = DoubtfulRows { column: "mobile".into(), doubt: Doubt::Placeholder, rows: 2 };
    let (doubtful, most_frequent) = (vec![placeholders], None);
    let expected =
        Report { rows: 7, empty: 1, invalid: vec![invalid], duplicates: 2, distinct: 3, doubtful, most_frequent };
    assert_eq!(report, expected);
    assert_eq!(
        report.to_string(),
        "            7  rows\n\
        \x20           1  empty key\n\
        \x20           1  invalid key\n\
        \x20           1    of them \"mobile\" (cn-mobile): prefix (not the beginning of such a value)\n\
        \x20           2  repeat an earlier key\n\
        \x20           3  distinct keys take part\n\
         warning: 2 cells of \"mobile\" look like placeholders, and meet each other as if they were one person"
    );
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_key_of_several_columns_is_a_tuple_in_the_order_of_the_key() {
    let file = TestFile::csv("city,id,name\nx,ab,c\nx,a,bc\nx,\"a,b\",c\n");
    let spec = key(&[("name", Profile::TrimCasefold), ("id", Profile::Raw)]);
    let keys = file.keys(&spec).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), [&b"\x01c\x02ab"[..], b"\x02bc\x01a", b"\x01c\x03a,b"]);

    // Counted at the first bad cell in the order of the key.
    let file = TestFile::csv("id,name\n,\n,x\ny,\n");
    let report = dry_run(&file.source, &spec, &Budget::of_bytes(MEMORY)).unwrap();
    assert_eq!((report.rows, report.empty, report.distinct), (3, 3, 0));
    let error = file.keys(&spec).unwrap_err();
    assert_eq!(error.column.as_deref(), Some("name"));
}

#[test]
fn a_key_without_columns_or_with_one_twice_is_refused() {
    let file = TestFile::csv("id\n1\n");
    assert_eq!(file.keys(&key(&[])).unwrap_err().problem, Problem::BadKey);
    assert_eq!(file.keys(&key(&[("id", Profile::Raw); 2])).unwrap_err().problem, Problem::BadKey);
}

#[test]
fn one_canonical_id_asked_for_is_the_one_in_the_file() {
    let file = TestFile::csv("mobile,name\n+8613800138000, Zhang\n");
    let spec = key(&[("mobile", Profile::CnMobile), ("name", Profile::TrimCasefold)]);
    let mut id = Vec::new();
    spec.canonical_id(&[b"138 0013 8000", b"ZHANG "], &mut id).unwrap();
    assert_eq!(file.keys(&spec).unwrap().id(0), id);
}

#[test]
fn too_little_memory_is_refused_with_how_far_it_went() {
    let rows: String = (0..100_000).map(|row| format!("{row:011}\n")).collect();
    let file = TestFile::csv(format!("id\n{rows}"));
    let read = |memory| read_keys(&file.source, &raw("id"), None, &Budget::of_bytes(memory));
    let Problem::OverBudget { budget: 1_000_000, rows } = read(1_000_000).unwrap_err().problem else { panic!() };
    // Of the 32 bytes that a key takes, while something grows even more.
    assert!((15_000..40_000).contains(&rows), "{rows} rows");
    assert_eq!(read(5_000_000).unwrap().len(), 100_000);
}

#[test]
fn a_streaming_visit_shows_every_valid_row_and_ends_with_the_visitors_error() {
    #[derive(Debug)]
    enum Spill {
        Intake(IntakeError),
        Full,
    }
    impl From<IntakeError> for Spill {
        fn from(error: IntakeError) -> Self {
            Self::Intake(error)
        }
    }
    let file = TestFile::csv(MIXED);
    let budget = Budget::of_bytes(MEMORY);
    let lenient = with(mobile(), Duplicates::First, Invalid::Skip);
    let mut seen = Vec::new();
    let (report, digest) = visit_keys(&file.source, &lenient, None, &budget, |row, id| {
        seen.push((row, id.to_vec()));
        Ok::<_, IntakeError>(())
    })
    .unwrap();
    assert_eq!(seen.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 1, 3, 5, 6]);
    assert_eq!(seen[0].1, seen[2].1);
    assert_eq!((report.rows, report.distinct, report.duplicates), (7, 5, 0));
    assert_eq!(digest, file.inspect().unwrap().digest);

    let full = |row, _: &[u8]| if row < 3 { Ok(()) } else { Err(Spill::Full) };
    assert!(matches!(visit_keys(&file.source, &lenient, None, &budget, full), Err(Spill::Full)));
    let strict = visit_keys(&file.source, &mobile(), None, &budget, full);
    assert!(matches!(strict, Err(Spill::Intake(error)) if error.code() == "cell-invalid"));
}

/// Every error and every report over a file full of secrets, searched for the secrets.
#[test]
fn no_message_holds_a_piece_of_a_cell() {
    let secrets = ["SECRETA", "7777777", "机密机密"];
    let rows = secrets.map(|secret| format!("{secret},{secret}"));
    let bodies = [
        rows.join("\n"),
        format!("{}\n{}", rows[0], rows[0]),
        format!("{},x", rows[1]),
        format!("{}\n\"{}", rows[2], rows[0]),
        format!("\"{}\"{}", secrets[0], rows[1]),
        format!("{}\0,{}", secrets[0], secrets[2]),
    ];
    let mut messages = Vec::new();
    for body in &bodies {
        for profile in Profile::ALL {
            let file = TestFile::csv(format!("id,x\n{body}\n"));
            for spec in [key(&[("id", profile)]), key(&[("x", profile), ("id", Profile::Raw)]), raw("none")] {
                match file.keys(&spec) {
                    Ok(keys) => messages.push(format!("{keys:?} {} {}", keys.report(), hint(&keys))),
                    Err(error) => messages.push(format!("{error} {error:?}")),
                }
                if let Ok(report) = dry_run(&file.source, &spec, &Budget::of_bytes(MEMORY)) {
                    messages.push(report.to_string());
                }
            }
        }
    }
    assert!(messages.len() > 162);
    for message in messages {
        for piece in ["SECRET", "777", "机密", "secret"] {
            assert!(!message.contains(piece), "{message}");
        }
    }
}
