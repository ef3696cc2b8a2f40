//! The log of `serve`: to standard error, as the config says, and quiet about what libraries tell.

use std::io::BufWriter;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Server};

/// Libraries that tell too much: what they sent, or that the log's own file has changed, which never ends.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,reqwest=info,rustls=info,notify=info,inotify=info,mio=info,\
                     wasmtime=info,cranelift=info,cranelift_codegen=info,wasmtime_internal_cranelift=info";

/// Lines that wait to be written. What comes while so many wait is lost: who reads the log, or does not, stops no delivery.
const WAITING: usize = 8192;

/// The log goes to standard error, by a thread of its own, until what is returned is dropped. The filter has been checked
/// with the config. A log that can't be written is lost: it must not stop a delivery.
pub(super) fn start(server: &Server) -> WorkerGuard {
    let lines = NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log");
    let (lines, guard) = lines.finish(BufWriter::new(std::io::stderr()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", server.log)))
        .log_internal_errors(false)
        .with_writer(lines);
    // A second call would be a defect of ours and harmless: the first log stays.
    let _ = match server.log_format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    guard
}
