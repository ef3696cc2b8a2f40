//! How long what an adapter says may be, where it is kept or looked at again and again: in the account of every attempt,
//! in the request's hop, in lists.
//!
//! Pure. What a call may hand over at all is the sandbox's limit (`transfer`); methods and URLs are bounded where requests are
//! prepared, reasons and references where they are kept.

use crate::model::{Description, Header, Request, Verdict};

/// Bytes of a title or a version.
const NAME: usize = 256;
/// Bytes of a summary.
const SUMMARY: usize = 1 << 10;
/// Host names, and bytes of each: with every request they are looked through.
const HOSTS: usize = 64;
const HOST: usize = 256;
/// Bytes of the settings schema.
const SCHEMA: usize = 256 << 10;
/// Bytes of all headers of a request.
const HEADERS: usize = 64 << 10;
/// Bytes of what an adapter leaves for the answer to its next request.
const STATE: usize = 64 << 10;

fn at_most(what: &str, length: usize, limit: usize) -> Result<(), String> {
    if length > limit {
        return Err(format!("handed over {what} of {length} bytes: its limit is {limit} bytes"));
    }
    Ok(())
}

/// What an adapter says of itself.
pub(super) fn description(description: &Description) -> Result<(), String> {
    at_most("a title", description.title.len(), NAME)?;
    at_most("a version", description.version.len(), NAME)?;
    at_most("a summary", description.summary.len(), SUMMARY)?;
    at_most("a settings schema", description.settings_schema.len(), SCHEMA)?;
    if description.hosts.len() > HOSTS {
        return Err(format!("names {} hosts: its limit is {HOSTS}", description.hosts.len()));
    }
    description.hosts.iter().try_for_each(|host| at_most("a host", host.len(), HOST))
}

/// A request that it makes.
pub(super) fn request(request: &Request) -> Result<(), String> {
    let header = |(name, value): &Header| name.len() + value.len();
    at_most("headers", request.headers.iter().map(header).sum(), HEADERS)
}

/// What it takes an answer for.
pub(super) fn verdict(verdict: &Verdict) -> Result<(), String> {
    let Verdict::Next(hop) = verdict else { return Ok(()) };
    at_most("a state", hop.state.len(), STATE)?;
    request(&hop.request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, Hop};

    #[test]
    fn what_is_kept_with_every_attempt_or_hop_has_a_length() {
        let of = |header: usize| Request {
            method: "POST".to_owned(),
            url: "https://example.com/".to_owned(),
            headers: vec![("x".to_owned(), "y".repeat(header))],
            body: Body::Empty,
            auth: None,
        };
        assert_eq!(request(&of(HEADERS - 1)), Ok(()));
        assert_eq!(request(&of(HEADERS)).unwrap_err(), "handed over headers of 65537 bytes: its limit is 65536 bytes");
        let hop = |state, header| Verdict::Next(Hop { request: of(header), state: vec![0; state] });
        assert_eq!(verdict(&hop(STATE, HEADERS - 1)), Ok(()));
        assert!(verdict(&hop(STATE + 1, 0)).is_err() && verdict(&hop(0, HEADERS)).is_err());
        let said = |version: usize, hosts: usize| Description {
            title: "A".to_owned(),
            version: "1".repeat(version),
            summary: String::new(),
            settings_schema: "{}".to_owned(),
            hosts: vec!["example.com".to_owned(); hosts],
        };
        assert_eq!(description(&said(NAME, HOSTS)), Ok(()));
        assert!(description(&said(NAME + 1, 0)).is_err() && description(&said(0, HOSTS + 1)).is_err());
    }
}
