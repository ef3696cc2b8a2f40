//! Bulk work on what is stored: which deliveries or events, what is done with them, and how far it has come.

use serde::{Deserialize, Serialize};

use super::{FailReason, JobId, Millis, State};

/// What is done with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Deliveries become due again, and go first.
    Retry,
    /// Pending deliveries are cancelled.
    Cancel,
    /// Events get new deliveries.
    Replay,
}

/// Which ones: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Deliveries of this channel; for a replay, the channel that gets the new deliveries, whatever the routes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Deliveries in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Deliveries that failed for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailReason>,
    /// Events of this type; `*` stands for any characters.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Events of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Deliveries that another version of their adapter has failed than the one with this digest; those whose event it
    /// refused are none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
    /// Accepted then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// Bulk work under way, or done. It survives a restart and goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What is done.
    pub action: Action,
    /// With what.
    pub selection: Selection,
    /// When it was asked for: what came later is left alone.
    pub created_at: Millis,
    /// When it was done, or stopped.
    pub ended_at: Option<Millis>,
    /// Why it was stopped before it was done, if it was.
    pub stopped: Option<String>,
    /// How many have been looked at, of all that there were.
    pub looked_at: u64,
    /// All that there were.
    pub of: u64,
    /// How many deliveries have been changed or made.
    pub changed: u64,
}
