//! The ceiling: what Herald's HTTP parts can do at best. A request is read whole, sent on over a connection that is kept,
//! and answered when it was answered. No store, no sandbox, no log, no limits.
//!
//! hyper's connections as they are, one runtime a core, nothing between them.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderValue},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::spawn_local,
};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where requests are passed on to
    #[arg(long)]
    to: SocketAddr,
}

/// The connections of a core to the sink that nobody uses just now.
struct Idle {
    to: SocketAddr,
    host: HeaderValue,
    connections: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

pub fn run(options: &Options) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let mut ways = Vec::new();
    for _ in 0..cores {
        let (way, streams) = mpsc::unbounded_channel();
        ways.push(way);
        let to = options.to;
        std::thread::spawn(move || work(to, streams));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("{}", listener.local_addr()?);
        for way in ways.iter().cycle() {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            way.send(stream.into_std()?).context("a thread has ended")?;
        }
        Ok(())
    })
}

fn work(to: SocketAddr, mut streams: mpsc::UnboundedReceiver<std::net::TcpStream>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = HeaderValue::try_from(to.to_string())?;
    let idle = Rc::new(Idle { to, host, connections: RefCell::default() });
    tokio::task::LocalSet::new().block_on(&runtime, async {
        while let Some(stream) = streams.recv().await {
            let stream = TcpStream::from_std(stream)?;
            let idle = idle.clone();
            spawn_local(async move {
                let service = service_fn(move |request| forward(request, idle.clone()));
                let served = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                if let Err(error) = served {
                    eprintln!("forward: {error}");
                }
            });
        }
        Ok(())
    })
}

async fn forward(request: Request<Incoming>, idle: Rc<Idle>) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut onwards = Request::new(Full::new(body));
    *onwards.method_mut() = hyper::Method::POST;
    *onwards.uri_mut() = Uri::from_static("/");
    onwards.headers_mut().insert(HOST, idle.host.clone());
    onwards.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut connection = idle.take().await?;
    let answer = connection.send_request(onwards).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    idle.connections.borrow_mut().push(connection);
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    *response.status_mut() = if status.is_success() { StatusCode::ACCEPTED } else { StatusCode::BAD_GATEWAY };
    Ok(response)
}

impl Idle {
    async fn take(&self) -> Result<SendRequest<Full<Bytes>>> {
        loop {
            let Some(mut connection) = self.connections.borrow_mut().pop() else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let (connection, task) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(task);
        Ok(connection)
    }
}
