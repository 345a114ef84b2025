//! Panics of a foreign decoder on a damaged file, caught without a word.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static MUFFLED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic; none if it did. The panic's message, which may quote what stood in the file, is not printed: the
/// process's panic hook is passed over for it, and stays as it is for every other panic.
pub(super) fn muffled<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !MUFFLED.get() {
                others(info);
            }
        }));
    });
    let outside = MUFFLED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    MUFFLED.set(outside);
    result.ok()
}
