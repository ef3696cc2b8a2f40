//! Which of a channel's settings are secrets: what its adapter's schema says, and what was given by reference.

use std::{collections::BTreeSet, sync::Arc};

use super::Channel;
use crate::{
    adapter::Adapter,
    outbound::{BadSecret, Secrets},
};

/// The pointers (RFC 6901) of all secrets of a channel.
pub fn secret_pointers(channel: &Channel, adapter: &Adapter) -> BTreeSet<String> {
    let mut pointers = adapter.schema.secrets(&channel.settings);
    pointers.extend(channel.references.iter().cloned());
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
        let secrets = Secrets::new(&channel.settings, &secret_pointers(&channel, &adapter))?;
        Ok(Self { channel, adapter, secrets })
    }

    /// Whether its requests may be others: other settings, another adapter.
    pub fn differs(&self, other: &Self) -> bool {
        self.channel.settings != other.channel.settings || self.adapter.id != other.adapter.id
    }

    /// Whether it still is what serves.
    pub fn is(&self, channel: &Arc<Channel>, adapter: &Arc<Adapter>) -> bool {
        Arc::ptr_eq(&self.channel, channel) && Arc::ptr_eq(&self.adapter, adapter)
    }
}
