//! The channels and routes of a config file.
//!
//! Must not know adapters: whether a channel's adapter exists and takes its settings is found out elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    time::Duration,
};

use super::{
    Variable,
    entry::Entry,
    fallback,
    net::{hosts, ip},
    pacing,
    problems::Problem,
    raw::{Node, Table, check_keys, join},
    schema::{AGE, CONCURRENCY, Delivery, TIMEOUT},
    settings::{Reader, Settings},
    value::{count, duration, name, optional, patterns, text, truth},
};
use crate::model::{Pattern, Policy, Proxy, Rate, Route, Tls};

pub(super) const CHANNEL_KEYS: &[&str] = &[
    "name",
    "adapter",
    "concurrency",
    "timeout",
    "rate",
    "burst",
    "ordered",
    "schedule",
    "exponential",
    "max_age",
    "fallback",
    "hosts",
    "tls",
    "bind",
    "proxy",
    "settings",
];
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
    /// How often attempts may begin; none: as often as there is something to send.
    pub rate: Option<Rate>,
    /// Deliveries of one subject go out one at a time, in the order of acceptance.
    pub ordered: bool,
    /// The wait after the first, second, … attempt that did not succeed; none: as `[delivery]` says.
    pub schedule: Option<Vec<Duration>>,
    /// A delivery that is older is not tried again; none: as `[delivery]` says, none within: however old it is.
    pub max_age: Option<Option<Duration>>,
    /// The channel that gets what is exhausted here; it exists, and following fallbacks comes to an end.
    pub fallback: Option<String>,
    /// The only hosts that its requests may go to, `*.` perhaps in front; none: wherever its adapter may send.
    pub hosts: Option<Vec<String>>,
    /// How it speaks TLS, where that is not as usual.
    pub tls: Tls,
    /// Where its connections come from; none: as `[outbound]` says, none within: from any address.
    pub bind: Option<Option<IpAddr>>,
    /// Through whom they are made; none: as `[outbound]` says, none within: straight.
    pub proxy: Option<Option<Proxy>>,
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

    /// When the attempts of a delivery on this channel follow one another; what it does not say itself is taken from
    /// `[delivery]`.
    pub fn policy(&self, delivery: &Delivery) -> Policy {
        let general = delivery.policy();
        Policy {
            schedule: self.schedule.clone().unwrap_or(general.schedule),
            max_age: self.max_age.unwrap_or(general.max_age),
            ..general
        }
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
        let (mut channels, mut named) = (Vec::new(), Vec::new());
        for mut entry in entries {
            let name = entry.demand("name", name, &mut self.problems);
            if let Some(name) = &name {
                entry.path = join("channel", name);
                self.note_name(name, entry.node, &mut names);
            }
            channels.extend(self.channel(name.clone(), &entry));
            named.push((name, entry));
        }
        let fallbacks = fallback::check(&named, &names, &mut self.problems);
        let routes = self.routes(root, &names);
        for (name, node) in names {
            if !routes.reached.contains(&name) && !fallbacks.contains(&name) {
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
        let tls = self.channel_tls(entry);
        let proxy = match entry.table.get("proxy") {
            Some(node) => self.proxy(node, &entry.path_of("proxy")).map(Some),
            None => Some(None),
        };
        let problems = &mut self.problems;
        check_keys(entry.table, &entry.path, CHANNEL_KEYS, problems);
        let adapter = entry.demand("adapter", super::value::name, problems);
        let concurrency = entry.read("concurrency", count(CONCURRENCY.0..=CONCURRENCY.1), problems);
        let timeout = entry.read("timeout", duration(TIMEOUT.0..=TIMEOUT.1), problems);
        let rate = pacing::rate(entry, problems);
        let ordered = entry.read_or("ordered", false, truth, problems);
        let schedule = pacing::schedule(entry, problems);
        let max_age = entry.read("max_age", optional(duration(AGE.0..=AGE.1)), problems);
        let fallback = entry.read("fallback", text, problems);
        let hosts = entry.read("hosts", hosts, problems);
        let bind = entry.read("bind", optional(ip), problems);
        let path = entry.path_of("settings");
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
        Some(Channel {
            name: name?,
            adapter: adapter?,
            settings,
            concurrency,
            timeout,
            rate,
            ordered: ordered?,
            schedule,
            max_age,
            fallback,
            hosts,
            tls: tls?,
            bind,
            proxy: proxy?,
            places,
        })
    }

    fn routes(&mut self, root: &Table, names: &BTreeMap<String, &Node>) -> Routes {
        let mut found = Routes::default();
        for entry in Entry::all(root, "route", &mut self.problems) {
            let problems = &mut self.problems;
            check_keys(entry.table, &entry.path, ROUTE_KEYS, problems);
            let events = entry.read_or("events", vec![Pattern::new("*")], patterns, problems);
            let project = entry.read("project", text, problems);
            let Some(channel) = entry.demand("channel", text, problems) else {
                continue;
            };
            if !names.contains_key(&channel) {
                problems.push(entry.no_channel("channel", &channel, names.keys().map(String::as_str)));
            }
            found.reached.insert(channel.clone());
            found.routes.extend(events.map(|events| Route { events, project, channel }));
        }
        found
    }
}

#[derive(Default)]
struct Routes {
    routes: Vec<Route>,
    reached: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use std::time::Duration;

    use crate::config::tests::Case;

    #[test]
    fn a_channel_has_what_it_says_itself_and_the_rest_from_delivery() {
        let policies = |delivery: &str, channel: &str| {
            let config =
                Case::new(format!("[delivery]\n{delivery}\n[[channel]]\nname = \"c\"\nadapter = \"x\"\n{channel}"));
            let config = config.config();
            (config.delivery.policy(), config.channels[0].policy(&config.delivery))
        };
        let general = "jitter = 0.5\nlongest_wait = \"1h\"\nschedule = [\"1s\"]\nmax_age = \"2h\"";
        let (delivery, silent) = policies(general, "");
        assert_eq!(silent, delivery);
        assert_eq!(delivery.max_age, Some(Duration::from_hours(2)));
        let (_, own) = policies(general, "schedule = [\"7s\", \"8s\"]\nmax_age = \"3h\"");
        assert_eq!((own.jitter, own.longest_wait), (0.5, Duration::from_hours(1)));
        assert_eq!(own.schedule, [7, 8].map(Duration::from_secs));
        assert_eq!(own.max_age, Some(Duration::from_hours(3)));
        let (_, unlimited) = policies(general, "max_age = \"\"");
        assert_eq!(unlimited.max_age, None);
    }
}
