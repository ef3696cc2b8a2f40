//! What the process may have, and what others may see of it: as many open files as the machine allows, and no picture of a
//! memory in which secrets stand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to the most that this process may have. The lower limit is for programs that
/// wait by `select`, which knows 1024 files.
pub(super) fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, files = limit.current, "the limit of open files can't be raised");
    }
}

/// A crash leaves no core dump.
pub(super) fn leave_no_core() {
    let limit = getrlimit(Resource::Core);
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit }) {
        tracing::warn!(%error, "core dumps can't be switched off: a crash may leave one, with secrets in it");
    }
}

/// No other process of this user looks into the memory, and no crash is handed to a program that collects dumps, whatever
/// the limit says. From then on `/proc/self` is root's: for when everything has been opened there that is needed (wasmtime
/// asks `pagemap` what to clear).
pub(super) fn hide_memory() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process can't be hidden from debuggers and core dumps, which show secrets");
    }
}
