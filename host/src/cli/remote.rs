//! The running host, as the commands talk to it: by its HTTP API.

use std::{future::Future, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::Value;

use super::args::Common;
use crate::{
    config::{self, Sources},
    files,
};

/// A request to one's own host does not take longer, except where it waits on purpose.
const TIMEOUT: Duration = Duration::from_secs(90);

const LONGEST_TOKEN_FILE: usize = 4 << 10;
const LONGEST_CA: usize = 1 << 20;

/// Why a host did not do what it was asked.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// It may be starting, or be started again.
    pub may_pass: bool,
    pub error: anyhow::Error,
}

impl From<NoAnswer> for anyhow::Error {
    fn from(no: NoAnswer) -> Self {
        no.error
    }
}

/// A host's address and a connection to it.
pub(super) struct Remote {
    base: String,
    /// For people: where it is asked.
    shown: String,
    /// By `--url` or `HERALD_URL`: that one is meant and no other.
    pub named: bool,
    /// What is sent with every request; marked as a secret, so that nothing prints it.
    token: Option<HeaderValue>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Remote {
    /// Finds the host by `--url`, `HERALD_URL` or the config's `server.listen`.
    pub fn find(common: &Common) -> anyhow::Result<Self> {
        let (place, named) = place(common)?;
        let (base, shown, socket) = match place {
            Place::Url(url) => (url.clone(), url, None),
            // The name is nobody's: whoever has the socket is reached.
            Place::Socket(path) => ("http://localhost".to_owned(), format!("unix:{}", path.display()), Some(path)),
        };
        Ok(Self {
            base,
            shown,
            named,
            token: token(common)?,
            http: client(authority(common)?, socket)?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(self.at(path)))
    }

    /// The same, for who asks again and again.
    pub async fn ask(&self, path: &str) -> Result<Value, NoAnswer> {
        self.answer(self.http.get(self.at(path))).await
    }

    /// Runs something that asks.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Asks for something to be done; what is told of it stands in the path.
    pub fn order(&self, path: &str) -> anyhow::Result<Value> {
        self.post(path, "application/json", Vec::new())
    }

    pub fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let request = self.http.post(self.at(path));
        self.send(request.header("content-type", content_type).body(body))
    }

    /// Whether nothing answers there, which is no error for a command that can do without.
    pub fn is_absent(&self) -> bool {
        let request = self.http.get(self.at("/healthz"));
        // Begun within the runtime: its timeout is a timer.
        self.runtime.block_on(async { request.send().await }).is_err_and(|error| error.is_connect())
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        Ok(self.runtime.block_on(self.answer(request))?)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, NoAnswer> {
        let answered = async {
            let request = match &self.token {
                Some(token) => request.header(AUTHORIZATION, token.clone()),
                None => request,
            };
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let (status, body) = answered.await.map_err(|error| NoAnswer { may_pass: true, error: self.explain(error) })?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer = serde_json::from_slice(&body)
            .with_context(|| format!("{} answered {status}, and not in JSON: is it Herald?", self.shown));
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) => Err(NoAnswer { may_pass: status.is_server_error(), error: self.refusal(status, &answer) }),
            Err(error) => Err(NoAnswer { may_pass: false, error }),
        }
    }

    /// An error of the API in a line; what to do about a token is said for who types commands.
    fn refusal(&self, status: StatusCode, answer: &Value) -> anyhow::Error {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let place = match answer.get("index").and_then(Value::as_u64) {
            Some(index) => format!("event {index} (0 is the first): "),
            None => String::new(),
        };
        let hint = match status {
            StatusCode::UNAUTHORIZED if self.token.is_none() => {
                "put one into HERALD_TOKEN, or name a file that holds one by --token-file"
            }
            StatusCode::UNAUTHORIZED => {
                "it came from HERALD_TOKEN or --token-file: is it meant for this host? `herald token new` makes another"
            }
            StatusCode::FORBIDDEN if text("code") == "missing_scope" => {
                "put another one into HERALD_TOKEN or --token-file, or add the scope to its [[server.token]] in the host's config"
            }
            _ => text("hint"),
        };
        anyhow!("{place}{}; {hint}", text("message"))
    }

    fn explain(&self, error: reqwest::Error) -> anyhow::Error {
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        if let Some(why) = chain.map(ToString::to_string).find(|why| why.contains("peer certificate")) {
            return anyhow!(
                "the certificate of {} is not to be trusted: {why}; name its authority with --ca, and the host as its certificate does",
                self.shown
            );
        }
        if error.is_connect() {
            return anyhow!(
                "no Herald answers at {}; start it with `herald serve`, or name another with --url or HERALD_URL",
                self.shown
            );
        }
        anyhow::Error::new(error.without_url()).context(format!("{} did not answer as it should", self.shown))
    }
}

/// The token of `--token-file`, else of `HERALD_TOKEN`, as it is sent. Never an argument: everybody on the machine can
/// see those.
fn token(common: &Common) -> anyhow::Result<Option<HeaderValue>> {
    let (place, token) = match &common.token_file {
        Some(file) => {
            let bytes =
                files::read(file, LONGEST_TOKEN_FILE).with_context(|| format!("cannot read {}", file.display()))?;
            (format!("the file {}", file.display()), String::from_utf8_lossy(&bytes).trim().to_owned())
        }
        None => match config::process_variable("HERALD_TOKEN") {
            Some(token) if !token.trim().is_empty() => ("HERALD_TOKEN".to_owned(), token.trim().to_owned()),
            _ => return Ok(None),
        },
    };
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token);
    // Not printed: it may be a secret all the same.
    let mut header = header.with_context(|| format!("{place} holds no token such as hrld_…: one word of ASCII"))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// The authorities of `--ca`, else of `HERALD_CA`; none: those that the machine trusts.
fn authority(common: &Common) -> anyhow::Result<Option<Vec<reqwest::Certificate>>> {
    let named = || config::process_variable("HERALD_CA").filter(|name| !name.is_empty()).map(Into::into);
    let Some(file) = common.ca.clone().or_else(named) else { return Ok(None) };
    let pem = files::read(&file, LONGEST_CA).with_context(|| format!("cannot read {}", file.display()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
    certificates.map(Some).with_context(|| format!("{} holds no certificate in PEM", file.display()))
}

/// Without a proxy: the host is one's own. With `authorities` no others are trusted; with a `socket` it is asked there.
pub(super) fn client(
    authorities: Option<Vec<reqwest::Certificate>>,
    socket: Option<PathBuf>,
) -> anyhow::Result<reqwest::Client> {
    // reqwest wants one even where there is no TLS. Already installed: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    if let Some(authorities) = authorities {
        client = client.tls_certs_only(authorities);
    }
    if let Some(socket) = socket {
        client = client.unix_socket(socket);
    }
    Ok(client.build()?)
}

/// Where a host is asked.
enum Place {
    Url(String),
    Socket(PathBuf),
}

/// And whether the command names it.
fn place(common: &Common) -> anyhow::Result<(Place, bool)> {
    let named = common.url.clone().or_else(|| config::process_variable("HERALD_URL"));
    if let Some(url) = named.filter(|url| !url.is_empty()) {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok((Place::Socket(path.into()), true));
        }
        let url = url::Url::parse(&url)
            .with_context(|| format!("`{url}` is not a URL such as http://127.0.0.1:7766 or unix:herald.sock"))?;
        return Ok((Place::Url(url.as_str().trim_end_matches('/').to_owned()), true));
    }
    let origin = common.origin(Vec::new())?;
    let server = config::server(&Sources {
        file: origin.file,
        env: origin.env,
        flags: origin.flags,
        variable: &config::process_variable,
    })?;
    let Some(mut listen) = server.listen else {
        return Ok((
            Place::Socket(server.socket.context("the config names neither `server.listen` nor `server.socket`")?),
            false,
        ));
    };
    if listen.ip().is_unspecified() {
        // It listens everywhere; from here, loopback is where it is.
        listen.set_ip(match listen.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    Ok((Place::Url(format!("{scheme}://{listen}")), false))
}

/// A name or an id as a part of a path.
pub(super) fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
