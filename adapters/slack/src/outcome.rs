//! How the thing that an event tells of has ended: what the message's colour says.

use herald_channel::{Data, Event};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    Good,
    Bad,
    /// It hasn't ended, or nobody could say.
    Neutral,
}

impl Outcome {
    /// By the event's type, and by a status in its data: an execution that was stopped is `completed` too.
    pub fn of(event: &Event, data: &Data) -> Self {
        let status = data.iter().find_map(|(key, value)| if is_status(key) { value.as_str() } else { None });
        match status.map(str::to_ascii_lowercase).as_deref() {
            _ if event.type_.ends_with("_failed") => Self::Bad,
            Some("complete" | "completed" | "finished" | "ok" | "succeeded" | "success") => Self::Good,
            Some("crashed" | "error" | "errored" | "failed" | "failure") => Self::Bad,
            None if event.type_.ends_with("_completed") => Self::Good,
            _ => Self::Neutral,
        }
    }

    /// Slack's names, which those that imitate it know as well.
    pub fn color(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "danger",
            Self::Neutral => "#8d99a6",
        }
    }
}

fn is_status(key: &str) -> bool {
    key == "status" || [".status", "-status", "_status"].iter().any(|end| key.ends_with(end))
}
