//! Reads files that somebody else may have put there: only regular ones, and never more than was asked for.
//!
//! A named pipe would wait for its other end for ever, and `/dev/zero` has none.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The file's bytes, if it is a regular file of at most `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening is where a named pipe waits.
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if usize::try_from(metadata.len()).map_or(true, |length| length > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(too_large());
    }
    Ok(bytes)
}
