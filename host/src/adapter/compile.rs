//! From bytes to machine code: checked, and compiled, or taken from the cache. Much code is compiled beside everything else.
//!
//! That takes seconds, on all cores: it must hold up neither deliveries nor other adapters nor a start.

use std::{
    collections::BTreeMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use crossbeam_channel::Sender;
use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use super::{
    cache::Cache,
    component::{LoadError, Origin, digest},
    engine::{HostState, Sandbox},
    fit,
    script::{self, Language},
};

/// The niceness of the compiler's threads: a ninth of the weight of the others. They do not give way altogether, as the threads
/// of slow channels do: an adapter must come in the end, on a host that is never idle too.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Bytes of WebAssembly code that are compiled at once: it takes less than half a second.
const MUCH_CODE: usize = 256 << 10;

/// What the bytes have become: machine code, and what it is linked with.
pub(super) struct Built {
    pub component: Component,
    pub linker: Arc<Linker<HostState>>,
    /// Of the bytes.
    pub digest: String,
    /// How many there are of them.
    pub size: usize,
    pub from_cache: bool,
    /// Whether it exports what it only may: an engine always does, the script that it runs may not.
    pub reads_replies: bool,
}

/// Bytes that may be compiled, for a sandbox of those limits.
pub(super) struct Source<'a> {
    sandbox: &'a Sandbox,
    bytes: &'a [u8],
    digest: String,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// Its own machine code, made of so many bytes.
    Component { code: usize },
    /// A file for an engine, which is compiled already; only its state is made, and small.
    Script { language: Language, file: &'a Path },
}

impl<'a> Source<'a> {
    /// Checks what can be seen without compiling.
    pub fn check(sandbox: &'a Sandbox, bytes: &'a [u8], origin: &'a Origin) -> Result<Self, LoadError> {
        let kind = match origin.file().and_then(|file| Some((Language::of(file)?, file))) {
            Some((language, file)) => Kind::Script { language, file },
            None => {
                fit::check_is_component(bytes)?;
                Kind::Component { code: fit::check_size(bytes, &sandbox.limits)? }
            }
        };
        Ok(Self { sandbox, bytes, digest: digest(bytes), kind })
    }

    fn with(&self, component: Component, from_cache: bool) -> Built {
        Built {
            component,
            linker: self.sandbox.linker.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len(),
            from_cache,
            reads_replies: true,
        }
    }
}

/// Turns bytes into machine code.
pub(super) struct Compiler {
    cache: Option<Cache>,
    /// Threads that give way to all others; made when they are first needed.
    threads: OnceLock<ThreadPool>,
    jobs: Arc<Mutex<BTreeMap<String, Job>>>,
    /// Has the folder looked at when a job is done.
    waker: Arc<OnceLock<Sender<()>>>,
}

/// What is, or was, compiled beside everything else, for the file of that name.
struct Job {
    digest: String,
    /// None: it is under way.
    result: Option<Result<Component, LoadError>>,
    /// Its end was told.
    told: bool,
}

impl Compiler {
    pub fn new(cache: Option<Cache>, waker: Arc<OnceLock<Sender<()>>>) -> Self {
        Self { cache, threads: OnceLock::new(), jobs: Arc::default(), waker }
    }

    /// The machine code, when it is there: it may take seconds.
    pub fn compile(&self, source: &Source<'_>) -> Result<Built, LoadError> {
        if let Kind::Script { language, file } = source.kind {
            return script::build(source.sandbox, self.cache.as_ref(), language, file, source.bytes);
        }
        if let Some(built) = self.cached(source) {
            return Ok(built);
        }
        Ok(source.with(compile(&source.sandbox.engine, self.cache.as_ref(), &source.digest, source.bytes)?, false))
    }

    /// The machine code, or `None` where it is much that has to be compiled: then that goes on beside everything else, and
    /// its end wakes who looks at the folder.
    pub fn compile_beside(&self, name: &str, source: &Source<'_>) -> Result<Option<Built>, LoadError> {
        let much = matches!(source.kind, Kind::Component { code } if code > MUCH_CODE);
        if !much {
            self.forget(name);
            return self.compile(source).map(Some);
        }
        {
            let mut jobs = self.jobs();
            match jobs.remove(name).filter(|job| job.digest == source.digest) {
                Some(Job { result: Some(result), .. }) => return Ok(Some(source.with(result?, false))),
                Some(under_way) => {
                    jobs.insert(name.to_owned(), under_way);
                    return Ok(None);
                }
                None => {}
            }
        }
        if let Some(component) = self.cached(source) {
            return Ok(Some(component));
        }
        self.begin(name, source).map(|()| None)
    }

    /// The files whose machine code is there since the last time.
    pub fn finished(&self) -> Vec<String> {
        let mut jobs = self.jobs();
        let done = jobs.iter_mut().filter(|job| job.1.result.is_some());
        done.filter_map(|(name, job)| (!mem::replace(&mut job.told, true)).then(|| name.clone())).collect()
    }

    /// The file is gone.
    pub fn forget(&self, name: &str) {
        self.jobs().remove(name);
    }

    fn cached(&self, source: &Source<'_>) -> Option<Built> {
        let component = Cache::find_component(self.cache.as_ref(), &source.sandbox.engine, &source.digest)?;
        Some(source.with(component, true))
    }

    fn begin(&self, name: &str, source: &Source<'_>) -> Result<(), LoadError> {
        let threads = self.threads()?;
        tracing::info!(
            adapter = name,
            bytes = source.bytes.len(),
            "compiling an adapter of much code; until that is done, what served before goes on"
        );
        self.jobs().insert(name.to_owned(), Job { digest: source.digest.clone(), result: None, told: false });
        let (engine, cache, jobs, waker) =
            (source.sandbox.engine.clone(), self.cache.clone(), self.jobs.clone(), self.waker.clone());
        let (name, digest, bytes) = (name.to_owned(), source.digest.clone(), source.bytes.to_vec());
        threads.spawn(move || {
            // Saved again, or removed, before its turn came.
            let is_wanted = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            if is_wanted.get(&name).is_none_or(|job| job.digest != digest) {
                return;
            }
            drop(is_wanted);
            let result = catch_unwind(AssertUnwindSafe(|| compile(&engine, cache.as_ref(), &digest, &bytes)))
                .unwrap_or_else(|_| Err(LoadError::new("validate", "the compiler panicked; please report this")));
            // Another version may have taken its place meanwhile.
            let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(job) = jobs.get_mut(&name).filter(|job| job.digest == digest) {
                job.result = Some(result);
            }
            drop(jobs);
            // Full: somebody is about to look anyway.
            let _ = waker.get().map(|waker| waker.try_send(()));
        });
        Ok(())
    }

    fn threads(&self) -> Result<&ThreadPool, LoadError> {
        if let Some(threads) = self.threads.get() {
            return Ok(threads);
        }
        let made = ThreadPoolBuilder::new()
            .thread_name(|_| "adapter-compile".to_owned())
            .start_handler(|_| be_nice())
            .build()
            .map_err(|error| LoadError::new("engine", format!("the compiler's threads can't be started: {error}")))?;
        Ok(self.threads.get_or_init(|| made))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiles, and keeps the machine code for the next start.
fn compile(engine: &Engine, cache: Option<&Cache>, digest: &str, bytes: &[u8]) -> Result<Component, LoadError> {
    Cache::compile(cache, engine, digest, bytes)
        .map_err(|error| LoadError::new("validate", format!("not a valid component: {error:#}")))
}

/// Lets others go first, by and large.
fn be_nice() {
    // On Linux a priority is a thread's (setpriority(2), "C library/kernel differences"); elsewhere it would be the whole host's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "the compiler's threads keep the priority of the others");
    }
}
