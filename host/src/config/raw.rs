//! TOML text as a tree whose every node knows where it stands, and the walk through it.
//!
//! Must not know what a setting means, and never puts a value into a problem.

use std::{collections::BTreeMap, fmt, sync::Arc};

use toml::de::{DeArray, DeTable, DeValue};

use super::problems::{Problem, did_you_mean};

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

/// A TOML value. Dates are text: nothing here wants them, and JSON has none.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Table(Table),
}

/// Keys in the order of the alphabet.
pub(super) type Table = BTreeMap<String, Node>;

/// Where a value comes from.
#[derive(Clone)]
pub(super) enum Place {
    /// The name of the file, and the line, 1 for the first.
    Line(Arc<str>, u32),
    /// `environment HERALD_SERVER__LISTEN`, `flag --listen`.
    Outside(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Outside(name) => f.write_str(name),
        }
    }
}

impl Node {
    /// What it is, in words, for a problem.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// A problem with this value.
    pub fn problem(&self, key: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem::new(key, message).at(self.place.to_string())
    }

    /// The table that this must be.
    pub fn table(&self, key: &str, problems: &mut Vec<Problem>) -> Option<&Table> {
        if let Value::Table(table) = &self.value {
            return Some(table);
        }
        problems.push(self.problem(key, format!("must be a table, not {}", self.kind())));
        None
    }
}

/// Reads a file's text; every error of the syntax is a problem.
pub(super) fn parse(text: &str, file: &str) -> Result<Node, Vec<Problem>> {
    let lines = Lines::new(text, file);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was recovered is a guess: anything else that is said about it would be noise.
        let problem = |error: &toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            // The error's own `Display` would print the line, and with it perhaps a secret.
            Problem::new("", format!("not TOML: {}", error.message())).at(lines.place(start).to_string())
        };
        return Err(errors.iter().map(problem).collect());
    }
    let mut problems = Vec::new();
    let node = Node { place: lines.place(0), value: Value::Table(table(root.get_ref(), &lines, "", &mut problems)) };
    if problems.is_empty() { Ok(node) } else { Err(problems) }
}

/// Reads one value, as it may stand in the environment or a flag.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let parsed = DeValue::parse(text).ok()?;
    let lines = Lines::new(text, "");
    let mut problems = Vec::new();
    let mut node = node(parsed.get_ref(), lines.place(0), &lines, "", &mut problems);
    node.set_place(place);
    problems.is_empty().then_some(node)
}

impl Node {
    fn set_place(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::Array(items) => items.iter_mut().for_each(|item| item.set_place(place)),
            Value::Table(table) => table.values_mut().for_each(|item| item.set_place(place)),
            _ => {}
        }
    }
}

fn table(table: &DeTable<'_>, lines: &Lines, path: &str, problems: &mut Vec<Problem>) -> Table {
    let mut entries = Table::new();
    for (key, value) in table {
        let (name, place) = (key.get_ref(), lines.place(key.span().start));
        let node = node(value.get_ref(), place, lines, &join(path, name), problems);
        entries.insert(name.to_string(), node);
    }
    entries
}

fn array(array: &DeArray<'_>, lines: &Lines, path: &str, problems: &mut Vec<Problem>) -> Vec<Node> {
    let mut items = Vec::new();
    for (index, item) in array.iter().enumerate() {
        let (path, place) = (format!("{path}[{index}]"), lines.place(item.span().start));
        items.push(node(item.get_ref(), place, lines, &path, problems));
    }
    items
}

fn node(value: &DeValue<'_>, place: Place, lines: &Lines, path: &str, problems: &mut Vec<Problem>) -> Node {
    let mut wrong = |message: &str| {
        problems.push(Problem::new(path, message).at(place.to_string()));
        Value::Integer(0)
    };
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| wrong("must lie between -9223372036854775808 and 9223372036854775807"), Value::Integer),
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => wrong("must be a finite number"),
        },
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(date) => Value::Text(date.to_string()),
        DeValue::Array(items) => Value::Array(array(items, lines, path, problems)),
        DeValue::Table(entries) => Value::Table(table(entries, lines, path, problems)),
    };
    Node { value, place }
}

/// Finds the line of a byte.
struct Lines {
    file: Arc<str>,
    ends: Vec<usize>,
}

impl Lines {
    fn new(text: &str, file: &str) -> Self {
        let ends = text.match_indices('\n').map(|(index, _)| index).collect();
        Self { file: file.into(), ends }
    }

    fn place(&self, byte: usize) -> Place {
        let line = self.ends.partition_point(|end| *end < byte) + 1;
        Place::Line(Arc::clone(&self.file), u32::try_from(line).unwrap_or(u32::MAX))
    }
}

/// `path.key`, the key in quotes where TOML would want them.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let dot = if path.is_empty() { "" } else { "." };
    if !key.is_empty() && key.chars().all(bare) { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

/// Every key that nobody knows is a problem.
pub(super) fn check_keys(table: &Table, path: &str, known: &[&str], problems: &mut Vec<Problem>) {
    for (key, node) in table {
        if !known.contains(&key.as_str()) {
            let hint =
                did_you_mean(key, known.iter().copied()).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
            problems.push(node.problem(join(path, key), "there is no such setting").hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text, "f.toml").err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_syntax_error_has_its_line_and_no_text_of_the_file() {
        let found = problems("a = \"SECRET\nb = SECRET\nc = nan\nd = https://SECRET/x\ne = 12SECRET\n[f\n'SECRET\n");
        for line in [1, 2, 4, 5, 6, 7] {
            let start = format!("f.toml:{line}: not TOML: ");
            assert!(found.iter().any(|problem| problem.starts_with(&start)), "{line} {found:#?}");
        }
        assert!(!found.concat().contains("SECRET") && !found.concat().contains("f.toml:3"), "{found:#?}");
    }

    #[test]
    fn a_value_knows_its_line() {
        let root = parse("# first\n[a]\nb = [\n  1,\n  2,\n]\n", "f.toml").unwrap_or_else(|_| panic!());
        let Value::Table(root) = root.value else { panic!() };
        let Value::Table(a) = &root["a"].value else { panic!() };
        assert_eq!(a["b"].place.to_string(), "f.toml:3");
        let Value::Array(items) = &a["b"].value else { panic!() };
        assert_eq!(items[1].place.to_string(), "f.toml:5");
    }

    #[test]
    fn numbers_that_are_none_are_problems() {
        assert_eq!(
            problems("[a]\nx = nan\ny = [1.0, -inf]\nz = 99999999999999999999\n"),
            [
                "f.toml:2: a.x: must be a finite number",
                "f.toml:3: a.y[1]: must be a finite number",
                "f.toml:4: a.z: must lie between -9223372036854775808 and 9223372036854775807",
            ]
        );
    }

    #[test]
    fn keys_are_quoted_where_toml_would() {
        assert_eq!(join("", "a"), "a");
        assert_eq!(join("a", "b-c_1"), "a.b-c_1");
        assert_eq!(join("a", "b.c"), "a.\"b.c\"");
    }
}
