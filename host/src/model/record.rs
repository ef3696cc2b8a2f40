//! An attempt as the JSON text that is kept of it, which is what its `Serialize` says. One is written for every attempt,
//! and serde writes the names of the members as it does any text: letter by letter.

use serde_json::Result;

use super::{AdapterId, Attempt, Blame, Exchange, Header, Response, SentRequest, Timing};

impl Attempt {
    /// As JSON text.
    pub fn to_json(&self) -> Result<String> {
        // Taken apart, so that no member is forgotten.
        let Self { number, started_at, duration_us, outcome, reason, blame, adapter, exchanges } = self;
        let mut json = Json(String::with_capacity(1024));
        json.raw("{\"number\":").number(*number);
        json.raw(",\"started_at\":").number(*started_at);
        json.raw(",\"duration_us\":").number(*duration_us);
        json.raw(",\"outcome\":").text(outcome.as_str())?;
        json.raw(",\"reason\":").optional(reason.as_deref(), Json::text)?;
        json.raw(",\"blame\":").optional(blame.map(Blame::as_str), Json::text)?;
        json.raw(",\"adapter\":").optional(adapter.as_ref(), Json::adapter)?;
        json.raw(",\"exchanges\":").list(exchanges, Json::exchange)?;
        json.raw("}");
        Ok(json.0)
    }
}

/// What is written so far.
struct Json(String);

impl Json {
    fn raw(&mut self, json: &str) -> &mut Self {
        self.0.push_str(json);
        self
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(number));
    }

    fn optional_number(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => drop(self.raw("null")),
        }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        if is_plain(text) {
            self.raw("\"").raw(text).raw("\"");
        } else {
            self.raw(&serde_json::to_string(text)?);
        }
        Ok(())
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> Result<()>) -> Result<()> {
        match value {
            Some(value) => write(self, value)?,
            None => drop(self.raw("null")),
        }
        Ok(())
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T) -> Result<()>) -> Result<()> {
        let mut before = "[";
        for item in items {
            write(self.raw(before), item)?;
            before = ",";
        }
        self.raw(if items.is_empty() { "[]" } else { "]" });
        Ok(())
    }

    fn adapter(&mut self, adapter: &AdapterId) -> Result<()> {
        let AdapterId { name, version, digest } = adapter;
        self.raw("{\"name\":").text(name)?;
        self.raw(",\"version\":").text(version)?;
        self.raw(",\"digest\":").text(digest)?;
        self.raw("}");
        Ok(())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<()> {
        let Exchange { request, response, error, timing } = exchange;
        self.raw("{\"request\":").request(request)?;
        self.raw(",\"response\":").optional(response.as_deref(), Self::response)?;
        self.raw(",\"error\":").optional(error.as_ref(), |json, (kind, message)| json.pair(kind.as_str(), message))?;
        let Timing { connect_us, first_byte_us, total_us } = *timing;
        self.raw(",\"timing\":{\"connect_us\":").optional_number(connect_us);
        self.raw(",\"first_byte_us\":").optional_number(first_byte_us);
        self.raw(",\"total_us\":").number(total_us);
        self.raw("}}");
        Ok(())
    }

    fn request(&mut self, request: &SentRequest) -> Result<()> {
        let SentRequest { method, url, headers, body } = request;
        self.raw("{\"method\":").text(method)?;
        self.raw(",\"url\":").text(url)?;
        self.raw(",\"headers\":").list(headers, Self::header)?;
        if let Some(body) = body {
            self.raw(",\"body\":").text(body)?;
        }
        self.raw("}");
        Ok(())
    }

    fn response(&mut self, response: &Response) -> Result<()> {
        let Response { status, headers, body } = response;
        self.raw("{\"status\":").number(*status);
        self.raw(",\"headers\":").list(headers, Self::header)?;
        self.raw(",\"body\":").text(body)?;
        self.raw("}");
        Ok(())
    }

    fn header(&mut self, (name, value): &Header) -> Result<()> {
        self.pair(name, value)
    }

    fn pair(&mut self, first: &str, second: &str) -> Result<()> {
        self.raw("[").text(first)?;
        self.raw(",").text(second)?;
        self.raw("]");
        Ok(())
    }
}

/// Whether JSON has the text as it is. No loop that ends early: the compiler makes one of this that looks at 16 bytes at once.
fn is_plain(text: &str) -> bool {
    let is_escaped = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.bytes().fold(0, |found, byte| found | is_escaped(byte)) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use proptest::{collection::vec, option, prelude::*, sample::select};

    use super::*;
    use crate::model::{Outcome, TransportError};

    const KINDS: [TransportError; 7] = [
        TransportError::Dns,
        TransportError::Connect,
        TransportError::Tls,
        TransportError::Timeout,
        TransportError::Reset,
        TransportError::Protocol,
        TransportError::Proxy,
    ];

    /// All that JSON escapes, and some that it does not.
    fn text() -> impl Strategy<Value = String> {
        "[\\x00-\\x1f\"\\\\/\\x7f\u{85}é\u{2028}\u{1f600}]{0,3}[a-z \"]{0,20}"
    }

    fn headers() -> impl Strategy<Value = Vec<Header>> {
        vec((text(), text()), 0..3)
    }

    fn exchange() -> impl Strategy<Value = Exchange> {
        let request = (text(), text(), headers(), option::of(text()));
        let request = request.prop_map(|(method, url, headers, body)| SentRequest { method, url, headers, body });
        let response = (any::<u16>(), headers(), text());
        let response = response.prop_map(|(status, headers, body)| Arc::new(Response { status, headers, body }));
        let timing = (any::<Option<u64>>(), any::<Option<u64>>(), any::<u64>());
        let timing =
            timing.prop_map(|(connect_us, first_byte_us, total_us)| Timing { connect_us, first_byte_us, total_us });
        (request, option::of(response), option::of((select(&KINDS[..]), text())), timing)
            .prop_map(|(request, response, error, timing)| Exchange { request, response, error, timing })
    }

    proptest! {
        #[test]
        fn it_is_what_serde_writes(
            (number, started_at, duration_us) in any::<(u32, u64, u64)>(),
            outcome in select(&[Outcome::Delivered, Outcome::Retry, Outcome::Rejected][..]),
            reason in option::of(text()),
            blame in option::of(select(&[Blame::Adapter, Blame::Host, Blame::Receiver, Blame::Settings][..])),
            adapter in option::of((text(), text(), text())),
            exchanges in vec(exchange(), 0..3),
        ) {
            let adapter = adapter.map(|(name, version, digest)| AdapterId { name, version, digest });
            let attempt = Attempt { number, started_at, duration_us, outcome, reason, blame, adapter, exchanges };
            prop_assert_eq!(attempt.to_json().unwrap(), serde_json::to_string(&attempt).unwrap());
        }
    }
}
