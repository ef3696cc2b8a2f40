//! Where it was measured, and with what.

use std::fmt;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::measure::target;
use crate::process::output;

/// A machine, and the versions of what runs on it.
#[derive(Debug, Serialize)]
pub struct Machine {
    cpu: String,
    /// How many.
    pub cores: usize,
    memory_gib: u64,
    kernel: String,
    /// Where the stores are.
    file_system: String,
    rustc: String,
    commit: String,
    nginx: Option<String>,
    alertmanager: Option<String>,
}

impl Machine {
    /// This one.
    pub fn here(root: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
        let said = |program: &str, arguments: &[&str]| output(Command::new(program).current_dir(root).args(arguments));
        let folder = target().unwrap_or_default();
        let found = output(Command::new("findmnt").args(["--noheadings", "--output=FSTYPE", "--target"]).arg(&folder));
        let changed =
            said("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|all| !all.is_empty());
        let commit = said("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(unknown);
        // It says its version to standard error.
        let nginx = Command::new("nginx").arg("-v").output().ok();
        let nginx = nginx.map(|output| String::from_utf8_lossy(&output.stderr).trim().replace("nginx version: ", ""));
        let alertmanager = said("prometheus-alertmanager", &["--version"]);
        let alertmanager = alertmanager.and_then(|said| Some(said.split(" (").next()?.replace(", version", "")));
        Self {
            cpu: cpu.map_or_else(unknown, |(_, name)| name.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_gib: memory.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20,
            kernel: read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown()).trim().to_owned(),
            file_system: found.unwrap_or_else(unknown),
            rustc: said("rustc", &["--version"]).unwrap_or_else(unknown),
            commit: if changed { format!("{commit} and changes") } else { commit },
            nginx,
            alertmanager,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, file_system, rustc, commit, .. } = self;
        writeln!(f, "{cpu}, {cores} cores, {memory_gib} GiB; Linux {kernel}; stores on {file_system}")?;
        write!(f, "Herald {commit}; {rustc}")?;
        for other in [&self.nginx, &self.alertmanager].into_iter().flatten() {
            write!(f, "; {other}")?;
        }
        Ok(())
    }
}
