//! The settings outside channels and routes, each one declared once: its name, its type and how it is read.
//!
//! Must not hold a default: those stand in `herald.default.toml`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Serialize;
use url::Url;

use super::{
    layers::Layers,
    net::{address, host, network, web_url},
    problems::Problem,
    value::{choice, count, duration, list, log_filter, number, optional, path, size},
};
use crate::model::Policy;

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

const fn s(number: u64) -> Duration {
    Duration::from_secs(number)
}

const MONTH: Duration = s(30 * 24 * 60 * 60);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

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
        /// Where the API listens.
        listen: SocketAddr = address;
        /// What relative event URLs are resolved against.
        app_url: Option<Url> = optional(web_url);
        /// The largest body of a request, in bytes.
        max_body: usize = size(KIB..=GIB);
        /// A filter as `tracing` has them; known to be one.
        log: String = log_filter;
        /// How a line of the log looks.
        log_format: LogFormat = choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        /// How long in-flight deliveries get at a stop.
        grace: Duration = duration(ms(0)..=s(3600));
    }

    /// Where events and deliveries are kept.
    store: Store {
        /// The database file.
        path: PathBuf = path;
    }

    /// Where adapters are, and what a call of one may use.
    adapters: Adapters {
        /// The adapters folder; none: only the built-in ones.
        folder: Option<PathBuf> = optional(path);
        /// Where compiled adapters are kept.
        cache: PathBuf = |node| optional(path)(node).map(Option::unwrap_or_default);
        /// The longest that a call may take.
        call_timeout: Duration = duration(ms(10)..=s(60));
        /// The most memory that a call may use, in bytes.
        memory: usize = size(MIB..=GIB);
        /// How many calls at the same time; 0: as many as there are cores.
        threads: usize = count(0..=1024);
    }

    /// Where requests may go.
    outbound: Outbound {
        /// Hosts that plain http may go to, written as [`Url::host_str`] gives them.
        allow_http: Vec<String> = list(host);
        /// Addresses that are not public and may be reached all the same.
        allow_addresses: Vec<IpNet> = list(network);
    }

    /// How deliveries are tried, and tried again.
    delivery: Delivery {
        /// The longest that an exchange may take.
        timeout: Duration = duration(TIMEOUT.0..=TIMEOUT.1);
        /// The wait after the first, second, … attempt that did not succeed.
        schedule: Vec<Duration> = list(duration(ms(0)..=MONTH));
        /// The part of a wait that is left to chance.
        jitter: f64 = number(0.0..=1.0);
        /// The longest wait that a service may ask for.
        longest_wait: Duration = duration(s(1)..=MONTH);
        /// How many deliveries of one channel at the same time.
        concurrency: usize = count(CONCURRENCY.0..=CONCURRENCY.1);
    }
}

/// The least and the most of a timeout; a channel's own has the same.
pub(super) const TIMEOUT: (Duration, Duration) = (s(1), s(300));
/// The least and the most of a channel's concurrency.
pub(super) const CONCURRENCY: (usize, usize) = (1, 1024);

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
    /// When the attempts of a delivery follow one another.
    pub fn policy(&self) -> Policy {
        Policy { schedule: self.schedule.clone(), jitter: self.jitter, longest_wait: self.longest_wait, max_age: None }
    }
}
