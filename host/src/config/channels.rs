//! The channels and routes of a config file.
//!
//! Must not know adapters: whether a channel's adapter exists and takes its settings is found out elsewhere.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    Variable,
    layers::keep,
    problems::{Problem, by_likeness, did_you_mean},
    raw::{Node, Table, Value, check_keys, join},
    schema::{CONCURRENCY, TIMEOUT},
    settings::{Reader, Settings},
    value::{Checked, count, duration, name, patterns, text},
};
use crate::model::{Pattern, Route};

pub(super) const CHANNEL_KEYS: &[&str] = &["name", "adapter", "concurrency", "timeout", "settings"];
pub(super) const ROUTE_KEYS: &[&str] = &["events", "project", "channel"];

/// An adapter with settings and secrets, under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// No other channel has it.
    pub name: String,
    /// The channel type.
    pub adapter: String,
    /// What the adapter gets, secrets included.
    pub settings: Settings,
    /// How many deliveries at the same time; none: as `[delivery]` says.
    pub concurrency: Option<usize>,
    /// The longest that an exchange may take; none: as `[delivery]` says.
    pub timeout: Option<Duration>,
    /// Where each setting stands, by its JSON pointer; `""` is the settings as a whole.
    pub places: BTreeMap<String, String>,
}

impl Channel {
    /// Where a setting stands (`herald.toml:14`), by its JSON pointer (RFC 6901); where it is missing, what should
    /// hold it.
    pub fn place_of(&self, pointer: &str) -> Option<String> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return Some(place.clone());
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// One table of a list of tables.
struct Entry<'a> {
    node: &'a Node,
    table: &'a Table,
    /// Its key path: `route[1]`.
    path: String,
}

impl<'a> Entry<'a> {
    fn read<T>(&self, key: &str, parse: impl Fn(&Node) -> Checked<T>, problems: &mut Vec<Problem>) -> Option<T> {
        keep(parse(self.table.get(key)?), &join(&self.path, key), problems)
    }

    fn demand<T>(&self, key: &str, parse: impl Fn(&Node) -> Checked<T>, problems: &mut Vec<Problem>) -> Option<T> {
        if !self.table.contains_key(key) {
            let problem = self.node.problem(join(&self.path, key), "is missing");
            problems.push(problem.hint(format!("add `{key} = \"…\"`")));
        }
        self.read(key, parse, problems)
    }

    /// The tables of `[[key]]`.
    fn all(root: &'a Table, key: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        let Some(node) = root.get(key) else {
            return Vec::new();
        };
        let Value::Array(items) = &node.value else {
            let message = format!("must be a list of tables, not {}", node.kind());
            problems.push(node.problem(key, message).hint(format!("write [[{key}]]")));
            return Vec::new();
        };
        let entry = |(index, node): (usize, &'a Node)| {
            let path = format!("{key}[{index}]");
            Some(Self { table: node.table(&path, problems)?, node, path })
        };
        items.iter().enumerate().filter_map(entry).collect()
    }
}

/// Where the channels and routes come from, and what is found on the way.
pub(super) struct Found<'a> {
    pub base: &'a Path,
    pub variable: Variable<'a>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Found<'_> {
    /// The channels and the routes of the file; what is wrong becomes problems.
    pub fn channels_and_routes(&mut self, root: &Table) -> (Vec<Channel>, Vec<Route>) {
        let entries = Entry::all(root, "channel", &mut self.problems);
        // A channel that has something else wrong is a channel for the routes.
        let mut names: BTreeMap<String, &Node> = BTreeMap::new();
        let mut channels = Vec::new();
        for mut entry in entries {
            let name = entry.demand("name", name, &mut self.problems);
            if let Some(name) = &name {
                entry.path = join("channel", name);
                self.note_name(name, entry.node, &mut names);
            }
            channels.extend(self.channel(name, &entry));
        }
        let routes = self.routes(root, &names);
        for (name, node) in names {
            if !routes.reached.contains(&name) {
                let warning = node.problem(join("channel", &name), "no route leads to this channel");
                self.warnings.push(warning.hint(format!("add a [[route]] with `channel = \"{name}\"`")));
            }
        }
        (channels, routes.routes)
    }

    fn note_name<'n>(&mut self, name: &str, node: &'n Node, names: &mut BTreeMap<String, &'n Node>) {
        let Some(first) = names.get(name) else {
            names.insert(name.to_owned(), node);
            return;
        };
        let message = format!("the channel at {} has this name too", first.place);
        let problem = node.problem(join("channel", name), message);
        self.problems.push(problem.hint("every channel has a name of its own"));
    }

    fn channel(&mut self, name: Option<String>, entry: &Entry<'_>) -> Option<Channel> {
        let problems = &mut self.problems;
        check_keys(entry.table, &entry.path, CHANNEL_KEYS, problems);
        let adapter = entry.demand("adapter", super::value::name, problems);
        let concurrency = entry.read("concurrency", count(CONCURRENCY.0..=CONCURRENCY.1), problems);
        let timeout = entry.read("timeout", duration(TIMEOUT.0..=TIMEOUT.1), problems);
        let path = join(&entry.path, "settings");
        let empty = Table::new();
        let (node, table) = match entry.table.get("settings") {
            Some(node) => (node, node.table(&path, problems)?),
            None => (entry.node, &empty),
        };
        let mut reader = Reader {
            base: self.base,
            variable: self.variable,
            problems,
            warnings: &mut self.warnings,
            places: BTreeMap::new(),
            references: BTreeMap::new(),
        };
        let value = reader.object(table, &node.place, &path, "");
        let (places, references) = (reader.places, reader.references);
        let settings = Settings { value, references };
        Some(Channel { name: name?, adapter: adapter?, settings, concurrency, timeout, places })
    }

    fn routes(&mut self, root: &Table, names: &BTreeMap<String, &Node>) -> Routes {
        let mut found = Routes::default();
        for entry in Entry::all(root, "route", &mut self.problems) {
            let problems = &mut self.problems;
            check_keys(entry.table, &entry.path, ROUTE_KEYS, problems);
            let events = match entry.table.get("events") {
                Some(_) => entry.read("events", patterns, problems),
                None => Some(vec![Pattern::new("*")]),
            };
            let project = entry.read("project", text, problems);
            let Some(channel) = entry.demand("channel", text, problems) else {
                continue;
            };
            if !names.contains_key(&channel) {
                problems.push(no_channel(&entry, &channel, names));
            }
            found.reached.push(channel.clone());
            found.routes.extend(events.map(|events| Route { events, project, channel }));
        }
        found
    }
}

#[derive(Default)]
struct Routes {
    routes: Vec<Route>,
    reached: Vec<String>,
}

fn no_channel(entry: &Entry<'_>, channel: &str, names: &BTreeMap<String, &Node>) -> Problem {
    let node = entry.table.get("channel").unwrap_or(entry.node);
    let problem = node.problem(join(&entry.path, "channel"), format!("there is no channel `{channel}`"));
    let known = by_likeness(channel, names.keys().map(String::as_str));
    let listed: Vec<_> = known.iter().take(10).map(|name| format!("`{name}`")).collect();
    let listed = match listed.len() {
        0 => "there is none: add a [[channel]]".to_owned(),
        _ => format!("known: {}{}", listed.join(", "), if known.len() > 10 { ", …" } else { "" }),
    };
    match did_you_mean(channel, known) {
        Some(meant) => problem.hint(format!("{meant} {listed}")),
        None => problem.hint(listed),
    }
}
