//! The log of `serve`: to standard error, as the config says, and quiet about what libraries tell. And that of the
//! author's commands, which is what adapters log and what goes wrong.

mod lines;

use tracing_subscriber::EnvFilter;

pub(super) use lines::Guard;

use crate::config::{LogFormat, Server};

/// Libraries that tell too much: what they sent, or that the log's own file has changed, which never ends.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,reqwest=info,rustls=info,notify=info,inotify=info,mio=info,\
                     wasmtime=info,cranelift=info,cranelift_codegen=info,wasmtime_internal_cranelift=info";

/// The log goes to standard error until the guard is dropped. The filter has been checked with the config.
pub(super) fn start(server: &Server) -> std::io::Result<Guard> {
    let (lines, guard) = lines::start(std::io::stderr())?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", server.log)))
        .log_internal_errors(false)
        .with_writer(lines);
    // A second call would be a defect of ours and harmless: the first log stays.
    let _ = match server.log_format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(guard)
}

/// The lines of adapters and all warnings, as they come, to standard error.
pub(super) fn start_plain() {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn,adapter=debug"))
        .log_internal_errors(false)
        .without_time()
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    // A second call would be a defect of ours and harmless: the first log stays.
    let _ = log.try_init();
}
