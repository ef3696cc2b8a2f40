//! A changed config file is applied whole, without a restart; a bad one changes nothing and is reported.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crossbeam_channel::Sender;

use super::{Origin, check, plan};
use crate::{
    api::Face,
    config::{Config, Problem, Problems},
    pipeline::Pipeline,
    wake::Wake,
};

/// A file that is being written is left alone until it has stood still for so long.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the file is looked at when nothing is notified.
const RESCAN: Duration = Duration::from_secs(2);

/// Ends the watching when it is dropped.
pub struct ReloadHandle {
    stop: Option<Sender<()>>,
    again: Sender<()>,
    waker: Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Reloader {
    origin: Origin,
    file: PathBuf,
    /// What runs.
    current: Config,
    pipeline: Pipeline,
    face: Face,
    runtime: tokio::runtime::Handle,
}

impl ReloadHandle {
    /// Watches the config's file; `None` when there is none.
    pub(super) fn start(
        origin: Origin,
        current: Config,
        pipeline: Pipeline,
        face: Face,
    ) -> std::io::Result<Option<Self>> {
        let Some(file) = origin.file.clone() else {
            return Ok(None);
        };
        // A bare file name has an empty parent: the working directory.
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut wake = Wake::new(folder);
        let waker = wake.waker();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let (again, asked) = crossbeam_channel::bounded::<()>(1);
        let mut reloader =
            Reloader { origin, file, current, pipeline, face, runtime: tokio::runtime::Handle::current() };
        let mut seen = fs::read(&reloader.file).ok();
        let thread = thread::Builder::new().name("config-watch".to_owned()).spawn(move || {
            loop {
                wake.wait(RESCAN);
                if stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
                    return;
                }
                let asked = asked.try_recv().is_ok();
                let found = settled(&reloader.file);
                if asked || (found.is_some() && found != seen) {
                    seen = found;
                    reloader.reload();
                }
            }
        })?;
        Ok(Some(Self { stop: Some(stop), again, waker, thread: Some(thread) }))
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
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// The file's bytes once they stand still; `None` while there is no such file.
fn settled(file: &Path) -> Option<Vec<u8>> {
    let mut found = fs::read(file).ok()?;
    loop {
        thread::sleep(SETTLE);
        let again = fs::read(file).ok()?;
        if again == found {
            return Some(found);
        }
        found = again;
    }
}

impl Reloader {
    fn reload(&mut self) {
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
        let registry = self.pipeline.registry();
        registry.adopt(plan::live_channels(&next)).map_err(|wrong| {
            let problems = wrong.iter().filter_map(|(name, problem)| {
                let channel = next.channels.iter().find(|channel| channel.name == *name)?;
                Some(check::of_setting(channel, problem))
            });
            Problems::new(problems.collect())
        })?;
        for warning in next.warnings.iter().chain(&check::inline_secrets(&next, registry)) {
            tracing::warn!("{warning}");
        }
        self.tell_of_restart(&next);
        // Lanes are tasks of the runtime.
        let _entered = self.runtime.enter();
        self.pipeline
            .apply(plan::plan(&next), plan::outbound(&next))
            .map_err(|error| Problems::new(vec![Problem::new("outbound", error.to_string())]))?;
        self.current = next;
        Ok(())
    }

    /// What is bound or opened at a start stays as it is.
    fn tell_of_restart(&self, next: &Config) {
        let current = &self.current;
        for (section, changed) in [
            ("server.listen", current.server.listen != next.server.listen),
            ("server.max_body", current.server.max_body != next.server.max_body),
            ("server.log", current.server.log != next.server.log),
            ("server.log_format", current.server.log_format != next.server.log_format),
            ("server.grace", current.server.grace != next.server.grace),
            ("store", current.store != next.store),
            ("adapters", current.adapters != next.adapters),
        ] {
            if changed {
                tracing::warn!("`{section}` has changed in the config; it is used after a restart");
            }
        }
    }
}
