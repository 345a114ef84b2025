//! SHA-512 of eight messages at once, and `hash_to_field` with it.

use std::arch::x86_64::{
    _mm512_add_epi64, _mm512_ror_epi64, _mm512_set1_epi64, _mm512_srli_epi64, _mm512_ternarylogic_epi64,
};

use super::field::Digits;
use super::lanes::{self, Lanes};
use crate::expand;

/// `hash_to_field` of RFC 9380 for eight messages of 32 bytes, given as little-endian words.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
pub(super) fn hash_to_field(message: [Lanes; 4]) -> Digits {
    let mut block = constant_block(&expand::FIRST);
    for (word, message) in block.iter_mut().zip(message) {
        *word = bytes_reversed(message);
    }
    let first = compress(&expand::AFTER_ZERO_BLOCK, block);

    let mut block = constant_block(&expand::SECOND);
    block[..8].copy_from_slice(&first);
    let [a, b, c, d, e, f, ..] = compress(&expand::START, block);
    Digits::from_wide_words([f, e, d, c, b, a])
}

/// One block with eight contents after one common chaining value.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn compress(chaining: &[u64; 8], mut words: [Lanes; 16]) -> [Lanes; 8] {
    let mut state = [all(0); 8];
    for (state, chaining) in state.iter_mut().zip(chaining) {
        *state = all(*chaining);
    }
    let start = state;
    for (round, constants) in CONSTANTS.as_chunks::<16>().0.iter().enumerate() {
        if round > 0 {
            extend(&mut words);
        }
        for (word, constant) in words.iter().zip(constants) {
            let [a, b, c, d, e, f, g, h] = state;
            let input = sum([h, upper_sigma_1(e), choose(e, f, g), sum([all(*constant), *word])]);
            let output = sum([upper_sigma_0(a), majority(a, b, c)]);
            state = [sum([input, output]), a, b, c, sum([d, input]), e, f, g];
        }
    }
    for (state, start) in state.iter_mut().zip(start) {
        *state = sum([*state, start]);
    }
    state
}

/// The next sixteen words of the message schedule.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn extend(words: &mut [Lanes; 16]) {
    for i in 0..16 {
        let at = |offset: usize| words[(i + offset) % 16];
        words[i] = sum([at(0), lower_sigma_0(at(1)), at(9), lower_sigma_1(at(14))]);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn upper_sigma_0(a: Lanes) -> Lanes {
    xor(_mm512_ror_epi64::<28>(a), _mm512_ror_epi64::<34>(a), _mm512_ror_epi64::<39>(a))
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn upper_sigma_1(e: Lanes) -> Lanes {
    xor(_mm512_ror_epi64::<14>(e), _mm512_ror_epi64::<18>(e), _mm512_ror_epi64::<41>(e))
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn lower_sigma_0(w: Lanes) -> Lanes {
    xor(_mm512_ror_epi64::<1>(w), _mm512_ror_epi64::<8>(w), _mm512_srli_epi64::<7>(w))
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn lower_sigma_1(w: Lanes) -> Lanes {
    xor(_mm512_ror_epi64::<19>(w), _mm512_ror_epi64::<61>(w), _mm512_srli_epi64::<6>(w))
}

/// `f` where `e` has a one, `g` where it has a zero.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn choose(e: Lanes, f: Lanes, g: Lanes) -> Lanes {
    _mm512_ternarylogic_epi64::<0xca>(e, f, g)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn majority(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    _mm512_ternarylogic_epi64::<0xe8>(a, b, c)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn xor(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn sum<const N: usize>(terms: [Lanes; N]) -> Lanes {
    let mut sum = terms[0];
    for term in &terms[1..] {
        sum = _mm512_add_epi64(sum, *term);
    }
    sum
}

/// `number` in every lane.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn all(number: u64) -> Lanes {
    _mm512_set1_epi64(number as i64)
}

/// The words of a block that is the same in every lane.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn constant_block(block: &[u8; 128]) -> [Lanes; 16] {
    let mut words = [all(0); 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = all(u64::from_be_bytes(*bytes));
    }
    words
}

/// Each 64-bit number with its bytes in reverse order.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
#[inline]
fn bytes_reversed(words: Lanes) -> Lanes {
    let mut numbers = lanes::store(words);
    numbers.iter_mut().for_each(|number| *number = number.swap_bytes());
    lanes::load(&numbers)
}

/// The round constants of FIPS 180-4: the first 64 bits of the fractions of the cube roots of the first 80 primes.
#[rustfmt::skip]
const CONSTANTS: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];

#[cfg(test)]
mod tests {
    use super::super::LANES;
    use super::super::tests::{bytes, on_ifma8};
    use super::*;
    use crate::oracle;

    #[test]
    fn messages_hash_to_the_field_as_the_rfc_says() {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
        fn test() {
            let messages: Vec<_> = oracle::numbers().iter().map(oracle::to_bytes).collect();
            for group in messages.chunks(LANES) {
                let found = bytes(hash_to_field(lanes::words(group)));
                for (found, message) in found.iter().zip(group) {
                    assert_eq!(*found, oracle::to_bytes(&expand::tests::hash_to_field(message)));
                }
            }
        }
        on_ifma8(test);
    }
}
