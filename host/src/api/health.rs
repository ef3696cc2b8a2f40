//! `/healthz`, `/readyz` and `/metrics`: for balancers, supervisors and Prometheus.

use std::fmt::Write;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{Face, Host, access::MayRead};
use crate::pipeline::Pipeline;

/// 200 as long as the process runs. What is wrong with the config file as it stands is said to who may read: problems
/// name files and channels.
pub(super) async fn healthz(State(face): State<Face>, MayRead(may_read): MayRead) -> Json<Value> {
    let problems = face.0.reload.load_full();
    let applied = problems.is_empty();
    let config =
        if may_read { json!({ "applied": applied, "problems": *problems }) } else { json!({ "applied": applied }) };
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "config": config }))
}

/// 200 when events are accepted, else 503; why not in words is said to who may read.
pub(super) async fn readyz(State(face): State<Face>, MayRead(may_read): MayRead) -> (StatusCode, Json<Value>) {
    let status = match face.get() {
        _ if face.is_stopping() => json!({ "status": "stopping" }),
        Err(_) => json!({ "status": "starting" }),
        Ok(ready) => match ready.pipeline.store().trouble() {
            Some(reason) if may_read => json!({ "status": "store_unavailable", "reason": reason }),
            Some(_) => json!({ "status": "store_unavailable" }),
            None => return (StatusCode::OK, Json(json!({ "status": "ready" }))),
        },
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(status))
}

/// Samples of a metric: labels, which are escaped when they are written, and a value.
type Samples = Vec<(Vec<(&'static str, String)>, u64)>;

/// The text format of Prometheus, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Samples) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.into_iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(&value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(super) async fn metrics(State(face): State<Face>, Host(pipeline): Host) -> impl IntoResponse {
    let mut text = Text::default();
    counters(&mut text, &pipeline);
    let refused = face.0.refusals.all().into_iter();
    let refused = refused.map(|(source, check, count)| (vec![("source", source), ("check", check.to_owned())], count));
    let help = "Posts of a source that were refused since the start, by what was wrong.";
    text.family("herald_source_refused_total", "counter", help, refused.collect());
    let store = pipeline.store();
    let writable = u64::from(store.trouble().is_none());
    text.family("herald_store_writable", "gauge", "0 while events are refused.", vec![(vec![], writable)]);
    // A store that can't be read is told of above, and takes nothing else away.
    if let Ok(counts) = store.counts().await {
        let counts = counts.into_iter().map(|count| {
            let labels = vec![("channel", count.channel), ("state", count.state.to_string())];
            (labels, count.count)
        });
        text.family("herald_deliveries", "gauge", "Deliveries in the store.", counts.collect());
    }
    channels(&mut text, &pipeline);
    adapters(&mut text, &pipeline);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.0)
}

fn counters(text: &mut Text, pipeline: &Pipeline) {
    let totals = pipeline.totals();
    text.family(
        "herald_events_accepted_total",
        "counter",
        "Events accepted since the start, doubles not counted.",
        vec![(vec![], totals.accepted())],
    );
    let attempts = totals.attempts().map(|(outcome, count)| (vec![("outcome", outcome.to_string())], count));
    text.family("herald_attempts_total", "counter", "Attempts since the start.", attempts.into());
}

fn channels(text: &mut Text, pipeline: &Pipeline) {
    let plan = pipeline.plan();
    let each = |holds: &dyn Fn(&str) -> bool| -> Samples {
        plan.channels.keys().map(|name| (vec![("channel", name.clone())], u64::from(holds(name)))).collect()
    };
    let disabled = |name: &str| pipeline.channel_state(name).is_some_and(|state| state.disabled.is_some());
    text.family(
        "herald_channel_disabled",
        "gauge",
        "1 when the channel delivers nothing until somebody enables it.",
        each(&disabled),
    );
    let waiting = |name: &str| pipeline.waits(name).is_some();
    text.family(
        "herald_channel_waiting",
        "gauge",
        "1 when the channel's deliveries wait, whatever for: its receiver, its adapter, somebody who enables it.",
        each(&waiting),
    );
}

fn adapters(text: &mut Text, pipeline: &Pipeline) {
    let published = pipeline.registry().published();
    let adapters = published.adapters.values().map(|adapter| {
        let labels = vec![("adapter", adapter.id.name.clone()), ("digest", adapter.id.digest.clone())];
        (labels, u64::from(adapter.grows_memory()))
    });
    text.family(
        "herald_adapter_grows_memory",
        "gauge",
        "Loaded adapters; 1 when calls have grown the guest's memory, which costs speed.",
        adapters.collect(),
    );
    let refused = published.refused.iter().map(|(name, refused)| {
        let labels = vec![("adapter", name.clone()), ("step", refused.error.step.to_string())];
        (labels, 1)
    });
    text.family("herald_adapter_refused", "gauge", "Files in the adapters folder that are refused.", refused.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_not_break_out_of_its_line() {
        let mut text = Text::default();
        text.family("m", "gauge", "Help.", vec![(vec![("a", "x\"y\\z\n#".to_owned()), ("b", "1".to_owned())], 7)]);
        assert_eq!(text.0, "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n#\",b=\"1\"} 7\n");
    }
}
