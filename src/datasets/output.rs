//! Rows of a registered file, written out as a stream.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::codes::{self, Error};
use crate::intake::{self, Budget, FileDigest, OutputFormat, RowSet, Selection, Source};

/// The bytes that wait for a slow reader, in pieces.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// Which rows are written. Both are asked on a thread that may block.
pub(crate) enum RowsOut {
    /// Some rows of a file that has so many, in the order of the file.
    Marked(Box<dyn FnOnce(u64) -> Result<RowSet, Error> + Send>),
    /// Rows in an order of their own, in pieces.
    InOrder(Box<dyn Iterator<Item = Result<Vec<u32>, Error>> + Send>),
}

impl RowsOut {
    /// All of them in memory, of a file that has so many rows.
    ///
    /// # Errors
    /// What the rows give in their place.
    pub(crate) fn selection(self, of: u64) -> Result<Selection, Error> {
        Ok(match self {
            Self::Marked(marked) => Selection::Marked(marked(of)?),
            Self::InOrder(pieces) => Selection::Ordered(pieces.collect::<Result<Vec<_>, _>>()?.concat()),
        })
    }
}

/// The format of a result by its name; CSV if it is empty.
///
/// # Errors
/// [`codes::BAD_REQUEST`] for a format that does not exist.
pub(super) fn format_named(name: &str) -> Result<OutputFormat, Error> {
    match name {
        "" | "csv" => Ok(OutputFormat::Csv { delimiter: intake::Delimiter::COMMA, header: true }),
        "parquet" => Ok(OutputFormat::Parquet),
        _ => Err(Error::new(codes::BAD_REQUEST, "a result is written as csv or parquet")),
    }
}

/// Writes rows of a file that must hash to `digest` and has so many rows, with up to `memory` bytes. What goes wrong comes
/// as the stream's last item.
pub(super) fn write(
    source: Source,
    digest: FileDigest,
    of: u64,
    rows: RowsOut,
    output: intake::Output,
    memory: usize,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
    let (pieces, stream) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let writer = io::BufWriter::with_capacity(PIECE, Pieces(pieces.clone()));
        let budget = Budget::of_bytes(memory);
        let written = match rows {
            RowsOut::InOrder(rows) => intake::write_pieces(&source, Some(&digest), rows, &output, &budget, writer),
            RowsOut::Marked(marked) => marked(of).and_then(|rows| {
                let selection = Selection::Marked(rows);
                Ok(intake::write_rows(&source, Some(&digest), &selection, &output, &budget, writer)?)
            }),
        };
        if let Err(error) = written {
            let _reader_gone = pieces.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(stream)
}

/// A writer whose pieces go to a stream; a reader that is gone ends the writing.
struct Pieces(mpsc::Sender<Result<Bytes, Error>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
