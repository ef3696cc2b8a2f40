//! Which of a channel's settings are secrets: what its adapter's schema says, and what was given by reference.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::Channel;
use crate::{
    adapter::Adapter,
    outbound::{BadSecret, Secrets},
};

/// The pointers (RFC 6901) of all secrets of a channel.
pub fn secret_pointers<'a>(
    settings: &Value,
    references: impl IntoIterator<Item = &'a String>,
    adapter: &Adapter,
) -> BTreeSet<String> {
    let mut pointers = adapter.schema.secrets(settings);
    pointers.extend(references.into_iter().cloned());
    pointers
}

/// A channel with the adapter that serves it now, its secrets set apart. Made again when either changes.
pub(super) struct Served {
    pub channel: Arc<Channel>,
    pub adapter: Arc<Adapter>,
    pub secrets: Secrets,
}

impl Served {
    pub fn new(channel: Arc<Channel>, adapter: Arc<Adapter>) -> Result<Self, BadSecret> {
        let pointers = secret_pointers(&channel.settings, &channel.references, &adapter);
        let secrets = Secrets::new(&channel.settings, &pointers)?;
        Ok(Self { channel, adapter, secrets })
    }

    /// Whether its requests may be others, or go another way: other settings, another adapter, another transport.
    pub fn differs(&self, other: &Self) -> bool {
        self.channel.settings != other.channel.settings
            || self.adapter.id != other.adapter.id
            || self.channel.client.transport() != other.channel.client.transport()
    }

    /// Whether it still is what serves.
    pub fn is(&self, channel: &Arc<Channel>, adapter: &Arc<Adapter>) -> bool {
        Arc::ptr_eq(&self.channel, channel) && Arc::ptr_eq(&self.adapter, adapter)
    }
}
