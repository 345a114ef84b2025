//! The pages of one column of a row group, each weighed before it is decompressed.
//!
//! The Parquet library takes as much memory as a page announces, and a page of 30 bytes can announce 2 GiB. So pages are
//! read here: header, body, decompression, and a look at every count by which the library reserves memory. It then
//! decodes the values.

use std::io::Read;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use parquet::basic::{CompressionCodec, Encoding, PageType, Type as Physical};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use zstd::bulk::Decompressor;

use super::Problem;
use super::compact::{Compact, Type};
use super::delta;
use super::source::OpenFile;

/// Read of a header at first; headers with long statistics are read again, whole.
const HEADER: u64 = 1 << 10;
/// The longest header.
const MAX_HEADER: u64 = 1 << 23;
/// What a decoded text takes beside its bytes.
const TEXT: u64 = 32;
/// Bytes that one batch of values may be made of where every value is copied.
const COPIED: usize = 1 << 22;

/// The memory that the pages of a row group may take together.
pub(super) struct Room {
    limit: u64,
    used: u64,
    zstd: Option<Decompressor<'static>>,
}

impl Room {
    pub(super) fn of_bytes(limit: usize) -> Self {
        Self { limit: limit as u64, used: 0, zstd: None }
    }

    /// Takes back all that was taken.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    fn has(&self, more: u64) -> Result<(), Problem> {
        if self.used.saturating_add(more) > self.limit {
            return Err(Problem::PagesOverBudget { budget: self.limit });
        }
        Ok(())
    }

    fn take(&mut self, more: u64) -> Result<u64, Problem> {
        self.has(more)?;
        self.used += more;
        Ok(more)
    }
}

/// The pages of one column of a row group, in order.
pub(super) struct Pages {
    file: OpenFile,
    at: u64,
    end: u64,
    codec: CompressionCodec,
    of: Physical,
    /// Bytes of a value of fixed length.
    width: usize,
    optional: bool,
    /// Rows of the group that no page had yet.
    rows: u64,
    /// What the page handed out last takes.
    page: u64,
}

/// A page, and what the decoder will do with it.
pub(super) struct Weighed {
    pub(super) page: Page,
    /// Rows that it holds; none for a dictionary.
    pub(super) rows: usize,
    /// Rows of it that may be decoded at a time.
    pub(super) at_once: usize,
}

impl Pages {
    /// The pages of a column chunk with so many rows. `None` for a chunk that is nowhere.
    pub(super) fn of(file: OpenFile, chunk: &ColumnChunkMetaData, rows: u64) -> Option<Self> {
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let (at, length) = (u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
        let end = at.checked_add(length).filter(|&end| end <= file.size)?;
        let column = chunk.column_descr();
        Some(Self {
            file,
            at,
            end,
            codec: chunk.compression_codec(),
            of: column.physical_type(),
            width: usize::try_from(column.type_length()).unwrap_or(0),
            optional: column.max_def_level() > 0,
            rows,
            page: 0,
        })
    }

    /// The next page, if it fits into `room`.
    pub(super) fn next(&mut self, room: &mut Room) -> Result<Weighed, Problem> {
        loop {
            let header = self.header()?;
            let (packed, size) = (header.packed, header.size);
            if packed > self.end - self.at {
                return Err(Problem::Damaged);
            }
            if header.kind == PageType::INDEX_PAGE {
                self.at += packed;
                continue;
            }
            // Until the decoder has the new page it holds the one before.
            room.has(packed.saturating_add(size))?;
            let mut body = vec![0; packed as usize];
            self.file.reader(self.at).read_exact(&mut body).map_err(|error| Problem::reading(&error))?;
            self.at += packed;
            let body = self.unpacked(&header, body, room)?;
            if header.kind == PageType::DICTIONARY_PAGE {
                return self.dictionary(&header, body, room);
            }
            let page = self.data(&header, body, room)?;
            if page.rows > 0 {
                return Ok(page);
            }
        }
    }

    fn header(&mut self) -> Result<Header, Problem> {
        let there = (self.end - self.at).min(MAX_HEADER);
        let mut length = HEADER.min(there);
        loop {
            let mut bytes = vec![0; length as usize];
            self.file.reader(self.at).read_exact(&mut bytes).map_err(|error| Problem::reading(&error))?;
            let mut compact = Compact::new(&bytes);
            if let Some(header) = Header::read(&mut compact) {
                self.at += compact.position() as u64;
                return Ok(header);
            }
            if length == there {
                return Err(Problem::Damaged);
            }
            length = there;
        }
    }

    /// The body of a page as the decoder takes it: levels and values, decompressed.
    fn unpacked(&self, header: &Header, body: Vec<u8>, room: &mut Room) -> Result<Bytes, Problem> {
        if self.codec == CompressionCodec::UNCOMPRESSED || !header.is_packed {
            return Ok(body.into());
        }
        let levels = header.levels().ok_or(Problem::Damaged)?;
        let size = usize::try_from(header.size).map_err(|_| Problem::Damaged)?;
        if levels > body.len() || levels > size {
            return Err(Problem::Damaged);
        }
        let mut unpacked = vec![0; size];
        unpacked[..levels].copy_from_slice(&body[..levels]);
        let (from, to) = (&body[levels..], &mut unpacked[levels..]);
        // A page of nulls alone has no values, and need not say so in a compressed way.
        let written = match self.codec {
            _ if to.is_empty() => Some(0),
            CompressionCodec::SNAPPY => match snap::raw::decompress_len(from) {
                Ok(announced) if announced == to.len() => snap::raw::Decoder::new().decompress(from, to).ok(),
                _ => None,
            },
            CompressionCodec::ZSTD => {
                let zstd = match &mut room.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Decompressor::new().map_err(|error| Problem::reading(&error))?),
                };
                zstd.decompress_to_buffer(from, to).ok()
            }
            _ => None,
        };
        if written == Some(size - levels) { Ok(unpacked.into()) } else { Err(Problem::Damaged) }
    }

    fn dictionary(&mut self, header: &Header, body: Bytes, room: &mut Room) -> Result<Weighed, Problem> {
        let (least, decoded) = match self.of {
            Physical::BYTE_ARRAY => (4, TEXT),
            Physical::FIXED_LEN_BYTE_ARRAY => (self.width.max(1), TEXT),
            Physical::INT32 | Physical::FLOAT => (4, 4),
            Physical::INT64 | Physical::DOUBLE => (8, 8),
            Physical::INT96 => (12, 12),
            Physical::BOOLEAN => return Err(Problem::Damaged),
        };
        if header.values as usize > body.len() / least {
            return Err(Problem::Damaged);
        }
        // It stays as long as the row group is read.
        room.take(body.len() as u64 + u64::from(header.values) * decoded)?;
        let page =
            Page::DictionaryPage { buf: body, num_values: header.values, encoding: header.encoding, is_sorted: false };
        Ok(Weighed { page, rows: 0, at_once: 0 })
    }

    fn data(&mut self, header: &Header, body: Bytes, room: &mut Room) -> Result<Weighed, Problem> {
        self.rows = self.rows.checked_sub(header.values.into()).ok_or(Problem::Damaged)?;
        let lengths = match header.encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => self.lengths(header, &body, 1)?,
            Encoding::DELTA_BYTE_ARRAY => self.lengths(header, &body, 2)?,
            _ => 0,
        };
        let at_once = match (header.encoding, self.of) {
            // A value repeats the one before, up to the whole page.
            (Encoding::DELTA_BYTE_ARRAY, _) => COPIED / body.len().max(1),
            (_, Physical::FIXED_LEN_BYTE_ARRAY) => COPIED / self.width.max(1),
            _ => usize::MAX,
        };
        room.used -= self.page;
        self.page = 0;
        self.page = room.take((body.len() as u64).saturating_add(lengths))?;
        let page = if header.kind == PageType::DATA_PAGE {
            Page::DataPage {
                buf: body,
                num_values: header.values,
                encoding: header.encoding,
                def_level_encoding: header.definitions,
                rep_level_encoding: header.repetitions,
                statistics: None,
            }
        } else {
            Page::DataPageV2 {
                buf: body,
                num_values: header.values,
                encoding: header.encoding,
                num_nulls: header.nulls,
                num_rows: header.values,
                def_levels_byte_len: header.definition_bytes,
                rep_levels_byte_len: header.repetition_bytes,
                is_compressed: false,
                statistics: None,
            }
        };
        Ok(Weighed { page, rows: header.values as usize, at_once: at_once.max(1) })
    }

    /// What the decoder takes for `lists` lists of lengths with which the values begin.
    fn lengths(&self, header: &Header, body: &[u8], lists: u32) -> Result<u64, Problem> {
        let levels = match header.kind {
            PageType::DATA_PAGE if !self.optional => Some(0),
            PageType::DATA_PAGE if header.definitions == Encoding::RLE => {
                body.first_chunk().and_then(|length| (u32::from_le_bytes(*length) as usize).checked_add(4))
            }
            PageType::DATA_PAGE => Some(header.values.div_ceil(8) as usize),
            _ => header.levels(),
        };
        let mut rest = levels.and_then(|levels| body.get(levels..)).ok_or(Problem::Damaged)?;
        let mut taken = 0;
        for _ in 0..lists {
            let (count, end) = delta::extent(rest).ok_or(Problem::Damaged)?;
            if count > header.values.into() {
                return Err(Problem::Damaged);
            }
            taken += 4 * count;
            rest = rest.get(end..).ok_or(Problem::Damaged)?;
        }
        Ok(taken)
    }
}

/// What the header of a page says.
struct Header {
    kind: PageType,
    /// Bytes of the body in the file, and decompressed.
    packed: u64,
    size: u64,
    /// Values, nulls among them.
    values: u32,
    nulls: u32,
    encoding: Encoding,
    definitions: Encoding,
    repetitions: Encoding,
    definition_bytes: u32,
    repetition_bytes: u32,
    /// Whether the values are compressed, in a chunk that is.
    is_packed: bool,
}

impl Header {
    fn read(compact: &mut Compact<'_>) -> Option<Self> {
        let (mut kind, mut size, mut packed, mut details) = (None, None, None, [None, None, None]);
        compact.fields(|compact, number, of| {
            match (number, of) {
                (1, Type::Integer) => kind = Some(compact.signed()?),
                (2, Type::Integer) => size = Some(compact.signed()?),
                (3, Type::Integer) => packed = Some(compact.signed()?),
                (5, Type::Struct) => details[0] = Some(Details::read(compact)?),
                (7, Type::Struct) => details[1] = Some(Details::read(compact)?),
                (8, Type::Struct) => details[2] = Some(Details::read(compact)?),
                (1 | 2 | 3 | 5 | 7 | 8, _) => return None,
                _ => compact.skip(of)?,
            }
            Some(())
        })?;
        let [first, dictionary, second] = details;
        let bytes = |size: Option<i64>| i32::try_from(size?).ok().and_then(|size| u64::try_from(size).ok());
        let (size, packed) = (bytes(size)?, bytes(packed)?);
        let plain = Self {
            kind: PageType::INDEX_PAGE,
            packed,
            size,
            values: 0,
            nulls: 0,
            encoding: Encoding::PLAIN,
            definitions: Encoding::RLE,
            repetitions: Encoding::RLE,
            definition_bytes: 0,
            repetition_bytes: 0,
            is_packed: true,
        };
        Some(match kind? {
            0 => {
                let details = first?;
                Self {
                    kind: PageType::DATA_PAGE,
                    values: details.count(1)?,
                    encoding: details.encoding(2)?,
                    definitions: details.encoding(3)?,
                    repetitions: details.encoding(4)?,
                    ..plain
                }
            }
            1 => plain,
            2 => {
                let details = dictionary?;
                Self {
                    kind: PageType::DICTIONARY_PAGE,
                    values: details.count(1)?,
                    encoding: details.encoding(2)?,
                    ..plain
                }
            }
            3 => {
                let details = second?;
                Self {
                    kind: PageType::DATA_PAGE_V2,
                    values: details.count(1)?,
                    nulls: details.count(2)?,
                    encoding: details.encoding(4)?,
                    definition_bytes: details.count(5)?,
                    repetition_bytes: details.count(6)?,
                    is_packed: details.is_packed,
                    ..plain
                }
            }
            _ => return None,
        })
    }

    /// The levels at the front of a page of the second version; they are never compressed.
    fn levels(&self) -> Option<usize> {
        self.definition_bytes.checked_add(self.repetition_bytes).map(|bytes| bytes as usize)
    }
}

/// The whole numbers of the part of a header that depends on its kind, by number of the field.
struct Details {
    numbers: [Option<i64>; 7],
    is_packed: bool,
}

impl Details {
    fn read(compact: &mut Compact<'_>) -> Option<Self> {
        let mut details = Self { numbers: [None; 7], is_packed: true };
        compact.fields(|compact, number, of| {
            match (usize::try_from(number).ok().and_then(|number| details.numbers.get_mut(number)), of) {
                (Some(place), Type::Integer) => *place = Some(compact.signed()?),
                (None, Type::False) if number == 7 => details.is_packed = false,
                _ => compact.skip(of)?,
            }
            Some(())
        })?;
        Some(details)
    }

    fn count(&self, number: usize) -> Option<u32> {
        i32::try_from(self.numbers[number]?).ok()?.try_into().ok()
    }

    fn encoding(&self, number: usize) -> Option<Encoding> {
        Some(match self.numbers[number]? {
            0 => Encoding::PLAIN,
            2 => Encoding::PLAIN_DICTIONARY,
            3 => Encoding::RLE,
            #[expect(deprecated, reason = "old files have levels in it")]
            4 => Encoding::BIT_PACKED,
            5 => Encoding::DELTA_BINARY_PACKED,
            6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            7 => Encoding::DELTA_BYTE_ARRAY,
            8 => Encoding::RLE_DICTIONARY,
            9 => Encoding::BYTE_STREAM_SPLIT,
            _ => return None,
        })
    }
}

/// Gives the decoder the pages that were weighed, and no others.
pub(super) struct Handed(pub(super) Receiver<Page>);

impl Iterator for Handed {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.try_recv().ok().map(Ok)
    }
}

impl PageReader for Handed {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        Ok(self.0.try_recv().ok())
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        Err(ParquetError::NYI("rows are never passed over".into()))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        Err(ParquetError::NYI("rows are never passed over".into()))
    }
}
