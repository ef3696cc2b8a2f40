//! What the demo shows, step by step, and how it tells it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::receiver::{Received, Receiver};
use crate::{
    app::App,
    cli::{
        deliveries,
        output::{self, line},
        remote,
    },
    clock::{self, Stopwatch},
};

/// Nothing in the demo takes that long; when it does, something is wrong, and the demo says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sample events, in the order in which they are posted, and how many requests each comes to.
const EVENTS: [(&str, &str, usize); 4] = [
    ("execution_completed", include_str!("../../../../examples/events/execution_completed.json"), 2),
    ("execution_failed", include_str!("../../../../examples/events/execution_failed.json"), 3),
    ("pipeline_completed", include_str!("../../../../examples/events/pipeline_completed.json"), 1),
    ("deployment_failed", include_str!("../../../../examples/events/deployment_failed.json"), 2),
];

pub(super) struct Tour<'a> {
    app: &'a App,
    receiver: Receiver,
    base: String,
    http: reqwest::Client,
    folder: &'a Path,
}

impl<'a> Tour<'a> {
    pub fn new(app: &'a App, receiver: Receiver, folder: &'a Path) -> anyhow::Result<Self> {
        Ok(Self {
            base: app.address().map(|address| format!("http://{address}")).unwrap_or_default(),
            http: remote::client(None, None)?,
            app,
            receiver,
            folder,
        })
    }

    pub async fn run(&mut self, board: &Path, second: &[u8]) -> anyhow::Result<()> {
        heading("A host is running")?;
        line(format!("API        {}", self.base))?;
        line(format!(
            "receiver   http://{} stands for Slack, a custom endpoint and an on-call board",
            self.receiver.address
        ))?;
        line(format!("config     {}", self.folder.join("herald.toml").display()))?;
        line(format!("adapters   built in: slack, webhook; from the folder: board 1.0.0 ({})", board.display()))?;
        for (kind, event, requests) in EVENTS {
            self.event(kind, event, requests).await?;
        }
        self.trouble().await?;
        self.log().await?;
        self.change(board, second).await?;
        heading("That was it")?;
        line("Try it for real: write a herald.toml (README.md begins with one), `herald check`, `herald serve`.")
    }

    /// Posts an event and tells what the receiver got.
    async fn event(&mut self, kind: &str, event: &'static str, requests: usize) -> anyhow::Result<()> {
        heading(&format!("POST /v1/events  {kind}"))?;
        self.post(event).await?;
        for _ in 0..requests {
            let received = self.next().await?;
            tell(&received)?;
            if received.path == "/custom" {
                let same = received.body == event.as_bytes();
                ensure!(same, "the payload was changed on its way to the custom endpoint");
                line("     (byte for byte what was posted)")?;
            }
        }
        Ok(())
    }

    /// The receiver refuses once, and says how long to wait.
    async fn trouble(&mut self) -> anyhow::Result<()> {
        heading("The custom endpoint is busy: 503, Retry-After: 1")?;
        self.receiver.be_in_trouble();
        let [(_, event, _), ..] = EVENTS;
        let watch = Stopwatch::start();
        self.post(event).await?;
        for _ in 0..3 {
            let received = self.next().await?;
            let at = watch.elapsed();
            line(format!("  +{:>4} ms  {} ← {}", at.as_millis(), received.answered, received.path))?;
        }
        Ok(())
    }

    /// The log of it all, and one entry of it whole.
    async fn log(&self) -> anyhow::Result<()> {
        heading("herald deliveries list")?;
        self.settled().await?;
        let list = self.get("/v1/deliveries?limit=50").await?;
        deliveries::print_list(&list)?;
        let slack = self.get("/v1/deliveries?channel=team-ml-alerts&limit=1").await?;
        let id = output::text(&slack, "/deliveries/0/id");
        heading(&format!("herald deliveries show {id}"))?;
        deliveries::print(&self.get(&format!("/v1/deliveries/{id}")).await?)
    }

    /// Another version of an adapter is put over the one that runs.
    async fn change(&mut self, board: &Path, second: &[u8]) -> anyhow::Result<()> {
        heading("cp board-1.1.0.wasm adapters/board.wasm   (no restart)")?;
        let mut changes = self.app.pipeline().registry().changes();
        changes.borrow_and_update();
        let watch = Stopwatch::start();
        fs::write(board, second)?;
        loop {
            let found = self.app.pipeline().registry().get("board");
            if found.is_some_and(|adapter| adapter.id.version == "1.1.0") {
                break;
            }
            tokio::time::timeout(PATIENCE, changes.changed()).await.context("the changed adapter was not loaded")??;
        }
        line(format!(
            "board 1.1.0 serves {} ms after the file was written; the same event again:",
            watch.elapsed().as_millis()
        ))?;
        let [.., (_, event, requests)] = EVENTS;
        self.post(event).await?;
        for _ in 0..requests {
            let received = self.next().await?;
            if received.path == "/board" {
                tell(&received)?;
            }
        }
        Ok(())
    }

    /// Tells what comes in until somebody presses Ctrl-C.
    pub async fn go_on(&mut self) -> anyhow::Result<()> {
        line("\nThe host goes on until Ctrl-C. From the project's folder, for example:")?;
        line(format!("  curl -d @examples/events/execution_failed.json {}/v1/events", self.base))?;
        line(format!("  HERALD_URL={} herald deliveries list", self.base))?;
        while let Some(received) = self.receiver.received.recv().await {
            tell(&received)?;
        }
        Ok(())
    }

    async fn post(&self, event: &'static str) -> anyhow::Result<()> {
        let request = self.http.post(format!("{}/v1/events", self.base)).body(event);
        let response = request.header("content-type", "application/json").send().await?;
        let (status, body) = (response.status(), response.text().await?);
        ensure!(status == reqwest::StatusCode::ACCEPTED, "the host answered {status}: {body}");
        line(format!("  {status}  {body}"))
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    async fn next(&mut self) -> anyhow::Result<Received> {
        tokio::time::timeout(PATIENCE, self.receiver.received.recv())
            .await
            .context("the receiver waited for a request that did not come")?
            .context("the receiver is gone")
    }

    /// The receiver has answered; the log is written a moment later.
    async fn settled(&self) -> anyhow::Result<()> {
        let mut settlements = self.app.pipeline().settlements();
        let deadline = clock::pause(PATIENCE);
        tokio::pin!(deadline);
        loop {
            settlements.borrow_and_update();
            let pending = self.get("/v1/deliveries?state=pending").await?;
            if pending.pointer("/deliveries/0").is_none() {
                return Ok(());
            }
            tokio::select! {
                changed = settlements.changed() => changed?,
                () = &mut deadline => anyhow::bail!("a delivery did not end"),
            }
        }
    }
}

fn heading(text: &str) -> anyhow::Result<()> {
    line(format!("\n── {text} {}", "─".repeat(96_usize.saturating_sub(text.chars().count()))))
}

/// One request, as the receiver saw it.
fn tell(received: &Received) -> anyhow::Result<()> {
    let who = match received.path.as_str() {
        "/custom" => "custom endpoint",
        "/board" => "on-call board",
        _ => "Slack",
    };
    line(format!("\n  → {who} got POST {}, answered {}", received.path, received.answered))?;
    if let Some(id) = received.headers.get("herald-delivery-id") {
        line(format!("     herald-delivery-id: {}", id.to_str().unwrap_or_default()))?;
    }
    let text = match serde_json::from_slice::<Value>(&received.body) {
        Ok(json) if received.path != "/custom" => serde_json::to_string_pretty(&json)?,
        _ => String::from_utf8_lossy(&received.body).into_owned(),
    };
    for row in text.lines() {
        line(output::harmless(&format!("     {row}")))?;
    }
    Ok(())
}
