//! Reading keys from a file, writing a result, and reading columns as values: a CSV of mobile numbers, as banks hand them
//! over, with two columns of numbers and one of categories.
//!
//! One thread's worth: `taskset -c 1 cargo bench --bench intake`.

use std::hint::black_box;
use std::io::Write;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tacitly::intake::{
    Budget, ColumnKind, ColumnSpec, Delimiter, Duplicates, Format, Invalid, KeyColumn, KeySpec, Layout, Missing,
    Output, OutputFormat, Profile, Selection, Source, read_columns, read_keys, spool_columns, survey, write_rows,
};

const ROWS: u64 = 1 << 18;

fn intake(criterion: &mut Criterion) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut text = String::from("mobile,name,age,income,town\n");
    for row in 0..ROWS {
        // A walk through all eight-digit numbers without repetition, in no visible order.
        let number = row * 48_271 % 99_999_989;
        text += &format!("138{number:08},customer {row},{},{}.50,town {}\n", 18 + row % 60, number % 9_999, row % 300);
    }
    file.write_all(text.as_bytes()).unwrap();
    let source = Source { path: file.path().into(), format: Format::CSV };
    let spec = KeySpec {
        columns: vec![KeyColumn { column: "mobile".into(), profile: Profile::CnMobile }],
        duplicates: Duplicates::Error,
        invalid: Invalid::Error,
    };
    let budget = Budget::of_bytes(1 << 30);
    let output = |format| Output { columns: Vec::new(), format };
    let csv = output(OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true });
    let parquet = output(OutputFormat::Parquet);

    let keys = read_keys(&source, &spec, None, &budget).unwrap();
    let digest = *keys.digest();
    let half = keys.select((0..ROWS as u32).step_by(2));
    let order = keys.align((0..ROWS as u32).map(|index| (u64::from(index) * 7 % ROWS) as u32));

    let missing = || Missing::Allow { words: vec!["NA".into()] };
    let column = |name: &str, kind| ColumnSpec { column: name.into(), kind, missing: missing() };
    let specs = [
        column("age", ColumnKind::Number),
        column("income", ColumnKind::Decimal { places: 2 }),
        column("town", ColumnKind::Category),
    ];
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout { folder: folder.path(), block_rows: 1 << 13 };
    let small = Budget::of_bytes(1 << 22);
    let spool = spool_columns(&source, &specs, &order, Some(&digest), &small, layout).unwrap();

    let mut group = criterion.benchmark_group("intake");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    group.bench_function("read_keys", |bencher| {
        bencher.iter(|| read_keys(&source, &spec, Some(&digest), &budget).unwrap());
    });
    group.bench_function("survey", |bencher| {
        bencher.iter(|| survey(&source, &spec, None, &budget, |line| _ = black_box(line)).unwrap());
    });
    group.bench_function("read_columns/all", |bencher| {
        bencher.iter(|| read_columns(&source, &specs, &Selection::All, Some(&digest), &budget).unwrap());
    });
    group.bench_function("spool_columns/all aligned, 4 MiB", |bencher| {
        bencher.iter(|| spool_columns(&source, &specs, &order, Some(&digest), &small, layout).unwrap());
    });
    group.bench_function("spool/one epoch", |bencher| {
        bencher.iter(|| spool.epoch().for_each(|block| drop(black_box(block.unwrap()))));
    });
    for (name, selection, output) in [
        ("write_rows/half, csv", &half, &csv),
        ("write_rows/all aligned, csv", &order, &csv),
        ("write_rows/half, parquet", &half, &parquet),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut result = Vec::with_capacity(text.len());
                write_rows(&source, Some(&digest), selection, output, &budget, &mut result).unwrap();
                black_box(result)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, intake);
criterion_main!(benches);
