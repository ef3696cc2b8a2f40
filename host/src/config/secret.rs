//! References to secrets: what a table such as `{ env = "NAME" }` stands for.
//!
//! Must never put a secret into a problem: not the value of a variable or a file, not what a command printed.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Variable, command,
    raw::{Node, Table, Value},
};
use crate::files;

/// No secret is longer; a file or a command that gives more is not what was meant.
pub(super) const LONGEST: usize = 64 << 10;

/// Where a value comes from instead of standing in the config.
#[derive(Clone, PartialEq, Eq)]
pub enum Reference {
    /// An environment variable.
    Env(String),
    /// A file, its path as it is opened.
    File(PathBuf),
    /// A command and its arguments; what it prints is the value.
    Exec(Vec<String>),
}

impl fmt::Display for Reference {
    /// The arguments of a command are left out: they may tell more than they should.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Exec(words) => write!(f, "command {}", words.first().map_or("", String::as_str)),
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no value: what is wrong, and what to do.
pub(super) struct Failure {
    pub message: String,
    pub hint: String,
}

pub(super) fn failure<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { message: message.into(), hint: hint.into() })
}

const KEYS: [&str; 3] = ["env", "file", "exec"];

/// The reference that the table is; none when it is an ordinary table. Paths are taken from `base`.
pub(super) fn reference(table: &Table, base: &Path) -> Option<Result<Reference, Failure>> {
    if table.is_empty() || !table.keys().all(|key| KEYS.contains(&key.as_str())) {
        return None;
    }
    let mut entries = table.iter();
    let (Some((key, node)), None) = (entries.next(), entries.next()) else {
        return Some(failure("is more than one reference", "keep one of `env`, `file` and `exec`"));
    };
    Some(match key.as_str() {
        "env" => env(node),
        "file" => file(node, base),
        _ => exec(node, base),
    })
}

fn env(node: &Node) -> Result<Reference, Failure> {
    const HINT: &str = "write { env = \"NAME\" }; the secret itself stands in that variable";
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match &node.value {
        Value::Text(name) if !name.is_empty() && name.chars().all(fits) => Ok(Reference::Env(name.clone())),
        // Not printed: it may be the secret.
        _ => failure("`env` is not the name of an environment variable", HINT),
    }
}

fn file(node: &Node, base: &Path) -> Result<Reference, Failure> {
    match &node.value {
        Value::Text(path) if !path.is_empty() => Ok(Reference::File(base.join(path))),
        _ => failure("`file` is not a path", "write { file = \"path\" }"),
    }
}

fn exec(node: &Node, base: &Path) -> Result<Reference, Failure> {
    const HINT: &str = "write the command and its arguments each for itself: { exec = [\"pass\", \"slack\"] }";
    let Value::Array(items) = &node.value else {
        return failure("`exec` is not a list", HINT);
    };
    let words = items.iter().map(|item| match &item.value {
        Value::Text(word) => Some(word.clone()),
        _ => None,
    });
    match words.collect::<Option<Vec<_>>>() {
        Some(mut words) if words.first().is_some_and(|program| !program.is_empty()) => {
            // Found where a file would be; a bare name is looked for in PATH.
            if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
                *program = base.join(&*program).to_string_lossy().into_owned();
            }
            Ok(Reference::Exec(words))
        }
        _ => failure("`exec` is not a list of words", HINT),
    }
}

/// Gets the value. `variable` reads the environment.
pub(super) fn resolve(reference: &Reference, variable: Variable<'_>) -> Result<String, Failure> {
    let bytes = match reference {
        Reference::Env(name) => variable(name).map(String::into_bytes).ok_or_else(|| Failure {
            message: format!("the environment variable {name} is not set"),
            hint: format!("set it where Herald is started: export {name}=…"),
        })?,
        Reference::File(path) => read(path)?,
        Reference::Exec(words) => command::output(words)?,
    };
    if bytes.len() > LONGEST {
        return failure(format!("the {reference} gives more than 64 KiB"), "a secret is shorter");
    }
    let Ok(mut text) = String::from_utf8(bytes) else {
        return failure(format!("the {reference} gives bytes that are not UTF-8"), "encode it, in base 64 for example");
    };
    if !matches!(reference, Reference::Env(_)) && text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return failure(format!("the {reference} is empty"), "put the value there");
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| Failure {
        message: format!("the file {} can't be read: {error}", path.display()),
        hint: "the path is relative to the config file; Herald's user must be able to read it".to_owned(),
    };
    files::read(path, LONGEST).map_err(unreadable)
}

/// Whether every user of the machine can read the file.
#[cfg(unix)]
pub(super) fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0)
}

/// Not known elsewhere.
#[cfg(not(unix))]
pub(super) fn is_open_to_all(_: &Path) -> bool {
    false
}
