//! Where a list of numbers in Parquet's DELTA_BINARY_PACKED encoding ends.

use super::compact::Compact;

/// How many numbers the list at the front of `bytes` announces, and how many bytes it takes. `None` if it is damaged.
pub(super) fn extent(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut list = Compact::new(bytes);
    let block = list.unsigned()?;
    let parts = list.unsigned()?;
    let count = list.unsigned()?;
    list.signed()?;
    if parts == 0 || block % 128 != 0 || block % parts != 0 || (block / parts) % 32 != 0 {
        return None;
    }
    let in_part = block / parts;
    // The first number stands in the header.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        if in_part == 0 {
            return None;
        }
        list.signed()?;
        let mut body = 0u64;
        for _ in 0..parts {
            let width = list.byte()?;
            if left > 0 {
                body = body.checked_add(u64::from(width).checked_mul(in_part)? / 8)?;
            }
            left = left.saturating_sub(in_part);
        }
        list.pass(body.try_into().ok()?)?;
    }
    Some((count, list.position()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the format's description: 1, 2, 3, 4, 5 with one block of four parts.
    #[test]
    fn the_list_ends_behind_its_last_part() {
        let list = [0x80, 1, 4, 5, 2, 2, 0, 0, 0, 0];
        let followed = [&list[..], b"text"].concat();
        assert_eq!(extent(&followed), Some((5, 10)));
        // With two bits a number in its first part: 32 numbers take 8 bytes; parts behind the last number take none.
        let wide = [&[0x80, 1, 4, 5, 2, 2, 2, 7, 7, 7][..], &[0; 8], b"text"].concat();
        assert_eq!(extent(&wide), Some((5, 18)));
        assert_eq!(extent(&[0x80, 1, 4, 1, 2]), Some((1, 5)));
    }

    #[test]
    fn a_list_that_promises_more_than_there_is_has_no_end() {
        assert_eq!(extent(&[0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 7, 2, 2, 0, 0, 0, 0]), None);
        assert_eq!(extent(&[0, 4, 5, 2, 2, 0, 0, 0, 0]), None);
        assert_eq!(extent(&[0x80, 1, 0, 5, 2]), None);
    }
}
