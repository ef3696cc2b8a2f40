//! `herald:channel@0.1.0`.

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use crate::{
    adapter::engine::HostState,
    model::{
        Auth, AwsSigv4, Body, ClientAuth, Context, Description, Event, Hash, Hmac, Hop, Oauth2, Refusal, Request,
        Response, Verdict,
    },
};

#[allow(missing_docs, clippy::pedantic, clippy::indexing_slicing)]
mod generated {
    wasmtime::component::bindgen!({
        world: "conversational-channel",
        path: "../wit",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use generated::exports::herald::channel::{adapter, replies};
pub(in crate::adapter) use generated::herald::channel::log;
use generated::herald::channel::types as wit;

/// The contract's version, for people.
pub(in crate::adapter) const SPEAKS: &str = "0.1";
/// The interfaces' names, as a component exports them.
pub(in crate::adapter) const ADAPTER: &str = "herald:channel/adapter@0.1.0";
pub(in crate::adapter) const REPLIES: &str = "herald:channel/replies@0.1.0";
pub(in crate::adapter) const LOG: &str = "herald:channel/log@0.1.0";
/// A `use` of the contract's records makes a component import their interface; it holds no function.
pub(in crate::adapter) const TYPES: &str = "herald:channel/types@0.1.0";

/// Where a component's exports are, looked up once.
pub(in crate::adapter) struct Exports {
    adapter: adapter::GuestIndices,
    replies: Option<replies::GuestIndices>,
}

impl Exports {
    /// Finds them; the error is about `adapter`, which every adapter exports.
    pub fn find(pre: &InstancePre<HostState>, has_replies: bool) -> wasmtime::Result<Self> {
        Ok(Self {
            adapter: adapter::GuestIndices::new(pre)?,
            replies: if has_replies { Some(replies::GuestIndices::new(pre)?) } else { None },
        })
    }

    pub fn reads_replies(&self) -> bool {
        self.replies.is_some()
    }

    /// Whether the functions have the contract's types.
    pub fn check(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<()> {
        self.adapter.load(&mut *store, instance)?;
        if let Some(replies) = &self.replies {
            replies.load(&mut *store, instance)?;
        }
        Ok(())
    }

    pub fn describe(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Description> {
        let guest = self.adapter.load(&mut *store, instance)?;
        let description = guest.call_describe(store)?;
        Ok(Description {
            title: description.title,
            version: description.version,
            summary: description.summary,
            settings_schema: description.settings_schema,
            hosts: description.hosts,
        })
    }

    pub fn render(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
        context: &Context,
        event: &Event,
    ) -> wasmtime::Result<Result<Request, Refusal>> {
        let guest = self.adapter.load(&mut *store, instance)?;
        let rendered = guest.call_render(store, context_of(context), event_of(event))?;
        Ok(rendered.map(Into::into).map_err(Into::into))
    }

    /// `None` when the adapter leaves the judging to the host.
    pub fn interpret(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
        context: &Context,
        event: &Event,
        state: &[u8],
        response: &Response,
    ) -> wasmtime::Result<Option<Verdict>> {
        let Some(replies) = &self.replies else {
            return Ok(None);
        };
        let guest = replies.load(&mut *store, instance)?;
        let headers: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = wit::Response { status: response.status, headers: &headers, body: &response.body };
        let verdict = guest.call_interpret(store, context_of(context), event_of(event), state, response)?;
        Ok(Some(verdict.into()))
    }
}

fn context_of(context: &Context) -> wit::Context<'_> {
    wit::Context {
        delivery_id: &context.delivery_id,
        channel: &context.channel,
        settings: &context.settings,
        attempt: context.attempt,
        now: context.now,
        reference: context.reference.as_deref(),
    }
}

fn event_of(event: &Event) -> wit::Event<'_> {
    wit::Event {
        id: &event.id,
        type_: event.kind.as_str(),
        title: &event.title,
        body: &event.body,
        url: event.url.as_deref(),
        project: event.project.as_deref(),
        subject: event.subject.as_deref(),
        occurred_at: event.occurred_at,
        data: event.data.get(),
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: match request.body {
                wit::Body::Empty => Body::Empty,
                wit::Body::Text(text) => Body::Text(text),
                wit::Body::Bytes(bytes) => Body::Bytes(bytes),
                wit::Body::Payload => Body::Payload,
            },
            auth: request.auth.map(Into::into),
        }
    }
}

impl From<wit::Auth> for Auth {
    fn from(auth: wit::Auth) -> Self {
        match auth {
            wit::Auth::Basic((user, password)) => Self::Basic(user, password),
            wit::Auth::Bearer(token) => Self::Bearer(token),
            wit::Auth::StandardWebhooks(secrets) => Self::StandardWebhooks(secrets),
            wit::Auth::Hmac(hmac) => Self::Hmac(Hmac {
                secret: hmac.secret,
                hash: match hmac.hash {
                    wit::Hash::Sha1 => Hash::Sha1,
                    wit::Hash::Sha256 => Hash::Sha256,
                    wit::Hash::Sha512 => Hash::Sha512,
                },
                header: hmac.header,
                prefix: hmac.prefix,
            }),
            wit::Auth::Oauth2(oauth) => Self::Oauth2(Box::new(Oauth2 {
                token_url: oauth.token_url,
                client_id: oauth.client_id,
                client_secret: oauth.client_secret,
                scopes: oauth.scopes,
                client_auth: match oauth.client_auth {
                    wit::ClientAuth::Basic => ClientAuth::Basic,
                    wit::ClientAuth::Body => ClientAuth::Body,
                },
                audience: oauth.audience,
            })),
            wit::Auth::AwsSigv4(aws) => Self::AwsSigv4(Box::new(AwsSigv4 {
                access_key_id: aws.access_key_id,
                secret_access_key: aws.secret_access_key,
                session_token: aws.session_token,
                region: aws.region,
                service: aws.service,
            })),
        }
    }
}

impl From<wit::Refusal> for Refusal {
    fn from(refusal: wit::Refusal) -> Self {
        match refusal {
            wit::Refusal::Setting((pointer, reason)) => Self::Setting(pointer, reason),
            wit::Refusal::Event(reason) => Self::Event(reason),
        }
    }
}

impl From<wit::Verdict> for Verdict {
    fn from(verdict: wit::Verdict) -> Self {
        match verdict {
            wit::Verdict::Delivered(receipt) => Self::Delivered { reference: receipt.reference },
            wit::Verdict::Retry((reason, after_ms)) => Self::Retry { reason, after_ms },
            wit::Verdict::Rejected(reason) => Self::Rejected(reason),
            wit::Verdict::Disable(reason) => Self::Disable(reason),
            wit::Verdict::Next(hop) => Self::Next(Hop { request: hop.request.into(), state: hop.state }),
        }
    }
}
