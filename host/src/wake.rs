//! Waking on changes of a file or in a folder. The notifications only wake: who is woken compares what is there with what it has.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use notify::{
    RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, EventKind, ModifyKind},
};

/// Notifications of files or folders, folded into one waking.
pub struct Wake {
    watched: Vec<Watched>,
    sender: Sender<()>,
    receiver: Receiver<()>,
}

struct Watched {
    path: PathBuf,
    mode: RecursiveMode,
    /// The watcher and the inode: what is made anew needs another watch.
    watching: Option<(RecommendedWatcher, u64)>,
}

impl Wake {
    /// Watches the file, or what is right within the folder, from now on or from when it exists.
    pub fn new(path: &Path) -> Self {
        Self::of([(path.to_owned(), RecursiveMode::NonRecursive)])
    }

    /// Watches the files, and all that is anywhere below the folders.
    pub fn below(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::of(paths.into_iter().map(|path| (path, RecursiveMode::Recursive)))
    }

    fn of(paths: impl IntoIterator<Item = (PathBuf, RecursiveMode)>) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let watched = paths.into_iter().map(|(path, mode)| Watched { path, mode, watching: None }).collect();
        let mut wake = Self { watched, sender, receiver };
        wake.renew();
        wake
    }

    /// Wakes the waiter from elsewhere; when all of these are gone, nothing is changed.
    pub fn waker(&self) -> Sender<()> {
        self.sender.clone()
    }

    /// Returns after a notification, or after the time.
    pub fn wait(&mut self, longest: Duration) {
        self.renew();
        // Disconnected can't be: `self` holds a sender.
        if let Err(RecvTimeoutError::Disconnected) = self.receiver.recv_timeout(longest) {
            thread::sleep(longest);
        }
    }

    fn renew(&mut self) {
        for watched in &mut self.watched {
            watched.renew(&self.sender);
        }
    }
}

impl Watched {
    fn renew(&mut self, sender: &Sender<()>) {
        let inode = inode(&self.path);
        if self.watching.as_ref().map(|(_, inode)| *inode) == inode {
            return;
        }
        self.watching = inode.and_then(|inode| {
            let sender = sender.clone();
            let wake = move |event: notify::Result<notify::Event>| {
                // A full channel means that a waking is already under way.
                if !event.is_ok_and(|event| is_no_news(event.kind)) {
                    let _ = sender.try_send(());
                }
            };
            let mut watcher = notify::recommended_watcher(wake).ok()?;
            match watcher.watch(&self.path, self.mode) {
                Ok(()) => Some((watcher, inode)),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "no file notifications: changes are seen at the next look");
                    None
                }
            }
        });
    }
}

/// Our own reading of a file; and, where its closing is told as well, each write to one that is still open.
fn is_no_news(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access != AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => cfg!(target_os = "linux"),
        _ => false,
    }
}

/// What changes when a path names another file; none where there is nothing.
pub fn inode(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    return Some(std::os::unix::fs::MetadataExt::ino(&metadata));
    #[cfg(not(unix))]
    Some(u64::from(metadata.is_dir()))
}
