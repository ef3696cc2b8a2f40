//! Which adapters there are: what is compiled in, and what the folder holds.
//!
//! A reconcile compares the folder with what is loaded. What passes every check is published by one pointer swap; what
//! fails any is refused, with its reason, and replaces nothing. Calls in flight keep the adapter that they have.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tokio::sync::watch;

use super::{
    builtin,
    compile::Compiler,
    component::{Adapter, LoadError, Origin, digest},
    engine::Sandbox,
    golden,
    published::{LiveChannel, Options, Published, Refused},
    scan::{ENDINGS, Found, Scan, Sight},
    schema::SettingProblem,
};

/// A cheap handle to all adapters.
#[derive(Clone)]
pub struct Registry(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) sandbox: Sandbox,
    pub(super) compiler: Compiler,
    pub(super) options: Options,
    published: ArcSwap<Published>,
    /// Counts publications, for those who wait for one.
    changes: watch::Sender<u64>,
    /// Held by a reconcile and by a change of the channels, never by a call of an adapter.
    state: Mutex<State>,
    /// Has the folder looked at, where it is watched.
    pub(super) waker: Arc<OnceLock<Sender<()>>>,
}

pub(super) struct State {
    scan: Scan,
    pub channels: Vec<LiveChannel>,
    /// The folder is looked at for the first time: nothing has been delivered yet.
    starting: bool,
    /// What serves again when the version that has taken its place fails its first calls, by name.
    pub proven: BTreeMap<String, Arc<Adapter>>,
}

impl Registry {
    /// Loads what is compiled in and what the folder holds now.
    pub fn open(options: Options, channels: Vec<LiveChannel>) -> Result<Self, LoadError> {
        let sandbox = Sandbox::new(options.limits, options.limits_of.values(), options.explain)
            .map_err(|error| LoadError::new("engine", format!("the sandbox can't be set up: {error:#}")))?;
        let waker = Arc::default();
        let registry = Self(Arc::new(Inner {
            compiler: Compiler::new(options.cache.clone(), Arc::clone(&waker)),
            sandbox,
            options,
            published: ArcSwap::default(),
            changes: watch::Sender::new(0),
            state: Mutex::new(State { scan: Scan::default(), channels, starting: true, proven: BTreeMap::new() }),
            waker,
        }));
        for (name, bytes) in builtin::ALL {
            match registry.load(name, bytes, Origin::BuiltIn) {
                Ok(adapter) => registry.publish(name, Some(adapter)),
                // The operator wants a file of that name, which may be there.
                Err(error) if error.step == "pin" => {
                    registry.refuse(&Found::built_in(name), Some(digest(bytes)), error);
                }
                Err(error) => return Err(error),
            }
        }
        // What stands there at the start is taken as it is; settling is for files that change before our eyes.
        registry.reconcile(Duration::ZERO);
        registry.state().starting = false;
        Ok(registry)
    }

    /// What is usable now.
    pub fn published(&self) -> Arc<Published> {
        self.0.published.load_full()
    }

    /// The adapter of that name, if it is usable now.
    pub fn get(&self, name: &str) -> Option<Arc<Adapter>> {
        self.0.published.load().adapters.get(name).cloned()
    }

    /// Sees every publication that comes after this call.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The adapters folder.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.0.options.folder.as_ref()
    }

    /// Takes over changed channels, unless an adapter refuses their settings: then nothing changes, and everything that
    /// is wrong is told, with the channel's name. A channel whose adapter is missing waits for it.
    pub fn adopt(&self, channels: Vec<LiveChannel>) -> Result<(), Vec<(String, SettingProblem)>> {
        let mut state = self.state();
        let published = self.published();
        let problems: Vec<_> = channels
            .iter()
            .filter_map(|channel| Some((channel, published.adapters.get(&channel.adapter)?)))
            .flat_map(|(channel, adapter)| {
                let problems = adapter.schema.check(&channel.settings);
                problems.into_iter().map(|problem| (channel.name.clone(), problem))
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        state.channels = channels;
        self.0.sandbox.kept.clear();
        // A version that was refused for the old settings may fit the new ones.
        for (name, refused) in &published.refused {
            if refused.error.step == "settings" {
                state.scan.forget(name);
            }
        }
        Ok(())
    }

    /// Throws away the sandboxes that channels keep: their config is another one.
    pub fn forget_kept(&self) {
        self.0.sandbox.kept.clear();
    }

    /// Compares the folder with what is loaded. A file is read when its size and time have stood still for `settle`;
    /// the answer says when to look again for one that has not.
    pub fn reconcile(&self, settle: Duration) -> Option<Duration> {
        let folder = self.0.options.folder.as_ref()?;
        let mut state = self.state();
        self.judge(&mut state);
        for name in self.0.compiler.finished() {
            state.scan.forget(&name);
        }
        let sights = match state.scan.look(folder, settle) {
            Ok(sights) => sights,
            Err(error) => {
                // A folder that can't be read for a moment is no reason to unload what works.
                if state.scan.is_new_trouble(&error) {
                    tracing::warn!(folder = %folder.display(), %error, "cannot read the adapters folder; what is loaded stays");
                }
                return None;
            }
        };
        let mut again = None;
        for sight in sights {
            match sight {
                Sight::Settled(found) if !found.rivals.is_empty() => self.refuse(&found, None, clash(&found)),
                Sight::Settled(found) => match found.read(self.0.options.limits(&found.name).file) {
                    Ok(bytes) => self.examine(&mut state, &found, &bytes),
                    Err(error) => {
                        self.refuse(&found, None, LoadError::new("read", error.to_string()));
                        // It may be readable at the next look.
                        state.scan.forget(&found.name);
                    }
                },
                Sight::Moving(left) => again = Some(again.map_or(left, |a: Duration| a.min(left))),
                Sight::Gone(name) => {
                    state.proven.remove(&name);
                    self.0.compiler.forget(&name);
                    self.remove(&name, folder);
                }
            }
        }
        again
    }

    fn examine(&self, state: &mut State, found: &Found, bytes: &[u8]) {
        let name = found.name.as_str();
        let digest = digest(bytes);
        let published = self.published();
        let known_bad = published
            .refused
            .get(name)
            .is_some_and(|refused| refused.digest.as_ref() == Some(&digest) && !refused.error.may_pass());
        if known_bad {
            return self.wait_no_longer(name);
        }
        let current = published.adapters.get(name);
        let unchanged = current.is_some_and(|adapter| {
            adapter.id.digest == digest && matches!(&adapter.origin, Origin::File(file) if *file == found.path)
        });
        if unchanged {
            return self.publish(name, None);
        }
        match self.prepare(state, found, bytes) {
            // Before a start the file served in place of the built-in adapter: its channels wait for it.
            Ok(None) => self.change(|published| published.comes(name, state.starting)),
            Ok(Some(adapter)) => {
                tracing::info!(
                    adapter = name,
                    version = adapter.id.version,
                    digest,
                    bytes = bytes.len(),
                    cached = adapter.from_cache,
                    replaces = current.map(|old| old.id.version.as_str()),
                    "adapter loaded"
                );
                if let Some(current) = current {
                    warn_of_more_hosts(current, &adapter);
                }
                self.try_out(state, found, &adapter, bytes);
                self.publish(name, Some(adapter));
            }
            Err(error) => self.refuse(found, Some(digest), error),
        }
    }

    /// Loads the bytes and holds them against the channels and the examples. `None`: they are being compiled.
    fn prepare(&self, state: &State, found: &Found, bytes: &[u8]) -> Result<Option<Adapter>, LoadError> {
        let Some(adapter) = self.load_or_begin(&found.name, bytes, Origin::File(found.path.clone()))? else {
            return Ok(None);
        };
        check_channels(&state.channels, &adapter)?;
        golden::check_beside(&adapter, &found.path)?;
        Ok(Some(adapter))
    }

    fn refuse(&self, found: &Found, digest: Option<String>, error: LoadError) {
        let name = found.name.as_str();
        let refused = Refused { file: found.path.clone(), digest, error };
        if self.published().refused.get(name) == Some(&refused) {
            return self.wait_no_longer(name);
        }
        let Refused { digest, error, .. } = &refused;
        let kept = self.get(name).or_else(|| self.revive(found)).or_else(|| self.fall_back(name));
        tracing::error!(
            adapter = name, file = %found.path.display(), step = error.step, digest,
            keeps = kept.map(|adapter| adapter.id.version.clone()),
            "adapter refused: {error}"
        );
        self.change(|published| published.bad(name, refused));
    }

    /// What was being compiled under that name is not wanted any more.
    fn wait_no_longer(&self, name: &str) {
        self.0.compiler.forget(name);
        if self.published().compiling.contains(name) {
            self.change(|published| {
                published.compiling.remove(name);
            });
        }
    }

    /// At a start there is no version in memory to go on with: the copy of the last good one serves.
    fn revive(&self, found: &Found) -> Option<Arc<Adapter>> {
        let bytes = self.0.options.cache.as_ref()?.last_good(&found.path)?;
        let adapter = self.load_last_good(found, &bytes)?;
        self.change(|published| {
            published.adapters.insert(found.name.clone(), adapter.clone());
        });
        Some(adapter)
    }

    /// Without a file that works, the built-in adapter of that name serves.
    fn fall_back(&self, name: &str) -> Option<Arc<Adapter>> {
        let (name, bytes) = builtin::ALL.iter().find(|(built_in, _)| *built_in == name)?;
        let adapter = Arc::new(self.load(name, bytes, Origin::BuiltIn).ok()?);
        self.change(|published| {
            published.adapters.insert((*name).to_owned(), adapter.clone());
        });
        Some(adapter)
    }

    fn remove(&self, name: &str, folder: &Path) {
        if let Some(cache) = &self.0.options.cache {
            for ending in ENDINGS {
                cache.forget_good(&folder.join(format!("{name}.{ending}")));
            }
        }
        let built_in = builtin::ALL.iter().find(|(built_in, _)| *built_in == name);
        tracing::info!(adapter = name, built_in = built_in.is_some(), "adapter removed");
        let built_in = built_in.map(|(name, bytes)| (bytes, self.load(name, bytes, Origin::BuiltIn)));
        if let Some((_, Ok(adapter))) = built_in {
            return self.publish(name, Some(adapter));
        }
        self.change(|published| published.gone(name));
        if let Some((bytes, Err(error))) = built_in {
            self.refuse(&Found::built_in(name), Some(digest(bytes)), error);
        }
    }

    /// `None`: what is published under that name is good as it is; a refusal of another file's is over.
    fn publish(&self, name: &str, adapter: Option<Adapter>) {
        let published = self.published();
        if adapter.is_some() || published.refused.contains_key(name) || published.compiling.contains(name) {
            self.change(|published| published.good(name, adapter));
        }
    }

    /// One swap; only a reconcile changes anything, and it holds the state's lock.
    pub(super) fn change(&self, change: impl FnOnce(&mut Published)) {
        let mut next = Published::clone(&self.published());
        change(&mut next);
        self.0.published.store(Arc::new(next));
        self.0.sandbox.kept.clear();
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secrets of its channels may be sent to whatever hosts an adapter declares.
fn warn_of_more_hosts(old: &Adapter, new: &Adapter) {
    let hosts = &new.description.hosts;
    let more: Vec<_> = hosts.iter().filter(|host| !old.description.hosts.contains(host)).map(String::as_str).collect();
    if !more.is_empty() {
        tracing::warn!(
            adapter = &*new.name,
            version = new.id.version,
            hosts = more.join(", "),
            "the new version declares more hosts than the one before: its channels' secrets may be sent there, where \
             `hosts` of the channel does not narrow that"
        );
    }
}

/// Which of them is meant can't be known.
fn clash(found: &Found) -> LoadError {
    let names: Vec<_> = [&found.path]
        .into_iter()
        .chain(&found.rivals)
        .filter_map(|path| Some(path.file_name()?.to_string_lossy()))
        .collect();
    LoadError::new("name", format!("{} would be the same adapter: remove or rename all but one", names.join(" and ")))
}

/// Whether all channels of the adapter's name would work with it.
pub(super) fn check_channels(channels: &[LiveChannel], adapter: &Adapter) -> Result<(), LoadError> {
    for channel in channels.iter().filter(|channel| channel.adapter == *adapter.name) {
        if let Some(problem) = adapter.schema.check(&channel.settings).first() {
            return Err(LoadError::new(
                "settings",
                format!(
                    "channel `{}` would not work with version {}: settings{}: {}; change the channel's settings first",
                    channel.name, adapter.id.version, problem.pointer, problem.message
                ),
            ));
        }
    }
    Ok(())
}
