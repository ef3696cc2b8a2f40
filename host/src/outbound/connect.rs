//! How connections are made and kept: TCP to addresses that the guard has passed, TLS where the URL says so, one pool.
//!
//! Must not follow a proxy from the environment.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
};
use rustls_platform_verifier::Verifier;

use super::{check::Options, progress::MeasuredConnector, resolve::Guarded};

/// Shorter than the idle time of the usual load balancers (60 s), so that few requests meet a closing connection.
const IDLE: Duration = Duration::from_secs(30);
/// More would be open only after a burst to one host.
const IDLE_PER_HOST: usize = 16;
/// A response's header block; over HTTP/1 the size of the buffer that it has to fit in.
const HEADER_BLOCK: u32 = 64 * 1024;
/// Headers of a response: no service sends so many, and their block is bounded, too.
const HEADERS: usize = 1000;
/// What one response, and all of a connection, may send ahead over HTTP/2: a little more than is kept of a body.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The other end is asked for a sign of life after so long without one while it owes an answer, and given as long.
/// Requests over HTTP/2 share a connection: a dead one would take all of them with it.
const ALIVE: Duration = Duration::from_secs(10);
/// How often TCP asks on a quiet connection, and how long what was sent may stay unacknowledged.
const TCP_ALIVE: Duration = Duration::from_secs(15);
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The pool; cheap to clone.
pub(super) type Pool = Client<MeasuredConnector<HttpsConnector<HttpConnector<Guarded>>>, Full<Bytes>>;

/// Makes a pool without connections.
pub(super) fn pool(options: Arc<Options>, tls: ClientConfig) -> Pool {
    let mut tcp = HttpConnector::new_with_resolver(Guarded::new(options));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(TCP_ALIVE));
    tcp.set_keepalive_interval(Some(TCP_ALIVE));
    tcp.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let tls =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http1_max_buf_size(HEADER_BLOCK as usize)
        .http1_max_headers(HEADERS)
        .http2_max_header_list_size(HEADER_BLOCK)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(ALIVE)
        .http2_keep_alive_timeout(ALIVE)
        .build(MeasuredConnector::new(tls))
}

/// TLS 1.2 and 1.3 by ring, against the machine's own roots. Without any it warns, and https will fail.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()?;
    Ok(match Verifier::new(provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        Err(error) => {
            tracing::warn!(
                %error,
                "no https receiver can be trusted: install CA certificates, or name them in SSL_CERT_FILE"
            );
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    })
}
