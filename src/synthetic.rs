//! Invented tables with a known answer, for demonstrations, examples, tests and benches.
//!
//! A bank's customers and a shop's members share exactly `overlap` mobile numbers, written the way such columns look in
//! practice: several notations, repeated people, a few values that are no mobile number at all, names with commas,
//! quotes and several scripts. [`shared_numbers`] knows which numbers both tables hold, so that any intersection
//! can be checked. The same arguments always give the same bytes.
//!
//! Rows are written as they are drawn, in constant memory; ten million take seconds. The mobile numbers are spread over
//! the whole number space by a keyed permutation and belong to nobody in particular.

use std::io::{self, Write};

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

/// Mobile numbers are `1`, a digit from 3 to 9, and nine more digits.
const MOBILES: u64 = 7_000_000_000;

/// People above this number are members of the shop only, so the two tables share nobody by accident.
const FIRST_SHOP_ONLY: u64 = MOBILES / 2;

const SURNAMES: [&str; 12] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "欧阳", "Müller", "O'Brien", "Nguyễn"];
const GIVEN_NAMES: [&str; 12] =
    ["伟", "芳", "秀英", "敏", "静", "国强", "小明", "Anna", "José", "Zoë", "Li", "阿依古丽"];
const CITIES: [&str; 8] = ["上海", "北京", "深圳", "成都", "西安", "Ürümqi", "香港", "拉萨"];
const SEGMENTS: [&str; 4] = ["retail", "affluent", "small business", "student"];

/// What stands where a mobile number should.
const NOT_A_MOBILE: [&str; 7] = ["", "n/a", "12345", "010-6233 1234", "1380013800", "138001380001", "未提供"];

/// How the rows of a table made here are made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixture {
    /// Different people with a mobile number, and so the most that two tables of this size can share.
    pub people: u64,
    /// Further rows of the same people, two in a hundred, mostly in another notation.
    pub duplicates: u64,
    /// Rows whose mobile number is none, two in a thousand.
    pub invalid: u64,
}

impl Mixture {
    /// The mixture of a table with this many rows.
    #[must_use]
    pub fn of(rows: u64) -> Self {
        let (duplicates, invalid) = (rows / 50, rows / 500);
        Self { people: rows - duplicates - invalid, duplicates, invalid }
    }
}

/// Writes a bank's customers as CSV: `customer_id,name,mobile,segment,balance`.
///
/// Of the [`Mixture::people`], `overlap` are also members of the shop made with the same `overlap` and `seed`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if a table of `rows` rows cannot hold `overlap` people, or the number space cannot
/// hold `rows`; otherwise what `writer` returns.
pub fn write_bank_customers(rows: u64, overlap: u64, seed: u64, writer: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(["customer_id", "name", "mobile", "segment", "balance"])?;
    for_each_row(rows, overlap, seed, Table::Bank, |row, mobile, rng| {
        csv.write_field(format!("C{row:09}"))?;
        csv.write_field(name(rng))?;
        csv.write_field(mobile)?;
        csv.write_field(pick(&SEGMENTS, rng))?;
        csv.write_field(amount(rng))?;
        csv.write_record(None::<&[u8]>)
    })?;
    csv.flush()
}

/// Writes a shop's members as CSV: `phone,member,city,spent`.
///
/// Of the [`Mixture::people`], `overlap` are also customers of the bank made with the same `overlap` and `seed`.
///
/// # Errors
/// As [`write_bank_customers`].
pub fn write_shop_members(rows: u64, overlap: u64, seed: u64, writer: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(["phone", "member", "city", "spent"])?;
    for_each_row(rows, overlap, seed, Table::Shop, |_, mobile, rng| {
        csv.write_field(mobile)?;
        csv.write_field(name(rng))?;
        csv.write_field(pick(&CITIES, rng))?;
        csv.write_field(amount(rng))?;
        csv.write_record(None::<&[u8]>)
    })?;
    csv.flush()
}

/// The mobile numbers that both tables hold, as eleven digits, in no useful order.
pub fn shared_numbers(overlap: u64, seed: u64) -> impl Iterator<Item = String> {
    let mobiles = Permutation::new(MOBILES, "mobiles", seed);
    (0..overlap).map(move |person| mobile(&mobiles, person))
}

/// Writes clean, distinct identifiers with one number each as CSV: `id,v`, where `id` is `user-` and the fifteen digits
/// of every number from `offset` to `offset + rows - 1`, shuffled.
///
/// This is the input of the benches: two such tables share as many rows as their ranges do.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if a number would need more than fifteen digits; otherwise what `writer` returns.
pub fn write_bench_ids(rows: u64, offset: u64, seed: u64, writer: impl Write) -> io::Result<()> {
    if offset.checked_add(rows).is_none_or(|end| end > 1_000_000_000_000_000) {
        return Err(refused(format!("{rows} identifiers from {offset} on need more than fifteen digits")));
    }
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(["id", "v"])?;
    let order = Permutation::new(rows, "bench order", seed);
    for row in 0..rows {
        let number = offset + order.at(row);
        csv.write_field(format!("user-{number:015}"))?;
        csv.write_field((number * 7).to_string())?;
        csv.write_record(None::<&[u8]>)?;
    }
    csv.flush()
}

#[derive(Clone, Copy)]
enum Table {
    Bank,
    Shop,
}

/// Calls `write` with the number, the mobile column and a generator for the other columns of each row in turn.
fn for_each_row(
    rows: u64,
    overlap: u64,
    seed: u64,
    table: Table,
    mut write: impl FnMut(u64, &str, &mut ChaCha8Rng) -> csv::Result<()>,
) -> io::Result<()> {
    let mixture = Mixture::of(rows);
    if rows > FIRST_SHOP_ONLY {
        return Err(refused(format!("{rows} rows, at most {FIRST_SHOP_ONLY} have numbers of their own")));
    }
    if overlap > mixture.people {
        return Err(refused(format!("{overlap} shared people, but {rows} rows hold only {}", mixture.people)));
    }
    let label = match table {
        Table::Bank => "bank",
        Table::Shop => "shop",
    };
    let mobiles = Permutation::new(MOBILES, "mobiles", seed);
    let order = Permutation::new(rows, label, seed);
    let mut rng = generator(label, seed);
    let mut column = String::new();
    for row in 0..rows {
        let slot = order.at(row);
        column.clear();
        if slot < mixture.people + mixture.duplicates {
            let member = slot % mixture.people;
            let person = match table {
                Table::Shop if member >= overlap => FIRST_SHOP_ONLY + member,
                _ => member,
            };
            notate(&mobile(&mobiles, person), &mut rng, &mut column);
        } else {
            column.push_str(pick(&NOT_A_MOBILE, &mut rng));
        }
        write(row, &column, &mut rng)?;
    }
    Ok(())
}

/// A person's number in its canonical form: eleven digits.
fn mobile(mobiles: &Permutation, person: u64) -> String {
    (13_000_000_000 + mobiles.at(person)).to_string()
}

/// Writes a canonical number in one of the notations that people use.
fn notate(mobile: &str, rng: &mut impl Rng, column: &mut String) {
    let (operator, area, line) = (&mobile[..3], &mobile[3..7], &mobile[7..]);
    let parts: &[&str] = match rng.random_range(0..20) {
        0..8 => &[mobile],
        8..11 => &["+86 ", operator, "-", area, "-", line],
        11..13 => &["0086", mobile],
        13..15 => &[operator, " ", area, " ", line],
        15..17 => &[operator, "-", area, "-", line],
        17 => &["+86", mobile],
        18 => &[" ", mobile, " "],
        _ => {
            // Full-width digits, as a Chinese input method leaves them.
            let full_width = |digit: u8| char::from_u32(0xff10 + u32::from(digit - b'0'));
            column.extend(mobile.bytes().filter_map(full_width));
            return;
        }
    };
    parts.iter().for_each(|part| column.push_str(part));
}

fn name(rng: &mut impl Rng) -> String {
    let (surname, given) = (pick(&SURNAMES, rng), pick(&GIVEN_NAMES, rng));
    match rng.random_range(0..10) {
        0..6 => format!("{surname}{given}"),
        6..9 => format!("{surname}, {given}"),
        _ => format!("{given} \"{surname}\""),
    }
}

/// A sum of money with two decimals; small ones are more frequent.
fn amount(rng: &mut impl Rng) -> String {
    let limit = 10_u64.pow(rng.random_range(3..8));
    let cents = rng.random_range(0..limit);
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn pick<'a>(choices: &[&'a str], rng: &mut impl Rng) -> &'a str {
    choices[rng.random_range(0..choices.len())]
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// An independent generator for one use of a seed.
fn generator(label: &str, seed: u64) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..8 + label.len()].copy_from_slice(label.as_bytes());
    ChaCha8Rng::from_seed(bytes)
}

/// A shuffle of `0..size` that needs no memory: a small Feistel network, walked until it lands in the range again.
/// It looks random and hides nothing.
struct Permutation {
    size: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Permutation {
    fn new(size: u64, label: &str, seed: u64) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        let mut rng = generator(label, seed);
        Self { size, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    /// Where `index`, which is below the size, goes.
    fn at(&self, index: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let mut place = index;
        loop {
            let (mut left, mut right) = (place >> self.half_bits, place & mask);
            for key in self.keys {
                let mixed = (right ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (left, right) = (right, left ^ (mixed >> 32 & mask));
            }
            place = left << self.half_bits | right;
            if place < self.size {
                return place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// What a reader makes of a notation, written apart from the module: digits of any width, without the country.
    fn canonical(column: &str) -> Option<String> {
        let digits: String = column
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '+'))
            .map(|c| match c {
                '\u{ff10}'..='\u{ff19}' => char::from(b'0' + (c as u32 - 0xff10) as u8),
                other => other,
            })
            .collect();
        let digits = digits.strip_prefix("0086").or(digits.strip_prefix("86")).unwrap_or(&digits);
        let fits = digits.len() == 11 && digits.starts_with('1') && digits.bytes().all(|b| b.is_ascii_digit());
        (fits && digits.as_bytes()[1] >= b'3').then(|| digits.to_owned())
    }

    fn column(table: &[u8], name: &str) -> Vec<String> {
        let mut reader = csv::Reader::from_reader(table);
        let at = reader.headers().unwrap().iter().position(|header| header == name).unwrap();
        reader.records().map(|record| record.unwrap()[at].to_owned()).collect()
    }

    fn tables(rows: u64, overlap: u64, seed: u64) -> (Vec<u8>, Vec<u8>) {
        let (mut bank, mut shop) = (Vec::new(), Vec::new());
        write_bank_customers(rows, overlap, seed, &mut bank).unwrap();
        write_shop_members(rows, overlap, seed, &mut shop).unwrap();
        (bank, shop)
    }

    #[test]
    fn the_tables_share_exactly_the_numbers_that_the_oracle_names() {
        for (rows, overlap) in [(0, 0), (1, 1), (10, 0), (1_000, 300), (20_000, 19_560)] {
            let (bank, shop) = tables(rows, overlap, 5);
            let numbers = |table, name| -> BTreeSet<String> {
                column(table, name).iter().filter_map(|mobile| canonical(mobile)).collect()
            };
            let (bank, shop) = (numbers(&bank, "mobile"), numbers(&shop, "phone"));
            let shared: BTreeSet<String> = shared_numbers(overlap, 5).collect();
            assert_eq!(bank.intersection(&shop).cloned().collect::<BTreeSet<_>>(), shared, "{rows} rows");
            assert_eq!(shared.len() as u64, overlap);
            assert_eq!(bank.len() as u64, Mixture::of(rows).people);
            assert_eq!(shop.len() as u64, Mixture::of(rows).people);
        }
    }

    #[test]
    fn rows_are_as_many_and_as_messy_as_the_mixture_says() {
        let (bank, _) = tables(10_000, 100, 1);
        let mobiles = column(&bank, "mobile");
        let valid: Vec<String> = mobiles.iter().filter_map(|mobile| canonical(mobile)).collect();
        let mixture = Mixture::of(10_000);
        assert_eq!(mobiles.len(), 10_000);
        assert_eq!((mobiles.len() - valid.len()) as u64, mixture.invalid);
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        valid.iter().for_each(|mobile| *seen.entry(mobile).or_default() += 1);
        assert_eq!(seen.values().filter(|count| **count == 2).count() as u64, mixture.duplicates);
        for sign in ["+86 1", "0086", " ", "-", "\u{ff11}"] {
            assert!(mobiles.iter().any(|mobile| mobile.contains(sign)), "no number is written with {sign:?}");
        }
        let names = column(&bank, "name");
        for sign in [',', '"', '王', 'é'] {
            assert!(names.iter().any(|name| name.contains(sign)), "no name is written with {sign:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        assert_eq!(tables(500, 100, 7), tables(500, 100, 7));
        let (first, second) = (tables(500, 100, 7), tables(500, 100, 8));
        assert_ne!(first.0, second.0);
        assert_ne!(first.1, second.1);
    }

    #[test]
    fn an_overlap_that_the_rows_cannot_hold_is_refused() {
        for (rows, overlap) in [(0, 1), (1_000, 979), (FIRST_SHOP_ONLY + 1, 0)] {
            let error = write_bank_customers(rows, overlap, 1, io::sink()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn bench_identifiers_are_distinct_twenty_characters_long_and_shuffled() {
        let mut table = Vec::new();
        write_bench_ids(1_000, 500, 3, &mut table).unwrap();
        let ids = column(&table, "id");
        let sorted: BTreeSet<String> = ids.iter().cloned().collect();
        let expected: BTreeSet<String> = (500..1_500).map(|number| format!("user-{number:015}")).collect();
        assert_eq!(sorted, expected);
        assert!(!ids.is_sorted(), "the order of the numbers does not show");
        assert_eq!(column(&table, "v").iter().map(|v| v.parse::<u64>().unwrap()).sum::<u64>(), 7 * 999_500);
        assert!(write_bench_ids(2, 999_999_999_999_999, 3, io::sink()).is_err());
    }

    #[test]
    fn a_permutation_reaches_every_place_once() {
        for size in [1, 2, 3, 100, 4_097] {
            let order = Permutation::new(size, "test", 1);
            let reached: BTreeSet<u64> = (0..size).map(|index| order.at(index)).collect();
            assert_eq!(reached, (0..size).collect(), "{size}");
        }
    }
}
