//! The config as a whole, read from a file in a folder of its own. Must not depend on the real environment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::model::Breaker;

/// A value that must never be seen.
pub const SECRET: &str = "s3cret-T0ken";

fn variable(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/someone".to_owned()),
        "SLACK_WEBHOOK_URL" => Some(SECRET.to_owned()),
        "BILLING_SIGNING_SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// A folder with a config file, and what is read from it.
pub struct Case {
    pub folder: TempDir,
    env: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

impl Case {
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Self { folder, env: Vec::new(), flags: Vec::new() }
    }

    pub fn env(mut self, env: &[(&str, &str)]) -> Self {
        self.env = pairs(env);
        self
    }

    pub fn flags(mut self, flags: &[(&str, &str)]) -> Self {
        self.flags = pairs(flags);
        self
    }

    /// Puts a file beside the config that nobody else may read.
    pub fn write_private(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn load(&self) -> Result<Config, Problems> {
        load(&Sources {
            file: Some(self.folder.path().join(FILE)),
            env: self.env.clone(),
            flags: self.flags.clone(),
            variable: &variable,
        })
    }

    pub fn config(&self) -> Config {
        let config = self.load().unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!format!("{config:?}{}", config.warnings).contains(SECRET));
        config
    }

    /// The lines that a person sees, the temporary folder taken out.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.load().expect_err("should have problems");
        let json = serde_json::to_string(&problems).unwrap();
        assert!(!format!("{problems:?}{problems}{json}").contains(SECRET), "{problems}");
        self.lines(&problems)
    }

    pub fn lines(&self, problems: &Problems) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        problems.to_string().replace(&folder, "").lines().map(str::to_owned).collect()
    }
}

/// A file with one channel, `c`, that has these keys from the fourth line on, and a route to it.
pub fn with_channel(keys: &str) -> Case {
    Case::new(format!("[[channel]]\nname = \"c\"\nadapter = \"x\"\n{keys}\n[[route]]\nchannel = \"c\"\n"))
}

/// The example of the issue.
const EXAMPLE: &str = r#"
[server]
listen = "127.0.0.1:7766"
app_url = "https://app.valohai.com"      # relative event URLs are resolved against it

[outbound]
allow_http = ["127.0.0.1"]               # hosts that plain http may go to; everything else is https
allow_addresses = ["127.0.0.0/8"]        # private ranges that may be reached; none by default

[[channel]]
name = "team-ml-alerts"
adapter = "slack"
[channel.settings]
webhook_url = { env = "SLACK_WEBHOOK_URL" }

[[route]]
events = ["execution_completed", "*_failed"]
project = "016f3203-4a8c-969e-078c-52ab66947746"   # optional
channel = "team-ml-alerts"
"#;

#[test]
fn the_example_is_read() {
    let case = Case::new(EXAMPLE);
    let config = case.config();
    assert_eq!(config.server.listen.unwrap().port(), 7766);
    assert_eq!(config.server.app_url.unwrap().as_str(), "https://app.valohai.com/");
    assert_eq!(config.outbound.allow_http, ["127.0.0.1"]);
    assert_eq!(config.outbound.allow_addresses[0].to_string(), "127.0.0.0/8");
    let channel = &config.channels[0];
    assert_eq!((channel.name.as_str(), channel.adapter.as_str()), ("team-ml-alerts", "slack"));
    assert_eq!(channel.settings.value, json!({ "webhook_url": SECRET }));
    assert_eq!(channel.settings.references["/webhook_url"], Reference::Env("SLACK_WEBHOOK_URL".to_owned()));
    assert_eq!((channel.concurrency, channel.timeout), (None, None));
    let place = |pointer| channel.place_of(pointer).unwrap().rsplit_once(':').unwrap().1.to_owned();
    assert_eq!([place("/webhook_url"), place("/missing/deep"), place("")], ["14", "13", "13"]);
    assert_eq!(config.routes[0].events.len(), 2);
    assert!(config.routes[0].project.is_some());
    assert_eq!(config.warnings.iter().count(), 0);
}

#[test]
fn without_a_file_the_defaults_hold() {
    let sources = Sources { file: None, env: Vec::new(), flags: Vec::new(), variable: &variable };
    let config = load(&sources).unwrap();
    assert_eq!(config.server.listen.unwrap().to_string(), "127.0.0.1:7766");
    assert_eq!((config.server.socket, config.server.socket_mode, config.server.app_url), (None, 0o600, None));
    assert_eq!((config.server.max_body, config.server.request_timeout), (1 << 20, Duration::from_secs(30)));
    assert_eq!(config.server.max_requests, 1024);
    assert!(config.server.allowed_hosts.is_empty() && config.server.unsigned_events && config.sources.is_empty());
    assert_eq!(config.server.log_format, LogFormat::Text);
    assert_eq!(config.store.path, Path::new("herald.db"));
    assert_eq!(config.adapters.folder, None);
    assert_eq!(config.adapters.cache, Path::new("/home/someone/.cache/herald"));
    assert_eq!(config.adapters.memory, 64 << 20);
    assert_eq!(config.delivery.policy().schedule.len(), 9);
    assert_eq!(config.delivery.policy().longest_wait, Duration::from_hours(24));
    assert_eq!(config.delivery.policy().max_age, None);
    assert_eq!((config.store.keep, config.store.max_size), (Duration::from_hours(30 * 24), 10 << 30));
    let breaker = Breaker {
        failures: 10,
        limit_hits: 5,
        wait: Duration::from_secs(30),
        longest_wait: Duration::from_mins(10),
        disable_after: Some(Duration::from_hours(5 * 24)),
    };
    assert_eq!(config.delivery.breaker(), breaker);
    assert!(config.channels.is_empty() && config.routes.is_empty());
    let homeless = load(&Sources { variable: &|_| None, ..sources }).unwrap();
    assert_eq!(homeless.adapters.cache, Path::new("herald-cache"));
}

/// All keys of all tables, `server.listen`.
fn keys(text: &str) -> BTreeSet<String> {
    let root: toml::Table = text.parse().unwrap();
    let mut keys = BTreeSet::new();
    for (section, value) in &root {
        let tables = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let found = tables.iter().flat_map(|table| table.as_table().unwrap().keys());
        keys.extend(found.map(|key| format!("{section}.{key}")));
    }
    keys
}

#[test]
fn every_setting_stands_in_the_default_file_and_nothing_else_does() {
    let known = |schema: &[(&str, &[&str])]| -> BTreeSet<String> {
        let keys = |(section, keys): &(&str, &[&str])| keys.iter().map(|key| format!("{section}.{key}")).collect();
        schema.iter().flat_map(|entry| -> Vec<_> { keys(entry) }).collect()
    };
    let mut wanted = known(schema::SCHEMA);
    assert_eq!(keys(DEFAULTS), wanted);
    // A `#` without a space after it stands before what is an example.
    let uncomment =
        |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let example = DEFAULTS.lines().map(uncomment).collect::<Vec<_>>().join("\n");
    wanted.extend(known(&[
        ("server", &["token"]),
        ("channel", channels::CHANNEL_KEYS),
        ("route", channels::ROUTE_KEYS),
        ("source", sources::KEYS),
    ]));
    assert_eq!(keys(&example), wanted);
    let case = Case::new(example);
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    for (name, text) in
        [("ca.pem", cert.pem()), ("herald.pem", cert.pem()), ("herald.key", signing_key.serialize_pem())]
    {
        case.write_private(name, &text);
    }
    let config = case.config();
    assert!(config.channels[0].tls.roots.is_some() && config.channels[0].tls.identity.is_some());
    assert_eq!(config.channels[0].concurrency, Some(2));
    assert_eq!(config.channels[0].timeout, Some(Duration::from_secs(10)));
    assert!(config.channels[0].ordered && config.channels[0].rate.is_some());
    assert_eq!(config.channels[0].fallback.as_ref(), Some(&config.channels[1].name));
    assert_eq!(config.warnings.iter().count(), 0, "{}", config.warnings);
}

#[test]
fn all_problems_of_a_file_come_at_once_in_its_order() {
    let case = Case::new(
        r#"delivery = 3
[servr]
[server]
lsten = "s3cret-T0ken"
listen = 5
max_body = "2 GiB"
request_timeout = "99ms"
[adapters]
call_timeout = "1ms"
[[channel]]
name = "team-ml-alerts"
adapter = 7
colour = "s3cret-T0ken"
[channel.settings]
url = { env = "NOT_THERE" }
deep = [{ a = { file = "nowhere" } }]
[[channel]]
adapter = "slack"
concurrency = 0
timeout = "10m"
[[channel]]
name = "team-ml-alerts"
adapter = "slack"
settings = "s3cret-T0ken"
[[route]]
channel = "team-ml-alert"
[[route]]
events = ["ok", "not ok", ""]
project = 3
"#,
    );
    let problems = case.problems();
    let starts = [
        "herald.toml:1: delivery: must be a table, not a whole number",
        "herald.toml:2: servr: there is no such setting (did you mean `server`?)",
        "herald.toml:4: server.lsten: there is no such setting (did you mean `listen`?)",
        "herald.toml:5: server.listen: must be text, not a whole number",
        "herald.toml:6: server.max_body: must lie between 1 KiB and 1 GiB",
        "herald.toml:7: server.request_timeout: must lie between 100ms and 1h",
        "herald.toml:9: adapters.call_timeout: must lie between 10ms and 1m",
        "herald.toml:12: channel.team-ml-alerts.adapter: must be text, not a whole number",
        "herald.toml:13: channel.team-ml-alerts.colour: there is no such setting (known here: name, ",
        "herald.toml:15: channel.team-ml-alerts.settings.url: the environment variable NOT_THERE is not set (set it ",
        "herald.toml:16: channel.team-ml-alerts.settings.deep[0].a: the file nowhere can't be read: ",
        "herald.toml:17: channel[1].name: is missing (add `name = \"…\"`)",
        "herald.toml:19: channel[1].concurrency: must lie between 1 and 1024",
        "herald.toml:20: channel[1].timeout: must lie between 1s and 5m",
        "herald.toml:21: channel.team-ml-alerts: the channel at herald.toml:10 has this name too",
        "herald.toml:24: channel.team-ml-alerts.settings: must be a table, not text",
        "herald.toml:26: route[0].channel: there is no channel `team-ml-alert` (did you mean `team-ml-alerts`? known: ",
        "herald.toml:27: route[1].channel: is missing",
        "herald.toml:28: route[1].events[1]: has white space",
        "herald.toml:28: route[1].events[2]: is empty",
        "herald.toml:29: route[1].project: must be text, not a whole number",
    ];
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\n  should start with\n{start}");
    }
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
}

#[test]
fn tables_of_the_wrong_shape_are_problems() {
    let case = Case::new("channel = [1]\n[route]\nchannel = \"x\"");
    assert_eq!(
        case.problems(),
        [
            "herald.toml:1: channel[0]: must be a table, not a whole number",
            "herald.toml:2: route: must be a list of tables, not a table (write [[route]])",
        ]
    );
}

#[test]
fn a_file_that_is_no_config_is_one_problem_with_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let sources = Sources { file: Some(absent), env: Vec::new(), flags: Vec::new(), variable: &variable };
    let problems = load(&sources).unwrap_err().to_string();
    assert!(problems.contains("absent.toml: the config file can't be read: No such file"), "{problems}");
    let latin = Case::new(b"# good\n# caf\xe9\n").problems();
    assert_eq!(latin, ["herald.toml:2: not UTF-8 (save the file as UTF-8)"]);
    let broken = Case::new("[server]\nlisten = \"s3cret-T0ken\n").problems();
    assert!(broken.len() == 1 && broken[0].starts_with("herald.toml:2: not TOML: "), "{broken:?}");
    let twice = Case::new("[server]\nlog = \"info\"\nlog = \"warn\"").problems();
    assert_eq!(twice, ["herald.toml:3: not TOML: duplicate key"]);
}

#[test]
fn paths_start_from_the_files_folder() {
    let case = Case::new("[store]\npath = \"data/h.db\"\n[adapters]\nfolder = \"a\"\ncache = \"/c\"");
    let (config, folder) = (case.config(), case.folder.path());
    assert_eq!(config.store.path, folder.join("data/h.db"));
    assert_eq!(config.adapters.folder, Some(folder.join("a")));
    assert_eq!(config.adapters.cache, Path::new("/c"));
}

#[test]
fn the_file_is_the_named_one_or_the_variables_or_the_one_that_lies_here() {
    let case = Case::new("");
    let here = case.folder.path();
    let path = |name: &str| Some(PathBuf::from(name));
    assert_eq!(find(path("a"), Some("b".to_owned()), here), path("a"));
    assert_eq!(find(None, Some("b".to_owned()), here), path("b"));
    assert_eq!(find(None, Some(String::new()), here), Some(here.join(FILE)));
    assert_eq!(find(None, None, &here.join("elsewhere")), None);
}

#[test]
fn a_channel_that_no_route_leads_to_is_a_warning() {
    let case = Case::new("[[channel]]\nname = \"a.b\"\nadapter = \"slack\"\n");
    let config = case.config();
    assert_eq!(config.channels[0].settings.value, json!({}));
    let warnings = case.lines(&config.warnings);
    assert_eq!(
        warnings,
        ["herald.toml:1: channel.\"a.b\": no route leads to this channel (add a [[route]] with `channel = \"a.b\"`)"]
    );
    let to_all = Case::new(
        "[[channel]]\nname = \"a\"\nadapter = \"x\"\n[[route]]\nchannel = \"a\"\n\
         [[route]]\nevents = \"x_*\"\nchannel = \"a\"",
    );
    let config = to_all.config();
    assert_eq!(config.routes[0].events[0].to_string(), "*");
    assert_eq!(config.routes[1].events[0].to_string(), "x_*");
}
