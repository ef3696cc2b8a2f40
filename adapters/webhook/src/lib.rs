//! Any HTTP endpoint: the application's own payload, Herald's event or a template's result, with headers and a signature
//! of the operator's choice.
//!
//! It has no rule of its own for answers: the host's is the one that webhooks follow.

mod auth;
mod normalised;
mod settings;
mod template;

use herald_channel::{About, Auth, Body, Channel, Context, Event, Refusal, Request, Secret};

use crate::normalised::Normalised;
use crate::settings::{Content, Settings};

/// The adapter.
pub struct Webhook;

impl Channel for Webhook {
    type Settings = Settings;

    const ABOUT: About = About {
        title: "Webhook",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Sends the event to any HTTP endpoint, unchanged or by a template.",
        hosts: &[],
    };

    fn render(settings: Settings, context: &Context, event: &Event) -> Result<Request, Refusal> {
        let headers = settings.checked_headers()?;
        let content_type = settings.content_type();
        let body = match &settings.body {
            Content::Payload => Body::Payload,
            Content::Event => Body::Text(Normalised::json(event)?),
            Content::Template(template) => Body::Text(template::render(template, content_type, context, event)?),
        };
        let mut request = Request::new(settings.method.name(), &settings.url, body);
        if !settings.sets_content_type() {
            request = request.header("content-type", content_type);
        }
        request.headers.extend(headers);
        request.auth = match settings.auth {
            Some(_) if !settings.signing_secrets.is_empty() => {
                let problem = "a request is authenticated in one way: keep this or `signing_secrets`";
                return Err(Refusal::setting("/auth", problem));
            }
            Some(scheme) => Some(scheme.into()),
            None if settings.signing_secrets.is_empty() => None,
            None => Some(Auth::StandardWebhooks(settings.signing_secrets.into_iter().map(Secret::into).collect())),
        };
        Ok(request)
    }
}

herald_channel::channel!(Webhook);
