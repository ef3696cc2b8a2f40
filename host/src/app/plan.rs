//! From the checked config to what each part is given.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    adapter::LiveChannel,
    api::{self, Access},
    config::{self, Config, Problem, Settings},
    model::{Tls, Transport},
    outbound::{BuildError, Client, Options},
    pipeline::{Channel, Plan, ReadAgain, Retention},
};

/// Who gets what. What goes the way that it went by the plan before keeps its client, and so its connections.
pub(super) fn plan(config: &Config, before: &Plan) -> Result<Plan, BuildError> {
    let options = outbound(config);
    let common = match before.client.as_ref().filter(|client| *client.options() == options) {
        Some(client) => client.clone(),
        None => Client::new(options)?,
    };
    let common = common.through(&of_all(config))?;
    let channel = |channel: &config::Channel| {
        let transport = transport(config, channel);
        let same = |client: &&Client| client.options() == common.options() && *client.transport() == transport;
        let client = match before.channels.get(&channel.name).map(|channel| &channel.client).filter(same) {
            Some(client) => client.clone(),
            None => common.through(&transport)?,
        };
        Ok((channel.name.clone(), Arc::new(one(config, channel, client))))
    };
    Ok(Plan {
        routes: config.routes.clone(),
        channels: config.channels.iter().map(channel).collect::<Result<_, BuildError>>()?,
        client: Some(common.clone()),
        app_url: config.server.app_url.clone(),
        retention: Retention { keep: config.store.keep, max_size: config.store.max_size },
    })
}

/// How all are connected that say nothing else.
fn of_all(config: &Config) -> Transport {
    Transport { tls: Tls::default(), bind: config.outbound.bind, proxy: config.outbound.proxy.clone() }
}

/// How a channel is connected.
fn transport(config: &Config, channel: &config::Channel) -> Transport {
    let all = of_all(config);
    Transport {
        tls: channel.tls.clone(),
        bind: channel.bind.unwrap_or(all.bind),
        proxy: channel.proxy.clone().unwrap_or(all.proxy),
    }
}

/// Who is let in by the API, which listens on `address`, if by TCP at all: no browser reaches a Unix socket.
pub(super) fn access(config: &Config, address: Option<SocketAddr>) -> Access {
    Access {
        tokens: config.tokens.clone(),
        allowed_hosts: config.server.allowed_hosts.clone(),
        sources: config.sources.clone(),
        unsigned_events: config.server.unsigned_events,
        only_local: address.is_some_and(|address| address.ip().to_canonical().is_loopback()),
    }
}

/// What is spoken under; none: nothing but plain HTTP.
pub(super) fn tls(config: &Config) -> Result<Option<api::Tls>, Problem> {
    let Some(tls) = &config.tls else { return Ok(None) };
    api::Tls::new(&tls.certificate, tls.key.bytes()).map(Some).map_err(|message| {
        Problem::new("server.tls", message).hint("both are PEM, the host's own certificate first, the key unencrypted")
    })
}

/// A channel, what it does not say itself taken from `[delivery]`.
fn one(config: &Config, channel: &config::Channel, client: Client) -> Channel {
    Channel {
        name: channel.name.clone(),
        adapter: channel.adapter.clone(),
        settings: Arc::new(channel.settings.value.clone()),
        references: channel.settings.references.keys().cloned().collect(),
        read_again: read_again(&channel.settings),
        client,
        hosts: channel.hosts.clone(),
        concurrency: channel.concurrency.unwrap_or(config.delivery.concurrency),
        timeout: channel.timeout.unwrap_or(config.delivery.timeout),
        policy: channel.policy(&config.delivery),
        breaker: config.delivery.breaker(),
        rate: channel.rate,
        ordered: channel.ordered,
        fallback: channel.fallback.clone(),
    }
}

/// None where nothing can have changed.
fn read_again(settings: &Settings) -> Option<ReadAgain> {
    settings.may_change().then(|| {
        let settings = settings.clone();
        ReadAgain(Arc::new(move |current| settings.read_again(current)))
    })
}

/// What a new version of an adapter is held against.
pub(super) fn live_channels(config: &Config) -> Vec<LiveChannel> {
    let channels = config.channels.iter();
    channels
        .map(|channel| LiveChannel {
            name: channel.name.clone(),
            adapter: channel.adapter.clone(),
            settings: Arc::new(channel.settings.value.clone()),
        })
        .collect()
}

/// Where requests may go.
pub(super) fn outbound(config: &Config) -> Options {
    Options { allow_http: config.outbound.allow_http.clone(), allow_addresses: config.outbound.allow_addresses.clone() }
}
