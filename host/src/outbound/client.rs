//! One pooled HTTP client, and one exchange with it: one request, one response, one deadline over all of it.
//!
//! Must not follow a redirect, retry, keep a cookie, unpack a body or take a proxy from the environment.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
};
use rustls_platform_verifier::Verifier;

use super::{
    check::{Options, Refused},
    failure::{Failure, Peer, failure, timed_out},
    prepare::Prepared,
    progress::{Measured, Progress},
    redact,
    resolve::Guarded,
    secrets::Secrets,
};
use crate::model::{Response, Timing, TransportError};

/// Shorter than the idle time of the usual load balancers (60 s), so that few requests meet a closing connection.
const IDLE: Duration = Duration::from_secs(30);
/// More would be open only after a burst to one host.
const IDLE_PER_HOST: usize = 16;
/// A response's header block over HTTP/2; what HTTP/1 takes is bounded by its read buffer.
const HEADER_BLOCK: u32 = 64 * 1024;

/// A handle to the one client; cheap to clone. What is allowed is fixed: make a new one when the config changes.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    options: Arc<Options>,
}

/// The client can't be made: the machine's TLS does not work.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No TLS version or cipher to offer.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    /// The rest.
    #[error("the HTTP client can't be set up")]
    Http(#[from] reqwest::Error),
}

/// What came of a request. Secrets are redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// What came back; with an `error` beside it, as far as it came.
    pub response: Option<Response>,
    /// What went wrong on the wire: when it is there, the exchange failed, whatever the response says.
    pub error: Option<(TransportError, String)>,
    /// The name resolved to addresses that are not sent to; nothing was.
    pub blocked: Option<Refused>,
    /// How long it took.
    pub timing: Timing,
}

impl Client {
    /// Makes the client. Reads the machine's CA certificates; without any it warns, and https will fail.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let options = Arc::new(options);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .dns_resolver(Guarded(Arc::clone(&options)))
            .connector_layer(Measured)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http2_max_header_list_size(HEADER_BLOCK)
            .build()?;
        Ok(Self { http, options })
    }

    /// What this client allows: for [`super::Destination`].
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends the request and reads the response, in `deadline` altogether. All that can go wrong is data.
    pub async fn send(&self, prepared: Prepared, deadline: Duration, secrets: &Secrets) -> Sent {
        let peer = Peer::of(&prepared.url);
        let progress = Progress::new(deadline);
        let mut answer = Answer { needed: redact::needed(secrets), ..Answer::default() };
        let exchange = self.exchange(prepared, &progress, &mut answer);
        let ended = tokio::time::timeout(deadline, Arc::clone(&progress).watch(exchange)).await;
        let failed = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(failure(&error.without_url(), &peer)),
            Err(_) => Some(timed_out(progress.phase(), deadline, answer.body.len(), &peer)),
        };
        let (error, blocked) = match failed {
            Some(Failure::Wire(kind, words)) => (Some((kind, secrets.redact(&words).into_owned())), None),
            Some(Failure::Blocked(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        let timing = Timing {
            connect_us: progress.connect_us(),
            first_byte_us: progress.first_byte_us(),
            total_us: progress.elapsed_us(),
        };
        answer.cut |= error.is_some();
        Sent { response: answer.response(secrets), error, blocked, timing }
    }

    /// Fills the answer as it comes, so that what was there is known when the deadline cuts this off.
    async fn exchange(&self, prepared: Prepared, progress: &Progress, answer: &mut Answer) -> reqwest::Result<()> {
        let mut request = reqwest::Request::new(prepared.method, prepared.url);
        *request.headers_mut() = prepared.headers;
        *request.body_mut() = Some(prepared.body.into());
        let mut response = self.http.execute(request).await?;
        progress.answered();
        answer.head = Some((response.status(), std::mem::take(response.headers_mut())));
        while let Some(chunk) = response.chunk().await? {
            let room = answer.needed - answer.body.len();
            answer.body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                // Dropped with its body unread, the connection is closed instead of reused.
                answer.cut = true;
                break;
            }
        }
        Ok(())
    }
}

/// What has come back so far.
#[derive(Default)]
struct Answer {
    head: Option<(StatusCode, HeaderMap)>,
    body: Vec<u8>,
    /// How much of the body is read at most.
    needed: usize,
    /// There was or would have been more.
    cut: bool,
}

impl Answer {
    fn response(self, secrets: &Secrets) -> Option<Response> {
        let (status, headers) = self.head?;
        Some(Response {
            status: status.as_u16(),
            headers: redact::headers(&headers, secrets),
            body: redact::excerpt(&self.body, self.cut, secrets),
        })
    }
}

/// TLS 1.2 and 1.3 by ring, against the machine's own roots.
///
/// Given to the client whole: it would otherwise look for a process-wide provider and panic without one.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match Verifier::new(provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        Err(error) => {
            tracing::warn!(
                %error,
                "no https receiver can be trusted: install CA certificates, or name them in SSL_CERT_FILE"
            );
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests;
