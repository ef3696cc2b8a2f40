//! Parameters of requests: which there are, what they mean, and which of them say what deliveries or events are meant.

use std::{collections::BTreeMap, convert::Infallible, str::FromStr, time::Duration};

use super::{Face, body::Unread, error::ApiError};
use crate::model::{FailReason, Millis, Selection, State, millis};

/// Longer than any type of an event.
const LONGEST_TYPE: usize = 1000;
/// What narrows a selection of deliveries, besides their state.
const NARROWING: &str = "channel, reason, type, project, since or until";

/// The parameters of a request. Who takes one takes it away.
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    twice: Option<String>,
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

/// A request that is told by its parameters: a body would not be read, and is refused.
pub(super) struct NoBody;

impl axum::extract::FromRequest<Face> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, face: &Face) -> Result<Self, ApiError> {
        match face.read(request.into_body(), 0).await {
            Ok(_) => Ok(Self),
            Err(slow @ Unread::TooSlow(_)) => Err(slow.into()),
            Err(_) => Err(ApiError::bad_query(
                "this request takes no body",
                "say what is meant by parameters of the URL: ?channel=NAME&since=2h",
            )),
        }
    }
}

impl Parameters {
    fn read(query: &str) -> Self {
        let (mut values, mut twice) = (BTreeMap::new(), None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                twice = Some(name.into_owned());
            }
        }
        Self { values, twice }
    }

    /// A parameter that is not known is a slip, and must not mean that everything is meant.
    pub fn only(self, known: &[&str]) -> Result<Self, ApiError> {
        let hint = || format!("the parameters are {}", listed(known));
        if let Some(name) = self.values.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(ApiError::bad_query(format!("there is no parameter `{name}`"), hint()));
        }
        match &self.twice {
            Some(name) => Err(ApiError::bad_query(format!("`{name}` is given twice"), "give each parameter once")),
            None => Ok(self),
        }
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    pub fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        let number = |text: String| {
            let hint = format!("give {name} as a whole number");
            text.parse().map_err(|_| ApiError::bad_query(format!("`{name}={text}` is no number"), hint))
        };
        self.take(name).map(number).transpose()
    }

    fn named<T>(&mut self, name: &str, read: fn(&str) -> Option<T>, all: &str) -> Result<Option<T>, ApiError> {
        let named = |text: String| {
            let hint = format!("it is one of {all}");
            read(&text).ok_or_else(|| ApiError::bad_query(format!("there is no {name} `{text}`"), hint))
        };
        self.take(name).map(named).transpose()
    }

    fn time(&mut self, name: &str, now: Millis) -> Result<Option<Millis>, ApiError> {
        let time = |text: String| {
            moment(&text, now).ok_or_else(|| {
                ApiError::bad_query(
                    format!("`{name}={text}` is no time"),
                    "give a time, 2026-11-23T10:15:00Z or 2026-11-23 (in a URL, + is %2B), or how long ago it was, 2h or 3d",
                )
            })
        };
        self.take(name).map(time).transpose()
    }

    /// What must hold of deliveries and their events, or of events.
    pub fn selection(&mut self, now: Millis) -> Result<Selection, ApiError> {
        let selection = Selection {
            channel: self.take("channel"),
            state: self.named("state", State::from_name, "pending, delivered, failed and cancelled")?,
            reason: self.named("reason", FailReason::from_name, "rejected, exhausted, adapter and blocked")?,
            kind: self.take("type"),
            project: self.take("project"),
            new_version: None,
            since: self.time("since", now)?,
            until: self.time("until", now)?,
        };
        // Every `[` and `?` of it becomes three characters, and SQLite compares with 50,000 at most.
        if selection.kind.as_ref().is_some_and(|kind| kind.len() > LONGEST_TYPE) {
            let message = format!("`type` is longer than {LONGEST_TYPE} bytes");
            return Err(ApiError::bad_query(
                message,
                "no event's type is longer than 255; `*` stands for any characters",
            ));
        }
        if selection.since.zip(selection.until).is_some_and(|(since, until)| since >= until) {
            return Err(ApiError::bad_query("`since` is not before `until`", "nothing can be found between them"));
        }
        Ok(selection)
    }

    /// Refuses a selection that nothing narrows, unless `all=true` says that this is meant.
    pub fn narrowed(&mut self, selection: &Selection, by_channel: bool) -> Result<(), ApiError> {
        let all = match self.take("all").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(text) => {
                return Err(ApiError::bad_query(format!("`all={text}` is not understood"), "it is true or false"));
            }
        };
        let Selection { channel, state: _, reason, kind, project, new_version: _, since, until } = selection;
        let by_event = kind.is_some() || project.is_some() || since.is_some() || until.is_some();
        if all || by_event || reason.is_some() || (by_channel && channel.is_some()) {
            return Ok(());
        }
        let by = if by_channel { NARROWING } else { "type, project, since or until" };
        Err(ApiError::bad_query(
            "that would be everything there is",
            format!("narrow it by {by}, or say all=true (`--all`)"),
        ))
    }
}

/// By RFC 3339, or so long ago.
fn moment(text: &str, now: Millis) -> Option<Millis> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        // What was before 1970 was before everything that there is.
        return Some(Millis::try_from(at.as_millisecond()).unwrap_or_default());
    }
    // Without a zone it is UTC, as all times here are.
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        return Some(Millis::try_from(at.as_millisecond()).unwrap_or_default());
    }
    let ago: Duration = humantime::parse_duration(text).ok()?;
    Some(now.saturating_sub(millis(ago)))
}

/// `a`, `a and b`, `a, b and c`
fn listed(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_length_of_time_ago() {
        let now = 1_700_000_000_000;
        for (text, expected) in [
            ("2h", Some(now - 7_200_000)),
            ("1h 30m", Some(now - 5_400_000)),
            ("99999y", Some(0)),
            ("2023-11-14T22:13:20Z", Some(now)),
            ("2023-11-15T00:13:20.000+02:00", Some(now)),
            ("1960-01-01T00:00:00Z", Some(0)),
            ("2023-11-14", Some(now - 80_000_000)),
            ("2023-11-14 22:13", Some(now - 20_000)),
            ("2023-11-14T22:13:20", Some(now)),
            ("", None),
            ("2", None),
            ("yesterday", None),
            ("2023-11-15T00:13:20 02:00", None),
        ] {
            assert_eq!(moment(text, now), expected, "{text}");
        }
    }

    #[test]
    fn unknown_and_doubled_parameters_are_refused() {
        assert!(Parameters::read("a=1&b=").only(&["a", "b"]).is_ok());
        assert!(Parameters::read("a=1&b=").only(&["a"]).is_err());
        assert!(Parameters::read("a=1&a=2").only(&["a"]).is_err());
    }
}
