//! `herald demo`: a host, a receiver and real events in one process, and a change of an adapter while it runs.
//!
//! Everything is real but the receiver: the host is the one that `serve` runs, with a store and a config in a temporary
//! folder, and it is talked to by its HTTP API.

mod receiver;
mod tour;

use std::{path::Path, process::ExitCode};

use anyhow::Context;

use super::args::Demo;
use crate::{
    adapter::BOARD,
    app::{App, Origin},
    clock::Clock,
};
use receiver::Receiver;
use tour::Tour;

pub(super) fn run(args: &Demo) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = demo(args.once) => done,
            stopped = tokio::signal::ctrl_c() => Ok(stopped?),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn demo(once: bool) -> anyhow::Result<()> {
    // Removed when the demo ends.
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let receiver = Receiver::start().await?;
    let adapters = folder.path().join("adapters");
    std::fs::create_dir(&adapters)?;
    let [first, second] = BOARD;
    let board = adapters.join("board.wasm");
    std::fs::write(&board, first)?;
    let config = write_config(folder.path(), receiver.address.port())?;
    let origin = Origin { file: Some(config), ..Origin::default() };
    let checked = origin.load()?;
    let app = App::start(checked, Some(origin), Clock::system()).await?;
    let mut tour = Tour::new(&app, receiver, folder.path())?;
    tour.run(&board, second).await?;
    if !once {
        tour.go_on().await?;
    }
    app.stop().await
}

/// The config that a user would write, with the receiver in Slack's place.
fn write_config(folder: &Path, port: u16) -> anyhow::Result<std::path::PathBuf> {
    let secret = |name: &str, value: String| -> anyhow::Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, value)?;
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(())
    };
    secret("slack-webhook", format!("http://127.0.0.1:{port}/services/T0DEMO/B0DEMO/s3cr3t-of-the-demo"))?;
    secret("board-key", "k3y-of-the-board".to_owned())?;
    let path = folder.join("herald.toml");
    std::fs::write(&path, include_str!("demo/herald.toml").replace("PORT", &port.to_string()))?;
    Ok(path)
}
