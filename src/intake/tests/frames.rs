//! Tables in memory: the same keys as from a file, and nothing taken for one that is none.

use bytes::Bytes;

use super::*;

/// A batch of one column.
fn batch(cells: &[Option<&str>]) -> (Bytes, Vec<u32>) {
    let bytes: String = cells.iter().copied().flatten().collect();
    let lengths = cells.iter().map(|cell| cell.map_or(0, |cell| cell.len() as u32 + 1)).collect();
    (bytes.into(), lengths)
}

fn frame(batches: &[&[Option<&str>]]) -> Source {
    let mut builder = FrameBuilder::new(vec!["mobile".into()]).unwrap();
    batches.iter().for_each(|cells| builder.push(vec![batch(cells)]).unwrap());
    Source { path: Frame::label(), format: Format::Frame(builder.finish()) }
}

fn mobile() -> KeySpec {
    key(&[("mobile", Profile::CnMobile)])
}

const CELLS: [Option<&str>; 5] = [Some("+86 138-0013-8000"), None, Some("13900139000"), Some("13800138000"), Some("")];

#[test]
fn a_frame_gives_the_keys_and_rows_that_a_file_of_the_same_cells_gives() {
    let file = TestFile::csv("mobile\n+86 138-0013-8000\n\"\"\n13900139000\n13800138000\n\"\"\n");
    let spec = with(mobile(), Duplicates::First, Invalid::Skip);
    let from_file = file.keys(&spec).unwrap();
    let source = frame(&[&CELLS]);
    let keys = read_keys(&source, &spec, None, &Budget::of_bytes(MEMORY)).unwrap();
    assert!(keys.ids().eq(from_file.ids()));
    assert_eq!((keys.first_rows(), keys.report()), (from_file.first_rows(), from_file.report()));

    let mut written = Vec::new();
    let output = Output { columns: vec![], format: OutputFormat::Csv { delimiter: Delimiter::COMMA, header: true } };
    let selection = Selection::Ordered(vec![2, 0]);
    write_rows(&source, Some(keys.digest()), &selection, &output, &Budget::of_bytes(MEMORY), &mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), "mobile\n13900139000\n+86 138-0013-8000\n");
}

#[test]
fn the_digest_is_of_names_and_cells_and_not_of_batches() {
    let digest = |source: &Source| inspect(source, &Budget::of_bytes(MEMORY)).unwrap().digest;
    let whole = frame(&[&CELLS]);
    assert_eq!(digest(&whole), digest(&frame(&[&CELLS[..2], &[], &CELLS[2..]])));
    assert_ne!(digest(&whole), digest(&frame(&[&CELLS[1..]])));
    // A null is not an empty text, and a cell does not end where the next begins.
    assert_ne!(digest(&frame(&[&[None]])), digest(&frame(&[&[Some("")]])));
    assert_ne!(digest(&frame(&[&[Some("ab"), Some("c")]])), digest(&frame(&[&[Some("a"), Some("bc")]])));
}

#[test]
fn an_error_names_the_row_and_no_value() {
    let error = read_keys(&frame(&[&[Some("13800138000")], &[Some("12")]]), &mobile(), None, &Budget::of_bytes(MEMORY));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("the frame, row 2, column \"mobile\": profile cn-mobile refuses the cell"), "{text}");
}

#[test]
fn what_is_no_table_is_refused_whatever_its_numbers_say() {
    let columns = |names: &[&str]| FrameBuilder::new(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(columns(&[]).err(), Some(MalformedFrame::Columns));
    assert_eq!(columns(&["a", "a"]).err(), Some(MalformedFrame::Columns));
    let cells = |text: &'static str, lengths: &[u32]| (Bytes::from(text), lengths.to_vec());
    for (batch, refusal) in [
        (vec![], MalformedFrame::Ragged),
        (vec![cells("ab", &[2, 2])], MalformedFrame::Ragged),
        (vec![cells("ab", &[2, 2]), cells("a", &[2])], MalformedFrame::Ragged),
        (vec![cells("ab", &[2, 3]), cells("ab", &[2, 2])], MalformedFrame::Lengths),
        (vec![cells("abc", &[2, 2]), cells("ab", &[2, 2])], MalformedFrame::Lengths),
        (vec![cells("ab", &[u32::MAX, 2]), cells("ab", &[2, 2])], MalformedFrame::Cell),
    ] {
        assert_eq!(columns(&["a", "b"]).unwrap().push(batch), Err(refusal));
    }
}
