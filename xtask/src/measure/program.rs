//! A program that is measured, as a child process.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::now;
use crate::process::{run, shown};

/// To end when it is asked to.
const DEADLINE: Duration = Duration::from_secs(40);

/// A program that runs; it is killed when this is dropped.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self { child: child.with_context(|| format!("can't start `{}`", shown(command)))? })
    }

    /// Starts one that prints its address first.
    pub fn start_with_address(command: &mut Command) -> Result<(Self, SocketAddr)> {
        let mut program = Self::start(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        let output = program.child.stdout.as_mut().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("`{}` printed no address", shown(command)))?;
        Ok((program, address))
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        run(Command::new("kill").args(["-TERM", &self.id().to_string()]))?;
        let deadline = now() + DEADLINE;
        while !self.has_ended()? {
            if now() > deadline {
                bail!("a program did not end within {DEADLINE:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that nobody listens on, for programs that can't say which one they took.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
