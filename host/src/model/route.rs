//! Which events go to which channel.

use std::fmt;

use super::Event;

/// Events of some types, perhaps of one project, go to a channel.
#[derive(Debug, Clone)]
pub struct Route {
    /// Any of them is enough.
    pub events: Vec<Pattern>,
    /// Only events of this project.
    pub project: Option<String>,
    /// The channel's name.
    pub channel: String,
}

impl Route {
    /// Whether the event goes this way.
    pub fn matches(&self, event: &Event) -> bool {
        let project = self.project.as_ref().is_none_or(|wanted| event.project.as_ref() == Some(wanted));
        project && self.events.iter().any(|pattern| pattern.matches(event.kind.as_str()))
    }
}

/// An event type in which `*` stands for any characters, none included.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// What it begins with: all of it when there is no `*`.
    start: String,
    /// What stands after each `*`.
    rest: Vec<String>,
}

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        let mut parts = text.split('*').map(str::to_owned);
        let start = parts.next().unwrap_or_default();
        let mut rest: Vec<String> = parts.collect();
        // `**` means what `*` does.
        let last = rest.pop();
        rest.retain(|part| !part.is_empty());
        rest.extend(last);
        Self { start, rest }
    }

    fn matches(&self, kind: &str) -> bool {
        let Some((last, inner)) = self.rest.split_last() else { return kind == self.start };
        let inside = kind.strip_prefix(self.start.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        // What comes first is as good as what comes later: more is left for the others.
        inside
            .and_then(|inside| inner.iter().try_fold(inside, |left, part| Some(left.split_once(part.as_str())?.1)))
            .is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        self.rest.iter().try_for_each(|part| write!(f, "*{part}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wildmatch::WildMatchPattern;

    use super::*;

    #[test]
    fn only_a_star_is_special_in_a_pattern() {
        for (pattern, kind, matches) in [
            ("execution_completed", "execution_completed", true),
            ("execution_completed", "execution_completed2", false),
            ("*_failed", "deployment_failed", true),
            ("*_failed", "_failed", true),
            ("execution_*", "execution_completed", true),
            ("*", "anything", true),
            ("a*b*c", "a-b-c", true),
            ("a?c", "abc", false),
            ("a?c", "a?c", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(kind), matches, "{pattern} {kind}");
        }
    }
    proptest! {
        #[test]
        fn it_matches_as_a_glob_does(pattern in "[ab*é?]{0,8}", kind in "[abé?]{0,8}") {
            let known = WildMatchPattern::<'*', '\0'>::new(&pattern);
            prop_assert_eq!(Pattern::new(&pattern).matches(&kind), known.matches(&kind));
            prop_assert_eq!(Pattern::new(&pattern).to_string(), known.to_string());
        }
    }
}
