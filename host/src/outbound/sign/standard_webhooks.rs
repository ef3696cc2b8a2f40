//! Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
//!
//! `whsec_` secrets sign by HMAC-SHA256 (`v1`), `whsk_` keys by ed25519 (`v1a`). All of them sign, in one header, so that
//! a secret can be replaced, and one kind by the other, while receivers still know the old one.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::Hmac;
use http::{HeaderMap, HeaderName};
use ring::signature::Ed25519KeyPair;
use sha2::Sha256;

use super::{mac, value_of};
use crate::outbound::{
    check::Refused,
    prepare::{Destination, put},
};

static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
static WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Secrets are pasted by people: their padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Each signs the whole body; while one is being replaced there are two or three.
const MOST_SECRETS: usize = 16;

/// Of an ed25519 key, in bytes (RFC 8032, 5.1.5); the public key is as long.
const SEED: usize = 32;

/// Refuses a request that wants to be signed too often, before anything is done for it.
pub(super) fn is_few(secrets: &[String]) -> Result<(), Refused> {
    match secrets.len() {
        0 => Err(Refused::adapter("it asks for Standard Webhooks signing without a secret")),
        1..=MOST_SECRETS => Ok(()),
        many => Err(Refused::adapter(format!(
            "it asks for Standard Webhooks signing with {many} secrets: more than {MOST_SECRETS}"
        ))),
    }
}

/// Adds the three headers, with a signature by each secret, in their order.
pub(super) fn sign(
    secrets: &[String],
    headers: &mut HeaderMap,
    body: &[u8],
    to: &Destination<'_>,
) -> Result<(), Refused> {
    let id = to.delivery_id;
    let timestamp = (to.now / 1000).to_string();
    let mut signatures = String::new();
    for secret in secrets {
        let content: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        match Key::parse(secret)? {
            Key::Shared(key) => {
                signatures.push_str("v1,");
                STANDARD.encode_string(mac::<Hmac<Sha256>>(&key, &content)?, &mut signatures);
            }
            Key::Pair(pair) => {
                signatures.push_str("v1a,");
                STANDARD.encode_string(pair.sign(&content.concat()), &mut signatures);
            }
        }
    }
    for (name, value) in [(&WEBHOOK_ID, id), (&WEBHOOK_TIMESTAMP, &timestamp), (&WEBHOOK_SIGNATURE, &signatures)] {
        put(headers, name.clone(), value_of(value)?)?;
    }
    Ok(())
}

/// What signs.
enum Key {
    /// The receiver has the same.
    Shared(Vec<u8>),
    /// The receiver has the public key.
    Pair(Box<Ed25519KeyPair>),
}

impl Key {
    fn parse(secret: &str) -> Result<Self, Refused> {
        let secret = secret.trim();
        if let Some(key) = secret.strip_prefix("whsk_") {
            let pair = LENIENT.decode(key).ok().and_then(|key| pair(&key));
            return pair.map(|pair| Self::Pair(Box::new(pair))).ok_or_else(|| {
                Refused::settings(
                    "the signing key is not `whsk_` and after it the base64 of an ed25519 key: 32 bytes, the seed, or \
                     64, the seed and its public key",
                )
            });
        }
        if secret.starts_with("whpk_") {
            return Err(Refused::settings(
                "`whpk_` is a public key, which is the receiver's: sign with the private key, `whsk_`",
            ));
        }
        let key = LENIENT.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok();
        key.filter(|key| !key.is_empty())
            .map(Self::Shared)
            .ok_or_else(|| Refused::settings("the signing secret is not `whsec_` and base64 after it"))
    }
}

/// The specification doesn't say what `whsk_` holds. The servers that make such keys write the seed and the public key
/// after it; key tools give the seed alone. Halves that don't belong together are refused: signing with them would tell
/// the private key.
fn pair(key: &[u8]) -> Option<Ed25519KeyPair> {
    match key.split_at_checked(SEED)? {
        (seed, []) => Ed25519KeyPair::from_seed_unchecked(seed).ok(),
        (seed, public) => Ed25519KeyPair::from_seed_and_public_key(seed, public).ok(),
    }
}
