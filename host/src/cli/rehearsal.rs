//! The request that would go out: rendered as for a delivery, with secrets behind handles, and shown with their names.
//! Sends nothing.

use serde_json::Value;

use super::output::{self, harmless, line, text};
use crate::{
    adapter::{Adapter, CallError, golden},
    app,
    clock::Clock,
    config::Config,
    model::{Context, Event},
    outbound::{Sealed, Secrets},
    pipeline::secret_pointers,
};

use super::Wrong;

/// What `render` came to.
pub(super) struct Rehearsed {
    /// As `request.json` has it, `[secret /POINTER]` in the place of each handle.
    pub request: Value,
    pub refused: bool,
    /// Why the host would not send it.
    pub blocked: Option<String>,
}

/// Renders an event, with everything of the context but the settings, which must be good by the adapter's schema.
pub(super) fn rehearse(
    config: &Config,
    adapter: &Adapter,
    settings: &Value,
    context: Context,
    event: &Event,
) -> anyhow::Result<Rehearsed> {
    let problems = adapter.schema.check(settings);
    if !problems.is_empty() {
        let problems: Vec<String> =
            problems.iter().map(|problem| format!("settings{}: {}", problem.pointer, problem.message)).collect();
        let inspect = "`herald adapters inspect` shows the schema";
        return Err(Wrong(format!("{}\n{inspect}", problems.join("\n"))).into());
    }
    let secrets = Secrets::new(settings, &secret_pointers(settings, [], adapter))
        .map_err(|error| Wrong(format!("settings: {error}")))?;
    let mut sealed = secrets.seal(rand::random);
    let context = Context { settings: std::mem::take(&mut sealed.settings_json), ..context };
    let rendered = adapter.render(&context, event)?;
    let blocked = rendered.as_ref().ok().and_then(|request| {
        let refused = app::would_send(config, adapter, request, &sealed, &context, event).err()?;
        Some(secrets.redact(&refused).into_owned())
    });
    let mut request = golden::rendered_json(&rendered);
    name_secrets(&mut request, &sealed);
    Ok(Rehearsed { request, refused: rendered.is_err(), blocked })
}

/// Puts the names of secrets in the place of their handles.
fn name_secrets(value: &mut Value, sealed: &Sealed) {
    match value {
        Value::String(text) => {
            for (pointer, handle) in sealed.handles() {
                if text.contains(&handle) {
                    *text = text.replace(&handle, &format!("[secret {pointer}]"));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| name_secrets(item, sealed)),
        Value::Object(members) => members.values_mut().for_each(|member| name_secrets(member, sealed)),
        _ => {}
    }
}

impl Rehearsed {
    /// For people.
    pub fn print(&self, event: &Event) -> anyhow::Result<()> {
        if self.refused {
            let refusal = self.request.get("refusal").unwrap_or(&Value::Null);
            return match refusal.get("setting") {
                Some(setting) => line(format!("refused, the setting {}: {}", text(setting, "/0"), text(setting, "/1"))),
                None => line(format!("refused, this event can't be said here: {}", text(refusal, "/event"))),
            };
        }
        line(format!("{} {}", text(&self.request, "/method"), text(&self.request, "/url")))?;
        let headers = self.request.get("headers").and_then(Value::as_array);
        for header in headers.into_iter().flatten() {
            line(format!("{}: {}", text(header, "/0"), text(header, "/1")))?;
        }
        match self.request.get("auth") {
            None | Some(Value::Null) => {}
            Some(auth) => line(format!("auth: {}", harmless(&auth.to_string())))?,
        }
        let body = shown_body(self.request.get("body").unwrap_or(&Value::Null), event);
        if !body.is_empty() {
            line(format!("\n{}", harmless(&body)))?;
        }
        Ok(())
    }

    /// What is to be said beside the request.
    pub fn note(&self) {
        if let Some(blocked) = &self.blocked {
            output::error(harmless(&format!("note: the host would not send this: {blocked}")));
        }
    }
}

fn shown_body(body: &Value, event: &Event) -> String {
    if body == "payload" {
        return format!("{}\n(the payload: what was posted, byte for byte)", String::from_utf8_lossy(&event.payload));
    }
    match (body.get("json"), body.get("text"), body.get("bytes")) {
        (Some(json), ..) => format!("{json:#}"),
        (_, Some(text), _) => text.as_str().unwrap_or_default().to_owned(),
        (.., Some(bytes)) => format!("({} bytes)", bytes.as_array().map_or(0, Vec::len)),
        _ => String::new(),
    }
}

/// Where nothing else is said: the first attempt, now.
pub(super) fn usual_context() -> Context {
    Context {
        delivery_id: "dlv_test".to_owned(),
        channel: "test".to_owned(),
        settings: String::new(),
        attempt: 1,
        now: Clock::system().now(),
        reference: None,
    }
}

/// A failed call, for the author: what happened, where in the guest, and what the limits are.
pub(super) fn explain(error: &CallError, adapter: &Adapter) -> String {
    let mut text = error.to_string();
    if let Some(backtrace) = &error.backtrace {
        text.push('\n');
        text.push_str(backtrace.trim_end());
    }
    harmless(&format!("{text}\nlimits of a call: {}", adapter.limits()))
}
