//! `herald serve`.

use std::{process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    args::{Common, Serve},
    log, process,
};
use crate::{
    app::App,
    clock::Clock,
    config::{LogFormat, Problems},
};

pub(super) fn run(common: &Common, args: &Serve) -> anyhow::Result<ExitCode> {
    let origin = common.origin(flags(args)?)?;
    let config = origin.load()?;
    let json = config.server.log_format == LogFormat::Json;
    let _log = log::start(&config.server)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    process::open_many_files();
    let core_dumps = config.server.core_dumps;
    if !core_dumps {
        process::leave_no_core();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Registered before anything is bound: a signal during the start is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let app = tokio::select! {
            app = App::start(config, Some(origin), Clock::system()) => app?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        if !core_dumps {
            process::hide_memory();
        }
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => app.reload(),
            }
        }
        app.stop().await
    });
    // Nothing that still blocks may keep a host from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever reads a JSON log reads nothing else.
        Err(error) if json => {
            tracing::error!("{error:#}");
            Ok(if error.is::<Problems>() { ExitCode::from(2) } else { ExitCode::FAILURE })
        }
        Err(error) => Err(error),
    }
}

/// Flags are settings, too; their paths are relative to where the command is run.
fn flags(args: &Serve) -> anyhow::Result<Vec<(String, String)>> {
    let mut flags = Vec::new();
    if let Some(listen) = &args.listen {
        flags.push(("server.listen".to_owned(), listen.clone()));
    }
    if args.insecure {
        flags.push(("server.insecure".to_owned(), "true".to_owned()));
    }
    for (key, path) in [("store.path", &args.store), ("adapters.folder", &args.adapters)] {
        if let Some(path) = path {
            let path = std::path::absolute(path)?;
            flags.push((key.to_owned(), path.to_string_lossy().into_owned()));
        }
    }
    Ok(flags)
}
