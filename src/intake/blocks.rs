//! A text file as decoded blocks, read, hashed and decoded on a thread of its own while the caller parses.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use encoding_rs::{Decoder, DecoderResult, GB18030, GBK};
use sha2::{Digest, Sha256};

use super::{Encoding, FileDigest, Problem};

/// Bytes of the file in one block. A few are in flight at a time.
const BLOCK: usize = 1 << 20;
/// Blocks that wait for the caller.
const AHEAD: usize = 2;

/// What comes out of the file next.
pub(super) enum Next {
    /// A piece of text.
    Block(Block),
    /// The end. The digest covers every byte of the file.
    End(FileDigest),
}

/// A piece of text in UTF-8, as far as the declared encoding could be decoded.
#[derive(Default)]
pub(super) struct Block {
    pub(super) text: Vec<u8>,
    /// Behind this text stand bytes that the encoding cannot hold; no text follows.
    pub(super) malformed: bool,
    /// Bytes of the file read so far.
    pub(super) done: u64,
}

pub(super) struct Blocks {
    /// `None` only while dropping.
    blocks: Option<Receiver<Result<Next, Problem>>>,
    spare: Sender<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl Blocks {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn of(reader: impl Read + Send + 'static, encoding: Encoding) -> Result<Self, Problem> {
        let (send, blocks) = mpsc::sync_channel(AHEAD);
        let (spare, spares) = mpsc::channel();
        let worker = Worker {
            reader,
            encoding,
            decoder: match encoding {
                Encoding::Utf8 => None,
                Encoding::Gbk => Some(GBK.new_decoder_without_bom_handling()),
                Encoding::Gb18030 => Some(GB18030.new_decoder_without_bom_handling()),
            },
            hash: Sha256::new(),
            done: 0,
            send,
            spares,
        };
        let thread = thread::Builder::new().name("intake".into()).spawn(move || worker.run());
        let thread = thread.map_err(|error| Problem::reading(&error))?;
        Ok(Self { blocks: Some(blocks), spare, thread: Some(thread) })
    }

    /// The next block; `used` goes back to be filled again.
    pub(super) fn next(&mut self, used: Vec<u8>) -> Result<Next, Problem> {
        // The worker may have ended, then nobody wants the buffer.
        let _ = self.spare.send(used);
        let next = self.blocks.as_ref().and_then(|blocks| blocks.recv().ok());
        // A worker that is gone without an end has panicked; there is nothing better to say than that reading failed.
        next.unwrap_or(Err(Problem::Reading(io::ErrorKind::Other)))
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // Closing the channel ends the worker at its next block.
        self.blocks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Nobody listens any more.
struct Gone;

struct Worker<R> {
    reader: R,
    encoding: Encoding,
    /// `None` for UTF-8, and after malformed bytes.
    decoder: Option<Decoder>,
    hash: Sha256,
    done: u64,
    send: SyncSender<Result<Next, Problem>>,
    spares: Receiver<Vec<u8>>,
}

impl<R: Read> Worker<R> {
    fn run(mut self) {
        let last = match self.blocks() {
            Ok(Ok(())) => Ok(Next::End(FileDigest::of(self.hash, self.done))),
            Ok(Err(problem)) => Err(problem),
            Err(Gone) => return,
        };
        let _ = self.send.send(last);
    }

    fn blocks(&mut self) -> Result<Result<(), Problem>, Gone> {
        let mut raw = Vec::with_capacity(BLOCK);
        let mut malformed = false;
        loop {
            raw.clear();
            if let Err(error) = self.reader.by_ref().take(BLOCK as u64).read_to_end(&mut raw) {
                return Ok(Err(Problem::reading(&error)));
            }
            self.hash.update(&raw);
            if self.done == 0
                && let Err(problem) = self.check_mark(&raw)
            {
                return Ok(Err(problem));
            }
            self.done += raw.len() as u64;
            let ended = raw.len() < BLOCK;

            let mut text = self.spares.try_recv().unwrap_or_default();
            text.clear();
            if malformed {
                // Nothing after malformed bytes means anything, but the digest covers it.
            } else if let Some(decoder) = &mut self.decoder {
                malformed = !decode(decoder, &raw, &mut text, ended);
            } else {
                std::mem::swap(&mut raw, &mut text);
            }
            let block = Block { text, malformed, done: self.done };
            self.send.send(Ok(Next::Block(block))).map_err(|_| Gone)?;
            if ended {
                return Ok(Ok(()));
            }
        }
    }

    /// Refuses the byte order mark of an encoding other than the declared one.
    fn check_mark(&self, start: &[u8]) -> Result<(), Problem> {
        let found = match (self.encoding, start) {
            (Encoding::Gbk | Encoding::Gb18030, [0xEF, 0xBB, 0xBF, ..]) => "UTF-8",
            (_, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) => "UTF-16",
            (Encoding::Utf8 | Encoding::Gbk, [0x84, 0x31, 0x95, 0x33, ..]) => "GB 18030",
            _ => return Ok(()),
        };
        Err(Problem::OtherEncoding { declared: self.encoding, found })
    }
}

/// Decodes all of `raw`, or as much as comes before malformed bytes; says whether it was all.
fn decode(decoder: &mut Decoder, raw: &[u8], text: &mut Vec<u8>, last: bool) -> bool {
    let length = decoder.max_utf8_buffer_length_without_replacement(raw.len()).unwrap_or(raw.len() * 4);
    text.resize(length, 0);
    let (result, _, written) = decoder.decode_to_utf8_without_replacement(raw, text, last);
    text.truncate(written);
    // The buffer is as large as the decoder asked, so it is never full.
    result == DecoderResult::InputEmpty
}
