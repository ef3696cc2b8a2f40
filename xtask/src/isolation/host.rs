//! The host under test: the release build, as a child process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::report::Used;
use super::wire::Connection;
use crate::process::run;

/// To be ready.
const DEADLINE: Duration = Duration::from_mins(1);
/// To end what waits for receivers that hang: the longer, the more there is of it.
const REST_DEADLINE: Duration = Duration::from_mins(5);

/// Builds the program, which the demo does too.
pub fn build(root: &Path) -> Result<PathBuf> {
    run(Command::new("cargo").current_dir(root).args(["build", "--release", "--locked"]))?;
    let program = target()?.join("release/herald");
    Ok(program)
}

/// Where cargo puts what it builds: this program is in `debug` there.
fn target() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    this.ancestors().nth(2).map(Path::to_path_buf).context("this program is in no folder of cargo's")
}

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    name: String,
    deliveries: Counts,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    pending: u64,
}

/// A host that runs; it is killed when this is dropped.
pub struct Host {
    /// Of the API.
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Host {
    /// Starts it with a config and a store of its own, on the disk where the build is.
    pub fn start(program: &Path, config: &str) -> Result<Self> {
        let folder = target()?.join(format!("isolation-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("herald.toml");
        std::fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.current_dir(&folder).args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("can't start {}", program.display()))?;
        let log = BufReader::new(child.stderr.take().context("no log")?);
        let mut host = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child, folder };
        let (sender, receiver) = mpsc::channel();
        // Its log is read to the end, whatever is in it.
        thread::spawn(move || {
            let mut said = Vec::new();
            for line in log.lines().map_while(Result::ok) {
                let address =
                    line.contains("ready").then(|| line.split("address=").nth(1)?.split(' ').next()?.parse().ok());
                said.push(line);
                if let Some(Some(address)) = address {
                    let _ = sender.send(Ok(address));
                }
                if said.len() > 20 {
                    said.clear();
                }
            }
            let _ = sender.send(Err(said.join("\n")));
        });
        match receiver.recv_timeout(DEADLINE) {
            Ok(Ok(address)) => host.address = address,
            Ok(Err(said)) => bail!("the host ended: {said}"),
            Err(_) => bail!("the host was not ready within {DEADLINE:?}"),
        }
        Ok(host)
    }

    fn get(&self, path: &str) -> Result<String> {
        let (status, body) = Connection::open(self.address)?.request("GET", path, "")?;
        if status != 200 {
            bail!("GET {path} was answered {status}: {body}");
        }
        Ok(body)
    }

    /// All attempts so far.
    pub fn attempts(&self) -> Result<u64> {
        let metrics = self.get("/metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with("herald_attempts_total"));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// What it, this process and the whole machine have used of the processors.
    pub fn used(&self) -> Used {
        Used::now(self.child.id())
    }

    /// Waits until nothing is pending on any channel but the good one.
    pub fn wait_until_idle(&self) -> Result<()> {
        let deadline = super::now() + REST_DEADLINE;
        while super::now() < deadline {
            let Channels { channels } = serde_json::from_str(&self.get("/v1/channels")?)?;
            if channels.iter().all(|channel| channel.name == "good" || channel.deliveries.pending == 0) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(250));
        }
        bail!("the hostile channels did not come to rest within {REST_DEADLINE:?}")
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
