//! The Unix socket where the API listens: made with its permissions, in the place of a stale one, removed at the end.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::net::UnixListener;

/// The file of a socket that is ours. It goes when this is dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens there. What is there already must be a socket on which nobody listens any more.
pub(super) fn bind(path: &Path, mode: u32) -> anyhow::Result<(UnixListener, Socket)> {
    let place = || format!("cannot listen on {}, which `server.socket` names", path.display());
    make_way(path).with_context(place)?;
    // At no time is it there with other permissions than its own: it is made in a folder that is closed to others, and
    // put in its place whole.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let private = tempfile::Builder::new().prefix(".herald-").tempdir_in(folder).with_context(place)?;
    let first = private.path().join("s");
    let listener = UnixListener::bind(&first).with_context(place)?;
    fs::set_permissions(&first, fs::Permissions::from_mode(mode)).with_context(place)?;
    let inode = fs::symlink_metadata(&first).with_context(place)?.ino();
    fs::rename(&first, path).with_context(place)?;
    Ok((listener, Socket { path: path.to_owned(), inode }))
}

/// Whether a socket may be put there.
fn make_way(path: &Path) -> anyhow::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !there.file_type().is_socket() {
        bail!("there is something else there; remove it, or name another path");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another program listens there; stop it, or name another path"),
        // Whoever listened there is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("whether somebody listens there can't be found out"),
    }
}
