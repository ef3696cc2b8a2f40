//! How often a channel is sent to, and when it is tried again: `rate` and `burst`, `schedule` or `exponential`.
//!
//! Must not know what `[delivery]` says: [`super::Channel::policy`] puts the two together.

use std::{num::NonZeroU32, time::Duration};

use super::{
    entry::Entry,
    problems::Problem,
    raw::{Node, Value, check_keys},
    schema::DELAY,
    value::{Checked, count, duration, list, number, show_duration, wrong, wrong_type},
};
use crate::model::{Rate, exponential};

/// The units of a rate, in seconds.
const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];
const MOST_A_SECOND: u64 = 1_000_000;

const GROWING_KEYS: &[&str] = &["first", "factor", "longest", "retries"];
/// What `longest` is where it isn't set.
const LONGEST: Duration = Duration::from_hours(12);

/// `rate` and `burst`; none: no limit.
pub(super) fn rate(entry: &Entry<'_>, problems: &mut Vec<Problem>) -> Option<Rate> {
    let every = entry.read("rate", interval, problems);
    let burst = entry.read_or("burst", 1, count(1..=10_000), problems);
    if let Some(node) = entry.table.get("burst")
        && !entry.table.contains_key("rate")
    {
        let problem = node.problem(entry.path_of("burst"), "does nothing without `rate`");
        problems.push(problem.hint("add `rate = \"30/min\"` for example, or take `burst` away"));
    }
    Some(Rate { every: every?, burst: NonZeroU32::new(burst?)? })
}

/// Of `30/min`, the time between two attempts.
fn interval(node: &Node) -> Checked<Duration> {
    const HINT: &str = "write a whole number and a time: \"5/s\", \"30/min\", \"100/h\", \"1000/d\"";
    let Value::Text(text) = &node.value else {
        return wrong_type(node, "a rate such as \"30/min\"");
    };
    let Some((number, unit)) = text.split_once('/') else {
        return wrong(node, "is not a rate", HINT);
    };
    let (number, unit) = (number.trim(), unit.trim());
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(node, "is not a rate", HINT);
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return wrong(node, "is a rate with an unknown unit of time", "write s, min, h or d: \"30/min\"");
    };
    // What has more digits than 64 bits hold is too much in any unit.
    let number = number.parse().unwrap_or(u64::MAX);
    if !(1..=MOST_A_SECOND * seconds).contains(&number) {
        return wrong(node, "must lie between 1/d and 1000000/s", "leave it out for no limit");
    }
    Ok(Duration::from_nanos(seconds * 1_000_000_000 / number))
}

/// `schedule` or `exponential`; none: as `[delivery]` says.
pub(super) fn schedule(entry: &Entry<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Duration>> {
    let listed = entry.read("schedule", list(duration(DELAY.0..=DELAY.1)), problems);
    let Some(node) = entry.table.get("exponential") else {
        return listed;
    };
    let path = entry.path_of("exponential");
    if let Some(other) = entry.table.get("schedule") {
        let message = format!("this channel has a `schedule` too, at {}", other.place);
        problems.push(node.problem(path.as_str(), message).hint("keep one of the two"));
    }
    let table = node.table(&path, problems)?;
    check_keys(table, &path, GROWING_KEYS, problems);
    growing(&Entry { node, table, path }, problems)
}

fn growing(entry: &Entry<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Duration>> {
    // Nothing would ever grow from 0.
    let delay = || duration(Duration::from_millis(1)..=DELAY.1);
    let first = entry.demand("first", delay(), problems);
    let factor = entry.read_or("factor", 2.0, number(1.0..=10.0), problems);
    let longest = entry.read_or("longest", LONGEST, delay(), problems);
    let retries = entry.read_or("retries", 10, count(1..=1000), problems);
    let (first, longest) = (first?, longest?);
    if first > longest {
        let node = entry.table.get("first").unwrap_or(entry.node);
        let hint = match entry.table.get("longest") {
            Some(other) => format!("`longest` stands at {}", other.place),
            None => format!("add `longest`: without it, it is {}", show_duration(&LONGEST)),
        };
        problems.push(node.problem(entry.path_of("first"), "is longer than `longest`").hint(hint));
    }
    Some(exponential(first, factor?, longest, retries?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::{
        Channel,
        tests::{SECRET, with_channel},
        value::tests::read,
    };

    fn channel(keys: &str) -> Channel {
        with_channel(keys).config().channels.remove(0)
    }

    /// What is wrong with the channel, without the beginning that all lines have.
    fn problems(keys: &str) -> Vec<String> {
        let lines = with_channel(keys).problems();
        lines.iter().map(|line| line.strip_prefix("herald.toml:").unwrap().replace("channel.c.", "")).collect()
    }

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        let interval = |toml: &str| read(&format!("{toml:?}"), interval);
        for (text, nanos) in [
            ("1/s", 1_000_000_000),
            ("30/min", 2_000_000_000),
            ("7 / min", 8_571_428_571),
            ("100/h", 36_000_000_000),
            ("1/d", 86_400_000_000_000),
            ("1000000/s", 1000),
            ("86400000000/d", 1000),
        ] {
            assert_eq!(interval(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for none in ["", "30", "/min", "x/min", "1.5/s", "-1/s", "+1/s", "1 000/s", "s3cret"] {
            let hint = "write a whole number and a time: \"5/s\", \"30/min\", \"100/h\", \"1000/d\"";
            assert_eq!(interval(none).unwrap_err(), format!("here: is not a rate ({hint})"), "{none}");
        }
        for unit in ["30/", "30/m", "30/minute", "1/s/s", "1/S", "1/s3cret"] {
            let wanted = "here: is a rate with an unknown unit of time (write s, min, h or d: \"30/min\")";
            assert_eq!(interval(unit).unwrap_err(), wanted, "{unit}");
        }
        for out in ["0/min", "1000001/s", "60000001/min", "99999999999999999999999/d"] {
            let wanted = "here: must lie between 1/d and 1000000/s (leave it out for no limit)";
            assert_eq!(interval(out).unwrap_err(), wanted, "{out}");
        }
    }

    #[test]
    fn a_channels_rate_has_a_burst_of_one_or_more() {
        assert_eq!(channel("").rate, None);
        let rate = channel("rate = \"30/min\"").rate.unwrap();
        assert_eq!((rate.every, rate.burst.get()), (Duration::from_secs(2), 1));
        let rate = channel("rate = \"1/s\"\nburst = 10000").rate.unwrap();
        assert_eq!((rate.every, rate.burst.get()), (Duration::from_secs(1), 10_000));
        assert_eq!(problems("rate = 30"), ["4: rate: must be a rate such as \"30/min\", not a whole number"]);
        for burst in ["0", "-1", "10001", "5000000000"] {
            let keys = format!("rate = \"1/s\"\nburst = {burst}");
            assert_eq!(problems(&keys), ["5: burst: must lie between 1 and 10000"]);
        }
        let alone = "burst: does nothing without `rate` (add `rate = \"30/min\"` for example, or take `burst` away)";
        assert_eq!(problems("burst = 5"), [format!("4: {alone}")]);
    }

    #[test]
    fn a_channels_schedule_is_a_list_or_grows_by_a_factor() {
        let seconds = |list: &[u64]| Some(list.iter().copied().map(Duration::from_secs).collect::<Vec<_>>());
        assert_eq!(channel("").schedule, None);
        assert_eq!(channel("schedule = []").schedule, Some(Vec::new()));
        assert_eq!(channel("schedule = [\"1s\", \"2m\"]").schedule, seconds(&[1, 120]));
        let short = channel("exponential = { first = \"5s\", factor = 3, longest = \"1m\", retries = 4 }");
        assert_eq!(short.schedule, seconds(&[5, 15, 45, 60]));
        let bare = channel("exponential = { first = \"5s\" }").schedule.unwrap();
        assert_eq!((bare.len(), bare[9]), (10, Duration::from_secs(5 << 9)), "ten retries, each twice as late");
        let long = channel("exponential = { first = \"1h\", retries = 1000 }").schedule.unwrap();
        assert_eq!((long.len(), long[999]), (1000, LONGEST));
    }

    #[test]
    fn a_schedule_that_is_wrong_says_where() {
        assert_eq!(
            problems("schedule = [\"1s\", \"31d\"]\nexponential = { first = \"1s\" }"),
            [
                "4: schedule[1]: must lie between 0s and 30d",
                "5: exponential: this channel has a `schedule` too, at herald.toml:4 (keep one of the two)",
            ]
        );
        assert_eq!(
            problems(&format!("[channel.exponential]\nfactr = \"{SECRET}\"\nfactor = 0.5\nretries = 0\nlongest = 3")),
            [
                "4: exponential.first: is missing (add `first = \"…\"`)",
                "5: exponential.factr: there is no such setting (did you mean `factor`?)",
                "6: exponential.factor: must lie between 1 and 10",
                "7: exponential.retries: must lie between 1 and 1000",
                "8: exponential.longest: must be a length of time such as \"30s\", not a whole number",
            ]
        );
        assert_eq!(problems("exponential = 2"), ["4: exponential: must be a table, not a whole number"]);
        assert_eq!(
            problems("exponential = { first = \"0s\" }"),
            ["4: exponential.first: must lie between 1ms and 30d"]
        );
        assert_eq!(
            problems("exponential = { first = \"13h\" }"),
            ["4: exponential.first: is longer than `longest` (add `longest`: without it, it is 12h)"]
        );
        assert_eq!(
            problems("exponential = { first = \"2s\", longest = \"1s\" }"),
            ["4: exponential.first: is longer than `longest` (`longest` stands at herald.toml:4)"]
        );
    }
}
