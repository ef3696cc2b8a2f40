//! The host under test: the release build, as a child process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::program::Program;
use super::wire::Connection;
use super::{now, target};
use crate::process::{cargo, run};

/// To be ready.
const DEADLINE: Duration = Duration::from_mins(1);

/// Builds the program, which the demo does too.
pub fn build(root: &Path) -> Result<PathBuf> {
    run(cargo(root).args(["build", "--release", "--locked"]))?;
    Ok(target()?.join("release/herald"))
}

/// A host that runs; it is killed when this is dropped.
pub struct Host {
    /// Of the API.
    pub address: SocketAddr,
    /// From its start until `/readyz` said so.
    pub ready_after: Duration,
    program: Program,
}

impl Host {
    /// Starts it in a folder with a config. Its log goes to a file there, not beside the config, whose folder it watches.
    pub fn start(mut command: Command, folder: &Path, config: &str) -> Result<Self> {
        let (file, log) = (folder.join("config/herald.toml"), folder.join("log"));
        std::fs::create_dir_all(folder.join("config"))?;
        std::fs::write(&file, config)?;
        command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file);
        let begun = now();
        let mut program = Program::start(command.stdout(Stdio::null()).stderr(File::create(&log)?))?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let mut address = None;
        loop {
            address = address.or_else(|| address_in(&said()));
            if let Some(address) = address
                && get(address, "/readyz").is_ok()
            {
                return Ok(Self { address, ready_after: begun.elapsed(), program });
            }
            if program.has_ended()? {
                bail!("the host ended: {}", said());
            }
            if begun.elapsed() > DEADLINE {
                bail!("the host was not ready within {DEADLINE:?}: {}", said());
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// What a path is answered.
    pub fn get(&self, path: &str) -> Result<String> {
        get(self.address, path)
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// The process.
    pub fn into_program(self) -> Program {
        self.program
    }
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let (status, body) = Connection::open(address)?.request("GET", path, "")?;
    if status != 200 {
        bail!("GET {path} was answered {status}: {body}");
    }
    Ok(body)
}

/// Of the line of the log that says that the host is ready, when it is there to its end.
fn address_in(log: &str) -> Option<SocketAddr> {
    let line = log.split_inclusive('\n').find(|line| line.contains("ready") && line.ends_with('\n'))?;
    line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_read_from_the_log() {
        let log =
            "2026-11-02 INFO herald: begins\n2026-11-02 INFO herald::app: ready address=127.0.0.1:4321 channels=1\n";
        assert_eq!(address_in(log), Some(([127, 0, 0, 1], 4321).into()));
        assert_eq!(address_in("not yet"), None);
        assert_eq!(address_in("INFO herald::app: ready address=127.0.0.1:43"), None, "half a line");
    }
}
