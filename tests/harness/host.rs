//! A host in this process, with a store, an adapters folder and a config in a folder of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use herald::{
    app::{App, Origin},
    clock::Clock,
    store::Listed,
};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::within;

/// What a host is started with. The folder outlives it, so that another can be started on the same store.
pub struct Setup {
    pub folder: TempDir,
    pub clock: Clock,
    channels: String,
}

impl Setup {
    /// `channels` is the TOML of the channels and routes; loopback may be sent to.
    pub fn new(channels: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("adapters")).unwrap();
        let setup = Self { folder, clock: Clock::system(), channels: channels.to_owned() };
        setup.write_config(&setup.channels);
        setup
    }

    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    pub fn adapters(&self) -> PathBuf {
        self.folder.path().join("adapters")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("herald.toml")
    }

    /// By rename, as an editor does.
    pub fn write_config(&self, channels: &str) {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\napp_url = \"https://app.valohai.com\"\ngrace = \"5s\"\n\
             [adapters]\nfolder = \"adapters\"\ncache = \"{}\"\n\
             [outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n{channels}",
            shared_cache().display()
        );
        let next = self.folder.path().join("herald.toml.next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.config()).unwrap();
    }

    pub async fn start(&self) -> TestHost {
        let origin = Origin { file: Some(self.config()), ..Origin::default() };
        let config = origin.load().unwrap_or_else(|problems| panic!("{problems}"));
        let app = App::start(config, Some(origin), self.clock.clone()).await.unwrap();
        TestHost {
            base: app.address().map(|address| format!("http://{address}")).unwrap_or_default(),
            http: http(),
            app,
        }
    }
}

/// Machine code of the built-in adapters is made once for all tests, not once for each.
pub fn shared_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("adapter-cache")
}

/// A client that goes straight to where it is told.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A kept connection may be closed by the host just as the next request is written.
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
}

pub struct TestHost {
    pub app: App,
    pub base: String,
    pub http: reqwest::Client,
}

impl TestHost {
    pub fn address(&self) -> SocketAddr {
        self.app.address().unwrap()
    }

    /// Posts JSON, whatever it is.
    pub async fn post(&self, body: impl Into<String>) -> (StatusCode, Value) {
        self.post_as("application/json", body.into(), &[]).await
    }

    pub async fn post_as(
        &self,
        content_type: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let mut request = self.http.post(format!("{}/v1/events", self.base)).header("content-type", content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(body)).await
    }

    /// Posts something that is accepted.
    pub async fn accepted(&self, body: impl Into<String>) -> Value {
        let (status, answer) = self.post(body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.http.get(format!("{}{path}", self.base))).await
    }

    /// What the adapters endpoint says of one name.
    pub async fn adapter(&self, list: &str, name: &str) -> Option<Value> {
        let (_, answer) = self.get("/v1/adapters").await;
        let found = answer[list].as_array().unwrap().iter().find(|adapter| adapter["name"] == name);
        found.cloned()
    }

    /// Waits until the adapter of that name is there in that version.
    pub async fn adapter_version(&self, name: &str, version: &str) {
        let registry = self.app.pipeline().registry();
        let mut changes = registry.changes();
        let arrives = changes.wait_for(|_| registry.get(name).is_some_and(|adapter| adapter.id.version == version));
        within(&format!("{name} {version}"), arrives).await.unwrap();
    }

    /// Waits until a file is refused, and returns the reason.
    pub async fn refusal(&self, name: &str) -> String {
        let registry = self.app.pipeline().registry();
        let mut changes = registry.changes();
        let arrives = changes.wait_for(|_| registry.published().refused.contains_key(name));
        within(&format!("a refusal of {name}"), arrives).await.unwrap();
        registry.published().refused[name].error.to_string()
    }

    pub async fn deliveries(&self) -> Vec<Listed> {
        let filter = herald::store::Filter { limit: 100_000, ..Default::default() };
        self.app.pipeline().store().page(filter).await.unwrap()
    }

    /// Waits until the deliveries are as the condition wants them.
    pub async fn until(&self, what: &str, condition: impl Fn(&[Listed]) -> bool) -> Vec<Listed> {
        let mut settlements = self.app.pipeline().settlements();
        within(what, async {
            loop {
                settlements.borrow_and_update();
                let deliveries = self.deliveries().await;
                if condition(&deliveries) {
                    return deliveries;
                }
                settlements.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until nothing is pending.
    pub async fn drain(&self) -> Vec<Listed> {
        let ended = |listed: &Listed| listed.delivery.state != herald::model::State::Pending;
        self.until("every delivery to end", |all| all.iter().all(ended)).await
    }

    /// Waits until there is nothing to do, by the clock as it stands: what has not been sent by then is not sent. For tests
    /// with a manual clock, whose receivers answer.
    pub async fn quiet(&self) {
        within("the lanes to have nothing to do", self.app.pipeline().quiet()).await;
    }

    /// The whole account of a delivery.
    pub async fn show(&self, listed: &Listed) -> Value {
        self.get(&format!("/v1/deliveries/{}", listed.delivery.id)).await.1
    }

    pub async fn stop(self) {
        within("the host to stop", self.app.stop()).await.unwrap();
    }
}

/// The status, and the body as JSON where it is any.
pub(super) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = within("an answer of the API", request.send()).await.unwrap();
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// For tests that advance a manual clock.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
