//! Secret random orders.

use rand::Rng;
use tacitly_core::Seed;
use zeroize::Zeroizing;

/// A uniformly random order of `0..len`: Fisher and Yates, drawing by Lemire's method from ChaCha20.
///
/// It is written out here, since the same seed must give the same order in every version: a session that resumes after
/// an upgrade has to send the same bytes again.
pub(crate) fn random_order(len: u32, seed: Seed) -> Zeroizing<Vec<u32>> {
    let mut rng = seed.into_rng();
    let mut order: Zeroizing<Vec<u32>> = Zeroizing::new((0..len).collect());
    for last in (1..len).rev() {
        order.swap(last as usize, below(last + 1, &mut rng) as usize);
    }
    order
}

/// A uniform number below `bound`, which is not 0.
fn below(bound: u32, rng: &mut impl Rng) -> u32 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(rng.next_u32()) * u64::from(bound);
        if wide as u32 >= threshold {
            return (wide >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_every_place_once_and_depends_on_the_seed() {
        let order = random_order(1000, Seed::from_bytes([1; 32]));
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_eq!(order, random_order(1000, Seed::from_bytes([1; 32])));
        assert_ne!(order, random_order(1000, Seed::from_bytes([2; 32])));
        assert!(random_order(0, Seed::from_bytes([1; 32])).is_empty());
    }

    #[test]
    fn all_orders_of_four_are_about_equally_frequent() {
        let mut seen = std::collections::BTreeMap::<Vec<u32>, u32>::new();
        for round in 0..4800_u32 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&round.to_le_bytes());
            *seen.entry(random_order(4, Seed::from_bytes(seed)).to_vec()).or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        // 200 expected each; 5 standard deviations are 70.
        assert!(seen.values().all(|count| (130..270).contains(count)), "{seen:?}");
    }
}
