//! Reading what the host passes in: settings into a type, the event's data in the application's order.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::{Context, Event, Refusal, pointer};

impl Context {
    /// The channel's settings as a type of the adapter's.
    ///
    /// The host has checked them against the schema, so this only fails when that allows what the type doesn't.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.settings).map_err(|error| {
            let problem = error.to_string();
            // Who set them knows no lines of this text, but the names in it.
            let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
            Refusal::setting(pointer::at(&self.settings, error.line(), error.column()), problem)
        })
    }
}

impl Event {
    /// What the application told about the event beside its title and body.
    pub fn data(&self) -> Data {
        // The host has made sure that this is an object.
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// An event's data: the members of a JSON object, in the order in which the application sent them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data(Vec<(String, Value)>);

impl Data {
    /// The value under a key. A null is as good as nothing.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The text under a key, if it is a text that says anything.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// The number under a key.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// All that is not null.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.as_str(), value))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Data;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Data(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Settings {
        url: String,
        #[serde(default)]
        headers: std::collections::BTreeMap<String, String>,
        #[serde(default)]
        levels: Vec<u8>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Inner {
        key: String,
    }

    #[test]
    fn a_wrong_setting_is_pointed_to() {
        for (settings, pointer, problem) in [
            (r#"{"url": 5}"#, "/url", "invalid type: integer `5`, expected a string"),
            (r#"{"url": "ä{[\"", "headers": {"a/b~c": [1]}}"#, "/headers/a~1b~0c", "invalid type: sequence"),
            ("{\n \"url\": \"x\",\n \"levels\": [1, 2, 300]}", "/levels/2", "invalid value: integer `300`"),
            (r#"{"url": "x", "levels": [1], "inner": {"key": true}}"#, "/inner/key", "invalid type: boolean"),
            (r#"{"url": "x", "inner": {}, "levels": []}"#, "/inner", "missing field `key`"),
            (r#"{"levels": []}"#, "", "missing field `url`"),
            (r#"{"url": "x", "uri": 1}"#, "/uri", "unknown field `uri`"),
            ("[]", "", "invalid length 0"),
        ] {
            let context = Context { settings: settings.into(), ..crate::replies::tests::context() };
            match context.settings::<Settings>() {
                Err(Refusal::Setting((at, what))) => {
                    assert_eq!(at, pointer, "{settings}: {what}");
                    assert!(what.starts_with(problem) && !what.contains("line"), "{settings}: {what}");
                }
                other => panic!("{settings}: {other:?}"),
            }
        }
    }

    #[test]
    fn data_keeps_the_applications_order_and_hides_nulls() {
        let data: Data = serde_json::from_str(r#"{"z": 1.5, "a": null, "m": "x", "e": " "}"#).unwrap();
        assert_eq!(data.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "m", "e"]);
        assert_eq!(
            (data.number("z"), data.text("m"), data.text("e"), data.get("a")),
            (Some(1.5), Some("x"), None, None)
        );
    }
}
