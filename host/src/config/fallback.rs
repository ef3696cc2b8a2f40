//! Channels that take over from others: each of them exists, and no chain of them comes back to its beginning.
//!
//! Must not know when a fallback is used.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    entry::Entry,
    problems::Problem,
    raw::{Node, Value},
};

/// A channel's name, if it has one, and its table.
pub(super) type Named<'a> = (Option<String>, Entry<'a>);

/// Channels by name: the table of each, and its fallback.
type Links<'a> = BTreeMap<&'a str, (&'a Entry<'a>, &'a str)>;

/// Gives the channels that are a fallback; what is wrong with the fallbacks becomes problems.
pub(super) fn check(
    channels: &[Named<'_>],
    names: &BTreeMap<String, &Node>,
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    let (mut links, mut reached) = (Links::new(), BTreeSet::new());
    for (name, entry) in channels {
        let Some((node, fallback)) = of(entry) else {
            continue;
        };
        let name = name.as_deref();
        if name == Some(fallback) {
            let problem = node.problem(entry.path_of(KEY), "a channel can't be its own fallback");
            problems.push(problem.hint("name another channel, or leave `fallback` out"));
        } else if names.contains_key(fallback) {
            reached.insert(fallback.to_owned());
            // Of two channels of one name, which is a problem of its own, the first counts.
            if let Some(name) = name {
                links.entry(name).or_insert((entry, fallback));
            }
        } else {
            let others = names.keys().map(String::as_str).filter(|other| Some(*other) != name);
            problems.push(entry.no_channel(KEY, fallback, others));
        }
    }
    let mut seen = BTreeSet::new();
    let starts = channels.iter().filter_map(|(name, _)| name.as_deref());
    problems.extend(starts.filter_map(|start| comes_back(start, &links, &mut seen)));
    reached
}

const KEY: &str = "fallback";

/// What stands there, where it is a text: another value is dealt with where the channel is read.
fn of<'a>(entry: &Entry<'a>) -> Option<(&'a Node, &'a str)> {
    let node = entry.table.get(KEY)?;
    match &node.value {
        Value::Text(text) if !text.trim().is_empty() => Some((node, text)),
        _ => None,
    }
}

/// Follows the fallbacks from a channel as far as they are new; a circle that is found is a problem, once.
fn comes_back<'a>(start: &'a str, links: &Links<'a>, seen: &mut BTreeSet<&'a str>) -> Option<Problem> {
    let (mut path, mut at) = (Vec::new(), start);
    while seen.insert(at) {
        path.push(at);
        at = links.get(at)?.1;
    }
    // Not on this path: it was followed to its end before.
    let begin = path.iter().position(|name| *name == at)?;
    let circle: Vec<_> = path.iter().skip(begin).chain([&at]).map(|name| format!("`{name}`")).collect();
    let (entry, _) = links.get(at)?;
    let message = format!("the fallbacks come back to where they began: {}", circle.join(", "));
    let node = entry.table.get(KEY).unwrap_or(entry.node);
    Some(node.problem(entry.path_of(KEY), message).hint("take one of these fallbacks away"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use std::fmt::Write;

    use crate::config::tests::Case;

    /// Channels with their fallbacks, four lines each, and a route to the first.
    fn with_fallbacks(channels: &[(&str, &str)]) -> Case {
        let mut text = String::new();
        for (name, fallback) in channels {
            let fallback = if fallback.is_empty() { String::new() } else { format!("fallback = {fallback}") };
            writeln!(text, "[[channel]]\nname = \"{name}\"\nadapter = \"x\"\n{fallback}").unwrap();
        }
        Case::new(format!("{text}[[route]]\nchannel = \"{}\"", channels[0].0))
    }

    #[test]
    fn a_channel_that_is_a_fallback_needs_no_route() {
        let case = with_fallbacks(&[("a", "\"c\""), ("b", "\"c\""), ("c", "\"d\""), ("d", "")]);
        let config = case.config();
        let fallbacks: Vec<_> = config.channels.iter().map(|channel| channel.fallback.as_deref()).collect();
        assert_eq!(fallbacks, [Some("c"), Some("c"), Some("d"), None]);
        let warnings = case.lines(&config.warnings);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("herald.toml:5: channel.b: no route leads to this channel"), "{warnings:?}");
    }

    #[test]
    fn a_fallback_is_another_channel_that_exists() {
        let case = with_fallbacks(&[
            ("team-ml", "\"team-mail\""),
            ("team-mails", "\"team-mails\""),
            ("c", "3"),
            ("d", "\"\""),
        ]);
        assert_eq!(
            case.problems(),
            [
                "herald.toml:4: channel.team-ml.fallback: there is no channel `team-mail` \
                 (did you mean `team-mails`? known: `team-mails`, `c`, `d`)",
                "herald.toml:8: channel.team-mails.fallback: a channel can't be its own fallback \
                 (name another channel, or leave `fallback` out)",
                "herald.toml:12: channel.c.fallback: must be text, not a whole number",
                "herald.toml:16: channel.d.fallback: is empty (give it a value)",
            ]
        );
        let alone = with_fallbacks(&[("a", "\"b\"")]).problems();
        assert_eq!(
            alone,
            ["herald.toml:4: channel.a.fallback: there is no channel `b` (there is no other: add a [[channel]])"]
        );
    }

    #[test]
    fn a_chain_of_fallbacks_that_comes_back_is_one_problem() {
        let case = with_fallbacks(&[
            ("to-it", "\"b\""),
            ("a", "\"b\""),
            ("b", "\"c\""),
            ("c", "\"a\""),
            ("x", "\"y\""),
            ("y", "\"x\""),
        ]);
        assert_eq!(
            case.problems(),
            [
                "herald.toml:12: channel.b.fallback: the fallbacks come back to where they began: `b`, `c`, `a`, `b` \
                 (take one of these fallbacks away)",
                "herald.toml:20: channel.x.fallback: the fallbacks come back to where they began: `x`, `y`, `x` \
                 (take one of these fallbacks away)",
            ]
        );
    }
}
