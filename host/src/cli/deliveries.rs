//! `herald deliveries list` and `herald deliveries show`.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    args::{Common, Deliveries},
    output::{self, harmless, line, micros, text, time},
    remote::Remote,
};

pub(super) fn run(common: &Common, command: &Deliveries) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(common)?;
    let answer = match command {
        Deliveries::List { channel, state, event, before, limit } => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &limit.to_string());
            for (name, value) in [("channel", channel), ("state", state), ("event", event), ("before", before)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            remote.get(&format!("/v1/deliveries?{}", query.finish()))?
        }
        Deliveries::Show { id } => {
            let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
            remote.get(&format!("/v1/deliveries/{id}"))?
        }
    };
    match command {
        _ if common.json => output::json(&answer)?,
        Deliveries::List { .. } => print_list(&answer)?,
        Deliveries::Show { .. } => print(&answer)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A line a delivery.
pub(super) fn print_list(answer: &Value) -> anyhow::Result<()> {
    let deliveries = answer.get("deliveries").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = deliveries
        .into_iter()
        .flatten()
        .map(|delivery| {
            vec![
                text(delivery, "/id"),
                time(delivery, "/created_at"),
                text(delivery, "/channel"),
                text(delivery, "/type"),
                state(delivery),
                text(delivery, "/attempts"),
                text(delivery, "/last_attempt/reason"),
            ]
        })
        .collect();
    output::table(&["ID", "ACCEPTED", "CHANNEL", "TYPE", "STATE", "ATTEMPTS", "LAST REASON"], &rows)
}

/// `failed (rejected)`, `pending`
fn state(delivery: &Value) -> String {
    match text(delivery, "/reason") {
        reason if reason.is_empty() => text(delivery, "/state"),
        reason => format!("{} ({reason})", text(delivery, "/state")),
    }
}

/// A delivery and all that was tried for it.
pub(super) fn print(detail: &Value) -> anyhow::Result<()> {
    let at = |pointer: &str| text(detail, pointer);
    line(harmless(&format!(
        "delivery  {}\nchannel   {}\nevent     {} {}\ntitle     {}\naccepted  {}\nstate     {}",
        at("/delivery/id"),
        at("/delivery/channel"),
        at("/event/type"),
        at("/event/id"),
        at("/event/title"),
        time(detail, "/delivery/created_at"),
        state(detail.get("delivery").unwrap_or(&Value::Null)),
    )))?;
    if at("/delivery/state") == "pending" {
        line(format!("due       {}", time(detail, "/delivery/due_at")))?;
        let waits = at("/waits");
        if !waits.is_empty() {
            line(format!("waits     {waits}"))?;
        }
    }
    let attempts = detail.get("attempts").and_then(Value::as_array);
    for attempt in attempts.into_iter().flatten() {
        print_attempt(attempt)?;
    }
    Ok(())
}

fn print_attempt(attempt: &Value) -> anyhow::Result<()> {
    line(harmless(&format!(
        "\nattempt {} at {}: {} in {}, by {} {}",
        text(attempt, "/number"),
        time(attempt, "/started_at"),
        text(attempt, "/outcome"),
        micros(attempt, "/duration_us"),
        text(attempt, "/adapter/name"),
        text(attempt, "/adapter/version"),
    )))?;
    let reason = text(attempt, "/reason");
    if !reason.is_empty() {
        line(harmless(&format!("  {reason} (blame: {})", text(attempt, "/blame"))))?;
    }
    let exchanges = attempt.get("exchanges").and_then(Value::as_array);
    for exchange in exchanges.into_iter().flatten() {
        print_exchange(exchange)?;
    }
    Ok(())
}

fn print_exchange(exchange: &Value) -> anyhow::Result<()> {
    line(harmless(&format!("  > {} {}", text(exchange, "/request/method"), text(exchange, "/request/url"))))?;
    print_message(exchange, "/request", ">")?;
    match exchange.pointer("/error/1") {
        Some(Value::String(error)) => line(harmless(&format!("  ! {}: {error}", text(exchange, "/error/0"))))?,
        _ => {
            line(format!("  < {}", text(exchange, "/response/status")))?;
            print_message(exchange, "/response", "<")?;
        }
    }
    let mut times = Vec::new();
    for (name, pointer) in [("connect", "connect_us"), ("first byte", "first_byte_us"), ("total", "total_us")] {
        let value = micros(exchange, &format!("/timing/{pointer}"));
        if !value.is_empty() {
            times.push(format!("{name} {value}"));
        }
    }
    line(format!("  {}", times.join(", ")))
}

fn print_message(exchange: &Value, part: &str, mark: &str) -> anyhow::Result<()> {
    let headers = exchange.pointer(&format!("{part}/headers")).and_then(Value::as_array);
    for header in headers.into_iter().flatten() {
        line(harmless(&format!("  {mark} {}: {}", text(header, "/0"), text(header, "/1"))))?;
    }
    let body = output::block(exchange, &format!("{part}/body"));
    for row in body.lines() {
        line(harmless(&format!("  {mark}   {row}")))?;
    }
    Ok(())
}
