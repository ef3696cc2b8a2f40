//! `herald jobs list`, `show` and `stop`.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    args::{Common, Jobs},
    output::{self, harmless, text, time},
    remote::{Remote, segment},
};

pub(super) fn run(common: &Common, command: &Jobs) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(common)?;
    let answer = match command {
        Jobs::List => remote.get("/v1/jobs")?,
        Jobs::Show { id } => remote.get(&format!("/v1/jobs/{}", segment(id)))?,
        Jobs::Stop { id } => remote.post(&format!("/v1/jobs/{}/stop", segment(id)), "application/json", Vec::new())?,
    };
    match command {
        _ if common.json => output::json(&answer)?,
        Jobs::List => print_list(&answer)?,
        Jobs::Show { .. } | Jobs::Stop { .. } => print(answer.get("job").unwrap_or(&Value::Null))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_list(answer: &Value) -> anyhow::Result<()> {
    let jobs = answer.get("jobs").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = jobs
        .into_iter()
        .flatten()
        .map(|job| {
            vec![
                text(job, "/id"),
                time(job, "/created_at"),
                text(job, "/action"),
                state(job),
                text(job, "/changed"),
                selection(job),
            ]
        })
        .collect();
    output::table(&["ID", "BEGUN", "ACTION", "STATE", "CHANGED", "WHICH"], &rows)
}

fn print(job: &Value) -> anyhow::Result<()> {
    let mut lines = vec![
        format!("job       {}", text(job, "/id")),
        format!("action    {}", text(job, "/action")),
        format!("which     {}", selection(job)),
        format!("begun     {}", time(job, "/created_at")),
    ];
    let ended = time(job, "/ended_at");
    lines.push(if ended.is_empty() { format!("state     {}", state(job)) } else { format!("ended     {ended}") });
    let stopped = text(job, "/stopped");
    if !stopped.is_empty() {
        lines.push(format!("stopped   {stopped}"));
    }
    lines.push(format!("so far    {}", summary(job)));
    output::line(harmless(&lines.join("\n")))
}

/// `ended`, `42 %`
fn state(job: &Value) -> String {
    let number = |name: &str| job.get(name).and_then(Value::as_u64).unwrap_or_default();
    if job.get("ended_at").is_some_and(Value::is_u64) {
        return if job.get("stopped").is_some_and(Value::is_string) { "stopped" } else { "ended" }.to_owned();
    }
    let percent = number("looked_at").saturating_mul(100).checked_div(number("of"));
    format!("{} %", percent.unwrap_or_default())
}

/// `channel=a state=failed`
fn selection(job: &Value) -> String {
    let selection = job.get("selection").and_then(Value::as_object);
    let parts: Vec<String> = selection
        .into_iter()
        .flatten()
        .map(|(name, value)| match name.as_str() {
            "since" | "until" => format!("{name}={}", time(job, &format!("/selection/{name}"))),
            _ => format!("{name}={}", text(value, "")),
        })
        .collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(" ") }
}

/// `retried 12 deliveries`
pub(super) fn changed(job: &Value) -> String {
    let changed = text(job, "/changed");
    match job.get("action").and_then(Value::as_str) {
        Some("retry") => format!("retried {changed} deliveries"),
        Some("cancel") => format!("cancelled {changed} deliveries"),
        _ => format!("{changed} new deliveries"),
    }
}

/// `retried 12 deliveries, 2000 looked at`
pub(super) fn summary(job: &Value) -> String {
    let what = if text(job, "/action") == "replay" { "events looked at" } else { "looked at" };
    format!("{}, {} {what}", changed(job), text(job, "/looked_at"))
}
