//! What a log writes for its own sake.

use super::meaning::Meaning;
use crate::entry::digest::{ChainValue, TreeRoot};
use crate::entry::field::{choice, record};
use crate::entry::number::{ChainNumber, LogSize, Milliseconds};

record! {
    /// That a checkpoint of this log was anchored on a blockchain.
    pub struct AnchorEntry {
        /// The chain's number.
        chain: ChainNumber,
        /// The contract's address.
        contract: ChainValue,
        /// The transaction.
        transaction: ChainValue,
        /// The number of its block.
        block: ChainNumber,
        /// The hash of its block.
        block_hash: ChainValue,
        /// The time of its block, in the chain's unit.
        block_time: ChainNumber,
        /// That unit: it differs from chain to chain.
        time_unit: TimeUnit,
        /// The size that was anchored.
        size: LogSize,
        /// The root that was anchored.
        root: TreeRoot,
    }
}

choice! {
    /// The unit of a chain's block times.
    pub enum TimeUnit: "s or ms" {
        /// Seconds.
        Seconds = "s",
        /// Milliseconds.
        Milliseconds = "ms",
    }
}

record! {
    /// A sign of life: the next one is due within the interval.
    pub struct TickEntry {
        /// The interval.
        interval_ms: Milliseconds,
    }
}

record! {
    /// Nothing, so that the size of the log says less about its business.
    pub struct PadEntry {}
}

impl Meaning for AnchorEntry {}

impl Meaning for TickEntry {}

impl Meaning for PadEntry {}
