//! What is wrong with a config once the adapters are known: nothing is bound, sent or stored.

use crate::{
    adapter::{Adapter, Origin, Registry, SettingProblem},
    clock::Clock,
    config::{Channel, Config, Problem, Problems, Settings, Sources},
    model::{Auth, Certificates, Context, Event, Millis, Request},
    outbound::{self, Destination, Options, Sealed, Secrets},
    pipeline::{secret_pointers, test_event},
};

use super::plan;

const MISSING: &str = "there is no adapter";

/// Everything that `herald check` tells: problems, then warnings.
pub fn check(sources: &Sources<'_>) -> anyhow::Result<(Problems, Problems)> {
    let (config, found) = crate::config::examine(sources);
    let Some(mut config) = config else {
        return Ok((found, Problems::new(Vec::new())));
    };
    let registry = super::registry(&config)?;
    // What a broken channel's adapter would say of the rest of it is no news.
    config.channels.retain(|channel| {
        let prefix = format!("channel.{}.", channel.name);
        !found.iter().any(|problem| problem.key.starts_with(&prefix))
    });
    let warnings = config.warnings.iter().cloned().chain(about_secrets(&config, &registry));
    let warnings = warnings.chain(overdue(&config, Clock::system().now()));
    let warnings = Problems::new(warnings.chain(missing_folder(&config)).collect());
    let mut all = found.into_vec();
    all.extend(plan::tls(&config).err());
    all.extend(problems(&config, &registry));
    Ok((Problems::new(all), warnings))
}

/// Channels that would not work, and files that are no adapters.
pub fn problems(config: &Config, registry: &Registry) -> Vec<Problem> {
    let mut problems = channel_problems(config, registry);
    if problems.is_empty() {
        problems = rehearse(config, registry);
    }
    for (name, refused) in &registry.published().refused {
        let place = refused.file.display().to_string();
        problems.push(
            Problem::new(format!("adapters.{name}"), refused.error.to_string())
                .at(place)
                .hint("mend the file or remove it"),
        );
    }
    problems
}

/// What a test event would come to on each channel, as far as that can be said without sending it: settings that no
/// schema finds wrong, and that no delivery would survive.
fn rehearse(config: &Config, registry: &Registry) -> Vec<Problem> {
    let options = plan::outbound(config);
    let channels = config.channels.iter();
    let faults = channels.filter_map(|channel| {
        let adapter = registry.get(&channel.adapter)?;
        let Settings { value, references } = &channel.settings;
        let pointers = secret_pointers(value, references.keys(), &adapter);
        let secrets = Secrets::new(value, &pointers).ok()?;
        let fault = rehearse_one(channel, &adapter, &secrets, &options).err()?;
        let problem = Problem::new(format!("channel.{}.settings", channel.name), secrets.redact(&fault));
        Some(problem.at_some(channel.place_of("")).hint("so a test event on this channel would fail"))
    });
    faults.collect()
}

fn rehearse_one(channel: &Channel, adapter: &Adapter, secrets: &Secrets, options: &Options) -> Result<(), String> {
    // Any time will do: nothing is sent.
    let event = test_event(&channel.name, 0);
    let mut sealed = secrets.seal(rand::random);
    let context = Context {
        delivery_id: event.id.clone(),
        channel: channel.name.clone(),
        settings: std::mem::take(&mut sealed.settings_json),
        attempt: 1,
        now: 0,
        reference: None,
    };
    let request = match adapter.render(&context, &event).map_err(|error| error.to_string())? {
        Ok(request) => request,
        Err(refusal) => return Err(refusal.to_string()),
    };
    prepared(
        &request,
        &sealed,
        &Destination {
            options,
            hosts: &adapter.description.hosts,
            listed: channel.hosts.as_deref(),
            delivery_id: &context.delivery_id,
            payload: &event.payload,
            now: 0,
        },
    )
}

/// Whether the host would send this request of an adapter, as far as that can be said without a channel.
pub fn would_send(
    config: &Config,
    adapter: &Adapter,
    request: &Request,
    sealed: &Sealed,
    context: &Context,
    event: &Event,
) -> Result<(), String> {
    prepared(
        request,
        sealed,
        &Destination {
            options: &plan::outbound(config),
            hosts: &adapter.description.hosts,
            listed: None,
            delivery_id: &context.delivery_id,
            payload: &event.payload,
            now: context.now,
        },
    )
}

fn prepared(request: &Request, sealed: &Sealed, destination: &Destination<'_>) -> Result<(), String> {
    let prepared = match &request.auth {
        Some(Auth::Oauth2(oauth)) => outbound::token_request(oauth, sealed, destination).and_then(|_| {
            // As it goes out, but for the token.
            let request = Request { auth: None, ..request.clone() };
            outbound::prepare(&request, sealed, destination).map(drop)
        }),
        _ => outbound::prepare(request, sealed, destination).map(drop),
    };
    prepared.map_err(|refused| match refused.hint {
        Some(hint) => format!("{}; {hint}", refused.message),
        None => refused.message,
    })
}

/// Channels whose adapter is missing or refuses their settings.
pub(super) fn channel_problems(config: &Config, registry: &Registry) -> Vec<Problem> {
    let published = registry.published();
    let mut problems = Vec::new();
    for channel in &config.channels {
        let Some(adapter) = published.adapters.get(&channel.adapter) else {
            // It is on its way, and the channel waits for it.
            if published.compiling.contains(&channel.adapter) {
                continue;
            }
            let known: Vec<&str> = published.adapters.keys().map(String::as_str).collect();
            problems.push(
                Problem::new(format!("channel.{}.adapter", channel.name), format!("{MISSING} `{}`", channel.adapter))
                    .at_some(channel.place_of(""))
                    .hint(format!("known are {}; others are put into `adapters.folder`", known.join(", "))),
            );
            continue;
        };
        let wrong = adapter.schema.check(&channel.settings.value);
        problems.extend(wrong.iter().map(|wrong| of_setting(channel, wrong)));
        let pointers = secret_pointers(&channel.settings.value, channel.settings.references.keys(), adapter);
        if let Err(error) = Secrets::new(&channel.settings.value, &pointers) {
            problems.push(Problem::new(format!("channel.{}.settings", channel.name), error.to_string()));
        }
    }
    problems
}

/// The channel can wait for its adapter; a wrong setting can't be waited for.
pub(super) fn is_missing_adapter(problem: &Problem) -> bool {
    problem.message.starts_with(MISSING)
}

/// A problem with a setting, where it stands in the file.
pub(super) fn of_setting(channel: &Channel, problem: &SettingProblem) -> Problem {
    let path = problem.pointer.replace('/', ".");
    Problem::new(format!("channel.{}.settings{path}", channel.name), problem.message.clone())
        .at_some(channel.place_of(&problem.pointer))
        .hint(format!("`herald adapters list --json` shows the settings that `{}` takes", channel.adapter))
}

/// A folder that is made later is used from then on.
pub(super) fn missing_folder(config: &Config) -> Option<Problem> {
    let folder = config.adapters.folder.as_ref().filter(|folder| !folder.is_dir())?;
    let problem = Problem::new("adapters.folder", format!("there is no folder {}", folder.display()));
    Some(problem.hint("make it; it is used as soon as it is there"))
}

/// Certificates of channels whose time is over or soon will be: what they are for fails then.
pub(super) fn overdue(config: &Config, now: Millis) -> Vec<Problem> {
    let of_channel = |channel: &Channel| {
        let ends = [
            ("ca", channel.tls.roots.as_ref().and_then(Certificates::not_after)),
            ("certificate", channel.tls.identity.as_ref().and_then(|identity| identity.not_after())),
        ];
        ends.map(|(key, end)| {
            let left = end?.saturating_sub(now);
            let message = match left / DAY {
                _ if left == 0 => "its time is over: connections will be refused".to_owned(),
                days if days < SOON => format!("its time is over in {days} days"),
                _ => return None,
            };
            let problem = Problem::new(format!("channel.{}.tls.{key}", channel.name), message);
            Some(problem.at_some(channel.place_of("")).hint("put a new one there; SIGHUP makes Herald read it"))
        })
    };
    config.channels.iter().flat_map(of_channel).flatten().collect()
}

/// In milliseconds.
const DAY: Millis = 24 * 60 * 60 * 1000;
/// In days: time enough to get another certificate.
const SOON: Millis = 14;

/// What works and may give secrets away.
pub(super) fn about_secrets(config: &Config, registry: &Registry) -> Vec<Problem> {
    let mut warnings = inline_secrets(config, registry);
    for channel in &config.channels {
        let adapter = registry.get(&channel.adapter);
        warnings.extend(adapter.and_then(|adapter| other_hosts(channel, &adapter)));
    }
    warnings
}

/// An adapter that somebody else has made says itself which hosts it sends to.
fn other_hosts(channel: &Channel, adapter: &Adapter) -> Option<Problem> {
    let Settings { value, references } = &channel.settings;
    let pointers = secret_pointers(value, references.keys(), adapter);
    if channel.hosts.is_some() || pointers.is_empty() || adapter.origin == Origin::BuiltIn {
        return None;
    }
    let secrets = Secrets::new(value, &pointers).ok()?;
    let hosts = secrets.elsewhere(&adapter.description.hosts);
    if hosts.is_empty() {
        return None;
    }
    let message = format!(
        "the adapter `{}` may send the channel's secrets to hosts that its settings do not name: {}",
        channel.adapter,
        hosts.join(", ")
    );
    let hint = "list at the channel where it may send, for example hosts = [\"api.example.com\"]";
    Some(Problem::new(format!("channel.{}.hosts", channel.name), message).at_some(channel.place_of("")).hint(hint))
}

/// Secrets that stand in the file itself: they work, and are better kept elsewhere.
fn inline_secrets(config: &Config, registry: &Registry) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for channel in &config.channels {
        let Some(adapter) = registry.get(&channel.adapter) else {
            continue;
        };
        let references = &channel.settings.references;
        for pointer in adapter.schema.secrets(&channel.settings.value) {
            if !references.contains_key(&pointer) {
                let path = pointer.replace('/', ".");
                warnings.push(
                    Problem::new(
                        format!("channel.{}.settings{path}", channel.name),
                        "a secret stands in the config file",
                    )
                    .at_some(channel.place_of(&pointer))
                    .hint("write { env = \"NAME\" }, { file = \"PATH\" } or { exec = [\"COMMAND\"] } instead"),
                );
            }
        }
    }
    warnings
}
