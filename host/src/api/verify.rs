//! Whether a post was signed by its source, and when: by Standard Webhooks, or by an HMAC in a header.
//!
//! Pure: the time comes in. What is in the headers is looked at before anything of the body is read; signatures are
//! compared in constant time. An error never holds a key, nor what would have been the right signature.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::model::{Encoding, Hash, Key, Millis, SignedHeader, Source, Verify, WebhookKey};

static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
static WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// More signatures than that are not looked at: each of ed25519 costs time.
const MOST_SIGNATURES: usize = 16;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a post is not taken for its source's: which check failed, what it found, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    pub check: &'static str,
    pub message: String,
    pub hint: &'static str,
}

fn unproven<T>(check: &'static str, message: String, hint: &'static str) -> Result<T, Unproven> {
    Err(Unproven { check, message, hint })
}

/// What a request says of its signature. Nothing of it is proven yet.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    verify: &'a Verify,
    /// All that is signed but for the body, which comes last.
    signed: Vec<u8>,
    /// The message's own id, where there is one: it is signed.
    id: Option<&'a str>,
    signatures: Vec<Signature>,
}

#[derive(Debug)]
enum Signature {
    Mac(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Reads it from the headers; none when the source does not sign.
pub(super) fn claim<'a>(
    source: &'a Source,
    headers: &'a HeaderMap,
    now: Millis,
) -> Result<Option<Claim<'a>>, Unproven> {
    let Some(verify) = &source.verify else { return Ok(None) };
    let recent = |name| {
        let text = only(headers, name)?;
        check_time(name, text, source.tolerance, now).map(|()| text)
    };
    let (signed, id, signatures) = match verify {
        Verify::StandardWebhooks(_) => {
            let id = only(headers, &WEBHOOK_ID)?;
            let timestamp = recent(&WEBHOOK_TIMESTAMP)?;
            (format!("{id}.{timestamp}."), Some(id), webhook_signatures(only(headers, &WEBHOOK_SIGNATURE)?))
        }
        Verify::Hmac(how, _) => {
            let signature = only(headers, &how.header)?;
            let timestamp = how.timestamp.as_ref().map(recent).transpose()?.unwrap_or_default();
            let (before, between) = &how.around_timestamp;
            (format!("{before}{timestamp}{between}"), None, mac_of(how, signature).into_iter().collect())
        }
    };
    if signatures.is_empty() {
        return unproven("signature", "the signature can't be read".to_owned(), KEYS_HINT);
    }
    Ok(Some(Claim { verify, signed: signed.into_bytes(), id, signatures }))
}

impl Claim<'_> {
    /// What this message is known by, so that a copy of it is found to be one: its id, or a digest of all that is
    /// signed, and in any case nothing that somebody in between could have changed.
    pub fn prove(&self, body: &[u8]) -> Result<String, Unproven> {
        let holds = match self.verify {
            Verify::StandardWebhooks(keys) => keys.iter().any(|key| match key {
                WebhookKey::Secret(key) => self.is_mac(&mac(Hash::Sha256, key, &[&self.signed, body])),
                WebhookKey::Public(key) => self.is_signed_with(key, body),
            }),
            Verify::Hmac(how, keys) => keys.iter().any(|key| self.is_mac(&mac(how.hash, key, &[&self.signed, body]))),
        };
        if !holds {
            return unproven("signature", "none of the source's keys makes this signature".to_owned(), KEYS_HINT);
        }
        Ok(self.id.map_or_else(
            || hex::encode(Sha256::new().chain_update(&self.signed).chain_update(body).finalize()),
            str::to_owned,
        ))
    }

    fn is_mac(&self, wanted: &[u8]) -> bool {
        self.signatures.iter().any(|signature| match signature {
            Signature::Mac(bytes) => bytes.as_slice().ct_eq(wanted).into(),
            Signature::Ed25519(_) => false,
        })
    }

    fn is_signed_with(&self, key: &[u8], body: &[u8]) -> bool {
        let (key, message) = (UnparsedPublicKey::new(&ED25519, key), [&self.signed, body].concat());
        self.signatures.iter().any(|signature| match signature {
            Signature::Ed25519(bytes) => key.verify(&message, bytes).is_ok(),
            Signature::Mac(_) => false,
        })
    }
}

const KEYS_HINT: &str = "is it made with the secret that stands in the [[source]], over the bytes as they were sent? a proxy must not change them";

/// The header's only value. Of two, whoever stands between may have looked at the other one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Unproven> {
    let hint = "this source signs its posts: see its [[source]]";
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => match value.to_str() {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => unproven("header", format!("the header `{name}` is empty or not ASCII"), hint),
        },
        (None, _) => unproven("header", format!("there is no header `{name}`"), hint),
        _ => unproven("header", format!("there is more than one header `{name}`"), hint),
    }
}

fn check_time(name: &HeaderName, text: &str, tolerance: Duration, now: Millis) -> Result<(), Unproven> {
    let is_number = text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = text.parse::<u64>().ok().filter(|_| is_number) else {
        return unproven(
            "timestamp",
            format!("`{name}` is not a time in whole seconds since 1970"),
            "send the time at which it was signed",
        );
    };
    let now = now / 1000;
    let off = Duration::from_secs(now.abs_diff(seconds));
    if off <= tolerance {
        return Ok(());
    }
    let (off, most) = (humantime::format_duration(off), humantime::format_duration(tolerance));
    let which = if seconds < now { "old" } else { "ahead of this host's clock" };
    unproven(
        "timestamp",
        format!("`{name}` is {off} {which}, and at most {most} is taken"),
        "sign each attempt anew; are both clocks right? the source's `tolerance` sets how far they may be apart",
    )
}

/// `v1,…` and `v1a,…`, with spaces between; versions of later specifications are passed over.
fn webhook_signatures(text: &str) -> Vec<Signature> {
    let read = |one: &str| {
        let (version, bytes) = one.split_once(',')?;
        let bytes = BASE64.decode(bytes).ok()?;
        match version {
            "v1" => Some(Signature::Mac(bytes)),
            "v1a" => Some(Signature::Ed25519(bytes)),
            _ => None,
        }
    };
    text.split(' ').take(MOST_SIGNATURES).filter_map(read).collect()
}

fn mac_of(how: &SignedHeader, text: &str) -> Option<Signature> {
    let text = text.strip_prefix(how.prefix.as_str())?;
    let bytes = match how.encoding {
        Encoding::Hex => hex::decode(text).ok()?,
        Encoding::Base64 => BASE64.decode(text).ok()?,
    };
    Some(Signature::Mac(bytes))
}

fn mac(hash: Hash, key: &Key, parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => mac_with::<Hmac<Sha1>>(key, parts),
        Hash::Sha256 => mac_with::<Hmac<Sha256>>(key, parts),
        Hash::Sha512 => mac_with::<Hmac<Sha512>>(key, parts),
    }
}

/// Empty, which no signature is, for a key of a length that can't be: HMAC has none such.
fn mac_with<M: Mac + KeyInit>(key: &Key, parts: &[&[u8]]) -> Vec<u8> {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key.bytes()) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use axum::http::HeaderValue;

    use super::*;

    fn source(verify: Verify) -> Source {
        let tolerance = Duration::from_mins(5);
        Source { name: "s".to_owned(), verify: Some(verify), tolerance, allow_addresses: None }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::try_from(text).unwrap();
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn the_published_standard_webhooks_vector_holds() {
        let key = Key::new(BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let source = source(Verify::StandardWebhooks(vec![WebhookKey::Secret(key)]));
        let headers = headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v2,x v1,bad= v1a,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]);
        let claim = claim(&source, &headers, 1_614_265_330_000 + 300_999).unwrap().unwrap();
        assert_eq!(claim.prove(br#"{"test": 2432232314}"#).unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(claim.prove(br#"{"test": 2432232315}"#).unwrap_err().check, "signature");
        let late = super::claim(&source, &headers, 1_614_265_330_000 + 301_000).unwrap_err();
        assert!(late.check == "timestamp" && late.message.contains("5m 1s old"), "{late:?}");
        let early = super::claim(&source, &headers, 1_614_265_330_000 - 301_000).unwrap_err();
        assert!(early.message.contains("5m 1s ahead"), "{early:?}");
    }

    #[test]
    fn the_published_github_vector_holds() {
        let how = SignedHeader {
            hash: Hash::Sha256,
            header: HeaderName::from_static("x-hub-signature-256"),
            prefix: "sha256=".to_owned(),
            encoding: Encoding::Hex,
            timestamp: None,
            around_timestamp: <(String, String)>::default(),
        };
        let keys = [&b"another key, which was replaced"[..], b"It's a Secret to Everybody"];
        let source = source(Verify::Hmac(how, keys.map(|key| Key::new(key.to_vec())).to_vec()));
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let with = |signature| headers(&[("x-hub-signature-256", signature)]);
        let headers = with(signature);
        let claim = claim(&source, &headers, 0).unwrap().unwrap();
        // A digest of what is signed, whichever key it was: a secret that is replaced makes no new message of an old one.
        assert_eq!(claim.prove(b"Hello, World!").unwrap(), hex::encode(Sha256::digest("Hello, World!")));
        assert_eq!(claim.prove(b"Hello, world!").unwrap_err().check, "signature");
        for bad in ["757107ea", "sha256=", "sha256=75", "sha1=757107ea", "sha256=x"] {
            let headers = with(bad);
            let refused = super::claim(&source, &headers, 0).and_then(|claim| claim.unwrap().prove(b"Hello, World!"));
            assert_eq!(refused.unwrap_err().check, "signature", "{bad}");
        }
    }
}
