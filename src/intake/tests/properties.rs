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
            (Err(error), Some((_, first))) => {
                prop_assert_eq!(error.problem, Problem::Duplicate { first: u64::from(first) + 1 });
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
}
