//! A channel's settings, and what the schema can't say about them.

use std::collections::BTreeMap;

use herald_channel::{Header, Refusal, Secret, pointer_token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::Scheme;

const CONTENT_TYPE: &str = "content-type";
/// What the host writes itself: the body's length and the connection are its business.
const RESERVED: &[&str] =
    &["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// A channel's settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the request goes.
    #[schemars(url, title = "Address")]
    pub url: String,
    #[serde(default)]
    #[schemars(title = "Method")]
    pub method: Method,
    /// What is sent beside the content type, which is JSON unless it is set here.
    #[serde(default)]
    #[schemars(title = "Headers", extend("propertyNames" = {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}))]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    #[schemars(title = "Body")]
    pub body: Content,
    /// `whsec_…` secrets or `whsk_…` keys by Standard Webhooks; while one is being replaced, both the old and the new. Without any, requests aren't signed.
    #[serde(default)]
    #[schemars(title = "Signing secrets")]
    pub signing_secrets: Vec<Secret>,
    /// How the request says who sends it, where that isn't a Standard Webhooks signature: one of these.
    #[schemars(title = "Authentication")]
    pub auth: Option<Scheme>,
}

#[derive(Deserialize, Serialize, JsonSchema, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

#[derive(Deserialize, Serialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// What the application sent, byte for byte.
    #[default]
    Payload,
    /// The event as Herald understood it, as JSON.
    Event,
    Template(
        /// A Jinja template with `event`, `delivery_id`, `attempt` and `channel`. In JSON, write "{{ event.title }}" within quotes, or {{ event.data | tojson }} for a whole value.
        String,
    ),
}

impl Method {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
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
