//! The settings outside channels and routes, each one declared once: its name, its type and how it is read.
//!
//! Must not hold a default: those stand in `herald.default.toml`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use minisign_verify::PublicKey;
use serde::Serialize;
use url::Url;

use super::{
    adapters::{self, AdapterLimits},
    layers::Layers,
    net::{address, host, ip, mode, network, web_url},
    problems::Problem,
    proxy::proxy,
    server_tls::{self, TlsFiles},
    size::{limit, size},
    value::{choice, count, duration, list, log_filter, number, optional, path, truth},
};
use crate::model::{Breaker, Isolation, Policy, Proxy};

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

const fn s(number: u64) -> Duration {
    Duration::from_secs(number)
}

const fn days(number: u64) -> Duration {
    s(number * 24 * 60 * 60)
}

const MONTH: Duration = days(30);
const YEAR: Duration = days(365);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Makes, of each section: a struct, its place in [`SCHEMA`], and its part of [`Sections::read`].
macro_rules! sections {
    ($($(#[$doc:meta])* $section:ident: $name:ident {
        $($(#[$about:meta])* $key:ident: $type:ty = $parse:expr;)*
    })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$about])* pub $key: $type,)*
        })*

        /// The sections and their keys.
        pub(super) const SCHEMA: &[(&str, &[&str])] = &[$((stringify!($section), &[$(stringify!($key)),*])),*];

        /// All that stands in sections.
        pub(super) struct Sections {
            $(pub $section: $name,)*
        }

        impl Sections {
            /// `None` when a setting is wrong; all that are wrong become problems.
            pub fn read(layers: &Layers<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
                $(let $section = {
                    $(let $key = layers.read(stringify!($section), stringify!($key), $parse, problems);)*
                    (|| Some($name { $($key: $key?,)* }))()
                };)*
                Some(Self { $($section: $section?,)* })
            }
        }
    };
}

sections! {
    /// The API, the log and the stop. Units and reasons: `herald.default.toml`.
    server: Server {
        /// Where the API listens by TCP; none: nowhere.
        listen: Option<SocketAddr> = optional(address);
        /// The Unix socket where it listens, too.
        socket: Option<PathBuf> = optional(path);
        /// That file's permissions.
        socket_mode: u32 = mode;
        /// Listens beyond this machine without tokens.
        insecure: bool = truth;
        /// Names of this host beside localhost, written as [`Url::host_str`] gives them.
        allowed_hosts: Vec<String> = list(host);
        /// Events are taken that no signature proves.
        unsigned_events: bool = truth;
        /// The API's certificate and key; none: it speaks plain HTTP.
        tls: Option<TlsFiles> = server_tls::files;
        /// What relative event URLs are resolved against.
        app_url: Option<Url> = optional(web_url);
        /// The largest body of a request, in bytes.
        max_body: usize = size(KIB..=GIB);
        /// How many connections there may be at the same time.
        max_connections: usize = count(8..=1_000_000);
        /// How many requests may be under way at the same time.
        max_requests: usize = count(1..=1_000_000);
        /// How long a client may take for the head of a request, and as long again for its body.
        request_timeout: Duration = duration(ms(100)..=s(3600));
        /// A filter as `tracing` has them; known to be one.
        log: String = log_filter;
        /// How a line of the log looks.
        log_format: LogFormat = choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        /// The process may leave a core dump, and debuggers may look into it.
        core_dumps: bool = truth;
        /// How long in-flight deliveries get at a stop.
        grace: Duration = duration(ms(0)..=s(3600));
    }

    /// Where events and deliveries are kept.
    store: Store {
        /// The database file.
        path: PathBuf = path;
        /// How long a delivery that has ended is kept.
        keep: Duration = duration(s(1)..=days(3650));
        /// How many bytes the database may have until ended deliveries go earlier, the oldest first; 0: no limit.
        max_size: u64 = limit(MIB..=256 * TIB);
    }

    /// Where adapters are, and what a call of one may use.
    adapters: Adapters {
        /// The adapters folder; none: only the built-in ones.
        folder: Option<PathBuf> = optional(path);
        /// Where compiled adapters are kept.
        cache: PathBuf = |node| optional(path)(node).map(Option::unwrap_or_default);
        /// The longest that a call may take.
        call_timeout: Duration = duration(CALL);
        /// The most memory that a call may use, in bytes.
        memory: usize = size(MEMORY);
        /// How many calls at the same time; 0: as many as there are cores.
        threads: usize = count(0..=56);
        /// The most bytes that a call may hand to the host.
        transfer: usize = size(TRANSFER);
        /// The most elements of tables that a call may have.
        table_elements: usize = count(ELEMENTS);
        /// The most bytes of stack that a call may use.
        stack: usize = size(64 * KIB..=MIB);
        /// The most lines that a call may log.
        log_lines: u32 = count(LINES);
        /// The most bytes of such a line that are kept.
        log_line: usize = size(LINE);
        /// The most bytes of a file that is loaded.
        max_file: usize = size(FILE);
        /// The most functions of a file that is loaded.
        max_functions: usize = count(FUNCTIONS);
        /// What the calls of an adapter share.
        isolation: Isolation = choice(Isolation::NAMES);
        /// The digests that adapters must have, by name.
        require: BTreeMap<String, String> = adapters::digests;
        /// Who must have signed files of adapters; nobody: whoever puts them there need not be known.
        signed_by: Vec<PublicKey> = list(adapters::key);
        /// What single adapters may use instead, by name.
        limits: BTreeMap<String, AdapterLimits> = adapters::limits;
    }

    /// Where requests may go.
    outbound: Outbound {
        /// Hosts that plain http may go to, written as [`Url::host_str`] gives them.
        allow_http: Vec<String> = list(host);
        /// Addresses that are not public and may be reached all the same.
        allow_addresses: Vec<IpNet> = list(network);
        /// Where connections come from; none: whichever address the machine takes.
        bind: Option<IpAddr> = optional(ip);
        /// Through whom they are made; none: straight.
        proxy: Option<Proxy> = proxy;
    }

    /// How deliveries are tried, and tried again.
    delivery: Delivery {
        /// The longest that an exchange may take.
        timeout: Duration = duration(TIMEOUT.0..=TIMEOUT.1);
        /// The wait after the first, second, … attempt that did not succeed.
        schedule: Vec<Duration> = list(duration(DELAY.0..=DELAY.1));
        /// The part of a wait that is left to chance.
        jitter: f64 = number(0.0..=1.0);
        /// The longest wait that a service may ask for.
        longest_wait: Duration = duration(s(1)..=MONTH);
        /// A delivery that is older is not tried again; none: however old it is.
        max_age: Option<Duration> = optional(duration(AGE.0..=AGE.1));
        /// How many deliveries of one channel at the same time.
        concurrency: usize = count(CONCURRENCY.0..=CONCURRENCY.1);
        /// So many failures of the receiver in a row, and its channel waits; 0: it never does.
        breaker_failures: u32 = count(0..=10_000);
        /// So many attempts in a row in which the adapter hit a limit, and the channel waits; 0: it never does.
        breaker_limit_hits: u32 = count(0..=10_000);
        /// How long it waits before one delivery probes.
        breaker_wait: Duration = duration(s(1)..=days(1));
        /// The wait doubles with each probe that fails, up to this.
        breaker_longest_wait: Duration = duration(s(1)..=days(1));
        /// A channel that has failed for so long is disabled; none: it never is for that.
        disable_after: Option<Duration> = optional(duration(s(1)..=YEAR));
    }
}

/// The least and the most of what a call of an adapter may use, and of what its file may be; a single adapter's limits
/// have the same.
pub(super) const CALL: RangeInclusive<Duration> = ms(10)..=s(60);
pub(super) const MEMORY: RangeInclusive<u64> = MIB..=GIB;
pub(super) const TRANSFER: RangeInclusive<u64> = 64 * KIB..=GIB;
pub(super) const ELEMENTS: RangeInclusive<usize> = 1000..=10_000_000;
pub(super) const LINES: RangeInclusive<u32> = 0..=100_000;
pub(super) const LINE: RangeInclusive<u64> = 80..=MIB;
pub(super) const FILE: RangeInclusive<u64> = KIB..=256 * MIB;
pub(super) const FUNCTIONS: RangeInclusive<usize> = 100..=1_000_000;
/// The least and the most of a timeout; a channel's own has the same.
pub(super) const TIMEOUT: (Duration, Duration) = (s(1), s(300));
/// The least and the most of a channel's concurrency.
pub(super) const CONCURRENCY: (usize, usize) = (1, 1024);
/// The least and the most of a delay between attempts.
pub(super) const DELAY: (Duration, Duration) = (ms(0), MONTH);
/// The least and the most of the age at which a delivery is given up.
pub(super) const AGE: (Duration, Duration) = (s(1), YEAR);

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Delivery {
    /// When the attempts of a delivery follow one another; a channel may have its own: [`super::Channel::policy`].
    pub fn policy(&self) -> Policy {
        Policy {
            schedule: self.schedule.clone(),
            jitter: self.jitter,
            longest_wait: self.longest_wait,
            max_age: self.max_age,
        }
    }

    /// When a channel waits because its receiver fails, and when it is given up.
    pub fn breaker(&self) -> Breaker {
        Breaker {
            failures: self.breaker_failures,
            limit_hits: self.breaker_limit_hits,
            wait: self.breaker_wait,
            longest_wait: self.breaker_longest_wait,
            disable_after: self.disable_after,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use crate::config::tests::Case;

    #[test]
    fn what_an_engine_setting_refuses_is_said_with_its_range() {
        let case = Case::new(
            r#"[store]
keep = "3651d"
max_size = 10
[delivery]
max_age = "0s"
breaker_failures = 10001
breaker_wait = "0s"
breaker_longest_wait = "25h"
disable_after = "366d"
[[channel]]
name = "c"
adapter = "x"
ordered = "yes"
max_age = "366d"
[[route]]
channel = "c"
"#,
        );
        assert_eq!(
            case.problems(),
            [
                "herald.toml:2: store.keep: must lie between 1s and 3650d",
                "herald.toml:3: store.max_size: must lie between 1 MiB and 256 TiB (0 stands for no limit)",
                "herald.toml:5: delivery.max_age: must lie between 1s and 365d",
                "herald.toml:6: delivery.breaker_failures: must lie between 0 and 10000",
                "herald.toml:7: delivery.breaker_wait: must lie between 1s and 1d",
                "herald.toml:8: delivery.breaker_longest_wait: must lie between 1s and 1d",
                "herald.toml:9: delivery.disable_after: must lie between 1s and 365d",
                "herald.toml:13: channel.c.ordered: must be true or false, not text",
                "herald.toml:14: channel.c.max_age: must lie between 1s and 365d",
            ]
        );
        let none =
            Case::new("[store]\nmax_size = 0\n[delivery]\nmax_age = \"\"\nbreaker_failures = 0\ndisable_after = \"\"");
        let config = none.config();
        assert_eq!((config.store.max_size, config.delivery.breaker().failures), (0, 0));
        assert_eq!((config.delivery.max_age, config.delivery.breaker().disable_after), (None, None));
        let outside = Case::new("").env(&[("HERALD_STORE__MAX_SIZE", "0"), ("HERALD_DELIVERY__DISABLE_AFTER", "")]);
        let config = outside.config();
        assert_eq!((config.store.max_size, config.delivery.disable_after), (0, None));
    }
}
