//! Bulk work from the command line: begun in the host, which does it whatever becomes of the command, and watched here.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{
    args::{Bulk, Common, Which},
    jobs, output,
    remote::Remote,
};
use crate::clock::{self, Stopwatch};

/// Between two looks: short at first, as most of it is done at once.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How long a host may be away: one that is started again goes on with the work.
const PATIENCE: Duration = Duration::from_mins(1);
/// One look does not take longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of a request.
pub(super) struct Query(url::form_urlencoded::Serializer<'static, String>);

impl Query {
    pub fn new() -> Self {
        Self(url::form_urlencoded::Serializer::new(String::new()))
    }

    pub fn and(mut self, name: &str, value: Option<&String>) -> Self {
        if let Some(value) = value {
            self.0.append_pair(name, value);
        }
        self
    }

    pub fn which(self, which: &Which) -> Self {
        let Which { kind, project, since, until } = which;
        self.and("type", kind.as_ref())
            .and("project", project.as_ref())
            .and("since", since.as_ref())
            .and("until", until.as_ref())
    }

    pub fn bulk(mut self, bulk: &Bulk) -> Self {
        if bulk.all {
            self.0.append_pair("all", "true");
        }
        self
    }

    /// The path with the parameters.
    pub fn on(mut self, path: &str) -> String {
        match self.0.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

/// Has it begun and, unless it is to be left alone, waits for its end.
pub(super) fn run(common: &Common, remote: &Remote, path: &str, bulk: &Bulk) -> anyhow::Result<ExitCode> {
    let job = remote.order(path)?;
    if bulk.detach {
        if common.json {
            output::json(&job)?;
        } else {
            let id = output::text(&job, "/job/id");
            output::line(format!("{id} has begun; `herald jobs show {id}` tells how far it is"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(job) = watch(common, remote, &job)? else {
        return Ok(ExitCode::FAILURE);
    };
    if common.json {
        output::json(&job)?;
    } else {
        output::line(jobs::summary(job.get("job").unwrap_or(&Value::Null)))?;
    }
    let stopped = output::text(&job, "/job/stopped");
    if stopped.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    output::error(format_args!("it was stopped before its end: {stopped}"));
    Ok(ExitCode::FAILURE)
}

/// The job when it has ended; none when somebody does not want to wait so long.
fn watch(common: &Common, remote: &Remote, job: &Value) -> anyhow::Result<Option<Value>> {
    let id = output::text(job, "/job/id");
    output::error(format_args!("{id} has begun; the host goes on with it whatever happens here"));
    let bar = bar(common, job);
    let ended = remote.block_on(async {
        tokio::select! {
            ended = until_ended(remote, &id, &bar) => Some(ended),
            () = interrupted() => None,
        }
    });
    bar.finish_and_clear();
    let still = || output::error(format_args!("{id} goes on in the host; `herald jobs show {id}` tells how far it is"));
    match ended {
        Some(ended) => ended.map(Some).inspect_err(|_| still()),
        None => {
            still();
            Ok(None)
        }
    }
}

/// Shown to people only.
fn bar(common: &Common, job: &Value) -> ProgressBar {
    let hidden = common.json || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(number(job, "of")), target);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} left: {msg}");
    // The template is ours: with the usual one it works as well.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message("begun");
    bar
}

fn number(job: &Value, name: &str) -> u64 {
    job.pointer(&format!("/job/{name}")).and_then(Value::as_u64).unwrap_or_default()
}

async fn until_ended(remote: &Remote, id: &str, bar: &ProgressBar) -> anyhow::Result<Value> {
    let path = format!("/v1/jobs/{id}");
    let (mut look, mut answered) = (LOOK.0, Stopwatch::start());
    loop {
        match tokio::time::timeout(TIMEOUT, remote.ask(&path)).await {
            Ok(Ok(job)) => {
                bar.set_position(number(&job, "looked_at"));
                bar.set_message(jobs::changed(job.get("job").unwrap_or(&Value::Null)));
                if job.pointer("/job/ended_at").is_some_and(Value::is_u64) {
                    return Ok(job);
                }
                answered = Stopwatch::start();
            }
            Ok(Err(no)) if !no.may_pass || answered.elapsed() > PATIENCE => return Err(no.error),
            Ok(Err(_)) => bar.set_message("the host does not answer; trying again"),
            Err(_) if answered.elapsed() > PATIENCE => anyhow::bail!("the host does not answer any more"),
            Err(_) => {}
        }
        clock::pause(look).await;
        look = look.saturating_mul(2).min(LOOK.1);
    }
}

/// Returns at Ctrl-C; where that can't be known, never.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
