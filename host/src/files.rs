//! Reads files that somebody else may have put there: only regular ones, and never more than was asked for.
//!
//! A named pipe would wait for its other end for ever, and `/dev/zero` has none.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

/// The file's bytes, if it is a regular file of at most `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // Looked at before it is opened, too: opening some devices does something.
    check_regular(&std::fs::metadata(path)?)?;
    let file = open(path, true)?;
    check_regular(&file.metadata()?)?;
    bytes(file, most)
}

/// The same of a file that is no link and passes a check: what was opened is looked at, so that nobody changes it in between.
pub fn read_checked(path: &Path, most: usize, check: impl FnOnce(&Metadata) -> io::Result<()>) -> io::Result<Vec<u8>> {
    check_regular(&std::fs::symlink_metadata(path)?)?;
    let file = open(path, false)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    check(&metadata)?;
    bytes(file, most)
}

/// Never waits: a named pipe that was put there just now is open at once.
fn open(path: &Path, follow: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = if follow { OFlags::NONBLOCK } else { OFlags::NONBLOCK | OFlags::NOFOLLOW };
        // The flags are those of C, whose type for them has a sign.
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.open(path)
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file"));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(())
}

fn bytes(file: File, most: usize) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes"));
    if usize::try_from(file.metadata()?.len()).map_or(true, |length| length > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(too_large());
    }
    Ok(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_file_itself_is_read_where_that_matters_and_only_if_it_passes() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!((read(&file, 4).unwrap(), read(&link, 4).unwrap()), (b"text".to_vec(), b"text".to_vec()));
        assert_eq!(read(&file, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(
            read_checked(&file, 4, |metadata| {
                assert_eq!(metadata.len(), 4);
                Ok(())
            })
            .unwrap(),
            b"text"
        );
        let refuse = |_: &Metadata| Err(io::Error::other("not this one"));
        assert_eq!(read_checked(&file, 4, refuse).unwrap_err().to_string(), "not this one");
        for path in [&link, &pipe, &folder.path().to_owned()] {
            assert!(read_checked(path, 4, |_| Ok(())).is_err(), "{}", path.display());
        }
        assert!(read(&pipe, 4).is_err() && read(folder.path(), 4).is_err());
        // Whatever was there at the first look: a link is not followed when it is opened, and a pipe does not keep us.
        assert!(open(&link, false).is_err());
        assert!(open(&pipe, false).is_ok());
    }
}
