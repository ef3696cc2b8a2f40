//! Which source a setting comes from: flag, environment, file or default; the first that has it wins.
//!
//! Must not know what a setting means.

use std::collections::BTreeMap;

use super::{
    problems::{Problem, did_you_mean},
    raw::{Node, Place, Table, Value, join, parse_value},
    value::Checked,
};

/// The sections and their keys: [`super::schema::SCHEMA`].
pub(super) type Schema = [(&'static str, &'static [&'static str])];

/// A section and a key.
type Name = (&'static str, &'static str);

/// The settings of the environment and the flags: text that is not parsed yet, and where it comes from.
#[derive(Default)]
pub(super) struct Outside(BTreeMap<Name, (String, Place)>);

/// All sources of settings.
pub(super) struct Layers<'a> {
    pub defaults: &'a Table,
    pub file: &'a Table,
    pub outside: &'a Outside,
}

impl Outside {
    /// Takes the environment first, so that a flag wins; a name that nobody knows is a problem.
    pub fn new(
        schema: &'static Schema,
        environment: &[(String, String)],
        flags: &[(String, String)],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let names: Vec<Name> =
            schema.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key))).collect();
        let mut settings = Self::default();
        for (variable, text) in environment {
            let Some(rest) = variable.strip_prefix("HERALD_").filter(|rest| rest.contains("__")) else {
                continue; // HERALD_URL and HERALD_CONFIG are not settings, other programs' variables still less
            };
            let place = format!("environment {variable}");
            let spell = |name: Name| format!("HERALD_{}__{}", name.0, name.1).to_ascii_uppercase();
            match find(variable, &names, spell) {
                Ok(name) => settings.add(name, text, place),
                Err(hint) => problems.push(unknown(&rest.to_lowercase().replacen("__", ".", 1), place, hint)),
            }
        }
        for (path, text) in flags {
            let flag = path.rsplit('.').next().unwrap_or(path).replace('_', "-");
            let place = format!("flag --{flag}");
            match find(path, &names, |name| join(name.0, name.1)) {
                Ok(name) => settings.add(name, text, place),
                Err(hint) => problems.push(unknown(path, place, hint)),
            }
        }
        settings
    }

    fn add(&mut self, name: Name, text: &str, place: String) {
        self.0.insert(name, (text.to_owned(), Place::Outside(place)));
    }
}

/// The setting that is spelt so, or advice.
fn find(given: &str, names: &[Name], spell: impl Fn(Name) -> String) -> Result<Name, String> {
    if let Some(name) = names.iter().find(|name| spell(**name) == given) {
        return Ok(*name);
    }
    let known: Vec<_> = names.iter().map(|name| spell(*name)).collect();
    Err(did_you_mean(given, known.iter().map(String::as_str)).unwrap_or_else(|| {
        "what can be set here is what stands in [server], [store], [adapters], [outbound] and [delivery]".to_owned()
    }))
}

fn unknown(key: &str, place: String, hint: String) -> Problem {
    Problem::new(key, "there is no such setting").at(place).hint(hint)
}

impl Layers<'_> {
    /// Reads one setting from the first source that has it; what is wrong with it becomes problems.
    pub fn read<T>(
        &self,
        section: &'static str,
        key: &'static str,
        parse: impl Fn(&Node) -> Checked<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let checked = if let Some((text, place)) = self.outside.0.get(&(section, key)) {
            from_text(text, place, parse)
        } else {
            let found = [self.file, self.defaults].into_iter().find_map(|layer| match &layer.get(section)?.value {
                Value::Table(table) => table.get(key),
                _ => None,
            });
            parse(found?)
        };
        keep(checked, &join(section, key), problems)
    }
}

/// The value; or what is wrong with it becomes problems of that key.
pub(super) fn keep<T>(checked: Checked<T>, key: &str, problems: &mut Vec<Problem>) -> Option<T> {
    let faults = match checked {
        Ok(value) => return Some(value),
        Err(faults) => faults,
    };
    problems.extend(faults.into_iter().map(|fault| {
        let mut problem = fault.problem;
        problem.key.insert_str(0, key);
        problem
    }));
    None
}

/// Text from outside is a TOML value if that fits, else text, else a list of texts between commas.
fn from_text<T>(text: &str, place: &Place, parse: impl Fn(&Node) -> Checked<T>) -> Checked<T> {
    let plain = |text: &str| Node { value: Value::Text(text.to_owned()), place: place.clone() };
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items = Node { value: Value::Array(items.map(plain).collect()), place: place.clone() };
    let readings = parse_value(text, place).into_iter().chain([plain(text), items]);
    let mut first = None;
    for reading in readings {
        match parse(&reading) {
            // The right type with a wrong value: no other reading is what was meant.
            Err(faults) if faults.iter().all(|fault| fault.of_type) => first = first.or(Some(faults)),
            checked => return checked,
        }
    }
    Err(first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use std::time::Duration;

    use crate::config::tests::{Case, SECRET};

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let case = Case::new("[server]\nlisten = \"127.0.0.1:1\"\nlog = \"warn\"\ngrace = \"1s\"")
            .env(&[("HERALD_SERVER__LISTEN", "127.0.0.1:2"), ("HERALD_SERVER__LOG", "debug")])
            .flags(&[("server.listen", "127.0.0.1:3")]);
        let server = case.config().server;
        assert_eq!((server.listen.unwrap().port(), server.log.as_str()), (3, "debug"));
        assert_eq!((server.grace, server.max_body), (Duration::from_secs(1), 1 << 20));
    }

    #[test]
    fn values_from_outside_are_toml_or_text_or_lists() {
        let case = Case::new("").env(&[
            ("HERALD_URL", "http://127.0.0.1:7766"),
            ("HERALD_CONFIG", "x"),
            ("OTHER__THING", "x"),
            ("HERALD_STORE__PATH", "42"),
            ("HERALD_SERVER__MAX_BODY", "2 MiB"),
            ("HERALD_SERVER__APP_URL", ""),
            ("HERALD_ADAPTERS__MEMORY", "2097152"),
            ("HERALD_DELIVERY__JITTER", "0.5"),
            ("HERALD_DELIVERY__SCHEDULE", "1s, 2s,3s"),
            ("HERALD_DELIVERY__TIMEOUT", "\"9s\""),
            ("HERALD_OUTBOUND__ALLOW_HTTP", "[\"a.example\", \"b.example\"]"),
            ("HERALD_OUTBOUND__ALLOW_ADDRESSES", "10.0.0.7"),
        ]);
        let config = case.config();
        assert_eq!(config.store.path, case.folder.path().join("42"));
        assert_eq!((config.server.max_body, config.adapters.memory), (2 << 20, 2 << 20));
        assert_eq!(config.delivery.schedule, [1, 2, 3].map(Duration::from_secs));
        assert_eq!(config.delivery.timeout, Duration::from_secs(9));
        assert_eq!(config.outbound.allow_http, ["a.example", "b.example"]);
        assert_eq!(config.outbound.allow_addresses[0].to_string(), "10.0.0.7/32");
        let emptied = Case::new("[outbound]\nallow_http = [\"a\"]").env(&[("HERALD_OUTBOUND__ALLOW_HTTP", "")]);
        assert!(emptied.config().outbound.allow_http.is_empty());
    }

    #[test]
    fn problems_outside_the_file_name_their_place() {
        let case = Case::new("")
            .env(&[
                ("HERALD_SERVER__LSTEN", SECRET),
                ("HERALD_CHANNEL__X", SECRET),
                ("HERALD_DELIVERY__CONCURRENCY", "0"),
                ("HERALD_ADAPTERS__THREADS", SECRET),
                ("HERALD_OUTBOUND__ALLOW_ADDRESSES", "10.0.0.7, s3cret-T0ken"),
            ])
            .flags(&[("server.listen", SECRET), ("server.log_fromat", "json")]);
        let elsewhere =
            "what can be set here is what stands in [server], [store], [adapters], [outbound] and [delivery]";
        assert_eq!(
        case.problems(),
        [
            "environment HERALD_ADAPTERS__THREADS: adapters.threads: must be a whole number, not text".to_owned(),
            format!("environment HERALD_CHANNEL__X: channel.x: there is no such setting ({elsewhere})"),
            "environment HERALD_DELIVERY__CONCURRENCY: delivery.concurrency: must lie between 1 and 1024".to_owned(),
            "environment HERALD_OUTBOUND__ALLOW_ADDRESSES: outbound.allow_addresses[1]: is not a range of addresses \
             (write an address or a range of them: \"10.0.0.7\", \"127.0.0.0/8\", \"fd00::/8\")"
                .to_owned(),
            "environment HERALD_SERVER__LSTEN: server.lsten: there is no such setting \
             (did you mean `HERALD_SERVER__LISTEN`?)"
                .to_owned(),
            "flag --listen: server.listen: is not an address to listen on (write an IP address and a port: \
             \"127.0.0.1:7766\", \"[::1]:7766\", \"0.0.0.0:7766\" for all)"
                .to_owned(),
            "flag --log-fromat: server.log_fromat: there is no such setting (did you mean `server.log_format`?)"
                .to_owned(),
        ]
    );
    }
}
