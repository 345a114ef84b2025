//! The curve kernel as operators see it: which backend runs here, and what one item costs.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use tacitly_curve25519_batch::{Backend, SecretScalar, hash_mul_encode, mul_encode};

/// The name of the backend that this machine runs.
#[must_use]
pub fn backend() -> &'static str {
    Backend::default_of_process().name()
}

/// Makes this process use the backend of this name, or the fastest that runs here if it is `auto`.
///
/// # Errors
/// Says which names there are, or that the backend does not run here or another was used before.
pub fn choose(name: &str) -> Result<(), String> {
    match named(name)? {
        Some(chosen) => chosen.set_default().map_err(|refused| refused.to_string()),
        None => Ok(()),
    }
}

/// Whether there is a backend of this name here, without choosing it.
///
/// # Errors
/// Says which names there are.
pub fn check(name: &str) -> Result<(), String> {
    named(name).map(drop)
}

fn named(name: &str) -> Result<Option<Backend>, String> {
    if name == "auto" {
        return Ok(None);
    }
    let known = || Backend::available().map(Backend::name).collect::<Vec<_>>().join(", ");
    let chosen = Backend::available().find(|backend| backend.name() == name);
    chosen.map(Some).ok_or_else(|| format!("limits.kernel is auto or one of: {}; there is no {name:?} here", known()))
}

/// What one item costs on one core: hash, map, both multiplications and encoding, measured now over `items` items.
#[must_use]
pub fn measure_per_item(items: usize) -> Duration {
    let key = SecretScalar::random(&mut ChaCha20Rng::from_seed([1; 32]));
    let uniform: Vec<[u8; 32]> = (0..items as u64)
        .map(|item| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&item.to_le_bytes());
            bytes
        })
        .collect();
    let mut once = vec![[0; 32]; items];
    let mut twice = vec![[0; 32]; items];
    let work = || {
        let begin = Instant::now();
        hash_mul_encode(&key, &uniform, &mut once);
        // The input is our own output, so no point is bad.
        let _all_good = mul_encode(&key, &once, &mut twice);
        begin.elapsed() / u32::try_from(items.max(1)).unwrap_or(u32::MAX)
    };
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(single) => single.install(work),
        Err(_) => Duration::ZERO,
    }
}
