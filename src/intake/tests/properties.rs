//! Properties over any table.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A table of `columns` columns with any text in its cells, none of it NUL.
fn table(columns: usize) -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = prop_oneof![
        3 => "[ab]{0,2}",
        2 => "[a\", \r\n;]{0,6}",
        2 => any::<String>().prop_map(|text| text.replace('\0', "")),
    ];
    proptest::collection::vec(proptest::collection::vec(cell, columns), 0..40)
}

/// A cell that names a person, or belongs to one.
fn personal() -> impl Strategy<Value = String> {
    prop_oneof![
        "C[0-9]{6}",
        "E[0-9]{8}",
        "1[3-9][0-9] [0-9]{4} [0-9]{4}",
        "1[3-9][0-9]{9}",
        "[1-9][0-9]{16}X",
        "[张王李赵][一二三四][丁丙]?",
        "[A-Z][a-z]{3,6} [A-Z][a-z]{3,6}",
        "[a-z]{3,8}@[a-z]{3,6}\\.cn",
        "[1-9][0-9]{3}\\.[0-9]{2}",
    ]
}

fn written(rows: &[Vec<String>], style: csv::QuoteStyle, terminator: csv::Terminator) -> TestFile {
    let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
    writer.write_record(["a", "b"]).unwrap();
    for row in rows {
        writer.write_record(row).unwrap();
    }
    TestFile::csv(writer.into_inner().unwrap())
}

/// What intake should find, told row by row.
fn oracle(rows: &[Vec<String>]) -> BTreeMap<(&str, &str), Vec<u32>> {
    let mut keys = BTreeMap::<_, Vec<u32>>::new();
    for (number, row) in (0..).zip(rows) {
        if row.iter().all(|cell| !cell.is_empty()) {
            keys.entry((row[0].as_str(), row[1].as_str())).or_default().push(number);
        }
    }
    keys
}

fn tuple(keys: &Keys, index: usize) -> (String, String) {
    let mut cells = canonical::cells(keys.id(index)).map(|cell| String::from_utf8(cell.to_vec()).unwrap());
    (cells.next().unwrap(), cells.next().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_table_written_by_the_csv_crate_reads_back_under_every_policy(
        rows in table(2),
        style in prop_oneof![Just(csv::QuoteStyle::Necessary), Just(csv::QuoteStyle::Always)],
        dos in any::<bool>(),
    ) {
        let terminator = if dos { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let file = written(&rows, style, terminator);
        let expected = oracle(&rows);
        let spec = key(&[("a", Profile::Raw), ("b", Profile::Raw)]);

        let all = file.keys(&with(spec.clone(), Duplicates::All, Invalid::Skip)).unwrap();
        let found: BTreeMap<_, Vec<u32>> =
            (0..all.len()).map(|index| (tuple(&all, index), all.rows_of(index).collect())).collect();
        prop_assert_eq!(all.len(), found.len());
        prop_assert!(found.iter().map(|((a, b), rows)| ((a.as_str(), b.as_str()), rows)).eq(
            expected.iter().map(|(&key, rows)| (key, rows))
        ));
        prop_assert!(all.first_rows().is_sorted());

        let first = file.keys(&with(spec.clone(), Duplicates::First, Invalid::Skip)).unwrap();
        prop_assert!(first.ids().eq(all.ids()));
        prop_assert!((0..first.len()).all(|index| first.rows_of(index).eq([first.first_rows()[index]])));

        let strict = file.keys(&with(spec.clone(), Duplicates::Error, Invalid::Skip));
        let repeated = expected.values().filter_map(|rows| rows.get(1).map(|second| (*second, rows[0]))).min();
        match (strict, repeated) {
            (Ok(keys), None) => prop_assert!(keys.ids().eq(all.ids())),
            (Err(error), Some((second, first))) => {
                let (Problem::Duplicate { first: Place::Line(earlier) }, Some(Place::Line(later))) =
                    (error.problem, error.place)
                else {
                    return Err(TestCaseError::fail("both rows are told by their lines"));
                };
                let line = |row: u32| {
                    let above = rows[..row as usize].iter().flatten().map(|cell| cell.matches('\n').count());
                    above.sum::<usize>() as u64 + u64::from(row) + 2
                };
                prop_assert_eq!((earlier, later), (line(first), line(second)));
            }
            (strict, repeated) => prop_assert!(false, "{:?} but {:?}", strict.map(|keys| keys.len()), repeated),
        }

        let report = dry_run(&file.source, &spec, &Budget::of_bytes(MEMORY)).unwrap();
        prop_assert_eq!(&report, first.report());
        prop_assert_eq!(report.rows, rows.len() as u64);
        prop_assert_eq!(report.distinct, expected.len() as u64);
        prop_assert_eq!(report.rows, report.empty + report.invalid_rows() + report.duplicates + report.distinct);
    }

    #[test]
    fn the_order_of_rows_does_not_change_the_set(
        (rows, shuffled) in table(2).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
    ) {
        let spec = with(key(&[("a", Profile::TrimCasefold), ("b", Profile::Raw)]), Duplicates::First, Invalid::Skip);
        let set = |rows: &[Vec<String>]| {
            let keys = written(rows, csv::QuoteStyle::Necessary, csv::Terminator::CRLF).keys(&spec).unwrap();
            keys.ids().map(<[u8]>::to_vec).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(set(&rows), set(&shuffled));
    }

    #[test]
    fn what_is_written_is_the_semi_join_of_the_file(rows in table(2), chosen in any::<u64>(), memory in 0usize..2_000) {
        let file = written(&rows, csv::QuoteStyle::Necessary, csv::Terminator::Any(b'\n'));
        let spec = key(&[("a", Profile::Raw), ("b", Profile::Raw)]);
        let keys = file.keys(&with(spec, Duplicates::All, Invalid::Skip)).unwrap();
        let chosen: Vec<u32> = (0..keys.len() as u32).filter(|index| chosen >> (index % 64) & 1 == 1).collect();
        let wanted: BTreeSet<_> = chosen.iter().map(|&index| tuple(&keys, index as usize)).collect();
        let read_back = |selection: &Selection| -> Vec<Vec<String>> {
            let format = OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true };
            let output = Output { columns: vec![], format };
            let mut bytes = Vec::new();
            write_rows(&file.source, None, selection, &output, &Budget::of_bytes(memory), &mut bytes).unwrap();
            let mut reader = csv::Reader::from_reader(bytes.as_slice());
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
        };
        let joined: Vec<_> =
            rows.iter().filter(|row| wanted.contains(&(row[0].clone(), row[1].clone()))).cloned().collect();
        prop_assert_eq!(read_back(&keys.select(chosen.iter().copied())), joined);

        let backwards: Vec<u32> = chosen.iter().rev().copied().collect();
        let aligned: Vec<_> = backwards.iter().map(|&index| {
            let (a, b) = tuple(&keys, index as usize);
            vec![a, b]
        }).collect();
        prop_assert_eq!(read_back(&keys.align(backwards)), aligned);
    }

    #[test]
    fn no_bytes_make_intake_panic(bytes in proptest::collection::vec(
        prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..200
    )) {
        for encoding in [Encoding::Utf8, Encoding::Gbk] {
            for header in [false, true] {
                let format = Format::Csv { encoding, delimiter: Delimiter::COMMA, header };
                let file = TestFile::new(&bytes, format);
                let Ok(inspection) = file.inspect() else { continue };
                // What passes inspection can be read by everything else.
                let name = &inspection.columns[0].name;
                let keys = file.keys(&with(raw(name), Duplicates::All, Invalid::Skip)).unwrap();
                prop_assert_eq!(keys.report().rows, inspection.rows);
                prop_assert_eq!(*keys.digest(), inspection.digest);
            }
        }
    }

    #[test]
    fn no_cell_of_a_file_is_in_an_error_about_it(
        rows in (1usize..5).prop_flat_map(|columns| {
            proptest::collection::vec(proptest::collection::vec(personal(), columns), 1..6)
        }),
        written in prop_oneof![Just(b','), Just(b';'), Just(b'\t'), Just(b'|')],
        declared in prop_oneof![Just(','), Just(';'), Just('\t'), Just('|'), Just(' ')],
        encoding in prop_oneof![Just(Encoding::Utf8), Just(Encoding::Gbk)],
        header in any::<bool>(),
        always in any::<bool>(),
        asked in prop_oneof![Just("mobile"), Just("id"), Just("姓名"), Just("column_1"), Just("column_2")],
        profile in prop_oneof![Just(Profile::Raw), Just(Profile::CnMobile), Just(Profile::Email), Just(Profile::CnId18)],
        damage in proptest::option::of((any::<prop::sample::Index>(), prop_oneof![Just(0), Just(b'"'), Just(0xff)])),
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).delimiter(written).from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let mut bytes = writer.into_inner().unwrap();
        if let Some((at, byte)) = damage {
            bytes.insert(at.index(bytes.len()), byte);
        }
        let format = Format::Csv { encoding, delimiter: declared.try_into().unwrap(), header };
        let file = TestFile::new(&bytes, format);
        let spec = key(&[(asked, profile)]);
        let digest = FileDigest { size: bytes.len() as u64, sha256: [0; 32] };
        let columns = vec![asked.to_owned()];
        let output = Output { columns, format: OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true } };
        let budget = Budget::of_bytes(MEMORY);
        let errors = [
            file.keys(&spec).err(),
            file.inspect().err(),
            visit_rows(&file.source, Some(&spec), None, &budget, |_| {}).err(),
            read_keys(&file.source, &spec, Some(&digest), &budget).err(),
            write_rows(&file.source, None, &Selection::Ordered(vec![9]), &output, &budget, Vec::new()).err(),
        ];
        for error in errors.into_iter().flatten() {
            let (told, shown) = (file.told(&error), format!("{:?}", (&error.column, &error.problem)));
            for cell in rows.iter().flatten() {
                // A word of two cells that a wrong delimiter glued together counts as well.
                for word in cell.split(' ').filter(|word| word.chars().count() > 2 || !word.is_ascii()) {
                    prop_assert!(!told.contains(word) && !shown.contains(word), "{} holds {}", told, word);
                }
            }
        }
    }
}
