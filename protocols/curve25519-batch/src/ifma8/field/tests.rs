//! The field layer with every register at its proven maximum, against big integers.

use num_bigint::BigUint;

use super::super::lanes;
use super::super::tests::{bytes, digits, numbers, on_ifma8};
use super::*;
use crate::oracle::{self, prime};

const MOST_OF_DIGIT_4: u64 = (1 << 47) + (1 << 13) - 1;
const MOST_OF_COLUMN: u64 = (1 << 59) - 1;
const MOST_OF_SUBTRAHEND: u64 = (1 << 57) - (1 << 15) - 1;

/// Every choice of registers whose lanes are all 0 or all `most`.
fn extremes(most: [u64; 5]) -> impl Iterator<Item = [u64; 5]> {
    (0..32).map(move |choice| std::array::from_fn(|i| if choice >> i & 1 == 1 { most[i] } else { 0 }))
}

/// Every choice of digits that are 0 or as large as can be, each with bits above it that mean nothing.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
fn extreme_digits() -> Vec<(Digits, BigUint)> {
    let mut all = Vec::new();
    for limbs in extremes([LOW_52, LOW_52, LOW_52, LOW_52, MOST_OF_DIGIT_4]) {
        for above in [0, 0xabc << 52] {
            let [a, b, c, d, e] = limbs;
            let registers = columns([a | above, b | above, c | above, d | above, e]);
            all.push((Digits(registers), oracle::from_limbs(&limbs, 52)));
        }
    }
    all
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[track_caller]
fn assert_digits(digits: Digits, expected: &BigUint) {
    digits.debug_assert_bound();
    assert_eq!(bytes(digits), [oracle::to_bytes(&(expected % prime())); 8]);
}

/// That columns stand for `expected`, and no column is above `most`.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[track_caller]
fn assert_columns(columns: [Lanes; 5], most: u64, expected: &BigUint) {
    for column in columns {
        assert!(lanes::store(column).iter().all(|column| *column <= most), "a column is out of bounds");
    }
    assert_eq!(&numbers(&columns, 52)[7] % prime(), expected % prime());
    assert_digits(carry(columns), expected);
}

#[test]
fn products_of_the_largest_digits_are_right_and_in_bounds() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        for (a, number) in extreme_digits() {
            let square = &number * &number;
            assert_columns(a.square().0, (1 << 56) - 1, &square);
            assert_columns(a.square_lifted().0, (1 << 58) - 1, &square);
            assert_columns(a.to_columns().0, LOW_52, &number);
            assert_columns(a.to_lifted().0, (1 << 58) - 1, &number);
            for factor in [1, 121_666, (1 << 40) - 1] {
                assert_columns(a.times_small(factor).0, (1 << 56) - 1, &(&number * factor));
            }
            let fixed = Fixed::new(&a);
            for (b, other) in extreme_digits() {
                let product = &number * &other;
                assert_columns(a.times(&b).0, (1 << 56) - 1, &product);
                assert_columns(a.times_lifted(&b).0, (1 << 58) - 1, &product);
                assert_columns(b.times_fixed(&fixed).0, (1 << 56) - 1, &product);
            }
        }
    }
    on_ifma8(test);
}

#[test]
fn sums_and_differences_of_the_largest_columns_are_right() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        let lift = oracle::from_limbs(&LIFT, 52);
        assert_eq!(&lift % prime(), BigUint::ZERO);
        for limbs in extremes([MOST_OF_COLUMN; 5]) {
            assert_digits(carry(columns(limbs)), &oracle::from_limbs(&limbs, 52));
        }
        for limbs in extremes([MOST_OF_SUBTRAHEND; 5]) {
            let (subtrahend, number) = (Columns(columns(limbs)), oracle::from_limbs(&limbs, 52));
            for small in [-1, 0, 1] {
                let lifted = Lifted::small(small);
                let expected = &lift + u8::try_from(small + 1).unwrap() - 1u8;
                assert_columns(lifted.minus(&subtrahend).0, (1 << 58) - 1, &(&expected - &number));
                assert_columns(lifted.plus(&subtrahend).0, (1 << 58) - 1, &(&expected + &number));
            }
            assert_columns(subtrahend.plus(&subtrahend).0, (1 << 58) - 1, &(&number * 2u8));
        }
    }
    on_ifma8(test);
}

#[test]
fn a_carry_reaches_the_last_digit() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        // One more in column 0 makes every digit overflow into the next.
        let limbs = [LOW_52 + 1, LOW_52, LOW_52, LOW_52, LOW_47];
        assert_digits(carry(columns(limbs)), &oracle::from_limbs(&limbs, 52));
        // What passes the top comes around and goes up all the way.
        let limbs = [LOW_52 - 18, LOW_52, LOW_52, LOW_52, LOW_47 + 1];
        assert_digits(carry(columns(limbs)), &oracle::from_limbs(&limbs, 52));
    }
    on_ifma8(test);
}

#[test]
fn words_come_back_below_the_prime() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        for group in oracle::numbers().chunks(8) {
            let found = bytes(digits(group));
            for (found, number) in found.iter().zip(group) {
                assert_eq!(*found, oracle::to_bytes(number));
            }
        }
        // Zero has two forms in bounds: 0 and p.
        for (number, is_zero, is_minus_one) in [
            (BigUint::ZERO, 0xff, 0),
            (prime(), 0xff, 0),
            (prime() - 1u8, 0, 0xff),
            (prime() + 1u8, 0, 0),
            (BigUint::from(1u8), 0, 0),
        ] {
            let digits = digits(&vec![number.clone(); 8]);
            assert_eq!((digits.is_zero(), digits.is_minus_one()), (is_zero, is_minus_one), "{number}");
        }
    }
    on_ifma8(test);
}

#[test]
fn wide_words_are_reduced() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        for number in oracle::numbers() {
            let wide: BigUint = (&number << 129u32) + (&number >> 126u32);
            let mut words = wide.to_u64_digits();
            words.resize(6, 0);
            let [a, b, c, d, e, f] = words.try_into().unwrap();
            assert_digits(Digits::from_wide_words([all(a), all(b), all(c), all(d), all(e), all(f)]), &wide);
        }
    }
    on_ifma8(test);
}

#[test]
fn each_lane_is_selected_by_its_own_bit() {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn test() {
        let selected = Digits::select(0b1010_0001, &Digits::small(3), &Digits::small(5));
        assert_eq!(bytes(selected).map(|bytes| bytes[0]), [5, 3, 3, 3, 3, 5, 3, 5]);
    }
    on_ifma8(test);
}
