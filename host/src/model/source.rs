//! Sources: who posts events to a path of its own, and how such a post proves where it comes from.

use std::{fmt, net::IpAddr, time::Duration};

use http::HeaderName;
use ipnet::IpNet;

use super::Hash;

/// Who posts events to `/v1/sources/NAME/events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// No other source has it.
    pub name: String,
    /// How its posts are signed; none: they need a token, where tokens are configured.
    pub verify: Option<Verify>,
    /// How far the time of a signature may lie from the host's own, in either direction.
    pub tolerance: Duration,
    /// The only addresses that it may connect from; none: any.
    pub allow_addresses: Option<Vec<IpNet>>,
}

/// How posts are signed, and with which keys: several while one is being replaced.
#[derive(Debug, Clone, PartialEq)]
pub enum Verify {
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
    StandardWebhooks(Vec<WebhookKey>),
    /// The hash of a secret and the body, in a header.
    Hmac(SignedHeader, Vec<Key>),
}

/// A key of Standard Webhooks.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookKey {
    /// `whsec_…`: HMAC with SHA-256.
    Secret(Key),
    /// `whpk_…`: a public key of ed25519, 32 bytes.
    Public(Vec<u8>),
}

/// Where a signature stands, and what is signed.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedHeader {
    /// The hash function of the HMAC.
    pub hash: Hash,
    /// The header that holds the signature.
    pub header: HeaderName,
    /// What stands before it there.
    pub prefix: String,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// The header that holds the time of the signature in seconds since 1970, if that is signed too.
    pub timestamp: Option<HeaderName>,
    /// What is signed before the timestamp, and between it and the body.
    pub around_timestamp: (String, String),
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits.
    Hex,
    /// Base 64 (RFC 4648, 4), padded or not.
    Base64,
}

/// A secret key. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes, for who computes with them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Source {
    /// Whether it may connect from there. None is this machine by the Unix socket, whose permissions say who may.
    pub fn may_come_from(&self, peer: Option<IpAddr>) -> bool {
        let (Some(allowed), Some(peer)) = (&self.allow_addresses, peer) else { return true };
        // An IPv4 address may come in the clothes of an IPv6 one.
        allowed.iter().any(|range| range.contains(&peer.to_canonical()))
    }
}
