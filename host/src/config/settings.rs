//! A channel's settings: what stands in the config, with every reference replaced by what it stands for.
//!
//! Must not print a value, and does not know which settings an adapter wants: its schema says that.

use std::{collections::BTreeMap, fmt, path::Path};

use serde_json::Value as Json;

use super::{
    Variable,
    problems::Problem,
    raw::{Node, Place, Table, Value, join},
    secret::{Reference, is_open_to_all, reference, resolve},
};

/// The settings of a channel. Secrets are in it: it is not printed, not even for debugging.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// A JSON object, references resolved.
    pub value: Json,
    /// Which values came by reference: their JSON pointers (RFC 6901).
    pub references: BTreeMap<String, Reference>,
}

impl Settings {
    /// Whether a reference may stand for something else by now. The environment of a running process doesn't change.
    pub fn may_change(&self) -> bool {
        self.references.values().any(|reference| !matches!(reference, Reference::Env(_)))
    }

    /// Reads the files and runs the commands again that values came from. `current` is what is in use; the answer is that
    /// with the new values, none when nothing has changed, or which reference gives no value, and why.
    pub fn read_again(&self, current: &Json) -> Result<Option<Json>, String> {
        let mut next = current.clone();
        for (pointer, reference) in &self.references {
            if matches!(reference, Reference::Env(_)) {
                continue;
            }
            let value = resolve(reference, &|_| None).map_err(|failure| failure.message)?;
            if let Some(place) = next.pointer_mut(pointer) {
                *place = Json::from(value);
            }
        }
        Ok(Some(next).filter(|next| next != current))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("references", &self.references).finish_non_exhaustive()
    }
}

/// Reads settings.
pub(super) struct Reader<'a> {
    /// What paths are relative to.
    pub base: &'a Path,
    /// Reads the environment.
    pub variable: Variable<'a>,
    pub problems: &'a mut Vec<Problem>,
    pub warnings: &'a mut Vec<Problem>,
    /// Where each value stands, by its JSON pointer.
    pub places: BTreeMap<String, String>,
    pub references: BTreeMap<String, Reference>,
}

impl Reader<'_> {
    /// The table itself is an object in any case: a channel whose only setting is called `env` is no reference.
    pub fn object(&mut self, table: &Table, place: &Place, key: &str, pointer: &str) -> Json {
        self.note(place, pointer);
        let mut object = serde_json::Map::new();
        for (name, node) in table {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            object.insert(name.clone(), self.value(node, &join(key, name), &pointer));
        }
        Json::Object(object)
    }

    fn value(&mut self, node: &Node, key: &str, pointer: &str) -> Json {
        self.note(&node.place, pointer);
        match &node.value {
            Value::Text(text) => Json::from(text.as_str()),
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Bool(yes) => Json::from(*yes),
            Value::Array(items) => {
                let item = |(index, item)| self.value(item, &format!("{key}[{index}]"), &format!("{pointer}/{index}"));
                items.iter().enumerate().map(item).collect()
            }
            Value::Table(table) => match reference(table, self.base) {
                None => self.object(table, &node.place, key, pointer),
                Some(reference) => {
                    let value = reference.and_then(|reference| {
                        let value = resolve(&reference, self.variable)?;
                        self.warn(&reference, node, key);
                        self.references.insert(pointer.to_owned(), reference);
                        Ok(value)
                    });
                    value.map_or_else(
                        |failure| {
                            self.problems.push(node.problem(key, failure.message).hint(failure.hint));
                            Json::Null
                        },
                        Json::from,
                    )
                }
            },
        }
    }

    fn warn(&mut self, reference: &Reference, node: &Node, key: &str) {
        if let Reference::File(path) = reference
            && is_open_to_all(path)
        {
            let message = format!("every user of this machine can read {}", path.display());
            let hint = format!("chmod o-r {}", path.display());
            self.warnings.push(node.problem(key, message).hint(hint));
        }
    }

    fn note(&mut self, place: &Place, pointer: &str) {
        self.places.insert(pointer.to_owned(), place.to_string());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use serde_json::json;

    use crate::config::tests::{Case, SECRET};

    /// A file with one channel with these settings.
    fn with_settings(settings: &str) -> Case {
        Case::new(format!(
            "[[route]]\nchannel = \"c\"\n[[channel]]\nname = \"c\"\nadapter = \"x\"\n[channel.settings]\n{settings}\n"
        ))
    }

    #[test]
    fn settings_become_json() {
        let case = with_settings(
            "env = \"prod\"\nwhen = 2021-04-21T12:58:18Z\nn = [1, 2.5, true]\n\"a/b~c\" = { env = \"SLACK_WEBHOOK_URL\" }\n\
         both = { env = \"x\", other = 1 }\nnone = {}",
        );
        let channel = &case.config().channels[0];
        let wanted = json!({
            "env": "prod", "when": "2021-04-21T12:58:18Z", "n": [1, 2.5, true], "a/b~c": SECRET,
            "both": { "env": "x", "other": 1 }, "none": {},
        });
        assert_eq!(channel.settings.value, wanted);
        let references: Vec<_> = channel.settings.references.keys().collect();
        assert_eq!(references, ["/a~1b~0c"]);
        assert!(channel.place_of("/n/1").unwrap().ends_with(":9"));
    }

    #[cfg(unix)]
    #[test]
    fn references_are_resolved_and_leave_no_trace_in_what_is_printed() {
        use std::{fs, os::unix::fs::PermissionsExt};

        let case = with_settings(
            "a = { file = \"open\" }\nb = [{ file = \"closed\" }]\nc = { exec = [\"printf\", '%s\\n\\n', \"value\"] }\n\
         d = { exec = [\"./give\"] }",
        );
        for (name, mode, text) in [
            ("open", 0o644, "s3cret-T0ken\r\n"),
            ("closed", 0o600, "s3cret-T0ken\n\n"),
            ("give", 0o700, "#!/bin/sh\necho s3cret-T0ken\n"),
        ] {
            let path = case.folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let config = case.config();
        let wanted = json!({ "a": SECRET, "b": [format!("{SECRET}\n")], "c": "value\n", "d": SECRET });
        assert_eq!(config.channels[0].settings.value, wanted);
        assert_eq!(config.channels[0].settings.references.len(), 4);
        assert_eq!(
            case.lines(&config.warnings),
            ["herald.toml:7: channel.c.settings.a: every user of this machine can read open (chmod o-r open)"]
        );
    }

    #[cfg(unix)]
    #[test]
    fn references_that_fail_say_why_and_not_what() {
        let case = with_settings(
            "a = { env = \"EMPTY\" }\nb = { env = \"s3cret-T0ken\" }\nc = { env = 3 }\nd = { file = \"herald.toml\", env = \"X\" }\n\
         e = { file = \".\" }\nf = { exec = \"pass x\" }\ng = { exec = [] }\n\
         h = { exec = [\"sh\", \"-c\", \"echo s3cret-T0ken; echo locked >&2; exit 1\"] }\n\
         i = { exec = [\"true\"] }\nj = { exec = [\"printf\", '\\377s3cret-T0ken'] }\n\
         k = { exec = [\"head\", \"-c70000\", \"/dev/zero\"] }\nl = { exec = [\"./not-there\"] }",
        );
        let problems = case.problems();
        let starts = [
            ".a: the environment variable EMPTY is empty",
            ".b: `env` is not the name of an environment variable",
            ".c: `env` is not the name of an environment variable",
            ".d: is more than one reference",
            ".e: the file . can't be read: it is a directory",
            ".f: `exec` is not a list",
            ".g: `exec` is not a list of words",
            ".h: the command sh ended with exit status: 1: locked (run it",
            ".i: the command true is empty",
            ".j: the command printf gives bytes that are not UTF-8",
            ".k: the command head gives more than 64 KiB",
            ".l: the command ./not-there can't be run: No such file",
        ];
        for (number, (problem, start)) in problems.iter().zip(starts).enumerate() {
            let start = format!("herald.toml:{}: channel.c.settings{start}", 7 + number);
            assert!(problem.starts_with(&start), "{problem}\n  should start with\n{start}");
        }
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    }
}
