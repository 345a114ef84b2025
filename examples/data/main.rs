//! Writes the tables of the examples: `bank_customers.csv`, `shop_members.csv`, and `shared_numbers.txt` with the
//! mobile numbers that both hold.
//!
//! `cargo run --example data` writes the tables that stand in this folder; other sizes go where you say:
//! `cargo run --release --example data -- --rows 10000000 --overlap 1000000 --out /tmp/tables`.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use tacitly::synthetic;

/// Writes two tables of invented people, some of whom are in both.
#[derive(Parser)]
struct Arguments {
    /// Rows of each table.
    #[arg(long, default_value_t = 1_000)]
    rows: u64,
    /// People in both tables.
    #[arg(long, default_value_t = 300)]
    overlap: u64,
    /// The same seed writes the same files.
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    /// Where the files go.
    #[arg(long, default_value = "examples/data")]
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { rows, overlap, seed, out } = Arguments::parse();
    create_dir_all(&out)?;
    synthetic::write_bank_customers(rows, overlap, seed, File::create(out.join("bank_customers.csv"))?)?;
    synthetic::write_shop_members(rows, overlap, seed, File::create(out.join("shop_members.csv"))?)?;
    let mut shared = BufWriter::new(File::create(out.join("shared_numbers.txt"))?);
    for number in synthetic::shared_numbers(overlap, seed) {
        writeln!(shared, "{number}")?;
    }
    shared.flush()?;
    println!("{rows} rows each, {overlap} people in both, seed {seed}: {}", out.display());
    Ok(())
}
