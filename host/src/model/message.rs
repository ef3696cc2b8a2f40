//! The contract's types as the host keeps them: independent of the WIT version that an adapter speaks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A header's name and value.
pub type Header = (String, String);

/// What an adapter says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// `Slack`, say.
    pub title: String,
    /// The author's version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema (2020-12) of the settings, as text.
    pub settings_schema: String,
    /// Host names that it sends to; empty: wherever the settings point.
    pub hosts: Vec<String>,
}

/// Exactly which adapter did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterId {
    /// The channel type, `slack`.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// `sha256:` and the hexadecimal digest of the component's bytes.
    pub digest: String,
}

impl fmt::Display for AdapterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What an adapter may know of the delivery that it works for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The same for every attempt.
    pub delivery_id: String,
    /// The channel's name.
    pub channel: String,
    /// The channel's settings as JSON, handles in the place of secrets.
    #[serde(skip)]
    pub settings: String,
    /// 1 for the first.
    pub attempt: u32,
    /// The host's clock, in milliseconds since the Unix epoch.
    pub now: u64,
    /// What the last delivered event of the same subject left on this channel.
    pub reference: Option<String>,
}

/// A request as the adapter gave it: not signed, handles where secrets belong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// In the adapter's order.
    pub headers: Vec<Header>,
    /// What is sent.
    pub body: Body,
    /// How the host signs it.
    pub auth: Option<Auth>,
}

/// A request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// No bytes.
    Empty,
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// What the application sent, byte for byte.
    Payload,
}

/// How the host authenticates a request. Handles stand where secrets belong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// RFC 7617: user name and password.
    Basic(String, String),
    /// RFC 6750.
    Bearer(String),
    /// <https://www.standardwebhooks.com>: every secret signs.
    StandardWebhooks(Vec<String>),
    /// An HMAC of the body in a header.
    Hmac(Hmac),
    /// RFC 6749, 4.4: an access token that the host asks for, sent as [`Self::Bearer`].
    Oauth2(Box<Oauth2>),
    /// AWS Signature Version 4.
    AwsSigv4(Box<AwsSigv4>),
}

/// The particulars of [`Auth::Oauth2`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth2 {
    /// The token endpoint.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// What the token is asked for; empty: the server's default.
    pub scopes: Vec<String>,
    /// How the client tells who it is.
    pub client_auth: ClientAuth,
    /// Whom the token is for, where the server wants to know.
    pub audience: Option<String>,
}

/// How a client tells the token endpoint who it is (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// By RFC 7617.
    Basic,
    /// In the form.
    Body,
}

/// The particulars of [`Auth::AwsSigv4`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSigv4 {
    /// Names the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
    /// `eu-west-1`, say.
    pub region: String,
    /// As the signature names it.
    pub service: String,
}

/// The particulars of [`Auth::Hmac`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hmac {
    /// The key.
    pub secret: String,
    /// The hash function.
    pub hash: Hash,
    /// Which header carries the digest.
    pub header: String,
    /// What stands before the hexadecimal digest.
    pub prefix: String,
}

/// A hash function for [`Hmac`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// FIPS 180-4, 160 bits.
    Sha1,
    /// FIPS 180-4, 256 bits.
    Sha256,
    /// FIPS 180-4, 512 bits.
    Sha512,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names are lower case.
    pub headers: Vec<Header>,
    /// The first 64 KiB as text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Response {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(n, v)| (n == name).then_some(v.as_str()))
    }
}

/// Why no request could be made. Trying again would not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A setting is wrong: its JSON pointer (RFC 6901), and what is wrong.
    Setting(String, String),
    /// This event can't be said on this channel.
    Event(String),
}

impl Refusal {
    /// How an account says that an event was refused: the store tells these apart from what an adapter could not do.
    pub const OF_EVENT: &str = "this event can't be said here: ";
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(pointer, reason) => write!(f, "setting {pointer}: {reason}"),
            Self::Event(reason) => write!(f, "{}{reason}", Self::OF_EVENT),
        }
    }
}

/// What a response means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken; what later events of the same subject get as their reference.
    Delivered {
        /// `context.reference` of the next event of this subject.
        reference: Option<String>,
    },
    /// Try again.
    Retry {
        /// What the service said.
        reason: String,
        /// In how many milliseconds, where the service said so.
        after_ms: Option<u64>,
    },
    /// The service will never take this one.
    Rejected(String),
    /// The service will never take any.
    Disable(String),
    /// One more request.
    Next(Hop),
}

/// A further request of the same attempt, and what the adapter wants to know when its response comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// What to send.
    pub request: Request,
    /// Handed back with the response.
    pub state: Vec<u8>,
}
