//! What the fuzz targets call: functions that take any bytes and panic only where a promise of this crate is broken.

use crate::Terms;

/// Terms that are read encode to the same bytes again; two terms are equal exactly if their hashes are, and exactly if
/// neither side sees a difference. The input is two encodings with a line feed between them, which no encoding contains.
pub fn terms(data: &[u8]) {
    let mut read = data.splitn(2, |byte| *byte == b'\n').filter_map(|bytes| {
        let terms = Terms::parse(bytes).ok()?;
        assert_eq!(terms.canonical(), bytes);
        Some(terms)
    });
    let (Some(ours), Some(theirs)) = (read.next(), read.next()) else { return };
    let equal = ours == theirs;
    assert_eq!(ours.hash() == theirs.hash(), equal);
    let difference = ours.agree_with(&theirs);
    assert_eq!(difference.is_ok(), equal);
    assert_eq!(theirs.agree_with(&ours).is_ok(), equal);
    if let Err(mismatch) = difference {
        assert_ne!(mismatch.ours, mismatch.theirs, "a difference that nobody can see");
    }
}
