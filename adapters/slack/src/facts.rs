//! The useful part of an event's data, as a few labelled values.

use herald_channel::markdown::MRKDWN;
use herald_channel::{Data, text};
use serde_json::Value;

/// What Slack shows in one section.
const MOST: usize = 10;
/// A fact is something short; Slack's own limit is 2000 characters for label and value.
const LONGEST_LABEL: usize = 60;
const LONGEST_VALUE: usize = 300;

/// What Valohai calls a thing's title, name, step and duration.
const KINDS: [[&str; 4]; 4] = [
    ["valohai.execution-title", "valohai.execution-name", "valohai.execution-step", "valohai.execution-duration"],
    ["valohai.task-title", "valohai.task-name", "valohai.task-step", "valohai.task-duration"],
    ["valohai.pipeline-title", "valohai.pipeline-name", "valohai.pipeline-step", "valohai.pipeline-duration"],
    ["valohai.deployment-title", "valohai.deployment-name", "valohai.deployment-step", "valohai.deployment-duration"],
];

/// A label, as plain text, and a value, as mrkdwn.
#[derive(Debug, PartialEq)]
pub struct Fact {
    pub label: String,
    pub value: String,
}

/// The facts that a person would ask for first, in that order.
pub fn of(data: &Data) -> Vec<Fact> {
    let mut facts = Vec::with_capacity(MOST);
    known(data, &mut facts);
    // What a person can read comes before what only a machine looks up.
    for identifiers in [false, true] {
        for (key, value) in
            data.iter().filter(|(key, _)| !key.starts_with("valohai.") && is_identifier(key) == identifiers)
        {
            facts.extend(scalar(value).map(|value| Fact { label: text::label(key), value }));
        }
    }
    facts.truncate(MOST);
    facts
}

/// What Valohai says of its executions, tasks, pipelines and deployments.
fn known(data: &Data, facts: &mut Vec<Fact>) {
    let mut fact = |label: &str, value: Option<String>| {
        facts.extend(value.map(|value| Fact { label: label.to_owned(), value }));
    };
    let plain = |key: &str| data.text(key).map(literal);
    for [title, name, step, duration] in KINDS {
        fact("Title", plain(title));
        fact("Name", plain(name));
        fact("Step", plain(step));
        fact("Duration", data.number(duration).map(text::duration));
    }
    fact("Project", plain("valohai.project-name"));
    fact("Commit", data.text("valohai.commit-identifier").map(commit));
    fact("Creator", plain("valohai.creator-name"));
}

/// A commit's hash is known by its beginning. A `~` in front means one that was never pushed.
fn commit(identifier: &str) -> String {
    let hash = identifier.trim_start_matches('~');
    match hash.get(..8) {
        Some(short) if hash.len() >= 32 && hash.chars().all(|c| c.is_ascii_hexdigit()) => format!("`{short}`"),
        _ => literal(identifier),
    }
}

fn is_identifier(key: &str) -> bool {
    key == "id" || ["_id", "-id", ".id", "Id", "uuid"].iter().any(|end| key.ends_with(end))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(literal(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        _ => None,
    }
}

fn literal(value: &str) -> String {
    MRKDWN.literal(&text::single_line(value), LONGEST_VALUE)
}

impl Fact {
    /// As a field of a section.
    pub fn to_mrkdwn(&self) -> String {
        format!("*{}*\n{}", MRKDWN.literal(&self.label, LONGEST_LABEL), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(data: &str) -> Vec<(String, String)> {
        of(&serde_json::from_str(data).unwrap()).into_iter().map(|fact| (fact.label, fact.value)).collect()
    }

    #[test]
    fn a_commit_is_short_when_it_is_a_hash() {
        for (identifier, expected) in [
            ("4d34124453b680daa0ecb881bcf1bd735a3bf99d", "`4d341244`"),
            ("~4d34124453b680daa0ecb881bcf1bd735a3bf99d4d34124453b680daa0ecb881", "`4d341244`"),
            ("main", "main"),
            ("*x*", "\u{2217}x\u{2217}"),
        ] {
            assert_eq!(commit(identifier), expected);
        }
    }

    #[test]
    fn unknown_data_is_told_in_its_order_identifiers_last() {
        let told = facts(
            r#"{"order_id": 7, "total": 12.5, "paid": true, "note": "", "items": [1], "by": "A & B", "x": null}"#,
        );
        let expected = [("Total", "12.5"), ("Paid", "yes"), ("By", "A &amp; B"), ("Order id", "7")];
        assert_eq!(told, expected.map(|(label, value)| (label.to_owned(), value.to_owned())));
    }

    #[test]
    fn there_are_ten_at_most() {
        let data: serde_json::Map<_, _> = (0..40).map(|n| (format!("key{n}"), n.into())).collect();
        assert_eq!(facts(&Value::Object(data).to_string()).len(), MOST);
    }
}
