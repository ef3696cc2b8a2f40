//! Which events go to which channel.

use std::fmt;

use wildmatch::WildMatchPattern;

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
pub struct Pattern(WildMatchPattern<'*', '\0'>);

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        // `?` is an ordinary character here: only `*` is special in a route.
        Self(WildMatchPattern::new(text))
    }

    fn matches(&self, kind: &str) -> bool {
        self.0.matches(kind)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
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
}
