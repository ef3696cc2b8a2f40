//! The other end of the demo: stands for Slack, for a custom endpoint and for a board, on a loopback port.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, sync::mpsc};

/// A request as it came in, and what it was answered.
pub(super) struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub answered: &'static str,
}

/// The receiver.
pub(super) struct Receiver {
    pub address: SocketAddr,
    pub received: mpsc::UnboundedReceiver<Received>,
    trouble: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Shared {
    sender: mpsc::UnboundedSender<Received>,
    trouble: Arc<AtomicBool>,
}

impl Receiver {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (sender, received) = mpsc::unbounded_channel();
        let trouble = Arc::new(AtomicBool::new(false));
        let shared = Shared { sender, trouble: trouble.clone() };
        let router = Router::new().fallback(answer).with_state(shared);
        // Ends with the demo's process.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, received, trouble })
    }

    /// The next request to `/custom` is answered with a 503.
    pub fn be_in_trouble(&self) {
        self.trouble.store(true, Ordering::Relaxed);
    }
}

async fn answer(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let (answered, response) = if path.starts_with("/services/") {
        // What Slack answers.
        ("200 ok", "ok".into_response())
    } else if path == "/custom" && shared.trouble.swap(false, Ordering::Relaxed) {
        let busy = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], "busy");
        ("503, Retry-After: 1", busy.into_response())
    } else {
        ("204", StatusCode::NO_CONTENT.into_response())
    };
    // The demo is over when nobody listens any more.
    let _ = shared.sender.send(Received { path, headers, body, answered });
    response
}
