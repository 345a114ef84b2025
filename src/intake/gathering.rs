//! Records gathered by part in memory, a chunk of each part, and laid aside sealed when a chunk is full.

use std::path::Path;

use zeroize::Zeroizing;

use super::IntakeError;
use super::spill::Spill;

/// Bytes that one part gathers before they are sealed and written: fewer if there are many parts and little memory.
const CHUNK: usize = 64 << 10;
const SMALLEST_CHUNK: usize = 4 << 10;
/// The share of the memory allowed that all gathering parts use together.
const SHARE: usize = 16;

pub(super) struct Gathering {
    chunk: usize,
    gathered: Vec<Zeroizing<Vec<u8>>>,
    spill: Spill,
}

impl Gathering {
    /// No records, and a file in `folder` for those to come. `parts` is how many parts share `memory`.
    pub(super) fn create(folder: &Path, parts: usize, memory: usize) -> Result<Self, IntakeError> {
        let chunk = (memory / SHARE / parts.max(1)).clamp(SMALLEST_CHUNK, CHUNK);
        Ok(Self { chunk, gathered: Vec::new(), spill: Spill::create(folder)? })
    }

    /// Where a record of so many bytes of this part is to be appended.
    pub(super) fn record(&mut self, part: usize, bytes: usize) -> Result<&mut Vec<u8>, IntakeError> {
        if part >= self.gathered.len() {
            self.gathered.resize_with(part + 1, Zeroizing::default);
        }
        let gathered = &mut self.gathered[part];
        // What grows leaves copies behind that nobody wipes, so the room is there from the beginning.
        if gathered.capacity() == 0 {
            gathered.reserve_exact(self.chunk + 64);
        }
        if gathered.len() + bytes > self.chunk {
            self.spill.append(part, gathered)?;
        }
        Ok(gathered)
    }

    /// All records, laid aside.
    pub(super) fn finish(mut self) -> Result<Spill, IntakeError> {
        for (part, gathered) in self.gathered.iter_mut().enumerate() {
            self.spill.append(part, gathered)?;
        }
        Ok(self.spill)
    }
}
