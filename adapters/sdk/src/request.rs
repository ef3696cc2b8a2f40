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

    /// A request with a form in its body, as browsers send it, and its content type.
    pub fn form<K: AsRef<str>, V: AsRef<str>>(
        method: &str,
        url: impl Into<String>,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut body = String::new();
        for (name, value) in fields {
            body.extend((!body.is_empty()).then_some('&'));
            body.extend([&form_component(name.as_ref()), "=", &form_component(value.as_ref())]);
        }
        Self::new(method, url, Body::Text(body)).header("content-type", "application/x-www-form-urlencoded")
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

/// A text as a name or a value in a form.
pub fn form_component(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => percent(byte, &mut encoded),
        }
    }
    encoded
}

/// A byte as a part of an address.
pub(crate) fn percent(byte: u8, encoded: &mut String) {
    encoded.push('%');
    for digit in [byte >> 4, byte & 15] {
        encoded.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_as_browsers_do_it() {
        let request = Request::form("POST", "https://a.example/", [("to", "a+b@c.example"), ("text", "1 < ü&=*")]);
        assert_eq!(request.headers, [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())]);
        assert_eq!(request.body, Body::Text("to=a%2Bb%40c.example&text=1+%3C+%C3%BC%26%3D*".to_owned()));
    }
}
