//! The command line.

mod author;

use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand};

pub(super) use author::{Dev, New, Render, Test};

use crate::{app::Origin, config, model::Scope};

/// Carries an application's events to the people and systems that want to know.
#[derive(Parser)]
#[command(name = "herald", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command takes, before or after its name.
#[derive(clap::Args)]
pub(super) struct Common {
    /// The config file [default: $HERALD_CONFIG, else ./herald.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The running host, or unix: and the path of its socket [default: $HERALD_URL, else the config's `server.listen`, else
    /// its `server.socket`]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// A file with the token for the running host [default: the token in $HERALD_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of the authority to trust for an https:// URL [default: $HERALD_CA, else those
    /// that this machine trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Common {
    /// Where the config comes from; `flags` are key paths and values.
    pub fn origin(&self, flags: Vec<(String, String)>) -> anyhow::Result<Origin> {
        let variable = config::process_variable("HERALD_CONFIG");
        let cwd = std::env::current_dir()?;
        Ok(Origin {
            file: config::find(self.config.clone(), variable, &cwd),
            env: config::process_environment(),
            flags,
        })
    }
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the host until it is told to stop (Ctrl-C or SIGTERM)
    Serve(Serve),
    /// Check the config and the adapters; binds and sends nothing. Exit code 2 with everything that is wrong
    Check,
    /// Post events to a running host
    Send(Send),
    /// Show the whole of Herald at work: a host, a receiver, events, and a change of an adapter while it runs
    Demo(Demo),
    /// Begin a channel type: a project that builds as it is, with the contract, an example and a test
    New(New),
    /// Print the request that an adapter makes of an event; nothing is sent
    Render(Render),
    /// Run an adapter's golden cases. Exit code 1 when one of them comes out otherwise
    Test(Test),
    /// Build a project at every save, and show what its adapter makes of its cases
    Dev(Dev),
    /// What adapters there are
    #[command(subcommand)]
    Adapters(Adapters),
    /// Make an adapter's component of a core WebAssembly module: what a compiler for C or Go puts out
    Component(Component),
    /// The configured channels
    #[command(subcommand)]
    Channels(Channels),
    /// What has been delivered, and what has not and why; retry and cancel
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// Deliver old events again
    #[command(subcommand)]
    Events(Events),
    /// Bulk work: how far it has come
    #[command(subcommand)]
    Jobs(Jobs),
    /// Tokens for the API
    #[command(subcommand)]
    Token(Token),
}

#[derive(Subcommand)]
pub(super) enum Token {
    /// Make a token and print it, once, with the lines of the config that make it known: they hold only its hash
    New {
        /// Its name, for people: 1 to 64 of A-Z a-z 0-9 . _ -
        #[arg(long, default_value = "app", value_parser = token_name)]
        name: String,
        /// What it allows: events:write, read, manage
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "events:write", value_parser = scope)]
        scopes: Vec<Scope>,
    },
}

fn token_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = (1..=64).contains(&text.len()) && text.chars().all(fits);
    if good { Ok(text.to_owned()) } else { Err("not 1 to 64 of A-Z a-z 0-9 . _ -".to_owned()) }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text.trim()).ok_or_else(|| "a scope is one of events:write, read and manage".to_owned())
}

#[derive(clap::Args)]
pub(super) struct Serve {
    /// Where to listen, instead of `server.listen`
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Listen beyond this machine without tokens, as `server.insecure` does: whoever reaches the host may do everything
    #[arg(long)]
    pub insecure: bool,
    /// The store's file, instead of `store.path`
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// The adapters folder, instead of `adapters.folder`
    #[arg(long, value_name = "FOLDER")]
    pub adapters: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Send {
    /// A file with events: JSON, a JSON array, or one a line (.ndjson, .jsonl); `-` reads standard input
    pub file: PathBuf,
    /// The events' content type, where the file's name does not tell it
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Demo {
    /// End by itself after the tour
    #[arg(long)]
    pub once: bool,
}

#[derive(Subcommand)]
pub(super) enum Adapters {
    /// Those of the running host, or of the config when none runs
    List,
    /// What an adapter is: title, version, settings, hosts, imports, exports, size
    Inspect {
        /// A WebAssembly component, or the name of a built-in adapter
        file: PathBuf,
    },
}

#[derive(clap::Args)]
pub(super) struct Component {
    /// The core module
    pub module: PathBuf,
    /// Where the component goes
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// The folder with the contract, for a module that doesn't bring it along
    #[arg(long, value_name = "FOLDER", default_value = "wit")]
    pub wit: PathBuf,
    /// Its world: `channel`, or `conversational-channel` for an adapter that reads answers
    #[arg(long, value_name = "NAME", default_value = "channel")]
    pub world: String,
}

#[derive(Subcommand)]
pub(super) enum Channels {
    /// Each with its adapter, routes and deliveries
    List,
    /// Send a test event the way that every event goes, and print the outcome
    Test {
        /// The channel's name
        name: String,
    },
    /// Let a channel that was disabled deliver again
    Enable {
        /// The channel's name
        name: String,
    },
    /// Deliver nothing more on a channel until somebody enables it
    Disable {
        /// The channel's name
        name: String,
        /// Why, for others to read
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum Deliveries {
    /// The newest first
    List {
        /// Only of this channel
        #[arg(long)]
        channel: Option<String>,
        /// Only in this state: pending, delivered, failed, cancelled
        #[arg(long)]
        state: Option<String>,
        /// Only what failed for this reason: rejected, exhausted, adapter, blocked
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        which: Which,
        /// Only of the event with this id
        #[arg(long)]
        event: Option<String>,
        /// Only older than this one
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One, with its last attempts: requests, responses, times
    Show {
        /// Its id, `dlv_…`
        id: String,
        /// The attempts before this one
        #[arg(long, value_name = "NUMBER")]
        before: Option<u32>,
        /// How many attempts at most, up to 100
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Try deliveries again now, before others of their channels: these, or all that the options select
    Retry(Retry),
    /// Stop pending deliveries: these, or all that the options select
    Cancel(Cancel),
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("meant").required(true).multiple(true)
    .args(["ids", "channel", "reason", "kind", "project", "since", "until", "all"]))]
pub(super) struct Retry {
    /// Their ids, `dlv_…`
    #[arg(value_name = "ID", conflicts_with_all = ["channel", "state", "reason", "kind", "project", "since", "until", "all", "detach"])]
    pub ids: Vec<String>,
    /// All of this channel
    #[arg(long)]
    pub channel: Option<String>,
    /// All in this state: failed, cancelled, pending [default: failed]
    #[arg(long)]
    pub state: Option<String>,
    /// All that failed for this reason: rejected, exhausted, adapter, blocked
    #[arg(long)]
    pub reason: Option<String>,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub bulk: Bulk,
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("meant").required(true).multiple(true)
    .args(["ids", "channel", "kind", "project", "since", "until", "all"]))]
pub(super) struct Cancel {
    /// Their ids, `dlv_…`
    #[arg(value_name = "ID", conflicts_with_all = ["channel", "kind", "project", "since", "until", "all", "detach"])]
    pub ids: Vec<String>,
    /// All of this channel
    #[arg(long)]
    pub channel: Option<String>,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub bulk: Bulk,
}

#[derive(Subcommand)]
pub(super) enum Events {
    /// Give an event, or all that the options select, new deliveries where the routes lead now, or on one channel
    Replay(Replay),
}

#[derive(clap::Args)]
#[command(group = ArgGroup::new("meant").required(true).multiple(true)
    .args(["id", "kind", "project", "since", "until", "all"]))]
pub(super) struct Replay {
    /// The event's id
    #[arg(conflicts_with_all = ["kind", "project", "since", "until", "all", "detach"])]
    pub id: Option<String>,
    /// Its source, when there are several of that id; `""` for an empty one
    #[arg(long, requires = "id", conflicts_with_all = ["kind", "project", "since", "until", "all", "detach"])]
    pub source: Option<String>,
    /// Deliver on this channel, whatever the routes say
    #[arg(long)]
    pub channel: Option<String>,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub bulk: Bulk,
}

/// Options of which each, when it is given, must hold of an event.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Only of events of this type; `*` stands for any characters
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only of events of this project
    #[arg(long)]
    pub project: Option<String>,
    /// Only what was accepted then or later: a time such as 2026-11-23T10:15:00Z, or how long ago: 2h, 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what was accepted before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Options of bulk work.
#[derive(clap::Args)]
pub(super) struct Bulk {
    /// Everything is meant
    #[arg(long)]
    pub all: bool,
    /// Do not wait for its end
    #[arg(long)]
    pub detach: bool,
}

#[derive(Subcommand)]
pub(super) enum Jobs {
    /// The newest first
    List,
    /// One: what is done, with what, and how far it has come
    Show {
        /// Its id, `job_…`
        id: String,
    },
    /// Stop one before its end; what it has done stays done
    Stop {
        /// Its id, `job_…`
        id: String,
    },
}
