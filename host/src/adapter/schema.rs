//! An adapter's settings schema: checking a channel's settings, and finding the secrets in them.

use std::{
    collections::{BTreeSet, HashSet},
    ptr,
};

use serde_json::Value;

use super::visits;

/// Patterns of a schema, and bytes that each may take when it is compiled.
const MOST_PATTERNS: usize = 200;
const PATTERN: usize = 1 << 20;

/// A JSON Schema (2020-12) in which `"writeOnly": true` marks secrets.
pub struct SettingsSchema {
    document: Value,
    validator: Option<jsonschema::Validator>,
}

/// What is wrong with a setting. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// JSON pointer (RFC 6901) of the setting.
    pub pointer: String,
    /// For people.
    pub message: String,
}

impl SettingsSchema {
    /// Takes any settings.
    pub(super) fn any() -> Self {
        Self { document: Value::Bool(true), validator: None }
    }

    /// Reads a schema; it may not refer to other documents.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("its settings schema is not JSON: {error}"))?;
        let patterns = patterns(&document);
        if patterns > MOST_PATTERNS {
            return Err(format!("its settings schema has {patterns} patterns: its limit is {MOST_PATTERNS}"));
        }
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            // Matched in time that grows with the text alone: the pattern is a stranger's, the text perhaps another's.
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN))
            .should_validate_formats(true)
            .build(&document)
            .map_err(|error| format!("its settings schema is not a JSON Schema: {error}"))?;
        Ok(Self { document, validator: Some(validator) })
    }

    /// The schema as JSON.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Everything that is wrong with these settings.
    pub fn check(&self, settings: &Value) -> Vec<SettingProblem> {
        let Some(validator) = &self.validator else {
            return Vec::new();
        };
        if let Err(message) = visits::check(&self.document, settings) {
            return vec![SettingProblem { pointer: String::new(), message }];
        }
        validator
            .iter_errors(settings)
            .map(|error| SettingProblem {
                pointer: error.instance_path().to_string(),
                // The value may be a secret.
                message: error.masked_with("this value").to_string(),
            })
            .collect()
    }

    /// The pointers of all values that the schema marks `writeOnly`.
    pub fn secrets(&self, settings: &Value) -> BTreeSet<String> {
        let mut found = Marks::default();
        self.mark(&self.document, settings, "", 0, &mut found);
        found.secrets
    }

    /// Follows the schema along the settings. `depth` bounds schemas that refer to themselves.
    fn mark(&self, schema: &Value, value: &Value, pointer: &str, depth: u8, found: &mut Marks) {
        // A schema that refers to itself twice would otherwise be followed 2^32 times.
        if !found.seen.insert((ptr::from_ref(schema).addr(), pointer.to_owned())) {
            return;
        }
        let Some(schema) = schema.as_object().filter(|_| depth < 32) else {
            return;
        };
        let depth = depth + 1;
        if schema.get("writeOnly") == Some(&Value::Bool(true)) {
            leaves(value, pointer, &mut found.secrets);
        }
        let referred = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| self.document.pointer(target.strip_prefix('#')?));
        if let Some(target) = referred {
            self.mark(target, value, pointer, depth, found);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.mark(branch, value, pointer, depth, found);
            }
        }
        for key in ["if", "then", "else"] {
            if let Some(branch) = schema.get(key) {
                self.mark(branch, value, pointer, depth, found);
            }
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let place = child(pointer, name);
                    for schema in member_schemas(schema, name) {
                        self.mark(schema, member, &place, depth, found);
                    }
                }
            }
            Value::Array(items) => {
                let prefix = schema.get("prefixItems").and_then(Value::as_array);
                for (index, item) in items.iter().enumerate() {
                    let place = child(pointer, &index.to_string());
                    let own = prefix.and_then(|prefix| prefix.get(index));
                    if let Some(schema) = own.or_else(|| schema.get("items")) {
                        self.mark(schema, item, &place, depth, found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whatever may be taken for a pattern, however deep: all of them are compiled when the schema is read.
fn patterns(value: &Value) -> usize {
    match value {
        Value::Object(members) => {
            let own = |(name, member): (&String, &Value)| match name.as_str() {
                "pattern" => 1,
                "patternProperties" => member.as_object().map_or(0, serde_json::Map::len),
                _ => 0,
            };
            members.iter().map(own).sum::<usize>() + members.values().map(patterns).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(patterns).sum(),
        _ => 0,
    }
}

/// What following a schema has come to.
#[derive(Default)]
struct Marks {
    secrets: BTreeSet<String>,
    /// Which part of the schema, by its address, has been held against which setting.
    seen: HashSet<(usize, String)>,
}

/// The schemas that apply to a member of an object.
fn member_schemas<'a>(schema: &'a serde_json::Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    let own = schema.get("properties").and_then(|members| members.get(name));
    // Patterns are not matched but all taken: a setting too many treated as a secret does no harm.
    let patterns =
        schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
    let others = schema.get("additionalProperties").filter(|_| own.is_none());
    own.into_iter().chain(patterns).chain(others)
}

/// Every scalar below is a secret.
fn leaves(value: &Value, pointer: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &child(pointer, name), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &child(pointer, &index.to_string()), found);
            }
        }
        Value::Null => {}
        _ => {
            found.insert(pointer.to_owned());
        }
    }
}

/// RFC 6901: `~` and `/` in a name are escaped.
fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn schema(document: &Value) -> SettingsSchema {
        SettingsSchema::parse(&document.to_string()).unwrap()
    }

    #[test]
    fn secrets_are_found_wherever_the_schema_marks_them() {
        let schema = schema(&json!({
            "type": "object",
            "properties": {
                "url": {"type": "string", "writeOnly": true},
                "name": {"type": "string"},
                "keys": {"type": "array", "items": {"$ref": "#/$defs/key"}},
                "headers": {"type": "object", "additionalProperties": {"type": "string", "writeOnly": true}},
            },
            "$defs": {"key": {"type": "string", "writeOnly": true}},
        }));
        let found = schema.secrets(&json!({
            "url": "https://x", "name": "n", "keys": ["a", "b"], "headers": {"x/y": "1"},
        }));
        let expected = ["/headers/x~1y", "/keys/0", "/keys/1", "/url"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn problems_never_show_the_value() {
        let schema = schema(&json!({"properties": {"url": {"type": "integer", "writeOnly": true}}}));
        let problems = schema.check(&json!({"url": "hunter2"}));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems.first().unwrap().pointer, "/url");
        assert!(!format!("{problems:?}").contains("hunter2"));
    }

    #[test]
    fn a_schema_that_refers_to_itself_twice_ends_soon() {
        let twice = json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]});
        let document = json!({"$ref": "#/$defs/a", "$defs": {"a": twice}});
        let schema = SettingsSchema { document, validator: None };
        assert!(schema.secrets(&json!({"a": 1})).is_empty());
    }

    #[test]
    fn a_schema_without_end_is_checked_in_the_end() {
        for document in [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})] {
            if let Ok(schema) = SettingsSchema::parse(&document.to_string()) {
                schema.check(&json!({"a": 1}));
            }
        }
    }

    #[test]
    fn what_its_patterns_take_is_bounded() {
        let refused = |document: Value| SettingsSchema::parse(&document.to_string()).err().unwrap();
        let many: Vec<_> = (0..201).map(|n| json!({"pattern": format!("^a{n}$")})).collect();
        assert!(refused(json!({"anyOf": many})).contains("201 patterns: its limit is 200"));
        // A hundred megabytes of automaton.
        assert!(refused(json!({"pattern": r"^(\pL{1,200}){1,200}$"})).contains("not a JSON Schema"));
        let schema = schema(&json!({"properties": {"url": {"pattern": "^https://[a-z.]+/"}}}));
        assert!(schema.check(&json!({"url": "https://example.com/"})).is_empty());
        assert_eq!(schema.check(&json!({"url": "http://example.com/"})).len(), 1);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = schema(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}));
        assert!(schema.secrets(&json!({"a": 1})).is_empty());
    }
}
