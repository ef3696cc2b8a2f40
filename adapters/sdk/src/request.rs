//! Making requests and refusals.

use serde::Serialize;

use crate::{Body, Receipt, Refusal, Request, Verdict};

impl Request {
    /// A request with a JSON body and its content type.
    pub fn json(method: &str, url: impl Into<String>, body: &impl Serialize) -> Result<Self, Refusal> {
        let body =
            serde_json::to_string(body).map_err(|error| Refusal::Event(format!("it can't be put as JSON: {error}")))?;
        Ok(Self::new(method, url, Body::Text(body)).header("content-type", "application/json"))
    }

    /// A request with nothing in it but this.
    pub fn new(method: &str, url: impl Into<String>, body: Body) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body, auth: None }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Refusal {
    /// The setting at this JSON pointer (RFC 6901) is wrong.
    pub fn setting(pointer: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting((pointer.into(), problem.into()))
    }
}

impl Verdict {
    /// Delivered, and nothing to remember for later events of the same subject.
    pub fn delivered() -> Self {
        Self::Delivered(Receipt { reference: None })
    }
}
