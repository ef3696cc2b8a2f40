//! What an event is about, where its sender does not say so: the most specific thing that its data names by an id.

use std::fmt;

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::incoming::Text;

/// The most specific first: `execution-id`, `valohai.execution-id` or `execution_id`.
const NAMES: [&str; 4] = ["execution-id", "task-id", "pipeline-id", "deployment-id"];

/// The subject that the data, an object, tells of.
pub(super) fn of(data: &RawValue) -> Option<String> {
    let mut found = Subjects::default();
    // It has been read whole before; here reading ends, with an error, where nothing more specific can come.
    let _ = serde_json::Deserializer::from_str(data.get()).deserialize_map(&mut found);
    found.0.into_iter().flatten().next()
}

/// What was found of each name; the first of several. Other members are passed over: there may be many, and large ones.
#[derive(Default)]
struct Subjects([Option<String>; NAMES.len()]);

impl<'de> Visitor<'de> for &mut Subjects {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while self.0.first().is_some_and(Option::is_none)
            && let Some(Text(name)) = members.next_key()?
        {
            let last = name.rsplit('.').next().unwrap_or(&name);
            match NAMES.iter().zip(&mut self.0).find(|(wanted, found)| found.is_none() && is(last, wanted)) {
                Some((_, found)) => *found = scalar(members.next_value()?),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

fn is(name: &str, wanted: &str) -> bool {
    name.len() == wanted.len() && name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }).eq(wanted.bytes())
}

fn scalar(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_id_of_the_data_is_the_subject() {
        for (data, subject) in [
            (r#"{"a": 1}"#, None),
            (r#"{"task-id": "t", "execution-id": "e"}"#, Some("e")),
            (r#"{"valohai.execution_id": 7, "x": {"task-id": "t"}}"#, Some("7")),
            (r#"{"execution-id": "", "b.execution-id": "b", "a.execution-id": "a"}"#, Some("b")),
            (r#"{"execution-id": null, "deployment_id": "d"}"#, Some("d")),
            (r#"{"my-execution-id": "e", "execution-id.x": "e", "task-id": ["t"]}"#, None),
            (r#"{"e\u0078ecution-id": "escaped"}"#, Some("escaped")),
        ] {
            let data = RawValue::from_string(data.to_owned()).unwrap();
            assert_eq!(of(&data).as_deref(), subject, "{data}");
        }
    }
}
