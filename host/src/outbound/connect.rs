//! How connections are made: TCP to an address that the guard has passed, TLS where the URL says so, HTTP/2 where the
//! other end takes it.
//!
//! Must not take a proxy from the environment.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    client::conn::{http1, http2},
    rt,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::{
    check::Options,
    connection::{Connection, Own, Shared},
    failure::Broken,
    progress::{Phase, Progress},
    proxy::{self, Fault},
    resolve::{Failed, Guarded},
    stream::Stream,
    tcp,
};
use crate::model::Transport;

/// A response's header block; over HTTP/1 the size of the buffer that it has to fit in.
const HEADER_BLOCK: u32 = 64 * 1024;
/// Headers of a response: no service sends so many, and their block is bounded, too. For each answer hyper makes room for
/// as many (64 bytes each), so that 1000 would cost more than a microsecond.
const HEADERS: usize = 256;
/// What one response, and all of a connection, may send ahead over HTTP/2: a little more than is kept of a body.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The other end is asked for a sign of life after so long without one while it owes an answer, and given as long.
/// Requests over HTTP/2 share a connection: a dead one would take all of them with it.
const ALIVE: Duration = Duration::from_secs(10);
/// How many addresses of a receiver a proxy is asked for, one after the other.
const TUNNELS: usize = 3;

/// Makes connections, all of them in the same way.
pub(super) struct Connector {
    resolver: Guarded,
    transport: Arc<Transport>,
    tls: TlsConnector,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Connector {
    pub(super) fn new(options: Arc<Options>, tls: ClientConfig, transport: Arc<Transport>) -> Self {
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(HEADER_BLOCK as usize).max_headers(HEADERS);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_BLOCK)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE);
        Self { resolver: Guarded::new(options), transport, tls: TlsConnector::from(Arc::new(tls)), http1, http2 }
    }

    /// Connects to where the URL leads.
    pub(super) async fn connect(&self, url: &Url, progress: &mut Progress) -> Result<Connection, Broken> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return Err(Broken::Url) };
        let origin = &url[..Position::BeforePath];
        let began = progress.elapsed_us();
        // What no certificate can be for need not be looked up.
        let name = (url.scheme() == "https").then(|| server_name(&host)).transpose().map_err(Broken::Connect)?;
        progress.phase = Phase::Resolve;
        let addresses = self.resolver.addresses(host, port).await.map_err(Broken::Connect)?;
        let tcp = self.tcp(addresses, progress).await.map_err(Broken::Connect)?;
        let Some(name) = name else {
            progress.connected(began);
            return self.http1(origin, Stream::new(TokioIo::new(tcp))).await;
        };
        let tls = self.tls.connect(name, tcp).await.map_err(|error| Broken::Connect(error.into()))?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::new(TokioIo::new(tls));
        progress.connected(began);
        if !http2 {
            return self.http1(origin, stream).await;
        }
        let (sender, driver) = self.http2.handshake(stream).await.map_err(Broken::Request)?;
        // How it ended is told to all exchanges that it had.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Connection::Shared(Shared::new(sender)))
    }

    /// To one of the addresses, which the guard has passed, straight or through the proxy.
    async fn tcp(&self, addresses: Vec<SocketAddr>, progress: &mut Progress) -> Result<TcpStream, Failed> {
        let Transport { bind, proxy, .. } = &*self.transport;
        let Some(proxy) = proxy else {
            progress.phase = Phase::Connect;
            return Ok(tcp::connect(addresses, *bind).await?);
        };
        progress.phase = Phase::Proxy;
        let unreachable = |error: Failed| Fault::Unreachable(error);
        let at = self.resolver.unguarded(&proxy.host, proxy.port).await.map_err(|error| unreachable(error.into()))?;
        let mut failed = None;
        for address in addresses.into_iter().take(TUNNELS) {
            let tcp = tcp::connect(at.clone(), *bind).await.map_err(|error| unreachable(error.into()))?;
            match proxy::tunnel(tcp, proxy, address).await {
                Ok(tcp) => {
                    progress.phase = Phase::Connect;
                    return Ok(tcp);
                }
                Err(fault) if fault.is_final() => return Err(fault.into()),
                // Of several faults the first counts.
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        Err(failed.map_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into(), Failed::from))
    }

    async fn http1<S>(&self, origin: &str, stream: S) -> Result<Connection, Broken>
    where
        S: rt::Read + rt::Write + Unpin + Send + 'static,
    {
        let (sender, driver) = self.http1.handshake(stream).await.map_err(Broken::Request)?;
        Ok(Connection::Own(Own::new(origin.into(), sender, Box::pin(driver))))
    }
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, Failed> {
    Ok(match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned())?,
        Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::V4(*ip)),
        Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::V6(*ip)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::{
        super::{
            check::Refused,
            tls::{self, Machine},
        },
        *,
    };
    use crate::model::{Proxy, Tls};

    /// How often the name server that changes its mind was asked.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    #[tokio::test]
    async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
        // The first of them may be sent to, the second must not; the name leads to either in turn.
        let allowed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = allowed.local_addr().unwrap().port();
        let forbidden = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let options =
            Arc::new(Options { allow_addresses: vec!["127.0.0.1/32".parse().unwrap()], ..Options::default() });
        let mut connector = Connector::new(
            Arc::clone(&options),
            tls::config(&Machine::read(), &Tls::default()).unwrap(),
            Arc::default(),
        );
        connector.resolver = Guarded::by(options, |_| {
            let last = if ASKED.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 1 } else { 2 };
            Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]) })
        });
        let url = Url::parse(&format!("http://rebinds.example:{port}/")).unwrap();
        for round in 1..=4 {
            assert!(connector.connect(&url, &mut Progress::new()).await.is_ok(), "round {round}");
            assert_eq!(ASKED.load(Ordering::SeqCst), 2 * round - 1, "a name is looked up once for a connection");
            let (stream, _) = allowed.accept().await.unwrap();
            assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.1");
            let Err(Broken::Connect(error)) = connector.connect(&url, &mut Progress::new()).await else {
                panic!("round {round}: what the name leads to now was connected to");
            };
            let refused = error.downcast::<Refused>().unwrap();
            assert!(refused.message.contains("resolves to 127.0.0.2, a loopback address"), "{refused}");
        }
        assert!(forbidden.accept().now_or_never().is_none(), "nobody came here");
    }

    #[tokio::test]
    async fn a_proxy_gets_the_address_that_was_checked_and_no_other_that_the_name_leads_to() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!("http://{}", listener.local_addr().unwrap());
        let proxy = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            (String::from_utf8(head).unwrap(), listener)
        });
        let transport = Transport { proxy: Some(Proxy::parse(&text).unwrap()), ..Transport::default() };
        let tls = tls::config(&Machine::read(), &Tls::default()).unwrap();
        let mut connector = Connector::new(Arc::default(), tls, Arc::new(transport));
        // A public address, and then one that is not.
        connector.resolver = Guarded::by(Arc::default(), |_| {
            let ip = if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { [8, 8, 8, 8] } else { [127, 0, 0, 1] };
            Box::pin(async move { Ok(vec![SocketAddr::from((ip, 0))]) })
        });
        let url = Url::parse("http://rebinds.example:81/").unwrap();
        assert!(connector.connect(&url, &mut Progress::new()).await.is_ok());
        let (head, listener) = proxy.await.unwrap();
        assert!(head.starts_with("CONNECT 8.8.8.8:81 HTTP/1.1\r\n") && !head.contains("rebinds"), "{head}");
        let Err(Broken::Connect(error)) = connector.connect(&url, &mut Progress::new()).await else {
            panic!("what the name leads to now was connected to");
        };
        assert!(error.downcast::<Refused>().unwrap().message.contains("resolves to 127.0.0.1, a loopback address"));
        assert!(listener.accept().now_or_never().is_none(), "the proxy was not even asked");
    }
}
