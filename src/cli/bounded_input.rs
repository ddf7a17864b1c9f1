//! Reading to the end, however long that takes, but no more than a limit, and without
//! leaving copies of what was read behind.

use std::io::{self, Read};

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that are read from standard input at a time.
const CHUNK_BYTES: usize = 8 << 10;

/// Reads to the end, however long that takes; `None` when there are more than `limit` bytes.
/// What is read is wiped when it is no longer needed.
pub(super) fn read_bounded(input: &mut impl Read, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut all = Zeroizing::new(Vec::with_capacity(4 * CHUNK_BYTES));
    let mut chunk = Zeroizing::new([0_u8; CHUNK_BYTES]);
    loop {
        let count = match input.read(chunk.as_mut_slice()) {
            Ok(0) => return Ok(Some(all)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if all.len() + count > limit {
            return Ok(None);
        }
        if all.len() + count > all.capacity() {
            // Growing in place would leave the old buffer unwiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * all.capacity()));
            larger.extend_from_slice(&all);
            all = larger;
        }
        all.extend_from_slice(&chunk[..count]);
        chunk.zeroize();
    }
}
