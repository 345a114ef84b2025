//! Text files that are packed, and files that are no text: told by their first bytes, whatever their names say.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::Problem;

/// How a file of text is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// The longest window of zstd that is allowed for, as a power of two: as `zstd` itself takes without asking.
const WINDOW: u32 = 27;

/// Bytes of text that one byte of a packed file stands for, about.
pub(super) const EXPANSION: u64 = 6;

impl Packing {
    /// How a file is packed that begins like this.
    pub(super) fn of(begins: &[u8]) -> Option<Self> {
        match begins {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What is packed.
    pub(super) fn unpack(self, packed: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(Unpacked(MultiGzDecoder::new(BufReader::new(packed)))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(packed)?;
                decoder.window_log_max(WINDOW)?;
                Box::new(Unpacked(decoder))
            }
        })
    }
}

/// What comes out of a decoder, whose errors are the file's.
struct Unpacked<D>(D);

impl<D: Read> Read for Unpacked<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            // Of the file under it.
            _ if error.raw_os_error().is_some() => error,
            _ => io::ErrorKind::InvalidData.into(),
        })
    }
}

/// What a file is that begins like this, if it is a well-known kind that is no text, with what its owner can do.
pub(super) fn no_text(begins: &[u8]) -> Option<Problem> {
    let (found, mend) = match begins {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            ("an Excel workbook (.xlsx) or another zip archive", "save the sheet as CSV UTF-8, or unpack the archive")
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => ("an old Excel workbook (.xls)", "save the sheet as CSV UTF-8"),
        [b'P', b'A', b'R', b'1', ..] => {
            ("a Parquet file", "register it with --format parquet, or under a name that ends with .parquet")
        }
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => ("an Arrow file", "write it as Parquet or CSV"),
        [b'%', b'P', b'D', b'F', ..] => ("a PDF document", "export the table as CSV"),
        [b'B', b'Z', b'h', ..] => ("a bzip2 file", "unpack it; .gz and .zst are read as they are"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("an xz file", "unpack it; .gz and .zst are read as they are"),
        [b'7', b'z', 0xbc, 0xaf, ..] | [b'R', b'a', b'r', b'!', ..] => ("an archive", "unpack it"),
        _ if begins.starts_with(b"SQLite format 3") => ("an SQLite database", "export the table as CSV"),
        _ => return None,
    };
    Some(Problem::NoText { found, mend })
}
