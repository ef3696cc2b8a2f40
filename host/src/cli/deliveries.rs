//! `herald deliveries list`, `show`, `retry` and `cancel`.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    args::{Common, Deliveries},
    bulk::{self, Query},
    output::{self, harmless, line, micros, text, time},
    remote::{Remote, segment},
};

pub(super) fn run(common: &Common, command: &Deliveries) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(common)?;
    match command {
        Deliveries::List { channel, state, reason, which, event, before, limit } => {
            let query = Query::new()
                .and("channel", channel.as_ref())
                .and("state", state.as_ref())
                .and("reason", reason.as_ref())
                .which(which)
                .and("event", event.as_ref())
                .and("before", before.as_ref())
                .and("limit", Some(&limit.to_string()));
            show(common, &remote.get(&query.on("/v1/deliveries"))?, print_list)
        }
        Deliveries::Show { id, before, limit } => {
            let query = Query::new()
                .and("before", before.as_ref().map(ToString::to_string).as_ref())
                .and("limit", Some(&limit.to_string()));
            show(common, &remote.get(&query.on(&format!("/v1/deliveries/{}", segment(id))))?, print)
        }
        Deliveries::Retry(retry) if !retry.ids.is_empty() => each(common, &remote, "retry", &retry.ids),
        Deliveries::Cancel(cancel) if !cancel.ids.is_empty() => each(common, &remote, "cancel", &cancel.ids),
        Deliveries::Retry(retry) => {
            let query = Query::new()
                .and("channel", retry.channel.as_ref())
                .and("state", retry.state.as_ref())
                .and("reason", retry.reason.as_ref())
                .which(&retry.which)
                .bulk(&retry.bulk);
            bulk::run(common, &remote, &query.on("/v1/deliveries/retry"), &retry.bulk)
        }
        Deliveries::Cancel(cancel) => {
            let query = Query::new().and("channel", cancel.channel.as_ref()).which(&cancel.which).bulk(&cancel.bulk);
            bulk::run(common, &remote, &query.on("/v1/deliveries/cancel"), &cancel.bulk)
        }
    }
}

fn show(common: &Common, answer: &Value, print: fn(&Value) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    if common.json {
        output::json(answer)?;
    } else {
        print(answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One after the other. Those that it can't be done with are told, and the others are done.
fn each(common: &Common, remote: &Remote, action: &str, ids: &[String]) -> anyhow::Result<ExitCode> {
    let (mut done, mut all) = (Vec::new(), true);
    for id in ids {
        match remote.order(&format!("/v1/deliveries/{}/{action}", segment(id))) {
            Ok(mut shown) if common.json => done.extend(shown.get_mut("delivery").map(Value::take)),
            Ok(shown) => {
                let waits = match text(&shown, "/waits") {
                    why if why.is_empty() => String::new(),
                    why => format!("; it waits: {why}"),
                };
                let now = if action == "retry" { "is due now" } else { "is cancelled" };
                line(harmless(&format!("{id} {now}{waits}")))?;
            }
            Err(error) => {
                output::error(harmless(&format!("error: {error:#}")));
                all = false;
            }
        }
    }
    if common.json {
        output::json(&serde_json::json!({ "deliveries": done }))?;
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    output::table(&["ID", "ACCEPTED", "CHANNEL", "TYPE", "STATE", "ATTEMPTS", "LAST REASON"], &rows)?;
    let next = text(answer, "/next");
    if !next.is_empty() {
        output::error(format_args!("there may be more: --before {next}"));
    }
    Ok(())
}

/// `failed (rejected)`, `pending`
fn state(delivery: &Value) -> String {
    match text(delivery, "/reason") {
        reason if reason.is_empty() => text(delivery, "/state"),
        reason => format!("{} ({reason})", text(delivery, "/state")),
    }
}

/// A delivery and what was tried for it.
pub(super) fn print(detail: &Value) -> anyhow::Result<()> {
    let at = |pointer: &str| text(detail, pointer);
    line(harmless(&format!(
        "delivery  {}\nchannel   {}\nevent     {} {}\ntitle     {}\naccepted  {}\nstate     {}\nattempts  {}",
        at("/delivery/id"),
        at("/delivery/channel"),
        at("/event/type"),
        at("/event/id"),
        at("/event/title"),
        time(detail, "/delivery/created_at"),
        state(detail.get("delivery").unwrap_or(&Value::Null)),
        at("/delivery/attempts"),
    )))?;
    if at("/delivery/state") == "pending" {
        let due = time(detail, "/delivery/due_at");
        if !due.is_empty() {
            line(format!("due       {due}"))?;
        }
        let waits = at("/waits");
        if !waits.is_empty() {
            line(format!("waits     {waits}"))?;
        }
    }
    let attempts = detail.get("attempts").and_then(Value::as_array);
    for attempt in attempts.into_iter().flatten() {
        print_attempt(attempt)?;
    }
    let next = at("/next");
    if !next.is_empty() {
        output::error(format_args!("there are earlier attempts: --before {next}"));
    }
    Ok(())
}

fn print_attempt(attempt: &Value) -> anyhow::Result<()> {
    line(harmless(&format!(
        "\nattempt {} at {}: {}, took {}, by {} {}",
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
