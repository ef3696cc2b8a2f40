//! A changed config file is applied whole, without a restart; a bad one changes nothing and is reported.

use std::{net::SocketAddr, path::PathBuf, thread, time::Duration};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::{Origin, check, plan};
use crate::{
    api::Face,
    clock::Stopwatch,
    config::{Config, Fingerprint, Problem, Problems},
    pipeline::Pipeline,
    wake::{self, Wake},
};

/// A file that somebody has put in the place of the old one is whole; it is left alone for so long all the same.
const SETTLE: Duration = Duration::from_millis(50);
/// A file that is written to may be half written: it must stand still for so long.
const SETTLE_IN_PLACE: Duration = Duration::from_secs(1);
/// A file that is replaced all the time is taken as it is after this.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);
/// How often the file is looked at when nothing is notified.
const RESCAN: Duration = Duration::from_secs(2);
/// A stop does not wait longer for what a reload is doing, a command that gives a secret for example.
const LONGEST_JOIN: Duration = Duration::from_secs(2);

/// Ends the watching when it is dropped.
pub struct ReloadHandle {
    stop: Option<Sender<()>>,
    again: Sender<()>,
    waker: Sender<()>,
    ended: Receiver<()>,
}

struct Reloader {
    origin: Origin,
    file: PathBuf,
    /// What runs.
    current: Config,
    /// Where the API listens, whatever the config says by now.
    address: Option<SocketAddr>,
    pipeline: Pipeline,
    face: Face,
    runtime: tokio::runtime::Handle,
    /// The file as it was last dealt with, be it used or refused.
    seen: Found,
    /// Of that file.
    inode: u64,
    pending: Option<Pending>,
}

/// The file, or why there is none.
type Found = Result<Fingerprint, String>;

/// A change that has not stood still for long enough.
struct Pending {
    found: Found,
    /// Another one: the file was replaced, not written to.
    inode: u64,
    in_place: bool,
    since: Stopwatch,
    first: Stopwatch,
}

impl ReloadHandle {
    /// Watches the config's file; `None` when there is none.
    pub(super) fn start(
        origin: Origin,
        current: Config,
        address: Option<SocketAddr>,
        pipeline: Pipeline,
        face: Face,
    ) -> std::io::Result<Option<Self>> {
        let Some(file) = origin.file.clone() else {
            return Ok(None);
        };
        // Not its folder, where the store may be, which is written to all the time.
        let mut wake = Wake::new(&file);
        let waker = wake.waker();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let (again, asked) = crossbeam_channel::bounded::<()>(1);
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        let reloader = Reloader {
            origin,
            seen: current.fingerprint.ok_or_else(String::new),
            inode: wake::inode(&file).unwrap_or_default(),
            file,
            current,
            address,
            pipeline,
            face,
            runtime: tokio::runtime::Handle::current(),
            pending: None,
        };
        thread::Builder::new().name("config-watch".to_owned()).spawn(move || {
            // Dropped last, when the thread ends, however it ends.
            let _end = end;
            let mut reloader = reloader;
            // What has changed during the start is seen at once.
            let mut next = Duration::ZERO;
            loop {
                wake.wait(next);
                if stopped.try_recv() == Err(TryRecvError::Disconnected) {
                    return;
                }
                next = if asked.try_recv().is_ok() { reloader.reload() } else { reloader.look() };
            }
        })?;
        Ok(Some(Self { stop: Some(stop), again, waker, ended }))
    }

    /// Reads the config again, changed or not: what its references point at may have changed.
    pub fn wake(&self) {
        // Full: that has been asked already.
        let _ = self.again.try_send(());
        let _ = self.waker.try_send(());
    }
}

impl Drop for ReloadHandle {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.waker.try_send(());
        // Nothing is ever sent: this returns when the thread has ended, or after the time.
        let _ = self.ended.recv_timeout(LONGEST_JOIN);
    }
}

impl Reloader {
    /// Uses the file when it has changed and stands still; says when to look again.
    fn look(&mut self) -> Duration {
        let found = self.found();
        if found == self.seen {
            self.pending = None;
            return RESCAN;
        }
        let inode = wake::inode(&self.file).unwrap_or_default();
        let pending = match self.pending.take() {
            Some(pending) if pending.found == found => pending,
            before => Pending {
                in_place: before.as_ref().is_some_and(|before| before.inode == inode) || inode == self.inode,
                first: before.map_or_else(Stopwatch::start, |before| before.first),
                since: Stopwatch::start(),
                inode,
                found,
            },
        };
        let settle = if pending.in_place || pending.found.is_err() { SETTLE_IN_PLACE } else { SETTLE };
        let left = settle.saturating_sub(pending.since.elapsed());
        let replaced_all_the_time = !pending.in_place && pending.first.elapsed() > LONGEST_SETTLE;
        if left.is_zero() || replaced_all_the_time {
            return self.reload();
        }
        self.pending = Some(pending);
        left
    }

    /// With the certificate and its key: they are renewed in their places.
    fn found(&self) -> Found {
        let beside = self.current.tls.as_ref().map_or(&[][..], |tls| &tls.files);
        Fingerprint::of(&self.file, beside).map_err(|error| error.to_string())
    }

    /// Reads the file and uses it, or says what is wrong with it.
    fn reload(&mut self) -> Duration {
        self.pending = None;
        self.inode = wake::inode(&self.file).unwrap_or_default();
        self.seen = self.found();
        self.use_it();
        // It may have changed meanwhile.
        SETTLE
    }

    fn use_it(&mut self) {
        match self.apply() {
            Ok(()) => {
                tracing::info!(file = %self.file.display(), channels = self.current.channels.len(), "the config has been read again and is in use");
                self.face.reloaded(Vec::new());
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(file = %self.file.display(), "the config is not used as it stands now: the one before stays");
                self.face.reloaded(problems.iter().map(ToString::to_string).collect());
            }
        }
    }

    fn apply(&mut self) -> Result<(), Problems> {
        let next = self.origin.load()?;
        if let Some(problem) = next.check_bound(self.address) {
            return Err(Problems::new(vec![problem]));
        }
        let tls = plan::tls(&next).map_err(|problem| Problems::new(vec![problem]))?;
        let registry = self.pipeline.registry();
        let problems = check::channel_problems(&next, registry);
        let (missing, wrong): (Vec<_>, Vec<_>) = problems.into_iter().partition(check::is_missing_adapter);
        if !wrong.is_empty() {
            return Err(Problems::new(wrong));
        }
        registry.adopt(plan::live_channels(&next)).map_err(|wrong| {
            let problems = wrong.iter().filter_map(|(name, problem)| {
                let channel = next.channels.iter().find(|channel| channel.name == *name)?;
                Some(check::of_setting(channel, problem))
            });
            Problems::new(problems.collect())
        })?;
        let plan = plan::plan(&next, &self.pipeline.plan())
            .map_err(|error| Problems::new(vec![Problem::new("outbound", error.to_string())]))?;
        let overdue = check::overdue(&next, self.pipeline.clock().now());
        for warning in
            next.warnings.iter().chain(&missing).chain(&check::about_secrets(&next, registry)).chain(&overdue)
        {
            tracing::warn!("{warning}");
        }
        self.tell_of_restart(&next);
        // Lanes are tasks of the runtime.
        let _entered = self.runtime.enter();
        self.pipeline.apply(plan);
        // A call that began before the plan was swapped may have kept a sandbox since `adopt`.
        self.pipeline.registry().forget_kept();
        self.face.set_access(plan::access(&next, self.address));
        self.face.set_tls(tls);
        // It may name other files than before.
        self.seen = next.fingerprint.ok_or_else(String::new);
        self.current = next;
        Ok(())
    }

    /// What is bound or opened at a start stays as it is.
    fn tell_of_restart(&self, next: &Config) {
        let current = &self.current;
        for (section, changed) in [
            ("server.listen", current.server.listen != next.server.listen),
            ("server.socket", current.server.socket != next.server.socket),
            ("server.socket_mode", current.server.socket_mode != next.server.socket_mode),
            ("server.max_body", current.server.max_body != next.server.max_body),
            ("server.max_connections", current.server.max_connections != next.server.max_connections),
            ("server.max_requests", current.server.max_requests != next.server.max_requests),
            ("server.request_timeout", current.server.request_timeout != next.server.request_timeout),
            ("server.log", current.server.log != next.server.log),
            ("server.log_format", current.server.log_format != next.server.log_format),
            ("server.core_dumps", current.server.core_dumps != next.server.core_dumps),
            ("server.grace", current.server.grace != next.server.grace),
            ("store.path", current.store.path != next.store.path),
            ("adapters", current.adapters != next.adapters),
        ] {
            if changed {
                tracing::warn!("`{section}` has changed in the config; it is used after a restart");
            }
        }
    }
}
