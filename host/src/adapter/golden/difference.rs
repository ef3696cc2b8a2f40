//! Where two JSON documents differ, place by place.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A place in which what came out is not what was expected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// `request` or `verdict`, and the JSON pointer (RFC 6901) in it.
    pub place: String,
    /// `null` stands for nothing, too.
    pub expected: Value,
    /// What the adapter made.
    pub got: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:\n  expected {}\n  got      {}", self.place, self.expected, self.got)
    }
}

/// Adds each place in which the two differ.
pub(super) fn differ(place: &str, expected: &Value, got: &Value, found: &mut Vec<Difference>) {
    let below = |name: &str| format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
    match (expected, got) {
        (Value::Object(e), Value::Object(g)) => {
            for (name, expected) in e {
                differ(&below(name), expected, g.get(name).unwrap_or(&Value::Null), found);
            }
            for (name, got) in g.iter().filter(|(name, _)| !e.contains_key(*name)) {
                differ(&below(name), &Value::Null, got, found);
            }
        }
        (Value::Array(e), Value::Array(g)) if e.len() == g.len() => {
            for (index, (expected, got)) in e.iter().zip(g).enumerate() {
                differ(&below(&index.to_string()), expected, got, found);
            }
        }
        _ if expected != got => {
            found.push(Difference { place: place.to_owned(), expected: expected.clone(), got: got.clone() });
        }
        _ => {}
    }
}
