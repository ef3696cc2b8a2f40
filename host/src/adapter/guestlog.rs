//! What a guest writes, bounded and made harmless, in the host's log.

use std::sync::Arc;

use tracing::Level;

/// The log of one call.
pub(super) struct GuestLog {
    pub adapter: Arc<str>,
    lines: u32,
    most_lines: u32,
    /// Bytes of a line.
    longest: usize,
    /// The last line of level error, for the account of a trap: a panic's message, say.
    pub last_error: Option<String>,
}

impl GuestLog {
    pub fn new(adapter: Arc<str>, most_lines: u32, longest: usize) -> Self {
        Self { adapter, lines: 0, most_lines, longest, last_error: None }
    }

    /// Another call begins.
    pub fn begin(&mut self) {
        self.lines = 0;
        self.last_error = None;
    }

    /// Writes a line, unless this call has written its share.
    pub fn write(&mut self, level: Level, message: &str) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > self.most_lines {
            return;
        }
        let message = harmless(message, self.longest);
        let adapter = &*self.adapter;
        match level {
            Level::ERROR => tracing::error!(target: "adapter", adapter, "{message}"),
            Level::WARN => tracing::warn!(target: "adapter", adapter, "{message}"),
            Level::INFO => tracing::info!(target: "adapter", adapter, "{message}"),
            _ => tracing::debug!(target: "adapter", adapter, "{message}"),
        }
        if self.lines == self.most_lines {
            tracing::warn!(target: "adapter", adapter, "{} lines in one call: more are dropped", self.lines);
        }
        if level == Level::ERROR {
            self.last_error = Some(message);
        }
    }
}

/// One line without control characters, cut to its limit.
pub(super) fn harmless(message: &str, longest: usize) -> String {
    let end = message.floor_char_boundary(longest);
    message.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
