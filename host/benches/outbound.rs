//! What an exchange costs: `cargo bench -p herald --bench outbound`, or `-- WORD` for what has that word in its name.
//!
//! 64 exchanges at a time with a receiver on another thread of this process, which keeps its connections. Figures are
//! the CPU time of the sending threads alone, for one exchange: system calls are in it, the receiver is not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::BTreeSet,
    env, fs,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, mpsc},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use herald::{
    model::{Auth, Body, Request},
    outbound::{Client, Destination, Options, Prepared, Secrets, prepare},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

const AT_ONCE: usize = 64;
const EACH: usize = 500;
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(20);
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
const ID: &str = "dlv_01JD9Z3N8Q4M6T2R7VXK5WBHCE";
/// As long as a common event.
const PAYLOAD: usize = 1500;

fn main() {
    let to = receiver();
    let one = || Builder::new_current_thread().enable_all().thread_name("sender").build().unwrap();
    let two = || Builder::new_multi_thread().worker_threads(2).thread_name("sender").enable_all().build().unwrap();
    println!("{:34} {:>8} {:>8}   ns of CPU an exchange: least, median of {ROUNDS}", "", "least", "median");
    for (threads, runtime) in [("one thread", one()), ("two workers", two())] {
        for headers in [None, Some(256), Some(1000)] {
            let name = format!("hyper, at most {headers:?} headers");
            measure(&name, threads, &runtime, || raw(to, headers, false));
        }
        measure("hyper, no task of its own", threads, &runtime, || raw(to, None, true));
        for case in [Case::bare(to), Case::webhook(to), Case::slack(to)] {
            let (client, case) = (Client::new(case.options.clone()).unwrap(), Arc::new(case));
            measure(&format!("{}: prepare, send", case.name), threads, &runtime, || sending(&client, &case, false));
            measure(&format!("{}: prepare, keep, send", case.name), threads, &runtime, || {
                sending(&client, &case, true)
            });
        }
    }
    for case in [Case::bare(to), Case::webhook(to), Case::slack(to)] {
        let runtime = one();
        measure(&format!("{}: seal alone", case.name), "one thread", &runtime, || {
            pure(&case, |case| drop(case.seal()))
        });
        measure(&format!("{}: and prepare", case.name), "one thread", &runtime, || {
            pure(&case, |case| drop(case.prepare()))
        });
        measure(&format!("{}: and keep", case.name), "one thread", &runtime, || {
            pure(&case, |case| drop(case.prepare().sent(&case.secrets)))
        });
    }
}

/// Runs what `exchanges` gives, over and over, on all of the runtime's threads.
fn measure<F: Future<Output = ()>>(name: &str, threads: &str, runtime: &Runtime, exchanges: impl Fn() -> F) {
    let wanted = env::args().nth(1).filter(|word| !word.starts_with('-'));
    if wanted.is_some_and(|word| !format!("{name}, {threads}").contains(&word)) {
        return;
    }
    runtime.block_on(exchanges());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu_ns();
        runtime.block_on(exchanges());
        rounds.push((cpu_ns() - before) / (AT_ONCE * EACH) as u64);
    }
    rounds.sort_unstable();
    println!("{name:34} {:8} {:8}   {threads}", rounds[0], rounds[ROUNDS / 2]);
}

/// CPU time of all threads but the receiver's.
fn cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let senders =
        tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() != "receiver"));
    let spent = senders.filter_map(|task| {
        let text = fs::read_to_string(task.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum()
}

/// Answers everything, on a thread of its own.
fn receiver() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    let work = move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    };
    std::thread::Builder::new().name("receiver".to_owned()).spawn(work).unwrap();
    told.recv().unwrap()
}

async fn answer(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::with_capacity(16 * 1024);
    loop {
        let head = read.windows(4).position(|four: &[u8]| four == b"\r\n\r\n");
        if let Some(length) = head.map(|at| at + 4 + length(&read[..at])).filter(|length| *length <= read.len()) {
            read.drain(..length);
            stream.write_all(TAKEN).await.unwrap();
        } else if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn length(head: &[u8]) -> usize {
    let head = str::from_utf8(head).unwrap();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.map_or(0, |length| length.parse().unwrap())
}

/// hyper's connections as they are: what no client above it can be cheaper than.
async fn raw(to: SocketAddr, headers: Option<usize>, inline: bool) {
    all(|| async move {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = http1::Builder::new();
        if let Some(headers) = headers {
            builder.max_headers(headers);
        }
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let mut connection = Some(Box::pin(connection));
        if !inline {
            tokio::spawn(connection.take().unwrap());
        }
        for _ in 0..EACH {
            let mut request = http::Request::new(Full::new(Bytes::from_static(&[b'x'; PAYLOAD])));
            *request.method_mut() = http::Method::POST;
            request.headers_mut().insert("host", http::HeaderValue::from_static("127.0.0.1"));
            request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
            let mut exchange = pin!(async {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
            });
            std::future::poll_fn(|cx| match (exchange.as_mut().poll(cx), &mut connection) {
                (Poll::Pending, Some(connection)) => {
                    assert!(connection.as_mut().poll(cx).is_pending());
                    exchange.as_mut().poll(cx)
                }
                (polled, _) => polled,
            })
            .await;
        }
    })
    .await;
}

/// A channel, and the request that its adapter makes.
struct Case {
    name: &'static str,
    options: Options,
    secrets: Secrets,
    request: fn(&Value) -> Request,
    payload: Bytes,
}

impl Case {
    fn new(name: &'static str, settings: &Value, secrets: &[&str], request: fn(&Value) -> Request) -> Self {
        let pointers: BTreeSet<String> = secrets.iter().map(ToString::to_string).collect();
        Self {
            name,
            options: Options {
                allow_http: vec!["127.0.0.1".to_owned()],
                allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
            },
            secrets: Secrets::new(settings, &pointers).unwrap(),
            request,
            payload: Bytes::from(format!(
                "{{\"type\":\"x\",\"body\":\"{}\"}}",
                "word, \\\"x\\\" ".repeat(PAYLOAD / 12)
            )),
        }
    }

    fn bare(to: SocketAddr) -> Self {
        Self::new("bare", &json!({"url": format!("http://{to}/")}), &[], |settings| Request {
            method: "POST".to_owned(),
            url: text(&settings["url"]),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Body::Payload,
            auth: None,
        })
    }

    fn webhook(to: SocketAddr) -> Self {
        let settings =
            json!({"url": format!("http://{to}/"), "signing_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]});
        Self::new("webhook", &settings, &["/signing_secrets/0"], |settings| Request {
            method: "POST".to_owned(),
            url: text(&settings["url"]),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Body::Payload,
            auth: Some(Auth::StandardWebhooks(vec![text(&settings["signing_secrets"][0])])),
        })
    }

    fn slack(to: SocketAddr) -> Self {
        let settings =
            json!({"webhook_url": format!("http://{to}/services/T01234567/B01234567/abcdefghijklmnopqrstuvwx")});
        Self::new("slack", &settings, &["/webhook_url"], |settings| Request {
            method: "POST".to_owned(),
            url: text(&settings["webhook_url"]),
            headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
            body: Body::Text(format!("{{\"text\":\"{}\"}}", "words, \\\"x\\\" ".repeat(PAYLOAD / 13))),
            auth: None,
        })
    }

    /// As `pipeline::deliver` does it, but for the adapter: what that makes of the settings is cheap here.
    fn seal(&self) -> (herald::outbound::Sealed, Request) {
        let mut sealed = self.secrets.seal(rand::random);
        let settings: Value = serde_json::from_str(&std::mem::take(&mut sealed.settings_json)).unwrap();
        let request = (self.request)(&settings);
        (sealed, request)
    }

    fn prepare(&self) -> Prepared {
        let (sealed, request) = self.seal();
        let destination = Destination {
            options: &self.options,
            hosts: &[],
            listed: None,
            delivery_id: ID,
            payload: &self.payload,
            now: 1_700_000_000_000,
        };
        prepare(&request, &sealed, &destination).unwrap()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn pure(case: &Case, work: fn(&Case)) -> impl Future<Output = ()> {
    (0..AT_ONCE * EACH).for_each(|_| work(case));
    std::future::ready(())
}

async fn sending(client: &Client, case: &Arc<Case>, keep: bool) {
    all(|| {
        let (client, case) = (client.clone(), Arc::clone(case));
        async move {
            for _ in 0..EACH {
                let prepared = case.prepare();
                if keep {
                    std::hint::black_box(prepared.sent(&case.secrets));
                }
                let sent = client.send(prepared, LIMIT, &case.secrets).await;
                assert_eq!(sent.response.unwrap().status, 200, "{:?}", sent.error);
            }
        }
    })
    .await;
}

/// So many at once, each in a task of its own.
async fn all<F: Future<Output = ()> + Send + 'static>(one: impl Fn() -> F) {
    let tasks: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(one())).collect();
    for task in tasks {
        task.await.unwrap();
    }
}
