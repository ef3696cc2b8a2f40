//! The schema of a channel's settings, written from the type that an adapter reads them into.
//!
//! Docs become descriptions, `#[serde(deny_unknown_fields)]`, `#[serde(default)]` and `Option` mean what they say, and
//! `#[schemars(…)]` adds what a type can't: `url`, `length(min = 1)`, `regex(pattern = …)`, `title = …`, `extend(…)`.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of a type, as text: in one piece, and without the nulls that no configuration file has.
pub fn of<T: JsonSchema>() -> String {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(simplify).transform(&mut schema);
    // The type's name says nothing to a reader of the settings.
    schema.remove("title");
    format!("{:#}\n", schema.as_value())
}

/// Compares `settings.schema.json` in the folder `src` of an adapter's crate with the type of its settings.
///
/// With `HERALD_BLESS=1` it is written instead.
///
/// # Panics
/// When it is another one.
#[cfg(not(target_arch = "wasm32"))]
pub fn check<C: crate::Channel>(crate_folder: impl AsRef<std::path::Path>) {
    let file = crate_folder.as_ref().join("src/settings.schema.json");
    let schema = of::<C::Settings>();
    if std::env::var_os("HERALD_BLESS").is_some() {
        std::fs::write(&file, schema).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == schema,
        "{} is not the schema of the settings: run the test again with HERALD_BLESS=1. It should be\n{schema}",
        file.display()
    );
}

fn simplify(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    without_null(object);
    one_of_some(object);
}

/// An optional setting is left out, not null.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    let either = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice);
    if let Some([Value::Object(one), null]) = either
        && null.get("type").is_some_and(|kind| kind == "null")
    {
        let one = one.clone();
        schema.remove("anyOf");
        // What is said of the setting goes before what is said of its type.
        for (key, value) in one {
            schema.entry(key).or_insert(value);
        }
    }
}

/// One of some tables, each under its name, as an enum of them is written: put so that the host can say what is wrong
/// within the one that was chosen.
fn one_of_some(schema: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = schema.get("oneOf") else { return };
    let only_property = |variant: &Value| {
        let properties = variant.get("properties")?.as_object()?;
        let (name, value) = properties.iter().next().filter(|_| properties.len() == 1)?;
        let (name, mut value) = (name.clone(), value.as_object()?.clone());
        if let Some(description) = variant.get("description") {
            value.entry("description").or_insert(description.clone());
        }
        Some((name, Value::Object(value)))
    };
    let Some(properties) = variants.iter().map(only_property).collect::<Option<Map<_, _>>>() else { return };
    schema.remove("oneOf");
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("minProperties".into(), json!(1));
    schema.insert("maxProperties".into(), json!(1));
    schema.insert("additionalProperties".into(), json!(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde::Deserialize;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only their schema is asked for")]
    struct Settings {
        /// Where messages go.
        #[schemars(url, title = "Address")]
        url: String,
        /// Who may post.
        key: Option<Secret>,
        #[serde(default)]
        level: Level,
        auth: Option<Auth>,
    }

    #[derive(Deserialize, JsonSchema, serde::Serialize, Default)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        #[default]
        Info,
        Error,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only their schema is asked for")]
    enum Auth {
        /// A token.
        Bearer(Secret),
        Basic {
            user: String,
        },
    }

    #[test]
    fn a_schema_says_all_that_the_type_does() {
        let schema: Value = serde_json::from_str(&of::<Settings>()).unwrap();
        let expected = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["url"],
            "additionalProperties": false,
            "properties": {
                "url": {"type": "string", "format": "uri", "title": "Address", "description": "Where messages go."},
                "key": {"type": "string", "minLength": 1, "writeOnly": true, "description": "Who may post."},
                "level": {"type": "string", "enum": ["info", "error"], "default": "info"},
                "auth": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": {
                        "bearer": {"type": "string", "minLength": 1, "writeOnly": true, "description": "A token."},
                        "basic": {
                            "type": "object",
                            "required": ["user"],
                            "properties": {"user": {"type": "string"}},
                        },
                    },
                },
            },
        });
        assert_eq!(schema, expected, "{schema:#}");
    }
}
