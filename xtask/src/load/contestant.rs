//! Who is measured: how it is started, and what it is posted.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::rig::Rig;
use crate::measure::host::Host;
use crate::measure::now;
use crate::measure::program::{Program, free_address};
use crate::process::output;

/// To listen.
const DEADLINE: Duration = Duration::from_secs(20);

/// Everybody, in the order in which they are measured.
pub const ALL: [Contestant; 5] = [
    Contestant::Forward,
    Contestant::Herald("webhook"),
    Contestant::Herald("slack"),
    Contestant::Nginx,
    Contestant::Alertmanager,
];

/// Somebody who takes events and passes them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// The ceiling.
    Forward,
    /// With a channel of this type.
    Herald(&'static str),
    /// As a proxy.
    Nginx,
    /// With a webhook receiver.
    Alertmanager,
}

impl Serialize for Contestant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A contestant that runs.
pub struct Running {
    /// Where events are posted to.
    pub address: SocketAddr,
    /// The path.
    pub path: &'static str,
    /// A file with the event.
    pub event: PathBuf,
    /// Its process; it may have children.
    pub program: Program,
}

impl Contestant {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forwarder",
            Self::Herald("slack") => "herald-slack",
            Self::Herald(_) => "herald-webhook",
            Self::Nginx => "nginx",
            Self::Alertmanager => "alertmanager",
        }
    }

    /// How to install what is not ours and not here.
    pub fn missing(self) -> Option<&'static str> {
        let (program, question, package) = match self {
            Self::Forward | Self::Herald(_) => return None,
            Self::Nginx => ("nginx", "-v", "nginx"),
            Self::Alertmanager => ("prometheus-alertmanager", "--version", "prometheus-alertmanager"),
        };
        output(Command::new(program).arg(question)).is_none().then_some(package)
    }

    /// Starts it afresh in a folder of its own, with events going to the rig's sink.
    pub fn start(self, root: &Path, herald: &Path, rig: &Rig, folder: &Path) -> Result<Running> {
        std::fs::create_dir_all(folder)?;
        match self {
            Self::Forward => {
                let to = rig.address.to_string();
                let mut command = rig.cores.command(&rig.load);
                let (program, address) = Program::start_with_address(command.args(["forward", "--to", &to]))?;
                Ok(Running { address, path: "/v1/events", event: event(root), program })
            }
            Self::Herald(kind) => {
                let channel = channel(kind, kind, rig, rig.address, "");
                host(root, herald, rig, folder, &channel).map(|(running, _)| running)
            }
            Self::Nginx => listening("/", event(root), |address| {
                let config = folder.join("nginx.conf");
                std::fs::write(&config, nginx(address, rig.address, rig.connections))?;
                let mut command = rig.cores.command(Path::new("nginx"));
                command.arg("-p").arg(folder).arg("-c").arg(config);
                Ok(command)
            }),
            Self::Alertmanager => listening("/api/v2/alerts", root.join("tests/load/alert.json"), |address| {
                let config = folder.join("alertmanager.yml");
                std::fs::write(&config, alertmanager(rig.address))?;
                let mut command = rig.cores.command(Path::new("prometheus-alertmanager"));
                command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.path={}", folder.join("data").display()));
                Ok(command)
            }),
        }
    }
}

/// What everybody is posted.
pub fn event(root: &Path) -> PathBuf {
    root.join("tests/load/event.json")
}

/// A host with these channels, on a store in that folder; and how long it took to be ready.
pub fn host(root: &Path, herald: &Path, rig: &Rig, folder: &Path, channels: &str) -> Result<(Running, Duration)> {
    // Compiled once for all: a warm cache is the usual one.
    let cache = folder.parent().unwrap_or(folder).join("cache");
    let config = format!(
        "[outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\
         [store]\npath = \"{}\"\n[adapters]\ncache = \"{}\"\n{channels}",
        store(folder).display(),
        cache.display()
    );
    let host = Host::start(rig.cores.command(herald), folder, &config)?;
    let (address, ready_after) = (host.address, host.ready_after);
    Ok((Running { address, path: "/v1/events", event: event(root), program: host.into_program() }, ready_after))
}

/// Where its store is: not beside the config, whose folder it watches.
pub fn store(folder: &Path) -> PathBuf {
    folder.join("store/herald.db")
}

/// A channel that takes events of these types, or all, with room for all that the generator has on its way.
pub fn channel(name: &str, kind: &str, rig: &Rig, to: SocketAddr, events: &str) -> String {
    let connections = rig.connections;
    let settings = match kind {
        "slack" => format!("webhook_url = \"http://{to}/services/T0000/B0000/XXXXXXXXXXXXXXXXXXXXXXXX\""),
        _ => format!("url = \"http://{to}/\"\nsigning_secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]"),
    };
    let events = if events.is_empty() { "*" } else { events };
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"{kind}\"\nconcurrency = {connections}\n[channel.settings]\n{settings}\n\
         [[route]]\nevents = [\"{events}\"]\nchannel = \"{name}\"\n"
    )
}

/// A plain proxy that keeps its connections, as the others do.
fn nginx(address: SocketAddr, sink: SocketAddr, connections: usize) -> String {
    format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid nginx.pid;\nerror_log error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  client_body_temp_path body;\n  proxy_temp_path proxy;\n  \
           fastcgi_temp_path fastcgi;\n  uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n  \
           upstream sink {{ server {sink}; keepalive {connections}; keepalive_requests 1000000000; }}\n  \
           server {{\n    listen {address};\n    location / {{\n      proxy_pass http://sink;\n      \
             proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n  }}\n}}\n"
    )
}

/// Every alert is a group of its own, sent at once.
fn alertmanager(sink: SocketAddr) -> String {
    format!(
        "route:\n  receiver: sink\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1h\n  repeat_interval: 24h\n\
         receivers:\n  - name: sink\n    webhook_configs:\n      - url: http://{sink}/\n        send_resolved: false\n"
    )
}

/// A program that is told where to listen.
fn listening(
    path: &'static str,
    event: PathBuf,
    command: impl FnOnce(SocketAddr) -> Result<Command>,
) -> Result<Running> {
    let address = free_address()?;
    let mut command = command(address)?;
    let mut program = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let begun = now();
    while TcpStream::connect(address).is_err() {
        if program.has_ended()? || begun.elapsed() > DEADLINE {
            bail!("`{}` does not listen", crate::process::shown(&command));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Running { address, path, event, program })
}

impl Running {
    /// Ends it.
    pub fn stop(self) -> Result<()> {
        self.program.stop().context("a contestant")
    }
}
