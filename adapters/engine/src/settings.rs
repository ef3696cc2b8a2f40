//! The settings of a channel in short, and what that means in JSON Schema.

use serde_json::{Map, Value, json};

/// The schema of settings that are given in short, `{"url": "url", "key": "secret", "floor": "integer?"}`, as a JSON Schema,
/// or not at all, in which case any are taken.
///
/// The error names the setting.
pub fn schema(settings: Option<&Value>) -> Result<Value, String> {
    match settings {
        None | Some(Value::Null) => Ok(json!({ "type": "object" })),
        Some(Value::Object(members)) if is_short(members) => short(members),
        Some(schema @ (Value::Object(_) | Value::Bool(_))) => Ok(schema.clone()),
        Some(_) => Err("settings: neither settings in short, like { url: \"url\" }, nor a JSON Schema".to_owned()),
    }
}

/// A schema has members that are no texts, or says that it is an object's.
fn is_short(members: &Map<String, Value>) -> bool {
    members.values().all(Value::is_string) && members.get("type").is_none_or(|kind| kind != "object")
}

fn short(members: &Map<String, Value>) -> Result<Value, String> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, kind) in members {
        let kind = kind.as_str().unwrap_or_default();
        let (kind, optional) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let schema = match kind {
            "string" | "number" | "integer" | "boolean" => json!({ "type": kind }),
            "url" => json!({ "type": "string", "format": "uri" }),
            "secret" => json!({ "type": "string", "writeOnly": true }),
            _ => {
                return Err(format!(
                    "settings.{name}: \"{kind}\" is none of string, url, secret, number, integer, boolean (with a ? behind \
                     it: may be left out); a JSON Schema says more"
                ));
            }
        };
        properties.insert(name.clone(), schema);
        if !optional {
            required.push(Value::from(name.as_str()));
        }
    }
    Ok(json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_in_short_are_a_schema() {
        let made = schema(Some(&json!({ "url": "url", "key": "secret", "floor": "integer?" }))).unwrap();
        let expected = json!({
            "type": "object",
            "properties": {
                "url": { "type": "string", "format": "uri" },
                "key": { "type": "string", "writeOnly": true },
                "floor": { "type": "integer" },
            },
            "required": ["key", "url"],
            "additionalProperties": false,
        });
        assert_eq!(made, expected);
    }

    #[test]
    fn a_schema_stays_as_it_is_and_nothing_takes_anything() {
        for given in [json!({ "type": "object" }), json!({ "properties": { "a": {} } }), json!(true)] {
            assert_eq!(schema(Some(&given)).unwrap(), given);
        }
        assert_eq!(schema(None).unwrap(), json!({ "type": "object" }));
        // A setting may be called `type`.
        assert_eq!(schema(Some(&json!({ "type": "string" }))).unwrap()["required"], json!(["type"]));
    }

    #[test]
    fn a_kind_that_does_not_exist_is_named() {
        let error = schema(Some(&json!({ "url": "uri" }))).unwrap_err();
        assert!(error.starts_with("settings.url: \"uri\" is none of string, url,"), "{error}");
        assert!(schema(Some(&json!(["url"]))).is_err());
    }
}
