//! What is wrong with a config, said so that a person can put it right: where, what, and what to do next.
//!
//! Must never be handed a setting's value: any value may be a secret. Names (of settings, channels and environment
//! variables) are fine.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which setting: `server.listen`, `channel.team-ml-alerts.settings.webhook_url`, `route[1].channel` (the second
    /// route); empty when it is the file itself.
    pub key: String,
    /// Where it is set: `herald.toml:12`, `environment HERALD_SERVER__LISTEN` or `flag --listen`.
    pub place: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place or a hint.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), place: None, message: message.into(), hint: None }
    }

    /// The same at a place.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same at a place, where one is known.
    pub fn at_some(mut self, place: Option<String>) -> Self {
        self.place = place;
        self
    }

    /// The same with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Files first, by name and line; then the places that are no files; then what has no place.
    fn order(&self) -> (u8, &str, u32, &str) {
        let Some(place) = self.place.as_deref() else {
            return (2, "", 0, &self.key);
        };
        let line = place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
        match line {
            Some((file, line)) => (0, file, line, &self.key),
            None => (1, place, 0, &self.key),
        }
    }
}

impl fmt::Display for Problem {
    /// One line: `herald.toml:12: server.lsten: there is no such setting (did you mean `listen`?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        // A message from a library may have several lines.
        for (number, line) in self.message.lines().enumerate() {
            write!(f, "{}{line}", if number == 0 { "" } else { "; " })?;
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All that is wrong, in the order of the places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Puts them in order.
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        Self(problems)
    }

    /// In the order of the places.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bare list.
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

/// The known names, the most similar first.
pub(super) fn by_likeness<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known: Vec<_> = known.into_iter().map(|other| (distance(name, other), other)).collect();
    known.sort_unstable();
    known.into_iter().map(|(_, other)| other).collect()
}

/// ``did you mean `listen`?`` where a known name is so near that it may be what was meant.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let nearest = *by_likeness(name, known).first()?;
    let tolerated = (nearest.chars().count() / 3).max(1);
    (distance(name, nearest) <= tolerated).then(|| format!("did you mean `{nearest}`?"))
}

fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    strsim::osa_distance(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    fn at(place: &str) -> Problem {
        Problem::new("k", "m").at(place)
    }

    #[test]
    fn problems_are_sorted_by_line_and_printed_one_a_line() {
        let problems = Problems::new(vec![
            Problem::new("z", "no place"),
            at("flag --listen"),
            at("herald.toml:12"),
            at("herald.toml:9").hint("h"),
        ]);
        assert_eq!(
            problems.to_string(),
            "herald.toml:9: k: m (h)\nherald.toml:12: k: m\nflag --listen: k: m\nz: no place"
        );
        let several = Problem::new("", "one\ntwo");
        assert_eq!(several.to_string(), "one; two");
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let known = ["listen", "log", "log_format", "grace"];
        assert_eq!(did_you_mean("lsten", known).unwrap(), "did you mean `listen`?");
        assert_eq!(did_you_mean("log-format", known).unwrap(), "did you mean `log_format`?");
        assert_eq!(did_you_mean("Listen", known).unwrap(), "did you mean `listen`?");
        assert_eq!(did_you_mean("colour", known), None);
    }
}
