//! Inputs that an honest peer never sends: each is multiplied like any other, or refused at its place.

use crate::oracle::{backends, mul, oracle_mul, prime_plus, random_points, rng, small};
use data_encoding::HEXLOWER;
use tacitly_curve25519_batch::{BadPoint, SecretScalar};

/// The points of small order on the curve and on its twist; the two of order 8 are on the curve.
fn small_order() -> Vec<[u8; 32]> {
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap();
    vec![
        small(0),
        small(1),
        prime_plus(-1),
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ]
}

/// Numbers that are not below the prime, with and without bit 255.
fn not_canonical() -> Vec<[u8; 32]> {
    let mut bit_255 = small(9);
    bit_255[31] = 0x80;
    let mut all: Vec<_> = (0..=18).map(prime_plus).collect();
    all.extend([bit_255, [0xff; 32]]);
    all
}

#[test]
fn low_order_points_and_bad_encodings_are_refused_at_every_place() {
    let mut rng = rng(1);
    let key = SecretScalar::random(&mut rng);
    let good = random_points(&mut rng, 20);
    for backend in backends() {
        for bad in small_order().into_iter().chain(not_canonical()) {
            for index in [0, 1, 6, 7, 8, 15, 16, 19] {
                let mut input = good.clone();
                input[index] = bad;
                assert_eq!(mul(backend, &key, &input), Err(BadPoint { index }), "{backend}, {bad:?}");
            }
        }
    }
}

#[test]
fn the_first_of_several_bad_points_is_named() {
    let mut rng = rng(2);
    let key = SecretScalar::random(&mut rng);
    let good = random_points(&mut rng, 1_200);
    for backend in backends() {
        for (low_order, encoding) in [(3, 9), (9, 3), (600, 1_100), (1_100, 600), (4, 1_199), (1_199, 1_198)] {
            let mut input = good.clone();
            input[low_order] = small(1);
            input[encoding] = prime_plus(0);
            let index = low_order.min(encoding);
            assert_eq!(mul(backend, &key, &input), Err(BadPoint { index }), "{backend}");
        }
    }
}

#[test]
fn small_large_and_twist_points_agree_with_dalek() {
    let mut rng = rng(3);
    // 2 and p − 2 are on the twist, 9 is the base point; all ones are a long run of carries.
    let mut input = vec![small(2), prime_plus(-2), small(9), small(3), prime_plus(-3), prime_plus(-9)];
    for ones in 1..=254 {
        let mut u = [0; 32];
        (0..ones).for_each(|bit| u[bit / 8] |= 1 << (bit % 8));
        input.push(u);
        u = [0; 32];
        u[ones / 8] |= 1 << (ones % 8);
        input.push(u);
    }
    input.retain(|u| *u != small(1));
    for _ in 0..2 {
        let key = SecretScalar::random(&mut rng);
        let images = oracle_mul(&key, &input);
        for backend in backends() {
            assert!(mul(backend, &key, &input).unwrap() == images, "{backend}");
        }
    }
}

#[test]
fn the_oracle_too_gives_points_of_small_order_no_image() {
    let key = SecretScalar::random(&mut rng(4));
    assert!(oracle_mul(&key, &small_order()).iter().all(|u| *u == [0; 32]));
}

#[test]
#[should_panic(expected = "one place for each point")]
fn lengths_that_differ_are_the_callers_mistake() {
    let key = SecretScalar::random(&mut rng(5));
    tacitly_curve25519_batch::hash_mul_encode(&key, &[[0; 32]; 2], &mut [[0; 32]; 1]);
}
