//! What processes use of the machine, as Linux tells it in `/proc`. Elsewhere all figures are nothing.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::time::Duration;

/// Linux counts in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of a process so far; `self` is this one.
pub fn used(process: &str) -> Duration {
    let stat = read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| TICK * ticks)
}

/// User and system time: the 14th and the 15th field. The second is a name in brackets, which may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(times.next()?.parse::<u32>().ok()? + times.next()?.parse::<u32>().ok()?)
}

/// What all processes have used so far, of all processors.
pub fn used_by_all() -> Duration {
    busy(&read_to_string("/proc/stat").unwrap_or_default())
}

/// All but the fourth and the fifth, which are idle: user, nice, system, idle, waiting, interrupts (2), other machines.
fn busy(stat: &str) -> Duration {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let busy = fields.enumerate().filter(|(index, _)| ![3, 4].contains(index));
    TICK * busy.filter_map(|(_, field)| field.parse::<u32>().ok()).sum()
}

/// A process and its children.
pub fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    for other in read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = other.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = read_to_string(other.path().join("stat")).unwrap_or_default();
        if parent(&stat) == Some(process) {
            family.push(id);
        }
    }
    family
}

fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The processor time of the threads of a process so far, by their names.
pub fn threads(process: u32) -> BTreeMap<String, Duration> {
    let mut threads = BTreeMap::new();
    for thread in read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| read_to_string(thread.path().join(name)).unwrap_or_default();
        let used = read("schedstat").split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
        *threads.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(used);
    }
    threads
}

/// The memory of a process in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At the most so far.
    pub peak: u64,
}

impl Memory {
    /// Of the process.
    pub fn of(process: u32) -> Self {
        Self::read(&read_to_string(format!("/proc/{process}/status")).unwrap_or_default())
    }

    fn read(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "12 (a) b (c)) S 7 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 100 1 1";
        assert_eq!((ticks(stat), parent(stat)), (Some(300), Some(7)));
        assert_eq!((ticks("12 (a) S 1"), parent("")), (None, None));
    }

    #[test]
    fn idle_processors_are_not_used() {
        assert_eq!(busy("cpu  1 2 4 1000 1000 8 16 32 64 64\ncpu0 9 9 9"), TICK * 63);
        assert_eq!(busy(""), Duration::ZERO);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\therald\nVmPeak:\t  99999 kB\nVmHWM:\t   40960 kB\nVmRSS:\t   30720 kB\n";
        assert_eq!(Memory::read(status), Memory { resident: 30720, peak: 40960 });
        assert_eq!(Memory::read(""), Memory::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found() {
        let id = std::process::id();
        assert!(family(id).contains(&id));
        assert!(Memory::of(id).peak > 0);
        assert!(!threads(id).is_empty());
    }
}
