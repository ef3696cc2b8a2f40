//! `/healthz`, `/readyz` and `/metrics`: for balancers, supervisors and Prometheus.

use std::fmt::Write;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{Face, Host, error::ApiError};

/// 200 as long as the process runs; what is wrong with the config file as it stands is said here.
pub(super) async fn healthz(State(face): State<Face>) -> Json<Value> {
    let problems = face.0.reload.load_full();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "config": { "applied": problems.is_empty(), "problems": *problems },
    }))
}

/// 200 when events are accepted, else 503.
pub(super) async fn readyz(State(face): State<Face>) -> (StatusCode, Json<Value>) {
    let status = match face.get() {
        _ if face.is_stopping() => "stopping",
        Err(_) => "starting",
        Ok(_) => return (StatusCode::OK, Json(json!({ "status": "ready" }))),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": status })))
}

/// The text format of Prometheus, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
pub(super) async fn metrics(Host(pipeline): Host) -> Result<impl IntoResponse, ApiError> {
    let published = pipeline.registry().published();
    let totals = pipeline.totals();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    family(
        "herald_events_accepted_total",
        "counter",
        "Events accepted since the start, doubles not counted.",
        &[(String::new(), totals.accepted())],
    );
    let attempts = totals.attempts().map(|(outcome, count)| (format!("{{outcome=\"{outcome}\"}}"), count));
    family("herald_attempts_total", "counter", "Attempts since the start.", &attempts);
    let counts: Vec<_> = pipeline
        .store()
        .counts()
        .await?
        .into_iter()
        .map(|count| (format!("{{channel=\"{}\",state=\"{}\"}}", count.channel, count.state), count.count))
        .collect();
    family("herald_deliveries", "gauge", "Deliveries in the store.", &counts);
    let adapters: Vec<_> = published
        .adapters
        .values()
        .map(|adapter| {
            let labels = format!("{{adapter=\"{}\",digest=\"{}\"}}", adapter.id.name, adapter.id.digest);
            (labels, u64::from(adapter.grows_memory()))
        })
        .collect();
    family(
        "herald_adapter_grows_memory",
        "gauge",
        "Loaded adapters; 1 when calls have grown the guest's memory, which costs speed.",
        &adapters,
    );
    let refused: Vec<_> = published
        .refused
        .iter()
        .map(|(name, refused)| (format!("{{adapter=\"{name}\",step=\"{}\"}}", refused.error.step), 1))
        .collect();
    family("herald_adapter_refused", "gauge", "Files in the adapters folder that are refused.", &refused);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
