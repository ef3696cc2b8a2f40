//! The kinds of values that settings take: from a node to a checked Rust value.
//!
//! Must not print the value that it refuses (it may be a secret), nor look at anything but the node.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    problems::{Problem, did_you_mean},
    raw::{Node, Value},
};
use crate::model::{EventType, Pattern};

/// What is wrong with a value.
pub(super) struct Fault {
    /// Its key is relative to the setting: empty, or the element of a list (`[2]`).
    pub problem: Problem,
    /// The value is of another type than the setting: another reading of the same text may fit.
    pub of_type: bool,
}

/// A checked value, or all that is wrong with it.
pub(super) type Checked<T> = Result<T, Vec<Fault>>;

/// A fault of the value, and what to do.
pub(super) fn wrong<T>(node: &Node, message: impl Into<String>, hint: &str) -> Checked<T> {
    let problem = node.problem("", message).hint(hint);
    Err(vec![Fault { problem, of_type: false }])
}

/// A fault of the type: another reading of the same text may fit.
pub(super) fn wrong_type<T>(node: &Node, wanted: &str) -> Checked<T> {
    let problem = node.problem("", format!("must be {wanted}, not {}", node.kind()));
    Err(vec![Fault { problem, of_type: true }])
}

/// The value when there is one and it lies in the range.
pub(super) fn within<T: PartialOrd>(
    node: &Node,
    value: Option<T>,
    range: &RangeInclusive<T>,
    show: fn(&T) -> String,
) -> Checked<T> {
    value.filter(|value| range.contains(value)).ok_or_else(|| {
        let message = format!("must lie between {} and {}", show(range.start()), show(range.end()));
        let problem = node.problem("", message);
        vec![Fault { problem, of_type: false }]
    })
}

/// Text that is not empty.
pub(super) fn text(node: &Node) -> Checked<String> {
    match &node.value {
        Value::Text(text) if text.trim().is_empty() => wrong(node, "is empty", "give it a value"),
        Value::Text(text) => Ok(text.clone()),
        _ => wrong_type(node, "text"),
    }
}

/// What `parse` makes of the text; empty text is none.
pub(super) fn optional<T>(parse: impl Fn(&Node) -> Checked<T>) -> impl Fn(&Node) -> Checked<Option<T>> {
    move |node| match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        _ => parse(node).map(Some),
    }
}

/// A list, each element by `parse`.
pub(super) fn list<T>(parse: impl Fn(&Node) -> Checked<T>) -> impl Fn(&Node) -> Checked<Vec<T>> {
    move |node| {
        let Value::Array(items) = &node.value else {
            return wrong_type(node, "a list");
        };
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Ok(value) => values.push(value),
                Err(found) => faults.extend(found.into_iter().map(|mut fault| {
                    fault.problem.key = format!("[{index}]{}", fault.problem.key);
                    fault.of_type = false;
                    fault
                })),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }
}

/// `true` or `false`.
pub(super) fn truth(node: &Node) -> Checked<bool> {
    match node.value {
        Value::Bool(yes) => Ok(yes),
        _ => wrong_type(node, "true or false"),
    }
}

/// A whole number in a range.
pub(super) fn count<T>(range: RangeInclusive<T>) -> impl Fn(&Node) -> Checked<T>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |node| match node.value {
        Value::Integer(number) => within(node, T::try_from(number).ok(), &range, T::to_string),
        _ => wrong_type(node, "a whole number"),
    }
}

/// A number in a range.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Node) -> Checked<f64> {
    move |node| {
        let number = match node.value {
            Value::Float(number) => number,
            // What 32 bits do not hold is out of any range here.
            Value::Integer(number) => i32::try_from(number).map_or(f64::INFINITY, f64::from),
            _ => return wrong_type(node, "a number"),
        };
        within(node, Some(number), &range, f64::to_string)
    }
}

/// A time such as `30s` or `1h 30m`, in a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Checked<Duration> {
    const HINT: &str = "write it with its unit: \"500ms\", \"30s\", \"5m\", \"1h 30m\"";
    move |node| match &node.value {
        Value::Text(text) => match humantime::parse_duration(text) {
            Ok(duration) => within(node, Some(duration), &range, show_duration),
            Err(_) => wrong(node, "is not a length of time", HINT),
        },
        _ => wrong_type(node, "a length of time such as \"30s\""),
    }
}

/// As it would be written here: `365d`, which is neither a round number of months nor of years.
pub(super) fn show_duration(duration: &Duration) -> String {
    let (days, rest) = (duration.as_secs() / DAY, duration.as_secs() % DAY);
    if days > 0 && rest == 0 && duration.subsec_nanos() == 0 {
        return format!("{days}d");
    }
    humantime::format_duration(*duration).to_string()
}

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// A file or a folder; where it is relative to is not decided here.
pub(super) fn path(node: &Node) -> Checked<PathBuf> {
    text(node).map(PathBuf::from)
}

/// What the host logs, in the language of `tracing`.
pub(super) fn log_filter(node: &Node) -> Checked<String> {
    const HINT: &str = "write a level (\"error\", \"warn\", \"info\", \"debug\", \"trace\") or \"info,herald=debug\"";
    let text = text(node)?;
    match EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(_) => wrong(node, "is not a log filter", HINT),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Checked<T> {
    move |node| {
        let text = text(node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let mut problem = node.problem("", format!("must be {}", known.join(" or ")));
        problem.hint = did_you_mean(&text, words.iter().map(|(word, _)| *word));
        Err(vec![Fault { problem, of_type: false }])
    }
}

/// The name of a channel or an adapter.
pub(super) fn name(node: &Node) -> Checked<String> {
    const HINT: &str = "1 to 64 of the characters A-Z a-z 0-9 . _ -";
    let text = text(node)?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(known) { Ok(text) } else { wrong(node, "is not a name", HINT) }
}

/// Which event types a route is for: one pattern, or a list of them that is not empty.
pub(super) fn patterns(node: &Node) -> Checked<Vec<Pattern>> {
    match &node.value {
        Value::Text(_) => pattern(node).map(|pattern| vec![pattern]),
        Value::Array(items) if items.is_empty() => wrong(node, "is empty", "leave it out for every event"),
        _ => list(pattern)(node),
    }
}

fn pattern(node: &Node) -> Checked<Pattern> {
    let text = text(node)?;
    match EventType::new(text.as_str()) {
        Ok(_) => Ok(Pattern::new(&text)),
        Err(error) => wrong(node, error.to_string(), "write a type such as \"execution_completed\", or \"*_failed\""),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::raw::{Place, parse_value};

    pub fn read<T>(toml: &str, parse: impl Fn(&Node) -> Checked<T>) -> Result<T, String> {
        let node = parse_value(toml, &Place::Outside("here".to_owned())).unwrap();
        parse(&node).map_err(|faults| {
            let lines: Vec<_> = faults.iter().map(|fault| fault.problem.to_string()).collect();
            assert!(!lines.concat().contains("s3cret"), "{lines:?}");
            lines.join("\n")
        })
    }

    #[test]
    fn durations() {
        let duration = |toml| read(toml, duration(Duration::from_millis(10)..=Duration::from_mins(1)));
        assert_eq!(duration("\"1s\""), Ok(Duration::from_secs(1)));
        assert_eq!(duration("\"1s 500ms\""), Ok(Duration::from_millis(1500)));
        for out in ["\"9ms\"", "\"61s\"", "\"1 year\""] {
            assert_eq!(duration(out).unwrap_err(), "here: must lie between 10ms and 1m");
        }
        for none in ["\"s3cret\"", "\"30\"", "\"\"", "\"-1s\""] {
            assert!(duration(none).unwrap_err().starts_with("here: is not a length of time ("), "{none}");
        }
        assert!(duration("30").unwrap_err().contains("such as \"30s\", not a whole number"));
        let days = |number: u64| show_duration(&Duration::from_hours(24 * number));
        assert_eq!([days(1), days(30), days(365)], ["1d", "30d", "365d"]);
        assert_eq!(show_duration(&Duration::from_hours(25)), "1day 1h");
    }

    #[test]
    fn numbers() {
        assert_eq!(read("8", count(1..=1024)), Ok(8));
        assert_eq!(read("-8", count(1..=1024)).unwrap_err(), "here: must lie between 1 and 1024");
        assert_eq!(read("8.0", count(1..=1024)).unwrap_err(), "here: must be a whole number, not a number");
        assert_eq!(read("1", number(0.0..=1.0)), Ok(1.0));
        assert_eq!(read("0.25", number(0.0..=1.0)), Ok(0.25));
        assert_eq!(read("1.1", number(0.0..=1.0)).unwrap_err(), "here: must lie between 0 and 1");
        assert!(read("9999999999", number(0.0..=1.0)).is_err());
        assert_eq!(read("false", truth), Ok(false));
        assert_eq!(read("\"yes\"", truth).unwrap_err(), "here: must be true or false, not text");
    }

    #[test]
    fn words_and_names() {
        let word = |toml| read(toml, choice(&[("text", 1), ("json", 2)]));
        assert_eq!(word("\"json\""), Ok(2));
        assert_eq!(word("\"jsn\"").unwrap_err(), "here: must be `text` or `json` (did you mean `json`?)");
        assert_eq!(word("\"s3cret\"").unwrap_err(), "here: must be `text` or `json`");
        assert!(read("\"a.B_c-1\"", name).is_ok());
        let long = format!("\"{}\"", "x".repeat(65));
        for none in ["\"\"", "\"a b\"", "\"ä\"", "1", long.as_str()] {
            assert!(read(none, name).is_err(), "{none}");
        }
        assert!(read("\"info,herald=debug\"", log_filter).is_ok());
        assert!(read("\"herald=s3cret=1\"", log_filter).is_err());
    }
}
