//! From TOML, the environment and flags to one checked [`Config`]; or to all that is wrong, each with its key path
//! and its line.
//!
//! Must not know adapters, the network or the store: what a channel's settings have to be is its adapter's affair
//! ([`Channel::place_of`] tells where they stand). Secrets are resolved here and never printed here.

mod adapters;
mod channel_tls;
mod channels;
mod command;
mod entry;
mod fallback;
mod layers;
mod net;
mod pacing;
mod problems;
mod proxy;
mod raw;
mod schema;
mod secret;
mod server_tls;
mod settings;
mod size;
mod sources;
mod tokens;
mod value;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    files,
    model::{Route, Source, Token},
};

pub use adapters::AdapterLimits;
pub use channels::Channel;
pub use problems::{Problem, Problems};
pub use schema::{Adapters, Delivery, LogFormat, Outbound, Server, Store};
pub use secret::Reference;
pub use server_tls::{Tls, TlsFiles};
pub use settings::Settings;

/// Every setting with its default and its reason: the defaults, and what to show a person who asks for them.
pub const DEFAULTS: &str = include_str!("../../herald.default.toml");

const FILE: &str = "herald.toml";
const LONGEST_FILE: usize = 16 << 20;

/// Reads a variable of the environment.
pub type Variable<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// What a config is made of. Defaults < file < environment < flags.
#[derive(Clone)]
pub struct Sources<'a> {
    /// The config file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment; only `HERALD_SECTION__KEY` counts.
    pub env: Vec<(String, String)>,
    /// Flags: a key path (`server.listen`) and a value.
    pub flags: Vec<(String, String)>,
    /// Reads the environment for references and for where caches go: [`process_variable`].
    pub variable: Variable<'a>,
}

/// A config that has been checked. It holds secrets; its `Debug` does not show them.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[[server.token]]`; none: the API asks for no token.
    pub tokens: Vec<Token>,
    /// What is in the files of `[server.tls]`.
    pub tls: Option<Tls>,
    /// `[[source]]`: who posts to a path of its own.
    pub sources: Vec<Source>,
    /// `[store]`
    pub store: Store,
    /// `[adapters]`
    pub adapters: Adapters,
    /// `[outbound]`
    pub outbound: Outbound,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[[channel]]`, in the file's order.
    pub channels: Vec<Channel>,
    /// `[[route]]`, in the file's order; each leads to one of the channels.
    pub routes: Vec<Route>,
    /// What works and is probably not meant.
    pub warnings: Problems,
    /// Of the file that it was read from, to see whether that has changed since.
    pub fingerprint: Option<Fingerprint>,
}

/// What the config file was like when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of the file as it is now, and of those `beside` it that count as a part of it; the error says why it can't be read.
    pub fn of(path: &Path, beside: &[PathBuf]) -> std::io::Result<Self> {
        files::read(path, LONGEST_FILE).map(|bytes| Self::of_bytes(&bytes).and(beside))
    }

    /// One that can't be read is like no other.
    fn and(self, beside: &[PathBuf]) -> Self {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        for path in beside {
            files::read(path, LONGEST_FILE).ok().hash(&mut hasher);
        }
        Self(if beside.is_empty() { self.0 } else { hasher.finish() })
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Which config file it is: the one that was named, else the one that `HERALD_CONFIG` names, else `herald.toml` in
/// the working directory if it is there.
pub fn find(explicit: Option<PathBuf>, variable: Option<String>, cwd: &Path) -> Option<PathBuf> {
    let named = variable.filter(|name| !name.is_empty()).map(PathBuf::from);
    let here = || Some(cwd.join(FILE)).filter(|path| path.exists());
    explicit.or(named).or_else(here)
}

/// A variable of this process's environment, for [`Sources::variable`].
pub fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables of this process's environment that are Herald's, for [`Sources::env`].
pub fn process_environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let ours = |(name, _): &(String, String)| name.starts_with("HERALD_");
    std::env::vars_os().filter_map(text).filter(ours).collect()
}

/// Reads and checks everything, and resolves the references, which may run commands: not for an async thread.
pub fn load(sources: &Sources<'_>) -> Result<Config, Problems> {
    match examine(sources) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(problems),
    }
}

/// The same for who looks for everything that is wrong: with problems in channels and routes, what there is apart from
/// them. Such a config is not for running.
pub fn examine(sources: &Sources<'_>) -> (Option<Config>, Problems) {
    let base = sources.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut found = channels::Found { base, variable: sources.variable, problems: Vec::new(), warnings: Vec::new() };
    let problems = &mut found.problems;
    let defaults = table(raw::parse(DEFAULTS, "herald.default.toml"), problems);
    let mut fingerprint = None;
    let file = match &sources.file {
        Some(path) => table(read(path, &mut fingerprint), problems),
        None => raw::Table::new(),
    };
    check_sections(&file, problems);
    let outside = layers::Outside::new(schema::SCHEMA, &sources.env, &sources.flags, problems);
    let layers = layers::Layers { defaults: &defaults, file: &file, outside: &outside };
    let mut sections = schema::Sections::read(&layers, problems);
    let listen = layers.read("server", "listen", |node| Ok(node.place.clone()), problems);
    let tokens = found.tokens(&file);
    if let Some(sections) = &mut sections {
        found.common_proxy(&layers, &mut sections.outbound.proxy);
    }
    if let (Some(sections), Some(place)) = (&sections, &listen) {
        found.check_strangers(&sections.server, place, &tokens);
    }
    let mut tls = None;
    let files = sections.as_ref().and_then(|sections| Some(sections.server.tls.clone()?.at(base)));
    if let (Some(files), Some(place)) =
        (files, layers.read("server", "tls", |node| Ok(node.place.clone()), &mut found.problems))
    {
        // Taken first: what changes meanwhile is seen by the next look.
        fingerprint = fingerprint.map(|fingerprint| fingerprint.and(&files.paths()));
        tls = found.server_tls(&files, &place);
    }
    let signers = found.sources(&file, sections.as_ref());
    let (channels, routes) = found.channels_and_routes(&file);
    let problems = Problems::new(found.problems);
    let Some(sections) = sections else {
        return (None, problems);
    };
    let mut config = Config {
        server: sections.server,
        tokens,
        tls,
        sources: signers,
        store: sections.store,
        adapters: sections.adapters,
        outbound: sections.outbound,
        delivery: sections.delivery,
        channels,
        routes,
        warnings: Problems::new(found.warnings),
        fingerprint,
    };
    config.place(base, sources.variable);
    (Some(config), problems)
}

/// Only `[server]`, for who wants to find a running host: channels are not read and their references not resolved.
pub fn server(sources: &Sources<'_>) -> Result<Server, Problems> {
    let mut problems = Vec::new();
    let defaults = table(raw::parse(DEFAULTS, "herald.default.toml"), &mut problems);
    let file = match &sources.file {
        Some(path) => table(read(path, &mut None), &mut problems),
        None => raw::Table::new(),
    };
    let outside = layers::Outside::new(schema::SCHEMA, &sources.env, &sources.flags, &mut problems);
    let layers = layers::Layers { defaults: &defaults, file: &file, outside: &outside };
    match schema::Sections::read(&layers, &mut problems) {
        Some(schema::Sections { mut server, .. }) if problems.is_empty() => {
            let base = sources.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            server.socket = server.socket.map(|socket| base.join(socket));
            Ok(server)
        }
        _ => Err(Problems::new(problems)),
    }
}

impl Config {
    /// What is wrong with serving this config where `listen` is bound, which may be elsewhere than it says itself: no
    /// reload moves a running host.
    pub fn check_bound(&self, listen: Option<SocketAddr>) -> Option<Problem> {
        let open = tokens::is_open(listen, &self.server, &self.tokens);
        open.then(|| {
            Problem::new("server.token", "the host listens beyond this machine and would ask for no token any more")
                .hint("keep a [[server.token]], or restart it after the change")
        })
    }

    /// Puts relative paths where they belong.
    fn place(&mut self, base: &Path, variable: Variable<'_>) {
        self.store.path = base.join(&self.store.path);
        self.server.socket = self.server.socket.take().map(|socket| base.join(socket));
        self.adapters.folder = self.adapters.folder.take().map(|folder| base.join(folder));
        self.adapters.cache = if self.adapters.cache.as_os_str().is_empty() {
            let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
            match caches {
                Some(caches) => caches.join("herald"),
                None => self.store.path.with_file_name("herald-cache"),
            }
        } else {
            base.join(&self.adapters.cache)
        };
    }
}

/// The file's text as a tree.
fn read(path: &Path, fingerprint: &mut Option<Fingerprint>) -> Result<raw::Node, Vec<Problem>> {
    let name = shown(path);
    let problem = |message: String, hint: &str| vec![Problem::new("", message).at(name.as_str()).hint(hint)];
    let bytes = files::read(path, LONGEST_FILE).map_err(|error| {
        problem(format!("the config file can't be read: {error}"), "name another with --config or HERALD_CONFIG")
    })?;
    *fingerprint = Some(Fingerprint::of_bytes(&bytes));
    match String::from_utf8(bytes) {
        Ok(text) => raw::parse(&text, &name),
        Err(error) => {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = good.split(|byte| *byte == b'\n').count();
            let problem = Problem::new("", "not UTF-8").at(format!("{name}:{line}"));
            Err(vec![problem.hint("save the file as UTF-8")])
        }
    }
}

/// The file's name as a person would say it: from the working directory if it lies in there.
fn shown(path: &Path) -> String {
    let cwd = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(cwd).unwrap_or(path).display().to_string()
}

fn table(node: Result<raw::Node, Vec<Problem>>, problems: &mut Vec<Problem>) -> raw::Table {
    match node {
        Ok(raw::Node { value: raw::Value::Table(table), .. }) => return table,
        Ok(_) => {}
        Err(found) => problems.extend(found),
    }
    raw::Table::new()
}

/// Every name in a section, and every section, is one that we know.
fn check_sections(file: &raw::Table, problems: &mut Vec<Problem>) {
    let sections = schema::SCHEMA.iter().map(|(section, _)| *section);
    let known: Vec<_> = sections.chain(["channel", "route", "source"]).collect();
    raw::check_keys(file, "", &known, problems);
    for (section, keys) in schema::SCHEMA {
        if let Some(table) = file.get(*section).and_then(|node| node.table(section, problems)) {
            let tables: &[&str] = if *section == "server" { &["token"] } else { &[] };
            raw::check_keys(table, section, &[keys, tables].concat(), problems);
        }
    }
}

#[cfg(test)]
mod tests;
