//! Between arrays and registers.

use std::arch::x86_64::{__m512i, _mm512_loadu_si512, _mm512_storeu_si512};

/// Points in a register.
pub(super) const LANES: usize = 8;

/// One 64-bit number per point.
pub(super) type Lanes = __m512i;

/// The register with these numbers.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn load(numbers: &[u64; LANES]) -> Lanes {
    // SAFETY: the pointer is to 64 readable bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

/// The numbers of this register.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn store(lanes: Lanes) -> [u64; LANES] {
    let mut numbers = [0; LANES];
    // SAFETY: the pointer is to 64 bytes that are ours to write, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), lanes) };
    numbers
}

/// The four little-endian words of at most eight items, the least significant first; zeros in lanes without an item.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn words(items: &[[u8; 32]]) -> [Lanes; 4] {
    let mut numbers = [[0; LANES]; 4];
    for (lane, item) in items.iter().enumerate() {
        let (words, _) = item.as_chunks::<8>();
        for (numbers, word) in numbers.iter_mut().zip(words) {
            numbers[lane] = u64::from_le_bytes(*word);
        }
    }
    let [a, b, c, d] = &numbers;
    [load(a), load(b), load(c), load(d)]
}

/// The reverse of [`words`]: lanes beyond `items` are dropped.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn write(words: &[Lanes; 4], items: &mut [[u8; 32]]) {
    let [a, b, c, d] = *words;
    let numbers = [store(a), store(b), store(c), store(d)];
    for (lane, item) in items.iter_mut().enumerate() {
        let (bytes, _) = item.as_chunks_mut::<8>();
        for (bytes, numbers) in bytes.iter_mut().zip(&numbers) {
            *bytes = numbers[lane].to_le_bytes();
        }
    }
}
