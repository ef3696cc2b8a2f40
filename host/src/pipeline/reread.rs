//! A receiver that refuses a channel's credentials may know new ones already: what the channel's secrets refer to is read
//! again, and where it has changed the delivery is tried again with that.
//!
//! Must not block a worker of the runtime: a file may be on a network, and a command may take its ten seconds.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    Channel, Inner, Plan,
    deliver::{End, Work},
    lane::Lane,
    secrets::Served,
    token,
};
use crate::model::{Exchange, Millis, Response};

/// A channel's references are read again at most once in this time, in milliseconds: whoever answers 401 to everything must
/// not make this host run commands all the time.
const EVERY: Millis = 30_000;

/// Reads a channel's references again: from the settings in use, those with the values of now; none when they are the same.
/// The error says which gives no value, and why. Blocks.
#[derive(Clone)]
pub struct ReadAgain(pub Arc<Reading>);

/// See [`ReadAgain`].
pub type Reading = dyn Fn(&Value) -> Result<Option<Value>, String> + Send + Sync;

impl fmt::Debug for ReadAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadAgain")
    }
}

/// When a channel's references were read again.
pub(super) struct Renewal {
    /// One reads, the others wait for what it finds.
    turn: Semaphore,
    /// Nothing is read before.
    not_before: AtomicU64,
}

impl Default for Renewal {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), not_before: AtomicU64::new(0) }
    }
}

impl Work<'_> {
    /// What the attempt came to, when its credentials were not refused, or there are no others.
    pub async fn or_renewed(&self, end: End, lane: &Lane) -> End {
        let (End::Retry { .. } | End::Rejected(_) | End::Disable(_) | End::Failed { .. }) = end else { return end };
        let response = self.exchanges.last().and_then(|exchange: &Exchange| exchange.response.as_deref());
        let Some(response) = response.filter(|response| refuses(response)) else { return end };
        if !self.inner.has_others(lane, &self.served.channel).await {
            return end;
        }
        let status = response.status;
        End::Renewed(format!(
            "answered {status}, and the channel's secrets have changed: tried again with those of now"
        ))
    }
}

/// Whether it says that the credentials are not good, the client's at a token endpoint included (RFC 6749, 5.2).
fn refuses(response: &Response) -> bool {
    match response.status {
        401 | 403 => true,
        400 => token::error_code(&response.body).as_deref() == Some("invalid_client"),
        _ => false,
    }
}

impl Inner {
    /// Whether the channel has other settings by now than those that it was tried with, or has them from now on.
    async fn has_others(&self, lane: &Lane, tried: &Arc<Channel>) -> bool {
        let Some(read_again) = &tried.read_again else { return false };
        if self.is_outdated(tried) {
            return true;
        }
        let Ok(_turn) = lane.renewal.turn.acquire().await else { return false };
        if self.is_outdated(tried) {
            return true;
        }
        let now = self.clock.now();
        if now < lane.renewal.not_before.load(Ordering::Relaxed) {
            return false;
        }
        lane.renewal.not_before.store(now.saturating_add(EVERY), Ordering::Relaxed);
        let (ReadAgain(read), settings) = (read_again.clone(), tried.settings.clone());
        let channel = &lane.name;
        let found = match tokio::task::spawn_blocking(move || read(&settings)).await {
            Ok(found) => found,
            // What a panic says may hold a secret.
            Err(_) => Err("reading them has panicked, as the log says above; please report this".to_owned()),
        };
        match found {
            Ok(Some(settings)) => self.renew(lane, tried, settings),
            Ok(None) => false,
            Err(problem) => {
                tracing::warn!(
                    channel,
                    problem,
                    "the receiver refuses the channel's secrets, and they can't be read again"
                );
                false
            }
        }
    }

    fn is_outdated(&self, tried: &Channel) -> bool {
        self.plan.load().channels.get(&tried.name).is_some_and(|channel| channel.settings != tried.settings)
    }

    /// Has the channel served with these settings from now on, unless they are no good or the config has changed meanwhile.
    fn renew(&self, lane: &Lane, old: &Arc<Channel>, settings: Value) -> bool {
        let channel = &lane.name;
        let new = Arc::new(Channel { settings: Arc::new(settings), ..Channel::clone(old) });
        let Some(adapter) = self.registry.get(&new.adapter) else { return false };
        let wrong = adapter.schema.check(&new.settings);
        if !wrong.is_empty() || Served::new(new.clone(), adapter).is_err() {
            let setting = wrong.first().map_or("", |wrong| &wrong.pointer);
            tracing::warn!(
                channel,
                setting,
                "a secret has changed to what its adapter does not take: the one before stays"
            );
            return false;
        }
        self.plan.rcu(|plan| match plan.channels.get(channel) {
            Some(current) if Arc::ptr_eq(current, old) => {
                let mut next = Plan::clone(plan);
                next.channels.insert(channel.clone(), new.clone());
                Arc::new(next)
            }
            // A config that was read meanwhile has read them, too.
            _ => plan.clone(),
        });
        tracing::info!(
            channel,
            "the receiver refused the channel's secrets; they have changed, and the new ones are in use"
        );
        lane.wake();
        self.is_outdated(old)
    }
}
