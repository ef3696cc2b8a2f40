//! The tables, and what was to be reached.

use std::fmt;

use serde::Serialize;

use super::contestant::Contestant;
use super::figures::Pass;
use super::machine::Machine;
use crate::measure::Finding;

/// All that was measured. What was left out is not there.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Of the event that was posted, without head.
    pub event_bytes: u64,
    /// Of which the medians are.
    pub rounds: usize,
    /// Of a pass.
    pub seconds: u64,
    /// Events a second in the passes at a rate.
    pub rate: u64,
    /// Of the generator.
    pub connections: usize,
    /// How Herald was built.
    pub profile: String,
    /// A line each.
    pub contestants: Vec<Line>,
    /// Herald and the ceiling, bound to so many cores together with generator and sink.
    pub on_cores: Vec<OnCores>,
    /// Other things, in words.
    pub notes: Vec<String>,
    /// What was to be reached.
    pub targets: Vec<Target>,
}

/// What a contestant came to.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Who.
    pub contestant: Contestant,
    /// As fast as it answers.
    pub fastest: Pass,
    /// At a rate, of Herald and the ceiling.
    pub paced: Option<Pass>,
}

/// What a contestant came to on some cores.
#[derive(Debug, Serialize)]
pub struct OnCores {
    /// Who.
    pub contestant: Contestant,
    /// How many.
    pub cores: usize,
    /// As fast as it answers.
    pub fastest: Pass,
}

/// Something that was to be reached.
#[derive(Debug, Serialize)]
pub struct Target {
    /// What it is, and the limit.
    pub what: String,
    /// What it came to.
    pub found: String,
    /// Whether that is within.
    pub met: bool,
}

impl Target {
    /// A figure that may be so large, below or equal.
    pub fn at_most(what: &str, limit: f64, found: f64, unit: &str) -> Self {
        Self { what: format!("{what}: at most {limit}{unit}"), found: format!("{found:.1}{unit}"), met: found <= limit }
    }

    /// A figure that has to be so large.
    pub fn at_least(what: &str, limit: f64, found: f64) -> Self {
        Self { what: format!("{what}: at least {limit}"), found: format!("{found:.2}"), met: found >= limit }
    }
}

impl Report {
    /// Of a contestant, as fast as it answers.
    pub fn fastest(&self, contestant: Contestant) -> Option<&Pass> {
        self.contestants.iter().find(|line| line.contestant == contestant).map(|line| &line.fastest)
    }

    /// What each contestant delivered, and the targets.
    pub fn findings(&self) -> Vec<Finding> {
        let delivered = |line: &Line| {
            let Pass { delivered, cpu_us, .. } = &line.fastest;
            let found = format!("{delivered:.0} delivered/s at {} us CPU an event", figure(*cpu_us));
            Finding { what: line.contestant.name().to_owned(), found }
        };
        let target = |target: &Target| {
            let met = if target.met { "met" } else { "NOT MET" };
            Finding { what: target.what.clone(), found: format!("{} ({met})", target.found) }
        };
        self.contestants.iter().map(delivered).chain(self.targets.iter().map(target)).collect()
    }

    fn ratio(&self, pass: &Pass) -> Option<f64> {
        Some(pass.delivered / self.fastest(Contestant::Forward)?.delivered)
    }

    /// Of what was measured on cores: how many times as much on two as on one.
    pub fn scaling(&self, contestant: Contestant) -> Option<f64> {
        let on = |cores| {
            let mut all = self.on_cores.iter().filter(|line| line.contestant == contestant);
            all.find(|line| line.cores == cores).map(|line| line.fastest.delivered)
        };
        Some(on(2)? / on(1)?)
    }
}

/// Cells in columns: the first to the left, the others to the right, with a line below the head, as in Markdown.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.chars().count())).max().unwrap_or(0)
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:width$}", width = width(column)),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = (0..head.len()).map(|column| match column {
        0 => "-".repeat(width(column)),
        _ => "-".repeat(width(column).saturating_sub(1)) + ":",
    });
    let mut text = line(&mut head.iter().copied()) + &format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A wait, in microseconds or milliseconds.
fn wait(micros: f64) -> String {
    if micros < 1000.0 { format!("{micros:.0} us") } else { format!("{:.1} ms", micros / 1000.0) }
}

const WAITS: [&str; 4] = ["accept p50", "p99", "receive p50", "p99"];

fn waits(pass: &Pass) -> [String; 4] {
    [pass.accept.p50, pass.accept.p99, pass.receive.p50, pass.receive.p99].map(wait)
}

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        let Self { event_bytes, rounds, seconds, rate, connections, profile, .. } = self;
        writeln!(
            f,
            "an event of {event_bytes} bytes, {connections} connections; medians of {rounds} rounds of {seconds} s each; Herald built with the profile {profile}\n"
        )?;
        writeln!(f, "As fast as it answers; CPU in us an event:\n{}", self.fastest_table())?;
        writeln!(f, "At {rate} events a second:\n{}", self.paced_table())?;
        if self.contestants.iter().any(|line| matches!(line.contestant, Contestant::Herald(_))) {
            writeln!(f, "Herald's threads, us an event, as fast as it answers:\n{}", self.threads_table())?;
        }
        if !self.on_cores.is_empty() {
            writeln!(f, "Generator, sink and contestant bound to some cores:\n{}", self.cores_table())?;
        }
        for note in &self.notes {
            writeln!(f, "- {note}")?;
        }
        if self.targets.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self.targets.iter().map(Target::row).collect();
        write!(f, "\n{}", table(&["target", "found", ""], &rows))
    }
}

impl Target {
    fn row(&self) -> Vec<String> {
        vec![self.what.clone(), self.found.clone(), if self.met { "met" } else { "NOT MET" }.to_owned()]
    }
}

impl Report {
    fn fastest_table(&self) -> String {
        let row = |line: &Line| {
            let pass = &line.fastest;
            let ratio = self.ratio(pass).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let mut row = vec![line.contestant.name().to_owned(), format!("{:.0}", pass.accepted)];
            row.extend([format!("{:.0}", pass.delivered), ratio, figure(pass.cpu_us)]);
            row.extend(waits(pass));
            row.push(format!("{:.0} MiB", pass.peak_mib));
            row.extend([pass.generator_us, pass.sink_us].map(figure));
            row.push(format!("{:.0}", pass.connections));
            row.push(format!("{:.0} %", pass.others));
            row
        };
        let mut head = vec!["", "accepted/s", "delivered/s", "ratio", "CPU"];
        head.extend(WAITS);
        head.extend(["RSS", "generator", "sink", "connections", "others"]);
        table(&head, &self.contestants.iter().map(row).collect::<Vec<_>>())
    }

    fn paced_table(&self) -> String {
        let row = |line: &Line| {
            let paced = line.paced.as_ref()?;
            let mut row = vec![line.contestant.name().to_owned(), figure(paced.cpu_us)];
            row.extend(waits(paced));
            Some(row)
        };
        let mut head = vec!["", "CPU"];
        head.extend(WAITS);
        table(&head, &self.contestants.iter().filter_map(row).collect::<Vec<_>>())
    }

    fn threads_table(&self) -> String {
        let herald: Vec<_> =
            self.contestants.iter().filter(|line| matches!(line.contestant, Contestant::Herald(_))).collect();
        let mut names: Vec<_> = herald.iter().flat_map(|line| line.fastest.threads_us.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let rows: Vec<_> = names
            .iter()
            .map(|name| {
                let used = herald.iter().map(|line| line.fastest.threads_us.get(*name).copied().unwrap_or(0.0));
                std::iter::once((*name).clone()).chain(used.map(figure)).collect()
            })
            .collect();
        let head: Vec<_> = std::iter::once("").chain(herald.iter().map(|line| line.contestant.name())).collect();
        table(&head, &rows)
    }

    fn cores_table(&self) -> String {
        let rows: Vec<_> = self
            .on_cores
            .iter()
            .map(|line| {
                let OnCores { contestant, cores, fastest } = line;
                vec![
                    contestant.name().to_owned(),
                    cores.to_string(),
                    format!("{:.0}", fastest.delivered),
                    figure(fastest.cpu_us),
                ]
            })
            .collect();
        table(&["", "cores", "delivered/s", "CPU"], &rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_in_columns() {
        let rows = [vec!["herald".to_owned(), "1".to_owned()], vec!["µ".to_owned(), "12345".to_owned()]];
        let expected = "|        |     n |\n| ------ | ----: |\n| herald |     1 |\n| µ      | 12345 |\n";
        assert_eq!(table(&["", "n"], &rows), expected);
    }

    #[test]
    fn a_limit_itself_is_within() {
        assert!(Target::at_most("x", 1.0, 1.0, "").met && Target::at_least("x", 1.0, 1.0).met);
        assert!(!Target::at_most("x", 1.0, 1.1, "").met && !Target::at_least("x", 1.0, 0.9).met);
    }

    #[test]
    fn waits_are_said_in_the_unit_that_fits() {
        assert_eq!([wait(12.3), wait(999.0), wait(1234.0)], ["12 us", "999 us", "1.2 ms"]);
    }
}
