//! What a guest writes, bounded and made harmless, in the host's log.

use std::sync::Arc;

use tracing::Level;

const LINES: u32 = 100;
const LINE_BYTES: usize = 4096;

/// The log of one call.
pub(super) struct GuestLog {
    pub adapter: Arc<str>,
    lines: u32,
    /// The last line of level error, for the account of a trap: a panic's message, say.
    pub last_error: Option<String>,
}

impl GuestLog {
    pub fn new(adapter: Arc<str>) -> Self {
        Self { adapter, lines: 0, last_error: None }
    }

    /// Writes a line, unless this call has written its share.
    pub fn write(&mut self, level: Level, message: &str) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES {
            return;
        }
        let message = harmless(message);
        let adapter = &*self.adapter;
        match level {
            Level::ERROR => tracing::error!(target: "adapter", adapter, "{message}"),
            Level::WARN => tracing::warn!(target: "adapter", adapter, "{message}"),
            Level::INFO => tracing::info!(target: "adapter", adapter, "{message}"),
            _ => tracing::debug!(target: "adapter", adapter, "{message}"),
        }
        if self.lines == LINES {
            tracing::warn!(target: "adapter", adapter, "more than {LINES} lines in one call: the rest is dropped");
        }
        if level == Level::ERROR {
            self.last_error = Some(message);
        }
    }
}

/// One line without control characters, cut to its limit.
fn harmless(message: &str) -> String {
    let end = message.floor_char_boundary(LINE_BYTES);
    message.get(..end).unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
