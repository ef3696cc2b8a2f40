//! What the config says of single adapters: which file one must be, and what its calls may use.
//!
//! Must not know adapters: whether there is one of that name is found out elsewhere.

use std::{collections::BTreeMap, time::Duration};

use minisign_verify::PublicKey;

use super::{
    problems::did_you_mean,
    raw::{Node, Table, Value},
    schema::{CALL, ELEMENTS, FILE, FUNCTIONS, LINE, LINES, MEMORY, TRANSFER},
    size::size,
    value::{Checked, Fault, choice, count, duration, text, wrong, wrong_type},
};
use crate::model::Isolation;

/// `[adapters.limits.NAME]`: what stands here goes before the same key of `[adapters]`, whose meaning it has.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct AdapterLimits {
    pub call_timeout: Option<Duration>,
    pub memory: Option<usize>,
    pub transfer: Option<usize>,
    pub table_elements: Option<usize>,
    pub log_lines: Option<u32>,
    pub log_line: Option<usize>,
    pub max_file: Option<usize>,
    pub max_functions: Option<usize>,
    pub isolation: Option<Isolation>,
}

const KEYS: [&str; 9] = [
    "call_timeout",
    "memory",
    "transfer",
    "table_elements",
    "log_lines",
    "log_line",
    "max_file",
    "max_functions",
    "isolation",
];

/// Names and digests: `{ slack = "sha256:…" }`.
pub(super) fn digests(node: &Node) -> Checked<BTreeMap<String, String>> {
    by_name(node, digest)
}

fn digest(node: &Node) -> Checked<String> {
    let given = text(node)?;
    let hexadecimal = given.strip_prefix("sha256:").unwrap_or_default();
    if hexadecimal.len() == 64 && hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(given.to_ascii_lowercase());
    }
    wrong(
        node,
        "is not a digest: `sha256:` and 64 hexadecimal digits",
        "`herald adapters inspect FILE` shows the digest of a file, and `herald adapters list --json` those in use",
    )
}

/// A public key of minisign's: the last line of the file that holds it.
pub(super) fn key(node: &Node) -> Checked<PublicKey> {
    let given = text(node)?;
    PublicKey::from_base64(given.trim()).or_else(|_| {
        wrong(
            node,
            "is not a public key of minisign's",
            "it is the last line of `minisign.pub`: 56 characters that begin with RW",
        )
    })
}

/// Names and limits: `{ slack = { memory = "128 MiB" } }`.
pub(super) fn limits(node: &Node) -> Checked<BTreeMap<String, AdapterLimits>> {
    by_name(node, |node| {
        let table = table(node)?;
        let mut faults = Vec::new();
        for (key, value) in table.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
            let mut problem = value.problem(format!(".{key}"), "there is no such limit");
            if let Some(hint) = did_you_mean(key, KEYS) {
                problem = problem.hint(hint);
            }
            faults.push(Fault { problem, of_type: false });
        }
        let limits = AdapterLimits {
            call_timeout: member(table, "call_timeout", duration(CALL), &mut faults),
            memory: member(table, "memory", size(MEMORY), &mut faults),
            transfer: member(table, "transfer", size(TRANSFER), &mut faults),
            table_elements: member(table, "table_elements", count(ELEMENTS), &mut faults),
            log_lines: member(table, "log_lines", count(LINES), &mut faults),
            log_line: member(table, "log_line", size(LINE), &mut faults),
            max_file: member(table, "max_file", size(FILE), &mut faults),
            max_functions: member(table, "max_functions", count(FUNCTIONS), &mut faults),
            isolation: member(table, "isolation", choice(Isolation::NAMES), &mut faults),
        };
        if faults.is_empty() { Ok(limits) } else { Err(faults) }
    })
}

/// A member that may be missing; what is wrong with it becomes faults of that key.
fn member<T>(table: &Table, key: &str, parse: impl Fn(&Node) -> Checked<T>, faults: &mut Vec<Fault>) -> Option<T> {
    parse(table.get(key)?).map_err(|found| faults.extend(below(key, found))).ok()
}

/// A table of adapters' names.
fn by_name<T>(node: &Node, parse: impl Fn(&Node) -> Checked<T>) -> Checked<BTreeMap<String, T>> {
    let table = table(node)?;
    let (mut values, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, node) in table {
        match parse(node) {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(found) => faults.extend(below(name, found)),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}

fn table(node: &Node) -> Checked<&Table> {
    match &node.value {
        Value::Table(table) => Ok(table),
        _ => wrong_type(node, "a table by the adapters' names"),
    }
}

/// The faults of a member, under its key.
fn below(key: &str, faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    faults.into_iter().map(move |mut fault| {
        fault.problem.key = format!(".{key}{}", fault.problem.key);
        fault.of_type = false;
        fault
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::tests::Case;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn who_signs_adapters_is_a_list_of_minisign_keys() {
        let key = PublicKey::from_base64(KEY).unwrap();
        let config = Case::new(format!("[adapters]\nsigned_by = [\"{KEY}\"]\n")).config();
        assert_eq!(config.adapters.signed_by, std::slice::from_ref(&key));
        let case = Case::new("").env(&[("HERALD_ADAPTERS__SIGNED_BY", &format!("{KEY}, {KEY}"))]);
        assert_eq!(case.config().adapters.signed_by, [key.clone(), key]);
        let problems = Case::new(format!("[adapters]\nsigned_by = [\"{KEY}\", \"{}\"]\n", &KEY[1..])).problems();
        let start = "herald.toml:2: adapters.signed_by[1]: is not a public key of minisign's (it is the last line of ";
        assert!(problems.len() == 1 && problems[0].starts_with(start), "{problems:?}");
    }

    #[test]
    fn single_adapters_have_limits_and_required_digests() {
        let digest = "sha256:".to_owned() + &"0F".repeat(32);
        let config = Case::new(format!(
            "[adapters]\nmemory = \"32 MiB\"\nrequire = {{ slack = \"{digest}\" }}\n\
             [adapters.limits.reports]\ncall_timeout = \"5s\"\nlog_line = 100\nisolation = \"channel\"\n"
        ))
        .config();
        assert_eq!(config.adapters.require["slack"], digest.to_ascii_lowercase());
        let own = AdapterLimits {
            call_timeout: Some(Duration::from_secs(5)),
            log_line: Some(100),
            isolation: Some(Isolation::Channel),
            ..Default::default()
        };
        assert_eq!(config.adapters.isolation, Isolation::Call);
        assert_eq!((config.adapters.limits["reports"].clone(), config.adapters.memory), (own, 32 << 20));
        let case = Case::new("").env(&[("HERALD_ADAPTERS__REQUIRE", &format!("{{ slack = \"{digest}\" }}"))]);
        assert_eq!(case.config().adapters.require["slack"], digest.to_ascii_lowercase());

        let wrong =
            "[adapters]\nrequire = { slack = \"s3cret-T0ken\" }\nlimits = { a = { memry = 1, memory = 1 }, b = 3 }\n";
        let problems = Case::new(wrong).problems();
        let starts = [
            "herald.toml:2: adapters.require.slack: is not a digest: `sha256:` and 64 hexadecimal digits (`herald adapters ",
            "herald.toml:3: adapters.limits.a.memory: must lie between 1 MiB and 1 GiB",
            "herald.toml:3: adapters.limits.a.memry: there is no such limit (did you mean `memory`?)",
            "herald.toml:3: adapters.limits.b: must be a table by the adapters' names, not a whole number",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        for start in starts {
            assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start}: {problems:?}");
        }
    }
}
