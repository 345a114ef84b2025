//! Group commit: one thread writes what all callers brought meanwhile, synchronises once, and answers all.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault_point::reach;
use super::segment;
use super::state::{Core, Mode, State, Waiting};
use super::tiles::WIDTH;
use super::{ChainError, Leaf};

/// The most that is written at once.
const MAX_WRITE_BYTES: usize = 16 << 20;

/// Writes until the log is closed.
pub(super) fn run(core: &Core) {
    let mut last = Last { callers: 1, sync: Duration::ZERO };
    loop {
        let batch = {
            let state = gather(core, core.locked(), &last);
            if state.waiting.is_empty() || !matches!(state.mode, Mode::Appending) {
                // Closing: entries that are still held back were never told to be stored.
                break;
            }
            take(state)
        };
        last = commit(core, batch);
    }
    let mut state = core.locked();
    state.waiting.clear();
    state.writer_gone = true;
    core.to_sign.notify_all();
}

/// How the last write went.
struct Last {
    /// Who waited for it.
    callers: usize,
    sync: Duration,
}

/// Waits for entries. Callers who were just answered together will be back together: a moment's patience, small
/// beside a synchronisation, keeps them from falling into a first one and all others, which would halve the rate.
fn gather<'c>(core: &'c Core, mut state: MutexGuard<'c, State>, last: &Last) -> MutexGuard<'c, State> {
    loop {
        let ready = matches!(state.mode, Mode::Appending) && !state.waiting.is_empty();
        if ready || state.closing {
            break;
        }
        state = core.to_write.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let end = Instant::now() + last.sync / 8;
    while last.callers > 1 && state.waiting.len() < last.callers && !state.closing {
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
        state = core.to_write.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    state
}

fn take(mut state: MutexGuard<'_, State>) -> VecDeque<Waiting> {
    let mut bytes = 0;
    let fits = |waiting: &&Waiting| {
        bytes += waiting.bytes();
        bytes <= MAX_WRITE_BYTES
    };
    let count = state.waiting.iter().take_while(fits).count();
    // What came together is written together, however much it is.
    state.waiting.drain(..count.max(1)).collect()
}

/// Makes a batch durable and answers, or answers why it is not.
fn commit(core: &Core, batch: VecDeque<Waiting>) -> Last {
    let (begins, size) = {
        let state = core.locked();
        (state.end, state.tree.size())
    };
    let (mut bytes, mut offsets, mut placed) = (Vec::new(), Vec::new(), Vec::with_capacity(batch.len()));
    for waiting in batch {
        let next = size + offsets.len() as u64;
        if let Some(asked) = waiting.place.filter(|asked| *asked != next) {
            let _nobody_waits = waiting.answer.send(Err(ChainError::Taken { asked, next }));
            continue;
        }
        for (entry, leaf) in &waiting.entries {
            offsets.push((begins + bytes.len() as u64, *leaf));
            segment::encode(&mut bytes, begins, leaf, entry);
        }
        placed.push((waiting, next));
    }
    if placed.is_empty() {
        return Last { callers: 1, sync: Duration::ZERO };
    }
    let begun = Instant::now();
    if let Err(error) = store(core, begins, &bytes) {
        tracing::error!(%error, "an entry could not be stored");
        for (waiting, _) in placed {
            let _nobody_waits = waiting.answer.send(Err(error.clone()));
        }
        return Last { callers: 1, sync: Duration::ZERO };
    }
    let last = Last { callers: placed.len(), sync: begun.elapsed() };
    let mut state = core.locked();
    for (offset, leaf) in offsets {
        if state.tree.size().is_multiple_of(WIDTH) {
            state.offsets.push(offset);
        }
        state.tree.push(leaf);
        state.unsigned.push_back(leaf);
    }
    state.end = begins + bytes.len() as u64;
    state.unsigned_since.get_or_insert_with(Instant::now);
    drop(state);
    core.to_sign.notify_all();
    reach("commit: before the answer");
    for (Waiting { entries, answer, .. }, index) in placed {
        let Some((_, hash)) = entries.first() else { continue };
        let _nobody_waits = answer.send(Ok(Leaf { index, hash: *hash }));
    }
    last
}

fn store(core: &Core, begins: u64, bytes: &[u8]) -> Result<(), ChainError> {
    let io = |error| ChainError::io(&core.segment_path, error);
    reach("commit: before the write");
    // What goes into a file that nobody finds again is on no record.
    if length_in_place(core) != Some(begins) {
        let error = ChainError::Moved { path: core.segment_path.clone() };
        core.refuse(&error);
        return Err(error);
    }
    if let Err(error) = write(core, begins, bytes) {
        // Half a write must not stay in front of the next.
        if let Err(worse) = core.segment.set_len(begins) {
            core.refuse(&unsure(core, &worse));
        }
        return Err(io(error));
    }
    reach("commit: written");
    if let Err(error) = core.segment.sync_data() {
        // The system may have dropped the pages: to try again would prove nothing.
        let error = unsure(core, &error);
        core.refuse(&error);
        return Err(error);
    }
    reach("commit: synchronised");
    Ok(())
}

/// How long the file of the log's name is, if it is the one that is written to.
pub(super) fn length_in_place(core: &Core) -> Option<u64> {
    let (named, open) = (fs::metadata(&core.segment_path).ok()?, core.segment.metadata().ok()?);
    ((named.dev(), named.ino()) == (open.dev(), open.ino())).then_some(named.len())
}

fn write(core: &Core, begins: u64, bytes: &[u8]) -> std::io::Result<()> {
    if cfg!(test) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        core.segment.write_all_at(first, begins)?;
        reach("commit: half written");
        return core.segment.write_all_at(second, begins + first.len() as u64);
    }
    core.segment.write_all_at(bytes, begins)
}

fn unsure(core: &Core, error: &std::io::Error) -> ChainError {
    ChainError::Unsure { path: core.segment_path.clone(), detail: error.to_string() }
}
