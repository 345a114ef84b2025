//! Every backend gives the bytes that curve25519-dalek gives, wherever a point stands in a batch.

use crate::oracle::{backends, hash_mul, mul, oracle_hash_mul, oracle_mul, random_bytes, random_points, rng, small};
use curve25519_dalek::Scalar;
use tacitly_curve25519_batch::{Backend, SecretScalar, hash_mul_encode, mul_encode};

fn agree_on_random_input(count: usize, seed: u64) {
    let mut rng = rng(seed);
    let key = SecretScalar::random(&mut rng);
    let uniform = random_bytes(&mut rng, count);
    let points = random_points(&mut rng, count);
    let (hashes, images) = (oracle_hash_mul(&key, &uniform), oracle_mul(&key, &points));
    for backend in backends() {
        assert!(hash_mul(backend, &key, &uniform) == hashes, "{backend}");
        assert!(mul(backend, &key, &points).unwrap() == images, "{backend}");
    }
}

#[test]
fn a_thousand_random_items_agree_with_dalek() {
    agree_on_random_input(1_000, 1);
}

#[test]
#[ignore = "half a minute of dalek"]
fn a_hundred_thousand_random_items_agree_with_dalek() {
    agree_on_random_input(100_000, 2);
}

#[test]
#[ignore = "ten seconds of the portable backend"]
fn a_hundred_thousand_random_items_agree_between_backends() {
    let mut rng = rng(3);
    let key = SecretScalar::random(&mut rng);
    let uniform = random_bytes(&mut rng, 100_000);
    let points = random_points(&mut rng, 100_000);
    let hashes = hash_mul(Backend::Portable, &key, &uniform);
    let images = mul(Backend::Portable, &key, &points).unwrap();
    for backend in backends() {
        assert!(hash_mul(backend, &key, &uniform) == hashes, "{backend}");
        assert!(mul(backend, &key, &points).unwrap() == images, "{backend}");
    }
}

#[test]
fn every_length_of_batch_agrees_with_dalek() {
    let mut rng = rng(4);
    let key = SecretScalar::random(&mut rng);
    let uniform = random_bytes(&mut rng, 1_100);
    let points = random_points(&mut rng, 1_100);
    let (hashes, images) = (oracle_hash_mul(&key, &uniform), oracle_mul(&key, &points));
    for backend in backends() {
        for length in (0..=40).chain([511, 512, 513, 1_024, 1_025, 1_100]) {
            assert!(hash_mul(backend, &key, &uniform[..length]) == hashes[..length], "{backend}, {length}");
            assert!(mul(backend, &key, &points[..length]).unwrap() == images[..length], "{backend}, {length}");
        }
    }
}

#[test]
fn a_point_has_one_image_in_every_lane() {
    let mut rng = rng(5);
    let key = SecretScalar::random(&mut rng);
    let uniform = random_bytes(&mut rng, 40);
    let points = random_points(&mut rng, 40);
    let (hashes, images) = (oracle_hash_mul(&key, &uniform), oracle_mul(&key, &points));
    for backend in backends() {
        for shift in 0..40 {
            let rotated = |all: &[[u8; 32]]| {
                let mut all = all.to_vec();
                all.rotate_left(shift);
                all
            };
            assert!(hash_mul(backend, &key, &rotated(&uniform)) == rotated(&hashes), "{backend}, {shift}");
            assert!(mul(backend, &key, &rotated(&points)).unwrap() == rotated(&images), "{backend}, {shift}");
        }
    }
}

#[test]
fn extreme_scalars_agree_with_dalek() {
    let eight = Scalar::from(8u8);
    let alternating = |byte| {
        let mut bytes = [byte; 32];
        bytes[31] &= 0x0f;
        Scalar::from_canonical_bytes(bytes).unwrap()
    };
    let mut largest = [0xff; 32];
    largest[31] = 0x0f;
    let largest = Scalar::from_canonical_bytes(largest).unwrap();
    // Extreme as a multiplier of hashes, then of points: those are multiplied by k/8.
    let extremes =
        [Scalar::ONE, Scalar::from(2u8), largest, alternating(0x55), alternating(0xaa), Scalar::from(1u64 << 63)];

    let mut rng = rng(6);
    let uniform = random_bytes(&mut rng, 17);
    let points = random_points(&mut rng, 17);
    for scalar in extremes.into_iter().flat_map(|scalar| [scalar, scalar * eight]) {
        let Some(key) = SecretScalar::from_bytes(scalar.as_bytes()) else {
            panic!("{scalar:?} is in range");
        };
        let (hashes, images) = (oracle_hash_mul(&key, &uniform), oracle_mul(&key, &points));
        for backend in backends() {
            assert!(hash_mul(backend, &key, &uniform) == hashes, "{backend}, {scalar:?}");
            assert!(mul(backend, &key, &points).unwrap() == images, "{backend}, {scalar:?}");
        }
    }
}

#[test]
fn two_keys_commute_across_backends() {
    let mut rng = rng(7);
    let (a, b) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
    let uniform = random_bytes(&mut rng, 100);
    let meet = mul(Backend::Portable, &b, &hash_mul(Backend::Portable, &a, &uniform)).unwrap();
    for first in backends() {
        for second in backends() {
            assert!(mul(second, &a, &hash_mul(first, &b, &uniform)).unwrap() == meet, "{first}, then {second}");
            assert!(mul(second, &b, &hash_mul(first, &a, &uniform)).unwrap() == meet, "{first}, then {second}");
        }
    }
}

#[test]
fn stripping_a_key_leaves_what_the_other_key_alone_gives() {
    let mut rng = rng(8);
    for _ in 0..4 {
        let (a, b) = (SecretScalar::random(&mut rng), SecretScalar::random(&mut rng));
        let uniform = random_bytes(&mut rng, 20);
        for backend in backends() {
            let both = mul(backend, &b, &hash_mul(backend, &a, &uniform)).unwrap();
            let stripped = mul(backend, &a.stripping(), &both).unwrap();
            assert!(stripped == hash_mul(backend, &b, &uniform), "{backend}");
        }
    }
    // Stripping 1 strips nothing.
    let one = SecretScalar::from_bytes(&small(1)).unwrap();
    let points = hash_mul(Backend::Portable, &one, &random_bytes(&mut rng, 3));
    assert_eq!(mul(Backend::Portable, &one.stripping(), &points).unwrap(), points);
}

#[test]
fn the_functions_without_a_backend_use_the_default() {
    let mut rng = rng(9);
    let key = SecretScalar::random(&mut rng);
    let uniform = random_bytes(&mut rng, 9);
    let (mut once, mut twice) = ([[0; 32]; 9], [[0; 32]; 9]);
    hash_mul_encode(&key, &uniform, &mut once);
    mul_encode(&key, &once, &mut twice).unwrap();
    assert_eq!(once.to_vec(), hash_mul(Backend::default_of_process(), &key, &uniform));
    assert_eq!(twice.to_vec(), mul(Backend::default_of_process(), &key, &once).unwrap());
}
