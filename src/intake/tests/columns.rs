//! Typed columns: what is read, what is refused, and that blocks on disk hold what memory would.

use std::collections::{BTreeMap, BTreeSet};

use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::parquet::{column, every_type, parquet_with};
use super::*;

fn spec(column: &str, kind: ColumnKind) -> ColumnSpec {
    ColumnSpec { column: column.into(), kind, missing: Missing::Error }
}

fn optional(column: &str, kind: ColumnKind, words: &[&str]) -> ColumnSpec {
    let words = words.iter().map(|&word| word.into()).collect();
    ColumnSpec { missing: Missing::Allow { words }, ..spec(column, kind) }
}

/// A value as an oracle writes it; none if it is missing.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Decimal(i64),
    Category(String),
}

/// Values row by row.
fn rows(columns: &Columns, dictionaries: &[Vec<String>]) -> Vec<Vec<Option<Value>>> {
    let value = |(column, names): (&Column, &Vec<String>), row: usize| {
        let value = match &column.values {
            Values::Numbers(values) => Value::Number(values[row]),
            Values::Decimals(values) => Value::Decimal(values[row]),
            Values::Categories(values) if column.missing.contains(row as u32) => {
                assert_eq!(values[row], 0);
                return None;
            }
            Values::Categories(values) => Value::Category(names[values[row] as usize].clone()),
        };
        (!column.missing.contains(row as u32)).then_some(value)
    };
    let row = |row| columns.columns().iter().zip(dictionaries).map(|column| value(column, row)).collect();
    (0..columns.rows()).map(row).collect()
}

fn read(file: &TestFile, specs: &[ColumnSpec], selection: &Selection) -> Result<Vec<Vec<Option<Value>>>, IntakeError> {
    let typed = read_columns(&file.source, specs, selection, None, &Budget::of_bytes(MEMORY))?;
    assert!(typed.dictionaries.iter().all(|names| names.is_sorted_by(|a, b| a < b)));
    Ok(rows(&typed.columns, &typed.dictionaries))
}

const PEOPLE: &str = "id,age,income,town\n1, 41 ,1200.50,Ulm\n2,,90,Bonn\n3,1.5e1,NA,\n4,-0,.5,Ulm\n";

#[test]
fn numbers_amounts_and_categories_come_in_the_order_asked_for() {
    let file = TestFile::csv(PEOPLE);
    let specs = [
        optional("town", ColumnKind::Category, &[]),
        optional("age", ColumnKind::Number, &[]),
        optional("income", ColumnKind::Decimal { places: 2 }, &["NA"]),
    ];
    let (number, decimal) = (|value| Some(Value::Number(value)), |value| Some(Value::Decimal(value)));
    let town = |name: &str| Some(Value::Category(name.into()));
    let all = [
        vec![town("Ulm"), number(41.0), decimal(120_050)],
        vec![town("Bonn"), None, decimal(9_000)],
        vec![None, number(15.0), None],
        vec![town("Ulm"), number(0.0), decimal(50)],
    ];
    assert_eq!(read(&file, &specs, &Selection::All).unwrap(), all);
    let chosen = |selection: Selection| read(&file, &specs, &selection).unwrap();
    assert_eq!(chosen(Selection::InputOrder(vec![1, 3])), [all[1].clone(), all[3].clone()]);
    assert_eq!(chosen(Selection::Marked([3, 0].into_iter().collect())), [all[0].clone(), all[3].clone()]);
    let order = Selection::Ordered(vec![3, 0, 3, 2]);
    assert_eq!(chosen(order.clone()), [all[3].clone(), all[0].clone(), all[3].clone(), all[2].clone()]);
    assert!(chosen(Selection::Ordered(vec![])).is_empty());
    // A category that no chosen row has is none.
    let typed = read_columns(&file.source, &specs, &order, None, &Budget::of_bytes(MEMORY)).unwrap();
    assert_eq!(typed.dictionaries[0], ["Ulm"]);
    assert_eq!(typed.digest, file.inspect().unwrap().digest);
    assert_eq!(format!("{:?}", typed.columns), "Columns { rows: 4, columns: 3, .. }");
}

#[test]
fn every_refusal_names_file_line_and_column_and_never_the_cell() {
    let file = TestFile::csv("id,secret\n7,1\n8,SECRET5\n9,99e400\n10,1.25\n11,\n12,1\n");
    let error = |kind, missing: Missing, row: u32| {
        let specs = [ColumnSpec { missing, ..spec("secret", kind) }];
        let selection = Selection::InputOrder(vec![row]);
        file.told(&read_columns(&file.source, &specs, &selection, None, &Budget::of_bytes(MEMORY)).unwrap_err())
    };
    let told = |line, what: &str| format!("line {line}, column \"secret\": {what}");
    let allow = || Missing::Allow { words: vec![] };
    for (kind, missing, row, what) in [
        (ColumnKind::Number, allow(), 1, "the cell is no number"),
        (ColumnKind::Decimal { places: 2 }, allow(), 1, "the cell is no number"),
        (ColumnKind::Number, allow(), 2, "the number is too large"),
        (ColumnKind::Decimal { places: 0 }, allow(), 2, "the number is too large"),
        (ColumnKind::Decimal { places: 1 }, allow(), 3, "the number has more than 1 decimal places"),
        (ColumnKind::Number, Missing::Error, 4, "the cell is missing"),
        (ColumnKind::Category, Missing::Error, 4, "the cell is missing"),
    ] {
        let text = error(kind, missing, row);
        assert!(text.starts_with(&told(row + 2, what)), "{text}");
        assert!(!text.contains("SECRET") && !text.contains("99e") && !text.contains("1.25"), "{text}");
    }
    // What is not chosen is not looked at.
    let chosen = Selection::InputOrder(vec![0, 5]);
    assert_eq!(read(&file, &[spec("secret", ColumnKind::Number)], &chosen).unwrap().len(), 2);
    let lacking = read(&file, &[spec("id", ColumnKind::Number)], &Selection::Ordered(vec![2, 6])).unwrap_err();
    assert_eq!(lacking.problem, Problem::NoSuchRow { row: 7, rows: 6 });
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_the_file_is_read() {
    let file = TestFile::csv(PEOPLE);
    let problem = |specs: &[ColumnSpec]| read(&file, specs, &Selection::All).unwrap_err().problem;
    assert!(matches!(problem(&[]), Problem::BadColumns(_)));
    assert_eq!(problem(&[spec("age", ColumnKind::Number), spec("age", ColumnKind::Category)]), Problem::TwoColumns);
    assert!(matches!(problem(&[spec("none", ColumnKind::Number)]), Problem::NoSuchColumn { .. }));
    assert!(matches!(problem(&[spec("age", ColumnKind::Decimal { places: 19 })]), Problem::BadColumns(_)));
    assert!(matches!(problem(&[optional("age", ColumnKind::Number, &["x"; 65])]), Problem::BadColumns(_)));
}

#[test]
fn a_column_of_names_is_no_column_of_categories() {
    let text: String = (0..=MAX_CATEGORIES).map(|row| format!("name {row}\n")).collect();
    let file = TestFile::csv(format!("name\n{text}"));
    let specs = [spec("name", ColumnKind::Category)];
    let error = read(&file, &specs, &Selection::All).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyCategories { limit: MAX_CATEGORIES });
    assert_eq!(error.place, Some(Place::Line(MAX_CATEGORIES as u64 + 2)));
    let most = Selection::InputOrder((0..MAX_CATEGORIES as u32).collect());
    assert_eq!(read(&file, &specs, &most).unwrap().len(), MAX_CATEGORIES);
    let long = TestFile::csv(format!("name\n{}\n", "x".repeat(MAX_CATEGORY + 1)));
    let error = read(&long, &specs, &Selection::All).unwrap_err();
    assert_eq!(error.problem, Problem::CategoryTooLong { limit: MAX_CATEGORY });
}

#[test]
fn numbers_of_parquet_are_read_as_they_are_stored() {
    let file = every_type();
    let optional = |name| optional(name, ColumnKind::Number, &[]);
    let names = ["phone", "small", "score", "member", "money"];
    let number = |value| Some(Value::Number(value));
    let found = read(&file, &names.map(optional), &Selection::All).unwrap();
    assert_eq!(found[0], [13_800_138_000.0, 1.0, 0.5, 1.0, 1.0].map(number));
    assert_eq!(found[1], [13_900_139_000.0, 4_294_967_295.0, 0.0, 0.0, -0.05].map(number));
    assert_eq!(found[2], [number(13_700_137_000.0), None, None, None, None]);
    let exact = ["money", "score", "member"]
        .map(|name| ColumnSpec { kind: ColumnKind::Decimal { places: 2 }, ..optional(name) });
    let found = read(&file, &exact, &Selection::InputOrder(vec![0, 1])).unwrap();
    assert_eq!(found[0], [100, 50, 100].map(|value| Some(Value::Decimal(value))));
    assert_eq!(found[1], [-5, 0, 0].map(|value| Some(Value::Decimal(value))));
    let categories = ["name", "born", "id"].map(|name| ColumnSpec { kind: ColumnKind::Category, ..optional(name) });
    let found = read(&file, &categories, &Selection::InputOrder(vec![1])).unwrap();
    let texts = ["a,\"b\"", "2024-02-29", "abababab-abab-abab-abab-abababababab"];
    assert_eq!(found[0], texts.map(|text| Some(Value::Category(text.into()))));
    for name in ["born", "seen", "old", "id", "tags"] {
        let problem = read(&file, &[optional(name)], &Selection::All).unwrap_err().problem;
        assert!(matches!(problem, Problem::NotOfKind { .. }), "{name}: {problem:?}");
    }
}

#[test]
fn a_float_that_is_no_number_is_missing_and_an_infinite_one_is_refused() {
    let floats = |values: [f64; 2]| {
        let schema = "message rows { required double x; }";
        parquet_with(schema, WriterProperties::builder(), 1, |_, group| column!(group, DoubleType, values, None))
    };
    let specs = [optional("x", ColumnKind::Number, &[])];
    let found = read(&floats([f64::NAN, -0.0]), &specs, &Selection::All).unwrap();
    assert_eq!(found, [[None], [Some(Value::Number(0.0))]]);
    let error = read(&floats([1.0, f64::INFINITY]), &specs, &Selection::All).unwrap_err();
    assert_eq!((error.problem, error.place), (Problem::NumberTooLarge, Some(Place::Row(2))));
}

#[test]
fn too_little_memory_is_refused_and_says_so() {
    let text: String = (0..10_000).map(|row| format!("{row}\n")).collect();
    let file = TestFile::csv(format!("x\n{text}"));
    let specs = [spec("x", ColumnKind::Number)];
    let all = (0..10_000).collect::<Vec<u32>>();
    let folder = tempfile::tempdir().unwrap();
    for selection in [Selection::All, Selection::InputOrder(all.clone()), Selection::Ordered(all)] {
        let read = |memory| read_columns(&file.source, &specs, &selection, None, &Budget::of_bytes(memory));
        assert_eq!(read(20_000).unwrap_err().problem, Problem::ColumnsOverBudget { budget: 20_000 });
        assert_eq!(read(400_000).unwrap().columns.rows(), 10_000);
        let layout = Layout { folder: folder.path(), block_rows: 1_000 };
        let spool = |memory| spool_columns(&file.source, &specs, &selection, None, &Budget::of_bytes(memory), layout);
        assert_eq!(spool(20_000).unwrap_err().problem, Problem::ColumnsOverBudget { budget: 20_000 });
        assert_eq!(spool(40_000).unwrap().rows(), 10_000);
    }
}

#[test]
fn a_spool_is_read_twenty_times_and_by_block_and_leaves_nothing_in_the_clear() {
    let text: String = (0..1_003).map(|row| format!("{row},c{}\n", row % 7)).collect();
    let file = TestFile::csv(format!("x,y\n{text}"));
    let folder = tempfile::tempdir().unwrap();
    let specs = [spec("x", ColumnKind::Number), spec("y", ColumnKind::Category)];
    let order: Vec<u32> = (0..1_003_u32).map(|at| at * 17 % 1_003).collect();
    let layout = Layout { folder: folder.path(), block_rows: 100 };
    let budget = Budget::of_bytes(MEMORY);
    let digest = file.inspect().unwrap().digest;
    let selection = Selection::Ordered(order.clone());
    let spool = spool_columns(&file.source, &specs, &selection, Some(&digest), &budget, layout).unwrap();
    assert_eq!((spool.rows(), spool.blocks(), spool.block_rows(), *spool.digest()), (1_003, 11, 100, digest));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the files have no names");
    for _ in 0..20 {
        let numbers = |block: Result<Columns, _>| block.unwrap().columns()[0].numbers().unwrap().to_vec();
        let found: Vec<f64> = spool.epoch().flat_map(numbers).collect();
        assert!(found.iter().zip(&order).all(|(found, row)| *found == f64::from(*row)) && found.len() == order.len());
    }
    for block in [10, 0, 7] {
        let found = spool.read(block).unwrap();
        let wanted = order[block as usize * 100..].iter().take(100).map(|row| row % 7);
        assert!(found.columns()[1].categories().unwrap().iter().copied().eq(wanted), "block {block}");
    }
    assert_eq!((spool.read(11).unwrap().rows(), spool.read(u64::MAX).unwrap().rows()), (0, 0));
    std::fs::write(&file.source.path, "x,y\n1,c1\n").unwrap();
    let changed = spool_columns(&file.source, &specs, &selection, Some(&digest), &budget, layout).unwrap_err();
    assert_eq!(changed.problem, Problem::Changed);
    let none = tempfile::tempdir().unwrap().path().join("gone");
    let refused =
        spool_columns(&file.source, &specs, &Selection::All, None, &budget, Layout { folder: &none, ..layout });
    assert!(matches!(refused.unwrap_err().problem, Problem::Spilling(_)));
}

/// Runs a test of this program again, alone in a process of its own, and returns the memory that it needed at most.
#[cfg(target_os = "linux")]
fn peak_kib_of(test: &str, file: &std::path::Path) -> u64 {
    let program = std::env::current_exe().unwrap();
    let run = std::process::Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MEASURED, file)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    let peak = told.lines().find_map(|line| line.split_once("peak KiB: ")?.1.trim().parse().ok());
    peak.unwrap_or_else(|| panic!("no peak in {told}"))
}

#[cfg(target_os = "linux")]
const MEASURED: &str = "TACITLY_MEASURED_FILE";

/// The order of the rows does not help: it is that of a random walk.
#[cfg(target_os = "linux")]
#[test]
fn a_spool_of_a_shuffled_table_takes_the_memory_allowed_and_not_that_of_the_table() {
    const ROWS: u32 = 100_000;
    const COLUMNS: usize = 24;
    // Without the pages of files, among them those of this program that were not needed before: they are the kernel's to
    // take back, and a debug build has many.
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        kib("VmHWM").saturating_sub(kib("RssFile"))
    };
    let name = |column: usize| format!("column_{}", column + 1);
    let specs: Vec<_> = (0..COLUMNS).map(|at| spec(&name(at), ColumnKind::Number)).collect();
    let Some(file) = std::env::var_os(MEASURED) else {
        let row = |row: u32| (0..COLUMNS as u32).map(|at| (row + at).to_string()).collect::<Vec<_>>().join(",") + "\n";
        let file = TestFile::csv((0..ROWS).map(row).collect::<String>());
        let test =
            "intake::tests::columns::a_spool_of_a_shuffled_table_takes_the_memory_allowed_and_not_that_of_the_table";
        let more = peak_kib_of(test, &file.source.path);
        // Buffers of the reader, which stand in the documentation, and 2 MiB of memory allowed; the table has 18 MiB.
        assert!(more < 8 << 10, "{more} KiB");
        return;
    };
    let format = Format::Csv { encoding: Encoding::Utf8, delimiter: Delimiter::COMMA, header: false };
    let source = Source { path: file.into(), format };
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout { folder: folder.path(), block_rows: 1 << 10 };
    // A step without a common divisor with the number of rows: neighbours in the order are far apart in the file.
    let row = |at: u64| (at * 70_807 % u64::from(ROWS)) as u32;
    let pieces = (0..u64::from(ROWS))
        .step_by(1 << 14)
        .map(|from| Ok::<_, IntakeError>((from..u64::from(ROWS).min(from + (1 << 14))).map(row).collect::<Vec<u32>>()));
    let before = peak();
    let spool = spool_pieces(&source, &specs, pieces, None, &Budget::of_bytes(2 << 20), layout).unwrap();
    let mut at = 0;
    for block in spool.epoch() {
        for value in block.unwrap().columns()[COLUMNS - 1].numbers().unwrap() {
            assert_eq!(*value, f64::from(row(at)) + (COLUMNS - 1) as f64);
            at += 1;
        }
    }
    assert_eq!(at, u64::from(ROWS));
    println!("peak KiB: {}", peak() - before);
}

/// A cell of each of the three columns of a random table.
type Cells = (Option<i32>, Option<i16>, Option<u8>);

fn csv_of(rows: &[Cells]) -> TestFile {
    let mut text = "n,d,c\n".to_owned();
    for (number, decimal, category) in rows {
        let number = number.map_or("NA".to_owned(), |number| (f64::from(number) / 8.0).to_string());
        let decimal = decimal.map_or(String::new(), |decimal| format!("{decimal}e-2"));
        let category = category.map_or(String::new(), |category| format!("\"{}\"", name_of(category)));
        text += &format!("{number},{decimal},{category}\n");
    }
    TestFile::csv(text)
}

fn name_of(category: u8) -> String {
    format!("{}, {}", category % 3, category % 5)
}

fn parquet_of(rows: &[Cells]) -> TestFile {
    let schema = "message rows { optional double n; optional int64 d (decimal(18, 2)); optional binary c (string); }";
    let some = |present: &dyn Fn(&Cells) -> bool| rows.iter().map(|row| i16::from(present(row))).collect::<Vec<i16>>();
    parquet_with(schema, WriterProperties::builder(), 1, |_, group| {
        let numbers: Vec<f64> = rows.iter().filter_map(|row| row.0).map(|number| f64::from(number) / 8.0).collect();
        column!(group, DoubleType, numbers, Some(&some(&|row| row.0.is_some())));
        let decimals: Vec<i64> = rows.iter().filter_map(|row| row.1).map(i64::from).collect();
        column!(group, Int64Type, decimals, Some(&some(&|row| row.1.is_some())));
        let names: Vec<ByteArray> = rows.iter().filter_map(|row| row.2).map(|at| name_of(at).as_str().into()).collect();
        column!(group, ByteArrayType, names, Some(&some(&|row| row.2.is_some())));
    })
}

fn oracle((number, decimal, category): &Cells) -> Vec<Option<Value>> {
    vec![
        number.map(|number| Value::Number(f64::from(number) / 8.0)),
        decimal.map(|decimal| Value::Decimal(decimal.into())),
        category.map(|category| Value::Category(name_of(category))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn memory_and_spool_hold_what_the_table_holds_whatever_the_budget(
        table in proptest::collection::vec(any::<Cells>(), 1..400),
        chosen in proptest::collection::vec(any::<prop::sample::Index>(), 0..500),
        block_rows in 1_u32..60,
        piece in 1_usize..100,
        memory in prop_oneof![Just(10_000_usize), Just(100_000), Just(MEMORY)],
    ) {
        let order: Vec<u32> = chosen.iter().map(|at| at.index(table.len()) as u32).collect();
        let set: BTreeSet<u32> = order.iter().copied().collect();
        let specs = [
            optional("n", ColumnKind::Number, &["NA"]),
            optional("d", ColumnKind::Decimal { places: 2 }, &[]),
            optional("c", ColumnKind::Category, &[]),
        ];
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { folder: folder.path(), block_rows };
        let budget = Budget::of_bytes(memory);
        let names: BTreeMap<_, _> = [("csv", csv_of(&table)), ("parquet", parquet_of(&table))].into();
        for (format, file) in &names {
            let in_pieces = || order.chunks(piece).map(|piece| Ok::<_, IntakeError>(piece.to_vec()));
            for (selection, rows) in [
                (Selection::All, (0..table.len() as u32).collect()),
                (Selection::InputOrder(set.iter().copied().collect()), set.iter().copied().collect()),
                (Selection::Marked(set.iter().copied().collect()), set.iter().copied().collect()),
                (Selection::Ordered(order.clone()), order.clone()),
            ] {
                let wanted: Vec<_> = rows.iter().map(|row| oracle(&table[*row as usize])).collect();
                prop_assert_eq!(&read(file, &specs, &selection).unwrap(), &wanted, "{}", format);
                let mut spools = vec![spool_columns(&file.source, &specs, &selection, None, &budget, layout).unwrap()];
                if matches!(selection, Selection::Ordered(_)) {
                    spools.push(spool_pieces(&file.source, &specs, in_pieces(), None, &budget, layout).unwrap());
                }
                for spool in spools {
                    let found = spool.epoch().flat_map(|block| self::rows(&block.unwrap(), spool.dictionaries()));
                    prop_assert_eq!(&found.collect::<Vec<_>>(), &wanted, "{}", format);
                }
            }
        }
    }
}
