//! What commands print: tables for people, JSON for programs. Text from events and receivers is made harmless first.

use std::io::{self, Write};

use serde_json::Value;

/// One JSON document.
pub(super) fn json(value: &Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Lines of text.
pub(super) fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.as_ref())?;
    Ok(())
}

/// To standard error; where that is closed, nobody wants to know.
pub(super) fn error(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Columns as wide as they need to be, the last one as long as it is.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = lines().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = io::stdout().lock();
    for row in lines() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", harmless(cell))).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Control characters, which a terminal would obey, become visible.
pub(super) fn harmless(text: &str) -> String {
    let moves = |c: char| c.is_control() && c != '\n' && c != '\t' || is_bidirectional(c);
    text.chars().map(|c| if moves(c) { '\u{fffd}' } else { c }).collect()
}

/// Makes what follows run the other way (Unicode Standard Annex 9), so that a text reads as what it is not.
pub(super) fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text member of a JSON object, in one line, as a line break in it could pass for a line of ours.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    harmless(&block(value, pointer)).replace(['\n', '\t'], " ")
}

/// A text member of a JSON object; empty where there is none.
pub(super) fn block(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `2026-11-23T10:15:00.123Z` of milliseconds since 1970.
pub(super) fn time(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default()
}

/// `1.234 ms` of microseconds.
pub(super) fn micros(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .map(|us| format!("{}.{:03} ms", us / 1000, us % 1000))
        .unwrap_or_default()
}

/// `head` closes the pipe when it has seen enough: no error.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        let json = cause.downcast_ref::<serde_json::Error>();
        io.map(io::Error::kind).or_else(|| json?.io_error_kind()) == Some(io::ErrorKind::BrokenPipe)
    })
}
