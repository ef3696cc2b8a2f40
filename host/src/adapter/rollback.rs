//! A version that fails its first calls gives its place back to the one before, by itself.
//!
//! The one before is kept in memory while the new one is tried out, and its bytes in the cache folder until the new one has
//! proven itself: so a restart in between tries the new one out again, and can go back again.

use std::{path::Path, sync::Arc};

use super::{
    cache::Cache,
    component::{Adapter, LoadError, Origin, digest},
    published::Refused,
    registry::{Registry, State, check_channels},
    scan::Found,
    signature,
    trial::Standing,
};
use crate::files;

impl Registry {
    /// A version that is about to be published is watched when there is another one to go back to. Where there is none, it
    /// is as good as there is.
    pub(super) fn try_out(&self, state: &mut State, found: &Found, adapter: &Adapter, bytes: &[u8]) {
        match self.one_before(state, found, &adapter.id.digest) {
            Some(before) => {
                adapter.trial.begin(&self.0.waker);
                state.proven.insert(found.name.clone(), before);
            }
            None => {
                if let Some(cache) = &self.0.options.cache {
                    self.keep_copy(cache, &found.path, bytes);
                }
            }
        }
    }

    /// The version to go back to: what serves now. When that one is being tried out itself and has not shown yet that it works,
    /// it is what served before that. At a start it is the copy of the last good one, and without one what is compiled in.
    fn one_before(&self, state: &mut State, found: &Found, new: &str) -> Option<Arc<Adapter>> {
        let before = match (state.proven.remove(&found.name), self.get(&found.name)) {
            (Some(_), Some(current)) if current.trial.works_so_far() => current,
            (Some(proven), _) => proven,
            (None, Some(current)) if current.origin != Origin::BuiltIn => current,
            (None, built_in) => match self.0.options.cache.as_ref().and_then(|cache| cache.last_good(&found.path)) {
                // It has proven itself before the start.
                Some(bytes) if digest(&bytes) == new => return None,
                Some(bytes) => self.load_last_good(found, &bytes).or(built_in)?,
                None => built_in?,
            },
        };
        (before.id.digest != new).then_some(before)
    }

    /// The copy of a file's last good version, if it may be loaded at all.
    pub(super) fn load_last_good(&self, found: &Found, bytes: &[u8]) -> Option<Arc<Adapter>> {
        let origin = Origin::LastGood(found.path.clone());
        self.load(&found.name, bytes, origin).ok().map(Arc::new)
    }

    /// Ends the trials that have come to their end.
    pub(super) fn judge(&self, state: &mut State) {
        for name in state.proven.keys().cloned().collect::<Vec<_>>() {
            let Some(new) = self.get(&name) else { continue };
            let standing = new.trial.standing();
            if standing == Standing::Open {
                continue;
            }
            let before = state.proven.remove(&name);
            match (standing, before) {
                (Standing::Failed(why), Some(before)) => self.roll_back(state, &new, before, &why),
                _ => self.keep(&new),
            }
        }
    }

    /// Keeps a copy of a version that has proven itself, if its file is still the same.
    fn keep(&self, adapter: &Adapter) {
        let (Some(cache), Origin::File(file)) = (&self.0.options.cache, &adapter.origin) else {
            return;
        };
        match files::read(file, self.0.options.limits(&adapter.name).file) {
            Ok(bytes) if digest(&bytes) == adapter.id.digest => self.keep_copy(cache, file, &bytes),
            _ => {}
        }
    }

    fn keep_copy(&self, cache: &Cache, file: &Path, bytes: &[u8]) {
        // It has just been checked. When it is another one by now, the copy will not be used.
        let signature = if self.0.options.signed_by.is_empty() { None } else { signature::read(file).ok() };
        cache.keep_good(file, bytes, signature.as_deref());
    }

    fn roll_back(&self, state: &State, bad: &Adapter, before: Arc<Adapter>, why: &str) {
        let name = &*bad.name;
        // The config may have changed since that one served.
        if let Err(error) = check_channels(&state.channels, &before) {
            tracing::error!(
                adapter = name,
                version = bad.id.version,
                digest = bad.id.digest,
                "{why}; it goes on, as the version before can't: {error}"
            );
            return;
        }
        tracing::warn!(
            adapter = name,
            version = bad.id.version,
            digest = bad.id.digest,
            serves = before.id.version,
            "adapter rolled back: {why}"
        );
        let (Origin::File(file) | Origin::LastGood(file)) = &bad.origin else { return };
        let message = format!(
            "{why}; version {} ({}) serves again; put a mended file there",
            before.id.version, before.id.digest
        );
        let error = LoadError::new("calls", message);
        let refused = Refused { file: file.clone(), digest: Some(bad.id.digest.clone()), error };
        self.change(|published| {
            published.bad(name, refused);
            published.adapters.insert(name.to_owned(), before);
        });
    }
}
