//! How far an exchange has come: for its timing, and to say what it was waiting for when its time was up.
//!
//! The HTTP client builds connections behind its own pool. A task-local carries the exchange to the connector and the
//! resolver, which are first polled inside the task that asked for the connection.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::stream::Stream;
use crate::clock::Stopwatch;

tokio::task_local! {
    static CURRENT: Arc<Progress>;
}

/// Not measured yet.
const UNSET: u64 = u64::MAX;

/// What an exchange is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The headers of the response; so also at the start, when a connection is reused.
    Headers,
    /// The name's addresses.
    Resolve,
    /// A connection, and its TLS handshake.
    Connect,
    /// The rest of the response.
    Body,
}

/// One exchange's state. Shared with the connector, which may outlive the exchange.
pub(super) struct Progress {
    watch: Stopwatch,
    deadline: Duration,
    phase: AtomicU8,
    connect_began: AtomicU64,
    connect_us: AtomicU64,
    first_byte_us: AtomicU64,
}

impl Progress {
    pub(super) fn new(deadline: Duration) -> Arc<Self> {
        Arc::new(Self {
            watch: Stopwatch::start(),
            deadline,
            phase: AtomicU8::new(Phase::Headers as u8),
            connect_began: AtomicU64::new(UNSET),
            connect_us: AtomicU64::new(UNSET),
            first_byte_us: AtomicU64::new(UNSET),
        })
    }

    /// Runs the future so that the connector can find this.
    pub(super) async fn watch<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    pub(super) fn elapsed_us(&self) -> u64 {
        self.watch.micros()
    }

    pub(super) fn phase(&self) -> Phase {
        let phases = [Phase::Headers, Phase::Resolve, Phase::Connect, Phase::Body];
        let now = self.phase.load(Ordering::Relaxed);
        phases.into_iter().find(|phase| *phase as u8 == now).unwrap_or(Phase::Headers)
    }

    /// The headers of the response are there.
    pub(super) fn answered(&self) {
        self.first_byte_us.store(self.elapsed_us(), Ordering::Relaxed);
        self.enter(Phase::Body);
    }

    /// None when the connection was reused, or never came about.
    pub(super) fn connect_us(&self) -> Option<u64> {
        read(&self.connect_us)
    }

    pub(super) fn first_byte_us(&self) -> Option<u64> {
        read(&self.first_byte_us)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn connecting(&self) {
        self.connect_began.store(self.elapsed_us(), Ordering::Relaxed);
        self.enter(Phase::Connect);
    }

    /// A connection that comes when the answer is there already was not used for it: the pool had another in time.
    fn connected(&self) {
        if self.phase() == Phase::Connect {
            let began = self.connect_began.load(Ordering::Relaxed);
            self.connect_us.store(self.elapsed_us().saturating_sub(began), Ordering::Relaxed);
            self.enter(Phase::Headers);
        }
    }
}

fn read(micros: &AtomicU64) -> Option<u64> {
    Some(micros.load(Ordering::Relaxed)).filter(|micros| *micros != UNSET)
}

/// Marks the time of resolving. Returns what must be called when it is over.
pub(super) fn resolving() -> impl FnOnce() {
    let current = CURRENT.try_with(Arc::clone).ok();
    if let Some(progress) = &current {
        progress.enter(Phase::Resolve);
    }
    move || {
        if let Some(progress) = current.filter(|progress| progress.phase() == Phase::Resolve) {
            progress.enter(Phase::Connect);
        }
    }
}

/// Measures a connector, resolving and TLS handshake included.
#[derive(Debug, Clone)]
pub(super) struct MeasuredConnector<S>(S);

impl<S> MeasuredConnector<S> {
    pub(super) fn new(connector: S) -> Self {
        Self(connector)
    }
}

impl<S, R> Service<R> for MeasuredConnector<S>
where
    S: Service<R, Error = Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = Stream<S::Response>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let connection = self.0.call(destination);
        let Ok(progress) = CURRENT.try_with(Arc::clone) else {
            return Box::pin(async { Ok(Stream::new(connection.await?)) });
        };
        progress.connecting();
        Box::pin(async move {
            // When the pool has a connection sooner, this one is finished in the background, where the exchange's own
            // deadline does not reach. In the foreground that one is always the first.
            let limit = progress.deadline.saturating_add(Duration::from_secs(1));
            let connected = tokio::time::timeout(limit, connection).await??;
            progress.connected();
            Ok(Stream::new(connected))
        })
    }
}
