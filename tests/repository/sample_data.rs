//! The checked-in tables of the examples are what the generator writes today.

use std::fs;

use tacitly::synthetic;

const ROWS: u64 = 1_000;
const OVERLAP: u64 = 300;
const SEED: u64 = 2026;

#[test]
fn the_tables_in_the_examples_are_fresh() {
    let (mut bank, mut shop) = (Vec::new(), Vec::new());
    synthetic::write_bank_customers(ROWS, OVERLAP, SEED, &mut bank).unwrap();
    synthetic::write_shop_members(ROWS, OVERLAP, SEED, &mut shop).unwrap();
    let shared: String = synthetic::shared_numbers(OVERLAP, SEED).map(|number| number + "\n").collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");
    for (file, wanted) in
        [("bank_customers.csv", bank), ("shop_members.csv", shop), ("shared_numbers.txt", shared.into_bytes())]
    {
        let found = fs::read(format!("{folder}/{file}")).unwrap();
        assert!(found == wanted, "{file} is stale: run `cargo run --example data`");
    }
}
