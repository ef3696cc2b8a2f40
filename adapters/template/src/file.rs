//! A template adapter's file: what it may hold, and the request that comes of it.

use herald_adapter_engine::{Scheme, schema};
use herald_channel::{Auth, Body, Context, Description, Event, Request, date};
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::escape::Place;
use crate::template::{Piece, Source, Tree, fixed};

const KEYS: [&str; 9] = ["title", "version", "summary", "hosts", "settings", "method", "url", "headers", "body"];
const AUTH: &str = "auth";

/// A file, ready to be rendered.
pub struct File {
    source: Source,
    description: Description,
    method: String,
    url: Piece,
    headers: Vec<(String, Piece)>,
    body: Content,
    auth: Option<(Tree, String)>,
}

enum Content {
    Empty,
    /// A template; whether its result is to be JSON.
    Text(Piece, bool),
    /// A table, which is sent as JSON.
    Json(Tree),
}

impl File {
    /// Reads it and compiles its templates.
    pub fn load(name: &str, text: &str) -> Result<Self, String> {
        let mut source = Source::new(name, text);
        let document = DeTable::parse(text).map_err(|error| {
            let place = source.at(error.span().map_or(0, |span| span.start));
            format!("{place}: {}", error.message())
        })?;
        let document = document.into_inner();
        for (key, _) in &document {
            if !KEYS.contains(&key.get_ref().as_ref()) && key.get_ref() != AUTH {
                let place = source.at(key.span().start);
                return Err(format!("{place}: `{}` is none of {}, {AUTH}", key.get_ref(), KEYS.join(", ")));
            }
        }
        let get = |key: &str| document.get(key);
        let description = describe(&source, name, &document)?;
        let method = text_of(&source, get("method"))?.unwrap_or_else(|| "POST".to_owned());
        let url = get("url")
            .ok_or_else(|| format!("{name}: `url` is missing: where to send to, {{{{ settings.url }}}} perhaps"))?;
        let url = source.piece(url, Place::Url)?;
        let headers = headers(&mut source, get("headers"))?;
        let content_type = content_type(get("headers"));
        let body = match get("body") {
            None => Content::Empty,
            Some(body) if body.get_ref().is_str() => {
                let place = Place::of_body(content_type.as_deref().unwrap_or("application/json"));
                Content::Text(source.piece(body, place)?, place == Place::Json)
            }
            Some(body) => Content::Json(source.tree(body)?),
        };
        let auth =
            get(AUTH).map(|auth| Ok::<_, String>((source.tree(auth)?, source.at(auth.span().start)))).transpose()?;
        Ok(Self { source, description, method, url, headers, body, auth })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    pub fn render(&self, context: &Context, event: &Event) -> Result<Request, String> {
        let settings = read(&context.settings)?;
        // A URL that is a setting is one already; what an event brings is a part of one.
        let in_url = variables(context, event, as_it_is(settings.clone()))?;
        let variables = variables(context, event, Value::from(Serde(settings)))?;
        let source = &self.source;
        let mut headers = Vec::with_capacity(self.headers.len() + 1);
        for (name, value) in &self.headers {
            headers.push((name.clone(), value.render(source, &variables)?));
        }
        let body = match &self.body {
            Content::Empty => Body::Empty,
            Content::Text(template, is_json) => {
                let text = template.render(source, &variables)?;
                if *is_json {
                    check_json(template, source, &text)?;
                }
                Body::Text(text)
            }
            Content::Json(tree) => Body::Text(tree.render(source, &variables)?.to_string()),
        };
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !has_type && !matches!(body, Body::Empty) {
            headers.insert(0, ("content-type".to_owned(), "application/json".to_owned()));
        }
        let url = self.url.render(source, &in_url)?;
        Ok(Request { method: self.method.clone(), url, headers, body, auth: self.auth(&variables)? })
    }

    fn auth(&self, variables: &Value) -> Result<Option<Auth>, String> {
        let Some((tree, place)) = &self.auth else { return Ok(None) };
        let scheme: Scheme = serde_json::from_value(tree.render(&self.source, variables)?)
            .map_err(|error| format!("{place}: auth: {error}"))?;
        Ok(Some(scheme.into()))
    }
}

fn describe(source: &Source, name: &str, document: &DeTable) -> Result<Description, String> {
    let text = |key| text_of(source, document.get(key));
    let missing = |key: &str| format!("{name}: `{key}` is missing");
    let hosts = document.get("hosts").map_or(Some(serde_json::json!([])), |hosts| fixed(hosts.get_ref()));
    let hosts = hosts.and_then(|hosts| serde_json::from_value(hosts).ok());
    let settings = match document.get("settings") {
        None => None,
        Some(settings) => fixed(settings.get_ref()),
    };
    Ok(Description {
        title: text("title")?.ok_or_else(|| missing("title"))?,
        version: text("version")?.ok_or_else(|| missing("version"))?,
        summary: text("summary")?.unwrap_or_default(),
        settings_schema: schema(settings.as_ref()).map_err(|problem| format!("{name}: {problem}"))?.to_string(),
        hosts: hosts.ok_or_else(|| format!("{name}: `hosts` is not a list of host names"))?,
    })
}

fn text_of(source: &Source, value: Option<&Spanned<DeValue>>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    match value.get_ref().as_str() {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(format!("{}: {}, not a text", source.at(value.span().start), value.get_ref().type_str())),
    }
}

fn headers(source: &mut Source, headers: Option<&Spanned<DeValue>>) -> Result<Vec<(String, Piece)>, String> {
    let Some(headers) = headers else { return Ok(Vec::new()) };
    let Some(members) = headers.get_ref().as_table() else {
        return Err(format!("{}: `headers` is not a table", source.at(headers.span().start)));
    };
    members.iter().map(|(name, value)| Ok((name.get_ref().to_string(), source.piece(value, Place::Header)?))).collect()
}

fn content_type(headers: Option<&Spanned<DeValue>>) -> Option<String> {
    let headers = headers?.get_ref().as_table()?;
    let (_, value) = headers.iter().find(|(name, _)| name.get_ref().eq_ignore_ascii_case("content-type"))?;
    value.get_ref().as_str().map(str::to_owned)
}

/// What templates may name.
fn variables(context: &Context, event: &Event, settings: Value) -> Result<Value, String> {
    let data: Value = Value::from(Serde(read(&event.data)?));
    Ok(context! {
        event => context! {
            id => event.id.as_str(),
            title => event.title.as_str(),
            body => event.body.as_str(),
            url => event.url.as_deref(),
            project => event.project.as_deref(),
            subject => event.subject.as_deref(),
            occurred_at => date::rfc3339(event.occurred_at),
            data => data,
            ..Value::from_pairs([("type", event.type_.as_str())])
        },
        settings => settings,
        delivery_id => context.delivery_id.as_str(),
        channel => context.channel.as_str(),
        attempt => context.attempt,
        now => date::rfc3339(context.now),
        reference => context.reference.as_deref(),
    })
}

fn read(json: &str) -> Result<Json, String> {
    serde_json::from_str(json).map_err(|error| format!("what the host gave is not JSON: {error}"))
}

/// A value that is written without being escaped.
fn as_it_is(value: Json) -> Value {
    match value {
        Json::String(text) => Value::from_safe_string(text),
        Json::Array(items) => items.into_iter().map(as_it_is).collect(),
        Json::Object(members) => Value::from_pairs(members.into_iter().map(|(name, value)| (name, as_it_is(value)))),
        other => Value::from(Serde(other)),
    }
}

/// A receiver of JSON would refuse anything else, so say here what is wrong.
fn check_json(template: &Piece, source: &Source, body: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(body).map(drop).map_err(|error| {
        template.fault(
            source,
            &format!(
                "the body that comes of this is not JSON: {error}. Put a text within quotes, \"{{{{ event.title }}}}\", and a \
                 whole value as {{{{ event.data | tojson }}}}; or write the body as a table; or set another content-type"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_are_urls_already_and_events_are_parts_of_one() {
        let text = "title = \"t\"\nversion = \"1\"\nurl = \"{{ settings.url }}/{{ event.title }}?{{ event.type }}\"\n";
        let file = File::load("a.toml", text).unwrap();
        let context = Context {
            delivery_id: "d".into(),
            channel: "c".into(),
            settings: r#"{"url": "https://a.example/b?c=d"}"#.into(),
            attempt: 1,
            now: 0,
            reference: None,
        };
        let event = Event {
            id: "e".into(),
            type_: "t".into(),
            title: "a/b c".into(),
            body: String::new(),
            url: None,
            project: None,
            subject: None,
            occurred_at: 0,
            data: "{}".into(),
        };
        assert_eq!(file.render(&context, &event).unwrap().url, "https://a.example/b?c=d/a%2Fb%20c?t");
    }
}
