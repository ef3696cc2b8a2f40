//! How far an exchange has come: for its timing, and to say what it was waiting for when its time was up.

use crate::{clock::Stopwatch, model::Timing};

/// What an exchange is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The headers of the response; so also at the start, when a connection is reused.
    Headers,
    /// The name's addresses.
    Resolve,
    /// The proxy, and through it a connection.
    Proxy,
    /// A connection, and its TLS handshake.
    Connect,
    /// The rest of the response.
    Body,
}

/// One exchange's state.
pub(super) struct Progress {
    watch: Stopwatch,
    pub phase: Phase,
    connect_us: Option<u64>,
    first_byte_us: Option<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { watch: Stopwatch::start(), phase: Phase::Headers, connect_us: None, first_byte_us: None }
    }

    pub(super) fn elapsed_us(&self) -> u64 {
        self.watch.micros()
    }

    /// There is a connection, with which was begun at that time.
    pub(super) fn connected(&mut self, began_us: u64) {
        self.connect_us = Some(self.elapsed_us().saturating_sub(began_us));
        self.phase = Phase::Headers;
    }

    /// The headers of the response are there.
    pub(super) fn answered(&mut self) {
        self.first_byte_us = Some(self.elapsed_us());
        self.phase = Phase::Body;
    }

    /// Now that it is over. There is no time to connect when the connection was reused, or never came about.
    pub(super) fn timing(&self) -> Timing {
        Timing { connect_us: self.connect_us, first_byte_us: self.first_byte_us, total_us: self.elapsed_us() }
    }
}
