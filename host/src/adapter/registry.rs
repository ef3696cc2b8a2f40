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
    component::{Adapter, LoadError, Origin, digest},
    engine::Sandbox,
    golden,
    published::{LiveChannel, Options, Published, Refused},
    scan::{Found, Scan, Sight},
    schema::SettingProblem,
    signature,
};

/// A cheap handle to all adapters.
#[derive(Clone)]
pub struct Registry(pub(super) Arc<Inner>);

pub(super) struct Inner {
    sandbox: Sandbox,
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
    /// What serves again when the version that has taken its place fails its first calls, by name.
    pub proven: BTreeMap<String, Arc<Adapter>>,
}

impl Registry {
    /// Loads what is compiled in and what the folder holds now.
    pub fn open(options: Options, channels: Vec<LiveChannel>) -> Result<Self, LoadError> {
        let registry = Self(Arc::new(Inner {
            sandbox: Sandbox::new(options.limits, options.limits_of.values())
                .map_err(|error| LoadError::new("engine", format!("the sandbox can't be set up: {error:#}")))?,
            options,
            published: ArcSwap::default(),
            changes: watch::Sender::new(0),
            state: Mutex::new(State { scan: Scan::default(), channels, proven: BTreeMap::new() }),
            waker: Arc::default(),
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

    /// Loads a component without publishing it: for `adapters inspect` and for golden tests.
    pub fn load(&self, name: &str, bytes: &[u8], origin: Origin) -> Result<Adapter, LoadError> {
        let options = &self.0.options;
        options.check_pin(name, &digest(bytes))?;
        self.check_signature(bytes, &origin)?;
        Adapter::load(&self.0.sandbox.with(options.limits(name)), options.cache.as_ref(), name, bytes, origin)
    }

    /// What is compiled in is a part of this program; of everything else the signature stands beside the bytes.
    fn check_signature(&self, bytes: &[u8], origin: &Origin) -> Result<(), LoadError> {
        let options = &self.0.options;
        let copy = |file| options.cache.as_ref().map(|cache| cache.good(file));
        let file = match origin {
            Origin::File(file) => Some(file.clone()),
            Origin::LastGood(file) => copy(file),
            Origin::BuiltIn => None,
        };
        match file.filter(|_| !options.signed_by.is_empty()) {
            Some(file) => signature::check(&options.signed_by, bytes, &file),
            None => Ok(()),
        }
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
        // A version that was refused for the old settings may fit the new ones.
        for (name, refused) in &published.refused {
            if refused.error.step == "settings" {
                state.scan.forget(name);
            }
        }
        Ok(())
    }

    /// Compares the folder with what is loaded. A file is read when its size and time have stood still for `settle`;
    /// the answer says when to look again for one that has not.
    pub fn reconcile(&self, settle: Duration) -> Option<Duration> {
        let folder = self.0.options.folder.as_ref()?;
        let mut state = self.state();
        self.judge(&mut state);
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
            return;
        }
        let current = published.adapters.get(name);
        let unchanged =
            current.is_some_and(|adapter| adapter.id.digest == digest && matches!(adapter.origin, Origin::File(_)));
        if unchanged {
            return self.publish(name, None);
        }
        match self.prepare(state, found, bytes) {
            Ok(adapter) => {
                tracing::info!(
                    adapter = name,
                    version = adapter.id.version,
                    digest,
                    bytes = bytes.len(),
                    cached = adapter.from_cache,
                    replaces = current.map(|old| old.id.version.as_str()),
                    "adapter loaded"
                );
                self.try_out(state, found, &adapter, bytes);
                self.publish(name, Some(adapter));
            }
            Err(error) => self.refuse(found, Some(digest), error),
        }
    }

    /// Loads the bytes and holds them against the channels and the examples.
    fn prepare(&self, state: &State, found: &Found, bytes: &[u8]) -> Result<Adapter, LoadError> {
        let adapter = self.load(&found.name, bytes, Origin::File(found.path.clone()))?;
        check_channels(&state.channels, &adapter)?;
        golden::check_beside(&adapter, &found.path)?;
        Ok(adapter)
    }

    fn refuse(&self, found: &Found, digest: Option<String>, error: LoadError) {
        let name = found.name.as_str();
        let refused = Refused { file: found.path.clone(), digest, error };
        if self.published().refused.get(name) == Some(&refused) {
            return;
        }
        let Refused { digest, error, .. } = &refused;
        let kept = self.get(name).or_else(|| self.revive(found));
        tracing::error!(
            adapter = name, file = %found.path.display(), step = error.step, digest,
            keeps = kept.map(|adapter| adapter.id.version.clone()),
            "adapter refused: {error}"
        );
        self.change(|published| {
            published.refused.insert(name.to_owned(), refused);
        });
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

    fn remove(&self, name: &str, folder: &Path) {
        if let Some(cache) = &self.0.options.cache {
            cache.forget_good(&folder.join(format!("{name}.wasm")));
        }
        let built_in = builtin::ALL.iter().find(|(built_in, _)| *built_in == name);
        tracing::info!(adapter = name, built_in = built_in.is_some(), "adapter removed");
        let built_in = built_in.map(|(name, bytes)| (bytes, self.load(name, bytes, Origin::BuiltIn)));
        if let Some((_, Ok(adapter))) = built_in {
            return self.publish(name, Some(adapter));
        }
        self.change(|published| {
            published.refused.remove(name);
            published.adapters.remove(name);
        });
        if let Some((bytes, Err(error))) = built_in {
            self.refuse(&Found::built_in(name), Some(digest(bytes)), error);
        }
    }

    /// `None`: what is published under that name is good as it is; a refusal of another file's is over.
    fn publish(&self, name: &str, adapter: Option<Adapter>) {
        if adapter.is_none() && !self.published().refused.contains_key(name) {
            return;
        }
        self.change(|published| {
            published.refused.remove(name);
            if let Some(adapter) = adapter {
                published.adapters.insert(name.to_owned(), Arc::new(adapter));
            }
        });
    }

    /// One swap; only a reconcile changes anything, and it holds the state's lock.
    pub(super) fn change(&self, change: impl FnOnce(&mut Published)) {
        let mut next = Published::clone(&self.published());
        change(&mut next);
        self.0.published.store(Arc::new(next));
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
