//! How much work it is to hold settings against a schema, found out before it is done.
//!
//! A schema comes from a stranger, and a few lines of it that refer to one another twice each are 2⁶⁰ steps for a
//! validator, which nothing stops in the middle. So the same ways are gone here first, all of them, to an end that is near:
//! whatever a validator may look into is counted, whether or not it would.

use serde_json::{Map, Value};

/// The built-in adapters need some tens. So many take a validator well below a second.
const MOST: u32 = 100_000;
/// Schemas within schemas, on the way to one setting; a thread's stack has room for several times as many.
const DEEPEST: u32 = 256;

/// Keys whose schemas, one or several, are for the value itself.
const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];
/// Keys whose schemas are for what is in the value; which of them for which of it is not looked at.
const INSIDE: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
];
/// Those of them whose schemas have names.
const NAMED: [&str; 3] = ["dependentSchemas", "dependencies", "patternProperties"];

/// Refuses, in words, what would take too long, and what can't be followed here as a validator would.
pub(super) fn check(document: &Value, settings: &Value) -> Result<(), String> {
    if has_own_base(document, true) {
        return Err("its settings schema has an `$id` in a part of it: only the whole may have one".to_owned());
    }
    Visits { document, left: MOST }.visit(document, settings, 0)
}

/// References in a part with an `$id` of its own start from there.
fn has_own_base(value: &Value, is_root: bool) -> bool {
    match value {
        Value::Object(members) => {
            (!is_root && members.get("$id").is_some_and(Value::is_string))
                || members.values().any(|value| has_own_base(value, false))
        }
        Value::Array(items) => items.iter().any(|value| has_own_base(value, false)),
        _ => false,
    }
}

struct Visits<'a> {
    document: &'a Value,
    left: u32,
}

impl Visits<'_> {
    fn visit(&mut self, schema: &Value, value: &Value, depth: u32) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            format!("its settings schema asks for more than {MOST} steps with these settings: it refers to its parts too often")
        })?;
        if depth > DEEPEST {
            return Err(format!("its settings schema is more than {DEEPEST} deep, or refers to itself without end"));
        }
        let Some(schema) = schema.as_object() else { return Ok(()) };
        // What is left over is found by looking at the rest again.
        let again = schema.keys().filter(|key| key.starts_with("unevaluated")).count();
        for _ in 0..=(2 * again) {
            self.visit_once(schema, value, depth + 1)?;
        }
        Ok(())
    }

    fn visit_once(&mut self, schema: &Map<String, Value>, value: &Value, depth: u32) -> Result<(), String> {
        for key in ["$ref", "$dynamicRef"] {
            if let Some(target) = schema.get(key).and_then(Value::as_str) {
                let document = self.document;
                let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
                let found = pointer.and_then(|pointer| document.pointer(pointer)).ok_or_else(|| {
                    format!("its settings schema refers to `{target}`: it may only refer to its own parts, by `#/…`")
                })?;
                self.visit(found, value, depth)?;
            }
        }
        self.visit_below(&IN_PLACE, schema, value, depth)?;
        match value {
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                let own = schema.get("properties").and_then(|named| named.get(name));
                own.map_or(Ok(()), |own| self.visit(own, member, depth))?;
                let names = schema.get("propertyNames");
                names.map_or(Ok(()), |names| self.visit(names, &Value::Null, depth))?;
                self.visit_below(&INSIDE, schema, member, depth)
            }),
            Value::Array(items) => items.iter().try_for_each(|item| self.visit_below(&INSIDE, schema, item, depth)),
            _ => Ok(()),
        }
    }

    fn visit_below(
        &mut self,
        keys: &[&str],
        schema: &Map<String, Value>,
        value: &Value,
        depth: u32,
    ) -> Result<(), String> {
        for (key, below) in keys.iter().filter_map(|key| Some((key, schema.get(*key)?))) {
            match below {
                Value::Array(list) => list.iter().try_for_each(|schema| self.visit(schema, value, depth))?,
                Value::Object(named) if NAMED.contains(key) => {
                    named.values().try_for_each(|schema| self.visit(schema, value, depth))?;
                }
                one => self.visit(one, value, depth)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{adapter::SettingsSchema, clock::Stopwatch};

    /// Sixty parts, each of which asks for the next one twice, in each of the ways that there are.
    fn bombs() -> Vec<(Value, Value)> {
        let refer = |to: usize| json!({ "$ref": format!("#/$defs/{to}") });
        let twice = |to: usize| json!([refer(to), refer(to)]);
        let bomb = |part: &dyn Fn(usize) -> Value| {
            let parts: Map<String, Value> = (0..60).map(|at| (at.to_string(), part(at + 1))).collect();
            let mut parts = Value::Object(parts);
            parts["60"] = json!({ "type": "integer" });
            json!({ "$ref": "#/$defs/0", "$defs": parts })
        };
        let deep = (0..60).fold(json!(1), |value, _| json!({ "a": value }));
        let list = (0..60).fold(json!(1), |value, _| json!([value]));
        vec![
            (bomb(&|to| json!({ "allOf": twice(to) })), json!({})),
            (bomb(&|to| json!({ "anyOf": twice(to) })), json!({})),
            (bomb(&|to| json!({ "oneOf": twice(to) })), json!({})),
            (bomb(&|to| json!({ "if": refer(to), "then": refer(to), "else": refer(to) })), json!({})),
            (bomb(&|to| json!({ "not": { "allOf": twice(to) } })), json!({})),
            (bomb(&|to| json!({ "dependentSchemas": { "a": refer(to), "b": refer(to) } })), json!({ "a": 1, "b": 1 })),
            (bomb(&|to| json!({ "allOf": [refer(to)], "unevaluatedProperties": false })), json!({ "a": 1 })),
            (bomb(&|to| json!({ "properties": { "a": { "allOf": twice(to) } } })), deep.clone()),
            (bomb(&|to| json!({ "additionalProperties": { "allOf": twice(to) } })), deep.clone()),
            (json!({ "additionalProperties": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } }), deep),
            (bomb(&|to| json!({ "items": { "anyOf": twice(to) } })), list.clone()),
            (bomb(&|to| json!({ "contains": { "anyOf": twice(to) } })), list),
        ]
    }

    #[test]
    fn a_schema_that_would_keep_its_check_busy_for_years_is_refused_at_once() {
        for (document, settings) in bombs() {
            let watch = Stopwatch::start();
            let schema = SettingsSchema::parse(&document.to_string()).unwrap();
            let problems = schema.check(&settings);
            let shown = document.pointer("/$defs/7").unwrap_or(&document);
            let said = problems.iter().any(|problem| problem.message.contains("asks for more than 100000 steps"));
            assert!(said, "{shown}: {problems:?}");
            schema.secrets(&settings);
            assert!(watch.elapsed() < Duration::from_secs(20), "{shown} took {:?}", watch.elapsed());
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let bomb = json!({ "allOf": [{ "$ref": "#x" }, { "$ref": "#x" }] });
        for (document, words) in [
            (json!({ "$ref": "#x", "$defs": { "a": { "$anchor": "x", "type": "object" } } }), "refers to `#x`"),
            (
                json!({ "$ref": "#/%24defs/a", "$defs": { "a": bomb }, "%24defs": { "a": true } }),
                "refers to `#/%24defs/a`",
            ),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$id": "http://a/b", "$ref": "#/c" } } }),
                "an `$id` in a part",
            ),
            (json!({ "$ref": "#" }), "or refers to itself without end"),
        ] {
            let refused = check(&document, &json!({})).unwrap_err();
            assert!(refused.contains(words), "{document}: {refused}");
        }
        check(&json!({ "properties": { "a": { "$ref": "#" } } }), &json!({ "a": { "a": 1 } })).unwrap();
    }
}
