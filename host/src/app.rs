//! A host: built of its config, bound, run, reloaded, drained.

mod check;
mod plan;
mod reload;
mod room;
mod socket;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{JoinError, JoinHandle},
};

use crate::{
    adapter::{Cache, CallThreads, Limits, Options, Registry, WatchHandle},
    api::{self, Face, Listeners},
    clock::Clock,
    config::{AdapterLimits, Adapters, Config, Problems, Sources},
    pipeline::{Parts, Pipeline, Plan},
    store::Store,
};

pub use check::{check, problems, would_send};
pub use reload::ReloadHandle;
use socket::Socket;

/// A host that is running.
pub struct App {
    address: Option<SocketAddr>,
    pipeline: Pipeline,
    face: Face,
    config: Config,
    server: JoinHandle<()>,
    stop: Arc<Notify>,
    _adapters: Option<WatchHandle>,
    reload: Option<ReloadHandle>,
    _socket: Option<Socket>,
}

/// Where a config came from, for reading it again. References are read from this process's environment.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The config file.
    pub file: Option<PathBuf>,
    /// `HERALD_SECTION__KEY` variables.
    pub env: Vec<(String, String)>,
    /// Key paths and values.
    pub flags: Vec<(String, String)>,
}

impl Origin {
    /// Reads and checks it, on the calling thread.
    pub fn load(&self) -> Result<Config, Problems> {
        crate::config::load(&self.sources())
    }

    /// What it is read from.
    pub fn sources(&self) -> Sources<'_> {
        Sources {
            file: self.file.clone(),
            env: self.env.clone(),
            flags: self.flags.clone(),
            variable: &crate::config::process_variable,
        }
    }
}

impl App {
    /// Binds, then builds everything; `/healthz` and `/readyz` answer meanwhile. When this returns events are accepted.
    pub async fn start(config: Config, origin: Option<Origin>, clock: Clock) -> anyhow::Result<Self> {
        let tls = plan::tls(&config).map_err(|problem| Problems::new(vec![problem]))?;
        let tcp = match config.server.listen {
            Some(listen) => Some(
                TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("cannot listen on {listen}; set `server.listen` to a free address"))?,
            ),
            None => None,
        };
        let address = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let socket = config.server.socket.as_deref();
        let (unix, file) = socket.map(|path| socket::bind(path, config.server.socket_mode)).transpose()?.unzip();
        let face = Face::new(config.server.request_timeout, plan::access(&config, address), tls);
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let room = room::of(&config.server);
        let server = tokio::spawn(api::serve(Listeners { tcp, unix }, face.clone(), room, async move {
            stopped.notified().await;
        }));
        let built = config.clone();
        let (pipeline, plan) = tokio::task::spawn_blocking(move || build(&built, clock)).await.map_err(panicked)??;
        pipeline.apply(plan);
        pipeline.start();
        let adapters = pipeline.registry().watch()?;
        let reload = match origin {
            Some(origin) => ReloadHandle::start(origin, config.clone(), address, pipeline.clone(), face.clone())?,
            None => None,
        };
        face.ready(pipeline.clone(), config.server.max_body);
        let socket = socket.map(|path| tracing::field::display(path.display()));
        let listens = address.map(tracing::field::display);
        tracing::info!(address = listens, socket, channels = config.channels.len(), store = %config.store.path.display(), "ready");
        Ok(Self { address, pipeline, face, config, server, stop, _adapters: adapters, reload, _socket: file })
    }

    /// Where it listens by TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What it is made of.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Reads the config again, as a changed file makes it do.
    pub fn reload(&self) {
        if let Some(reload) = &self.reload {
            reload.wake();
        }
    }

    /// Stops accepting, finishes what is under way as far as the grace period lets it, and closes. What is not finished
    /// stays pending and is tried again after the next start.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.face.stopping();
        let grace = self.config.server.grace;
        tracing::info!(?grace, "stopping");
        drop(self.reload.take());
        self.stop.notify_one();
        let server = async {
            match tokio::time::timeout(grace, &mut self.server).await {
                Ok(ended) => ended.map_err(panicked).context("the API's server failed"),
                Err(_) => {
                    self.server.abort();
                    Ok(())
                }
            }
        };
        let (served, finished) = tokio::join!(server, self.pipeline.stop(grace));
        self.face.stopped();
        if finished {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped before every delivery had ended: the others are tried again after the next start");
        }
        served
    }
}

/// Without what the panic says, which may hold a secret.
fn panicked(_: JoinError) -> anyhow::Error {
    anyhow::anyhow!("it panicked, as the line before says; please report this")
}

/// Everything that blocks: the store's migration, the compiler.
fn build(config: &Config, clock: Clock) -> anyhow::Result<(Pipeline, Plan)> {
    let store = Store::open(&config.store.path)?;
    let options = Options { compiles_beside: true, ..options(config) };
    let registry = Registry::open(options, plan::live_channels(config))?;
    let problems = check::channel_problems(config, &registry);
    let (missing, wrong): (Vec<_>, Vec<_>) = problems.into_iter().partition(check::is_missing_adapter);
    let warnings = missing.into_iter().chain(check::missing_folder(config));
    let warnings = warnings.chain(check::about_secrets(config, &registry));
    for problem in warnings.chain(check::overdue(config, clock.now())) {
        tracing::warn!("{problem}");
    }
    if !wrong.is_empty() {
        return Err(Problems::new(wrong).into());
    }
    let plan = plan::plan(config, &Plan::default())?;
    let parts = Parts { store, registry, threads: CallThreads::start(config.adapters.threads)?, clock };
    Ok((Pipeline::new(parts), plan))
}

/// The adapters of a config, all of them loaded, for who doesn't wait for those that come.
pub fn registry(config: &Config) -> anyhow::Result<Registry> {
    Ok(Registry::open(options(config), Vec::new())?)
}

/// For an author: what is compiled in, and room for what is being written, under the config's limits and none of its
/// conditions. Calls that fail explain themselves.
pub fn workshop(config: &Config) -> anyhow::Result<Registry> {
    let anything = Options { folder: None, require: BTreeMap::default(), signed_by: Vec::new(), ..options(config) };
    Ok(Registry::open(Options { explain: true, ..anything }, Vec::new())?)
}

fn options(config: &Config) -> Options {
    let adapters = &config.adapters;
    Options {
        compiles_beside: false,
        folder: adapters.folder.clone(),
        cache: open_cache(&adapters.cache),
        limits: limits(adapters, &AdapterLimits::default()),
        limits_of: adapters.limits.iter().map(|(name, own)| (name.clone(), limits(adapters, own))).collect(),
        require: adapters.require.clone(),
        signed_by: adapters.signed_by.clone(),
        explain: false,
    }
}

/// What an adapter may use: its own limits, where it has any.
fn limits(all: &Adapters, own: &AdapterLimits) -> Limits {
    Limits {
        time: own.call_timeout.unwrap_or(all.call_timeout),
        memory: own.memory.unwrap_or(all.memory),
        transfer: own.transfer.unwrap_or(all.transfer),
        table_elements: own.table_elements.unwrap_or(all.table_elements),
        stack: all.stack,
        log_lines: own.log_lines.unwrap_or(all.log_lines),
        log_line: own.log_line.unwrap_or(all.log_line),
        file: own.max_file.unwrap_or(all.max_file),
        functions: own.max_functions.unwrap_or(all.max_functions),
        isolation: own.isolation.unwrap_or(all.isolation),
    }
}

/// Without a cache a start takes longer; that is no reason not to start.
fn open_cache(folder: &Path) -> Option<Cache> {
    Cache::open(folder)
        .inspect_err(|error| {
            tracing::warn!(folder = %folder.display(), %error, "compiled adapters cannot be kept here; set `adapters.cache` to a private folder");
        })
        .ok()
}
