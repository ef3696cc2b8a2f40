//! The other end: keeps what it gets and answers as it was told.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use herald::clock::pause;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use super::Dice;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it is answered with.
    pub status: u16,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::from_u16(self.status).unwrap(), self.body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Inner>,
}

struct Inner {
    received: watch::Sender<Vec<Received>>,
    replies: Mutex<VecDeque<Reply>>,
    usual: Reply,
    /// Answers by chance while it is there.
    mood: Mutex<Option<Dice>>,
    /// While it has no permits nothing is answered.
    gate: Semaphore,
    /// The request with this index gets no answer: its connection ends.
    broken: Mutex<Option<usize>>,
    /// So many are answered all the same.
    once: AtomicUsize,
}

impl Receiver {
    /// Answers `200 ok`, which is what Slack says and good enough for everybody else.
    pub async fn start() -> Self {
        Self::start_in(None).await
    }

    /// Answers some requests slowly and some with 500, until it is calm.
    pub async fn moody(dice: Dice) -> Self {
        Self::start_in(Some(dice)).await
    }

    async fn start_in(mood: Option<Dice>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Inner {
            received: watch::Sender::new(Vec::new()),
            replies: Mutex::default(),
            usual: Reply::new(200, "ok"),
            mood: Mutex::new(mood),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            broken: Mutex::default(),
            once: AtomicUsize::new(0),
        });
        let router = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request without an answer of its own gets this one.
    pub fn reply(&self, reply: Reply) {
        self.state.replies.lock().unwrap().push_back(reply);
    }

    /// From now on it answers well and at once.
    pub fn calm(&self) {
        *self.state.mood.lock().unwrap() = None;
    }

    /// Requests are taken and not answered until [`Self::release`].
    pub fn hold(&self) {
        self.state.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// So many requests are answered first.
    pub fn hold_after(&self, count: usize) {
        self.hold();
        self.state.once.fetch_add(count, Ordering::SeqCst);
    }

    /// The request with that index, from 0, gets no answer: its connection breaks.
    pub fn break_off(&self, index: usize) {
        *self.state.broken.lock().unwrap() = Some(index);
    }

    pub fn release(&self) {
        self.state.gate.add_permits(1 << 20);
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    /// Waits until that many requests have come in all, and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.state.received.subscribe();
        let came = super::within(&format!("{count} requests"), received.wait_for(|all| all.len() >= count)).await;
        came.unwrap().clone()
    }
}

async fn answer(
    State(state): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let (mut reply, mut slow) = (state.replies.lock().unwrap().pop_front(), Duration::ZERO);
    if let (None, Some(dice)) = (&reply, state.mood.lock().unwrap().as_mut()) {
        reply = dice.one_in(8).then(|| Reply::new(500, "not now"));
        slow = if dice.one_in(5) { dice.up_to(150) } else { slow };
    }
    let reply = reply.unwrap_or_else(|| state.usual.clone());
    let status = reply.status;
    let mut index = 0;
    state.received.send_modify(|all| {
        index = all.len();
        all.push(Received { method, path, headers, body, status });
    });
    assert!(state.broken.lock().unwrap().take_if(|broken| *broken == index).is_none(), "this breaks the connection");
    let free = state.once.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let _open = if free { None } else { Some(state.gate.acquire().await.unwrap()) };
    if !slow.is_zero() {
        pause(slow).await;
    }
    reply.into_response()
}
