//! Through a proxy: by CONNECT of HTTP (RFC 9110, 9.3.6), for plain http as well, or by SOCKS 5 (RFC 1928 and 1929).
//!
//! A proxy is handed an address that the guard has passed, never a name: it could look up another one. Where it is itself
//! is the operator's choice, so that its own address may be any.

use std::{
    error::Error,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::{client::legacy::connect::proxy::SocksV5, rt::TokioIo};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::model::{Proxy, ProxyKind};

/// The head of a proxy's answer: it has little to say.
const HEAD: usize = 16 * 1024;

/// What went wrong with the proxy itself, or with its way to the receiver.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection with the proxy.
    #[error("can't be reached: {0}")]
    Unreachable(Box<dyn Error + Send + Sync>),
    /// RFC 9110, 15.5.8.
    #[error("asks for {} (407); it is named by `proxy`", if *given { "another user or password" } else { "a user and a password" })]
    Credentials { given: bool },
    /// It answered, and did not connect.
    #[error("{} {to} ({status})", if status.is_server_error() { "can't reach" } else { "does not connect to" })]
    Status { to: SocketAddr, status: StatusCode },
    /// SOCKS has its own words.
    #[error("does not connect to {to}: {words}")]
    Socks { to: SocketAddr, words: String },
    /// What it said is no answer.
    #[error("did not answer as a proxy of HTTP does: {0}")]
    Protocol(String),
}

impl Fault {
    /// Whether it would say the same of any other address.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Credentials { .. } | Self::Protocol(_))
    }
}

impl From<hyper::Error> for Fault {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
        Self::Protocol(format!("{error}{cause}"))
    }
}

/// Has the proxy, at the other end of `tcp`, connect to the address.
pub(super) async fn tunnel(tcp: TcpStream, proxy: &Proxy, to: SocketAddr) -> Result<TcpStream, Fault> {
    match proxy.kind {
        ProxyKind::Http => by_connect(tcp, proxy, to).await,
        ProxyKind::Socks5 => by_socks(tcp, proxy, to).await,
    }
}

async fn by_connect(tcp: TcpStream, proxy: &Proxy, to: SocketAddr) -> Result<TcpStream, Fault> {
    let (mut sender, driver) =
        http1::Builder::new().max_buf_size(HEAD).handshake::<_, Empty<Bytes>>(TokioIo::new(tcp)).await?;
    let request = request(proxy, to).map_err(|error| Fault::Protocol(error.to_string()))?;
    let driver = async { driver.with_upgrades().await.map_err(Fault::from) };
    let exchange = async {
        let response = sender.send_request(request).await?;
        match response.status() {
            status if status.is_success() => Ok(hyper::upgrade::on(response).await?),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(Fault::Credentials { given: proxy.credentials.is_some() }),
            status => Err(Fault::Status { to, status }),
        }
    };
    let ((), upgraded) = tokio::try_join!(driver, exchange)?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        // Nobody at the other end speaks before it is spoken to, neither by TLS nor by HTTP.
        _ => Err(Fault::Protocol("something came before anything was sent".to_owned())),
    }
}

fn request(proxy: &Proxy, to: SocketAddr) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::connect(to.to_string()).header(header::HOST, to.to_string());
    if let Some((user, password)) = &proxy.credentials {
        let basic = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        let mut value = HeaderValue::try_from(format!("Basic {basic}"))?;
        value.set_sensitive(true);
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    request.body(Empty::new())
}

async fn by_socks(tcp: TcpStream, proxy: &Proxy, to: SocketAddr) -> Result<TcpStream, Fault> {
    let refused = |words: String| Fault::Socks { to, words };
    let target = Uri::builder().scheme("socks5").authority(to.to_string()).path_and_query("/").build();
    let target = target.map_err(|error| refused(error.to_string()))?;
    let mut socks = SocksV5::new(Uri::default(), Connected(Some(TokioIo::new(tcp))));
    if let Some((user, password)) = &proxy.credentials {
        socks = socks.with_auth(user.clone(), password.expose_secret().to_owned());
    }
    let tunnel = socks.call(target).await.map_err(|error| refused(error.to_string()))?;
    Ok(tunnel.into_inner())
}

/// "Connects" to the proxy: that has been done, from the right address.
struct Connected(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
