//! Rows word for word: each as one line of text that is the same at every reading, and that a person can read.
//!
//! A row is a JSON list with one element per column, in the order of the file, written as RFC 8785 writes it (no white
//! space, the shortest escapes, UTF-8). A cell is the text that it holds: of CSV without its quotes and in UTF-8, of
//! Parquet in the words that a CSV result has. A Parquet null is `null`. A cell that is no text is `{"hex":"…"}` with its
//! bytes as they are stored. Columns inside groups and lists are not read and have no element.
//!
//! Nothing is normalised, left out or merged: rows with invalid or repeated keys stand where they stand in the file.

use data_encoding::HEXLOWER;

use super::inspect::visit_all;
use super::kind::Kind;
use super::row::{Row, Visitor};
use super::{Budget, FileDigest, Inspection, IntakeError, KeySpec, Source};

/// Reads a whole file once, as [`inspect`](super::inspect) does, and shows every row to `each` in the order of the file.
/// The columns of a `key` are looked for first; without them nothing more is read.
///
/// # Errors
/// Every way in which the file cannot be read; with `expected`, a file of another size or hash. What `each` was shown
/// before an error means nothing.
pub fn visit_rows(
    source: &Source,
    key: Option<&KeySpec>,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    each: impl FnMut(&[u8]),
) -> Result<Inspection, IntakeError> {
    let mut exact = Exact::new(each);
    let (columns, digest) = visit_all(source, key, expected, budget, &mut exact)?;
    Ok(Inspection { columns, rows: exact.rows, digest })
}

/// Writes rows as lines.
pub(super) struct Exact<F> {
    each: F,
    pub(super) rows: u64,
    line: Vec<u8>,
    text: Vec<u8>,
}

impl<F: FnMut(&[u8])> Exact<F> {
    pub(super) fn new(each: F) -> Self {
        Self { each, rows: 0, line: Vec::new(), text: Vec::new() }
    }
}

impl<F: FnMut(&[u8])> Visitor for Exact<F> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        self.rows += 1;
        self.line.clear();
        self.line.push(b'[');
        for at in 0..row.wanted.len() {
            if at > 0 {
                self.line.push(b',');
            }
            push_cell(row.cell(at), &row.column(at).kind, &mut self.text, &mut self.line);
        }
        self.line.push(b']');
        (self.each)(&self.line);
        Ok(())
    }
}

fn push_cell(cell: Option<&[u8]>, kind: &Kind, scratch: &mut Vec<u8>, line: &mut Vec<u8>) {
    let Some(cell) = cell else { return line.extend_from_slice(b"null") };
    match kind.text(cell, scratch).ok().and_then(|text| std::str::from_utf8(text).ok()) {
        Some(text) => push_text(text, line),
        None => {
            line.extend_from_slice(b"{\"hex\":\"");
            line.extend_from_slice(HEXLOWER.encode(cell).as_bytes());
            line.extend_from_slice(b"\"}");
        }
    }
}

fn push_text(text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    let is_plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
    if text.as_bytes().iter().all(is_plain) {
        line.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                0x08 => line.extend_from_slice(b"\\b"),
                b'\t' => line.extend_from_slice(b"\\t"),
                b'\n' => line.extend_from_slice(b"\\n"),
                0x0c => line.extend_from_slice(b"\\f"),
                b'\r' => line.extend_from_slice(b"\\r"),
                0..0x20 => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => line.push(byte),
            }
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[(Option<&[u8]>, Kind)]) -> String {
        let (mut scratch, mut line) = (Vec::new(), Vec::new());
        cells.iter().for_each(|(cell, kind)| push_cell(*cell, kind, &mut scratch, &mut line));
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn texts_read_back_as_json_and_are_written_as_rfc_8785_writes_them() {
        let every: String = (0..=0x7f_u8).map(char::from).chain("张三\u{1f600}\u{2028}".chars()).collect();
        let written = line(&[(Some(every.as_bytes()), Kind::Text)]);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), every);
        // serde_json writes texts in the same form.
        assert_eq!(written, serde_json::to_string(&every).unwrap());
    }

    #[test]
    fn nulls_numbers_and_bytes_are_told_apart() {
        let integer = Kind::Integer { bits: 64, signed: true };
        assert_eq!(line(&[(None, Kind::Text)]), "null");
        assert_eq!(line(&[(Some(b""), Kind::Text)]), "\"\"");
        assert_eq!(line(&[(Some(&(-7_i64).to_le_bytes()), integer)]), "\"-7\"");
        assert_eq!(line(&[(Some(&[0xff, 0x00]), Kind::Bytes)]), "{\"hex\":\"ff00\"}");
        assert_eq!(line(&[(Some(&[1, 2]), Kind::Other("float16"))]), "{\"hex\":\"0102\"}");
    }
}
