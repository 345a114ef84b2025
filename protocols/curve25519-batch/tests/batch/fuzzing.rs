//! The bodies of the fuzz targets on inputs like those a fuzzer begins with.

use crate::oracle::{prime_plus, random_bytes, rng, small};
use tacitly_curve25519_batch::fuzzing;

#[test]
fn mul_encode_holds_on_random_and_on_bad_points() {
    let mut rng = rng(1);
    for length in 0..12 {
        let mut blocks = random_bytes(&mut rng, length);
        fuzzing::mul_encode(blocks.as_flattened());
        // Two keys, then points below the prime, then a bad one among them.
        blocks.iter_mut().skip(2).for_each(|u| u[31] &= 0x3f);
        fuzzing::mul_encode(blocks.as_flattened());
        for bad in [small(0), small(1), prime_plus(-1), prime_plus(0), [0xff; 32]] {
            if let Some(last) = blocks.iter_mut().skip(2).last() {
                *last = bad;
                fuzzing::mul_encode(blocks.as_flattened());
            }
        }
    }
    fuzzing::mul_encode(&[0; 200]);
    fuzzing::mul_encode(&[0xff; 2_000]);
}
