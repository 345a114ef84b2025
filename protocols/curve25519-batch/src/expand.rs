//! `hash_to_field` of RFC 9380 for 32-byte messages under one tag: what to feed to SHA-512.
//!
//! `expand_message_xmd` for 48 bytes takes two hashes. The first begins with a block of zeros, which is the same for
//! every message, so its state is a constant; then both hashes are one block each. The tag is chosen that long: the
//! second block is full to the last byte.

/// The domain separation tag of the map to the curve.
pub const DST: &[u8] = b"tacitly-psi-1-curve25519_XMD:SHA-512_ELL2_NU_";

/// Bytes of uniform output per field element: ⌈(255 + 128) / 8⌉.
const LENGTH: u8 = 48;

/// The chaining value of SHA-512 after one block of zeros.
pub(crate) const AFTER_ZERO_BLOCK: [u64; 8] = [
    0xcf78_81d5_774a_cbe8,
    0x5333_62e0_fbc7_8070,
    0x0267_639d_8746_0eda,
    0x3086_cb40_e859_31b0,
    0x717d_c952_88a0_23a3,
    0x96ba_b2c1_4ce0_b5e0,
    0x6fc4_fe04_eae3_3e0b,
    0x91f4_d80c_bd66_8bee,
];

/// The chaining value with which SHA-512 begins.
pub(crate) const START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The block hashed after the zeros: 32 bytes of message (left zero here), the length asked for, a zero, the tag.
pub(crate) const FIRST: [u8; 128] = block(32, &[0, LENGTH, 0], 128 + 32 + 3 + DST.len() + 1);

/// The block of the second hash: 64 bytes of the first hash (left zero here), a one, the tag.
pub(crate) const SECOND: [u8; 128] = block(64, &[1], 64 + 1 + DST.len() + 1);

/// A last block of SHA-512 for a message of `length` bytes: `gap` bytes to be filled in, `middle`, the tag, padding.
const fn block(gap: usize, middle: &[u8], length: usize) -> [u8; 128] {
    let mut block = [0; 128];
    let mut at = gap;
    let mut i = 0;
    while i < middle.len() {
        block[at] = middle[i];
        (at, i) = (at + 1, i + 1);
    }
    i = 0;
    while i < DST.len() {
        block[at] = DST[i];
        (at, i) = (at + 1, i + 1);
    }
    block[at] = DST.len() as u8;
    block[at + 1] = 0x80;
    assert!(at + 2 <= 112, "the length field begins at byte 112");
    let bits = 8 * length;
    block[126] = (bits >> 8) as u8;
    block[127] = bits as u8;
    block
}

#[cfg(test)]
pub(crate) mod tests {
    use num_bigint::BigUint;
    use sha2::{Digest, Sha512};

    use super::*;
    use crate::oracle;

    /// What a message of this crate hashes to.
    pub(crate) fn hash_to_field(message: &[u8]) -> BigUint {
        BigUint::from_bytes_be(&expand_message_xmd(message, DST, LENGTH)) % oracle::prime()
    }

    /// `expand_message_xmd` of RFC 9380, section 5.3.1, over SHA-512, for at most 64 bytes: written from the text, for
    /// any message and tag.
    fn expand_message_xmd(message: &[u8], tag: &[u8], length: u8) -> Vec<u8> {
        let tail = [tag, &[tag.len() as u8]].concat();
        let first = Sha512::digest([&[0; 128], message, &[0, length, 0], &tail].concat());
        let second = Sha512::digest([first.as_slice(), &[1], &tail].concat());
        second[..usize::from(length)].to_vec()
    }

    #[test]
    fn the_constants_are_those_of_sha_512() {
        let mut state = START;
        sha2::block_api::compress512(&mut state, &[[0; 128]]);
        assert_eq!(state, AFTER_ZERO_BLOCK, "{state:#x?}");
    }

    #[test]
    fn the_oracle_gives_the_published_field_elements() {
        let (tag, vectors) = oracle::rfc_9380();
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let uniform = expand_message_xmd(vector.message.as_bytes(), tag.as_bytes(), LENGTH);
            assert_eq!(BigUint::from_bytes_be(&uniform) % oracle::prime(), vector.u);
            assert_eq!(oracle::map_to_curve(&vector.u), vector.mapped);
        }
    }
}
