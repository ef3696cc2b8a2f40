//! How a value is written into a template's result: so that an event's text can't break out of its place.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, ErrorKind, Output, State, Value, escape_formatter};

/// Where a template's result stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A JSON text: a text's value is escaped to stand within quotes, others are written as JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// HTML or XML.
    Markup,
    /// A URL: a part of a path or a query.
    Url,
    /// A header's value: one line.
    Header,
    /// Anything else: as it is.
    Text,
}

impl Place {
    /// Of a body of this type.
    pub fn of_body(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            json if json.ends_with("/json") || json.ends_with("+json") => Self::Json,
            markup if ["/html", "/xml", "+xml"].iter().any(|end| markup.ends_with(end)) => Self::Markup,
            _ => Self::Text,
        }
    }

    const ALL: [(Self, &str); 6] = [
        (Self::Json, "json"),
        (Self::Form, "form"),
        (Self::Markup, "markup"),
        (Self::Url, "url"),
        (Self::Header, "header"),
        (Self::Text, "text"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(place, _)| *place == self).map_or("text", |(_, name)| name)
    }

    fn named(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Text, |(place, _)| *place)
    }
}

/// A template is named by its place and a number: `json 3`.
pub fn of_template(name: &str) -> AutoEscape {
    match Place::named(name.split(' ').next().unwrap_or_default()) {
        Place::Text => AutoEscape::None,
        Place::Markup => AutoEscape::Html,
        place => AutoEscape::Custom(place.name().into()),
    }
}

/// Writes a value. The names of what nobody sent are written as nothing.
pub fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    let AutoEscape::Custom(place) = state.auto_escape() else {
        return escape_formatter(out, state, value);
    };
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default()).map_err(Error::from);
    }
    let text = match (Place::named(place), value.as_str()) {
        (Place::Json, Some(text)) => json_inside_quotes(text),
        (Place::Json, None) => json(value)?,
        (Place::Header, text) => one_line(&text.map_or_else(|| plain(value), |text| Ok(text.to_owned()))?),
        (Place::Form, text) => encoded(&text.map_or_else(|| plain(value), |text| Ok(text.to_owned()))?, "*-._", true),
        (_, text) => encoded(&text.map_or_else(|| plain(value), |text| Ok(text.to_owned()))?, "-._~", false),
    };
    out.write_str(&text).map_err(Error::from)
}

/// The value as a JSON text.
pub fn json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Lists and maps as JSON, the rest as it is read by people.
fn plain(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => json(value),
        _ => Ok(value.to_string()),
    }
}

fn json_inside_quotes(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Percent-encoded but for letters, digits and what is named.
fn encoded(text: &str, plain: &str, plus: bool) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) {
            encoded.push(byte.into());
        } else if plus && byte == b' ' {
            encoded.push('+');
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    encoded
}
