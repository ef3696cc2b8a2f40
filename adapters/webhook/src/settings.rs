//! A channel's settings, and what the schema can't say about them.

use std::collections::BTreeMap;

use herald_channel::{Header, Refusal};
use serde::Deserialize;

use crate::auth::Scheme;

const CONTENT_TYPE: &str = "content-type";
/// What the host writes itself: the body's length and the connection are its business.
const RESERVED: &[&str] =
    &["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

#[derive(Deserialize)]
pub struct Settings {
    pub url: String,
    #[serde(default = "post")]
    pub method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Content,
    /// Secrets: the adapter sees handles.
    #[serde(default)]
    pub signing_secrets: Vec<String>,
    pub auth: Option<Scheme>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    #[default]
    Payload,
    Event,
    Template(String),
}

fn post() -> String {
    "POST".to_owned()
}

impl Settings {
    pub fn sets_content_type(&self) -> bool {
        self.headers.keys().any(|name| name.eq_ignore_ascii_case(CONTENT_TYPE))
    }

    pub fn content_type(&self) -> &str {
        let set = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        set.map_or("application/json", |(_, value)| value)
    }

    /// The headers, with names in lower case.
    pub fn checked_headers(&self) -> Result<Vec<Header>, Refusal> {
        self.headers.iter().map(|(name, value)| checked(name, value)).collect()
    }
}

fn checked(name: &str, value: &str) -> Result<Header, Refusal> {
    let refuse = |problem: &str| Err(Refusal::setting(format!("/headers/{}", pointer_token(name)), problem));
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) {
        return refuse("Herald sets this header itself: remove it");
    }
    if value.chars().any(|character| character.is_control() && character != '\t') {
        return refuse("a header's value is one line without control characters");
    }
    Ok((lower, value.to_owned()))
}

/// A key as a part of a JSON pointer (RFC 6901).
fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
