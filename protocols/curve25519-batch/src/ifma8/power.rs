//! Fixed powers. Several registers at once, as one alone would wait for each square before the next.

use super::field::Digits;

/// The inverses; 0 for 0.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn inverses<const N: usize>(numbers: [Digits; N]) -> [Digits; N] {
    // p − 2 = 2^255 − 21 = (2^250 − 1) · 2^5 + 11
    let (run, eleventh) = powers_of_250_ones(&numbers);
    products(&squared_times(run, 5), &eleventh)
}

/// The Legendre symbols: 1 for squares, −1 for others, 0 for 0.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn symbols<const N: usize>(numbers: [Digits; N]) -> [Digits; N] {
    // (p − 1) / 2 = 2^254 − 10 = (2^250 − 1) · 2^4 + 6
    let (run, _) = powers_of_250_ones(&numbers);
    let cubes = products(&squared_times(numbers, 1), &numbers);
    products(&squared_times(run, 4), &squared_times(cubes, 1))
}

/// The powers of 2^250 − 1 and of 11.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn powers_of_250_ones<const N: usize>(numbers: &[Digits; N]) -> ([Digits; N], [Digits; N]) {
    let second = squared_times(*numbers, 1);
    let ninth = products(&squared_times(second, 2), numbers);
    let eleventh = products(&ninth, &second);
    let ones_5 = products(&squared_times(eleventh, 1), &ninth);
    // Each run of ones is the last one, shifted, times a run for the places that came free.
    let mut runs = [ones_5; 8];
    for (i, (places, filled_by)) in
        [(5, 0), (10, 1), (20, 2), (10, 1), (50, 4), (100, 5), (50, 4)].into_iter().enumerate()
    {
        runs[i + 1] = products(&squared_times(runs[i], places), &runs[filled_by]);
    }
    (runs[7], eleventh)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn squared_times<const N: usize>(mut numbers: [Digits; N], times: usize) -> [Digits; N] {
    for _ in 0..times {
        for number in &mut numbers {
            *number = number.square().carried();
        }
    }
    numbers
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn products<const N: usize>(a: &[Digits; N], b: &[Digits; N]) -> [Digits; N] {
    let mut products = *a;
    for (product, b) in products.iter_mut().zip(b) {
        *product = product.times(b).carried();
    }
    products
}

#[cfg(test)]
mod tests {
    use super::super::LANES;
    use super::super::tests::{bytes, digits, on_ifma8};
    use super::*;
    use crate::oracle;

    #[test]
    fn inverses_and_symbols_are_those_of_big_integers() {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
        fn test() {
            for group in oracle::numbers().chunks(3 * LANES) {
                let mut registers = [Digits::small(0); 3];
                for (register, group) in registers.iter_mut().zip(group.chunks(LANES)) {
                    *register = digits(group);
                }
                let (inverses, symbols) = (inverses(registers), symbols(registers));
                for (i, number) in group.iter().enumerate() {
                    let (register, lane) = (i / LANES, i % LANES);
                    assert_eq!(bytes(inverses[register])[lane], oracle::to_bytes(&oracle::inverse(number)));
                    assert_eq!(bytes(symbols[register])[lane], oracle::to_bytes(&oracle::symbol(number)));
                    let minus_one = symbols[register].is_minus_one() >> lane & 1 == 1;
                    assert_eq!(minus_one, oracle::symbol(number) == oracle::prime() - 1u8);
                }
            }
        }
        on_ifma8(test);
    }
}
