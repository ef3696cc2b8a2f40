//! What others see of the process: no core dump, no memory, and as many open files as the machine allows. Linux only, as it is
//! read from /proc.

use std::{fs, os::unix::process::ExitStatusExt, process::Command};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::harness::{
    Setup,
    process::{Program, Running},
};

/// The soft and the hard limit of a process, as the kernel writes them.
fn limit(host: &Running, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {limits}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

/// Whether it leaves a core dump when it crashes, where the limit of their size would let it.
async fn dumps(mut host: Running) -> bool {
    // Its memory is hidden when it listens to signals.
    host.signal(Signal::HUP);
    host.logged("the config has been read again").await;
    let id = Pid::from_raw(i32::try_from(host.id()).unwrap());
    let most = getrlimit(Resource::Core).maximum;
    let some = most.map_or(1 << 20, |most| most.min(1 << 20));
    prlimit(id, Resource::Core, Rlimit { current: Some(some), maximum: most }).unwrap();
    host.signal(Signal::ABORT);
    host.status().await.core_dumped()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core_dump_unless_the_operator_wants_one() {
    let setup = Setup::new("");
    let host = Program::new(setup.folder.path()).serve(&[]).await;
    assert_eq!(limit(&host, "Max core file size")[0], "0");
    assert!(!dumps(host).await, "a core dump was left, or handed to who collects them");
    // Not every machine has them at all.
    let crash = "ulimit -c 2048 && kill -ABRT $$";
    let machine = Command::new("sh").args(["-c", crash]).current_dir(setup.folder.path()).status().unwrap();
    let host = Program::new(setup.folder.path()).variable("HERALD_SERVER__CORE_DUMPS", "true").serve(&[]).await;
    assert_eq!(dumps(host).await, machine.core_dumped());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_open_as_many_files_as_the_machine_lets_it() {
    let setup = Setup::new("");
    // The lower limit alone is lowered, as it is by default on most machines.
    let host = Program::new(setup.folder.path()).soft_files(256).serve(&[]).await;
    let [soft, hard] = limit(&host, "Max open files");
    assert!(soft == hard && soft != "256", "{soft} of {hard}");
    host.stop().await;
}
