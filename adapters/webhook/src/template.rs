//! The body by a template, in which the event's text can't break out of its place.
//!
//! A value is escaped for the content type: in JSON `"{{ event.title }}"` stands within quotes that the template brings,
//! and `{{ event.data | tojson }}` is a whole value. `| safe` puts a value as it is.

use herald_channel::{Context, Event, Refusal, form_component};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context};
use serde::de::IgnoredAny;

use crate::normalised::Normalised;

const POINTER: &str = "/body/template";
const JSON: &str = "json";
const FORM: &str = "form";

pub fn render(template: &str, content_type: &str, context: &Context, event: &Event) -> Result<String, Refusal> {
    let syntax = syntax(content_type);
    let is_json = syntax == AutoEscape::Custom(JSON.into());
    let mut environment = Environment::new();
    // Data that one event has and another lacks is nothing to fail for.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(move |_| syntax.clone());
    environment.set_formatter(format);
    environment.add_filter("tojson", |value: &Value| to_json(value).map(Value::from_safe_string));
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    let variables = context! {
        event => Value::from(Serde(Normalised::new(event, data))),
        delivery_id => context.delivery_id.as_str(),
        attempt => context.attempt,
        channel => context.channel.as_str(),
    };
    let body =
        environment.render_str(template, variables).map_err(|error| Refusal::setting(POINTER, explain(&error)))?;
    if is_json {
        check_json(&body)?;
    }
    Ok(body)
}

/// How values are escaped in a body of this type.
fn syntax(content_type: &str) -> AutoEscape {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => AutoEscape::Custom(FORM.into()),
        json if json.ends_with("/json") || json.ends_with("+json") => AutoEscape::Custom(JSON.into()),
        markup if ["/html", "/xml", "+xml"].iter().any(|end| markup.ends_with(end)) => AutoEscape::Html,
        _ => AutoEscape::None,
    }
}

/// Writes a value into the body. The names of what nobody sent are written as nothing.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    let AutoEscape::Custom(syntax) = state.auto_escape() else {
        return minijinja::escape_formatter(out, state, value);
    };
    let text = match value.as_str() {
        Some(text) if value.is_safe() => text.to_owned(),
        Some(_) if syntax == JSON => {
            // The quotes are the template's.
            let quoted = to_json(value)?;
            quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
        }
        _ if syntax == JSON => to_json(value)?,
        Some(text) => form_component(text),
        None => form_component(&value.to_string()),
    };
    out.write_str(&text).map_err(Error::from)
}

fn to_json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// A receiver of JSON would refuse anything else, so say here what is wrong.
fn check_json(body: &str) -> Result<(), Refusal> {
    serde_json::from_str::<IgnoredAny>(body).map(|_| ()).map_err(|error| {
        Refusal::setting(
            POINTER,
            format!(
                "the result is not JSON: {error}. Put a text within quotes, \"{{{{ event.title }}}}\", and a whole value as \
                 {{{{ event.data | tojson }}}}; or set another content-type in `headers`"
            ),
        )
    })
}

fn explain(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}
