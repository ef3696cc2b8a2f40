//! What the calls of an adapter share.

use serde::Serialize;

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// For one call: no call finds anything that an earlier one has left.
    #[default]
    Call,
    /// For calls of one channel, which can find what earlier calls of the same channel have left.
    Channel,
}

impl Isolation {
    /// Each with its name in the config.
    pub const NAMES: &'static [(&'static str, Self)] = &[("call", Self::Call), ("channel", Self::Channel)];
}
