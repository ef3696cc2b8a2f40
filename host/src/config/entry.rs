//! A table whose keys are read one by one: a channel, a route, a part of one.
//!
//! Must not know which keys there are.

use super::{
    layers::keep,
    problems::{Problem, by_likeness, did_you_mean},
    raw::{Node, Table, Value, join},
    value::Checked,
};

/// A table, where it stands, and its key path: `route[1]`.
pub(super) struct Entry<'a> {
    pub node: &'a Node,
    pub table: &'a Table,
    pub path: String,
}

impl<'a> Entry<'a> {
    /// What stands under the key; what is wrong with it becomes problems.
    pub fn read<T>(&self, key: &str, parse: impl Fn(&Node) -> Checked<T>, problems: &mut Vec<Problem>) -> Option<T> {
        keep(parse(self.table.get(key)?), &self.path_of(key), problems)
    }

    /// The same; when the key is missing, the default. `None` when it is wrong.
    pub fn read_or<T>(
        &self,
        key: &str,
        default: T,
        parse: impl Fn(&Node) -> Checked<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        if self.table.contains_key(key) { self.read(key, parse, problems) } else { Some(default) }
    }

    /// The same for a key that must be there.
    pub fn demand<T>(&self, key: &str, parse: impl Fn(&Node) -> Checked<T>, problems: &mut Vec<Problem>) -> Option<T> {
        if !self.table.contains_key(key) {
            let problem = self.node.problem(self.path_of(key), "is missing");
            problems.push(problem.hint(format!("add `{key} = \"…\"`")));
        }
        self.read(key, parse, problems)
    }

    /// The key path of one of its keys.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// What to say of a key that names a channel which does not exist; `known` are those that it could name.
    pub fn no_channel<'n>(&self, key: &str, channel: &str, known: impl IntoIterator<Item = &'n str>) -> Problem {
        let node = self.table.get(key).unwrap_or(self.node);
        let problem = node.problem(self.path_of(key), format!("there is no channel `{channel}`"));
        let known = by_likeness(channel, known);
        let listed: Vec<_> = known.iter().take(10).map(|name| format!("`{name}`")).collect();
        let listed = match listed.len() {
            0 => "there is no other: add a [[channel]]".to_owned(),
            _ => format!("known: {}{}", listed.join(", "), if known.len() > 10 { ", …" } else { "" }),
        };
        match did_you_mean(channel, known) {
            Some(meant) => problem.hint(format!("{meant} {listed}")),
            None => problem.hint(listed),
        }
    }

    /// The tables of `[[key]]`.
    pub fn all(root: &'a Table, key: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        Self::all_within(root, "", key, problems)
    }

    /// The tables of `[[section.key]]`; `table` is the section.
    pub fn all_within(table: &'a Table, section: &str, key: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        let Some(node) = table.get(key) else {
            return Vec::new();
        };
        let key = &join(section, key);
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
