//! The bodies of this crate's fuzz targets, as ordinary functions, so that a test can replay a corpus.

use crate::{Backend, BadPoint, SecretScalar, hash_mul_encode_with, mul_encode_with};

/// Points of one run at most: a few registers and a tail.
const MOST: usize = 41;

/// Takes two keys and points from `data` and multiplies on every backend.
///
/// # Panics
/// If the backends differ, the keys do not commute, or the index of a bad point is not the first: never, if this crate
/// is right.
pub fn mul_encode(data: &[u8]) {
    let (blocks, _) = data.as_chunks::<32>();
    let Some(([a, b], input)) = blocks.split_first_chunk::<2>() else { return };
    let (Some(a), Some(b)) = (key(*a), key(*b)) else { return };
    let input = &input[..input.len().min(MOST)];

    match multiplied(&a, input) {
        Ok(by_a) => {
            let by_b = multiplied(&b, input).expect("whether a point is bad does not depend on the key");
            assert_eq!(multiplied(&b, &by_a), multiplied(&a, &by_b), "the keys commute, on the twist as well");
        }
        Err(BadPoint { index }) => {
            assert!(multiplied(&b, &input[..index]).is_ok(), "no point before the first bad one is bad");
            assert_eq!(multiplied(&b, &input[index..]), Err(BadPoint { index: 0 }), "it is bad alone as well");
        }
    }

    // The same bytes as messages: whatever they hash to, the first key comes off again.
    let hashed = same_on_all(|backend| {
        let mut out = vec![[0; 32]; input.len()];
        hash_mul_encode_with(backend, &b, input, &mut out);
        out
    });
    let both = multiplied(&a, &hashed).expect("a hash is of large order");
    assert_eq!(multiplied(&a.stripping(), &both).as_ref(), Ok(&hashed), "what a key did, its stripping scalar undoes");
}

/// A key from any bytes, so that few runs are wasted.
fn key(mut bytes: [u8; 32]) -> Option<SecretScalar> {
    bytes[31] &= 0x0f;
    SecretScalar::from_bytes(&bytes)
}

fn multiplied(key: &SecretScalar, input: &[[u8; 32]]) -> Result<Vec<[u8; 32]>, BadPoint> {
    same_on_all(|backend| {
        let mut out = vec![[0; 32]; input.len()];
        mul_encode_with(backend, key, input, &mut out).map(|()| out)
    })
}

/// What `compute` gives on every backend of this CPU.
fn same_on_all<T: PartialEq>(compute: impl Fn(Backend) -> T) -> T {
    let result = compute(Backend::Portable);
    for backend in Backend::available() {
        assert!(compute(backend) == result, "{backend} differs from {}", Backend::Portable);
    }
    result
}
