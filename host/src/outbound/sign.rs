//! Authenticates a request as its adapter declared it: over the final bytes, afresh for every attempt.
//!
//! Must not change the body. Further schemes (`OAuth` 2, `SigV4`, ed25519) belong here.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{
    check::Refused,
    prepare::{Destination, put},
    secrets::Sealed,
};
use crate::model::{self, Auth, Hash};

static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
static WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Secrets are pasted by people: their padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Adds the headers of the scheme.
pub(super) fn sign(
    auth: &Auth,
    headers: &mut HeaderMap,
    body: &[u8],
    sealed: &Sealed,
    to: &Destination<'_>,
) -> Result<(), Refused> {
    let plain = |text: &str| sealed.fill(text, str::to_owned).into_owned();
    match auth {
        Auth::Basic(user, password) => {
            let (user, password) = (plain(user), plain(password));
            if user.contains(':') {
                return Err(Refused::settings("a user name with a colon in it can't be sent (RFC 7617)"));
            }
            let credentials = STANDARD.encode(format!("{user}:{password}"));
            put(headers, header::AUTHORIZATION, secret_value(&format!("Basic {credentials}"))?)
        }
        Auth::Bearer(token) => put(headers, header::AUTHORIZATION, secret_value(&format!("Bearer {}", plain(token)))?),
        Auth::StandardWebhooks(secrets) => {
            let secrets: Vec<String> = secrets.iter().map(|secret| plain(secret)).collect();
            standard_webhooks(&secrets, headers, body, to)
        }
        Auth::Hmac(scheme) => {
            let key = plain(&scheme.secret);
            generic_hmac(scheme, key.as_bytes(), headers, body)
        }
    }
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn standard_webhooks(
    secrets: &[String],
    headers: &mut HeaderMap,
    body: &[u8],
    to: &Destination<'_>,
) -> Result<(), Refused> {
    if secrets.is_empty() {
        return Err(Refused::adapter("it asks for Standard Webhooks signing without a secret"));
    }
    let id = to.delivery_id;
    let timestamp = (to.now / 1000).to_string();
    let mut signatures = String::new();
    for secret in secrets {
        let content: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let digest = mac::<Hmac<Sha256>>(&webhook_key(secret)?, &content)?;
        signatures.push_str(if signatures.is_empty() { "v1," } else { " v1," });
        STANDARD.encode_string(digest, &mut signatures);
    }
    for (name, value) in [(&WEBHOOK_ID, id), (&WEBHOOK_TIMESTAMP, &timestamp), (&WEBHOOK_SIGNATURE, &signatures)] {
        put(headers, name.clone(), value_of(value)?)?;
    }
    Ok(())
}

fn webhook_key(secret: &str) -> Result<Vec<u8>, Refused> {
    let secret = secret.trim();
    if secret.starts_with("whsk_") {
        return Err(Refused::settings("the signing secret is an ed25519 key (`whsk_`); only `whsec_` secrets sign"));
    }
    LENIENT
        .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
        .ok()
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Refused::settings("the signing secret is not `whsec_` and base64 after it"))
}

fn generic_hmac(scheme: &model::Hmac, key: &[u8], headers: &mut HeaderMap, body: &[u8]) -> Result<(), Refused> {
    if key.is_empty() {
        return Err(Refused::settings("the secret to sign with is empty"));
    }
    let name = super::prepare::header_name(&scheme.header)?;
    let digest = match scheme.hash {
        Hash::Sha1 => mac::<Hmac<Sha1>>(key, &[body]),
        Hash::Sha256 => mac::<Hmac<Sha256>>(key, &[body]),
        Hash::Sha512 => mac::<Hmac<Sha512>>(key, &[body]),
    }?;
    put(headers, name, value_of(&format!("{}{}", scheme.prefix, hex::encode(digest)))?)
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, Refused> {
    let mac = <M as KeyInit>::new_from_slice(key);
    let mut mac = mac.map_err(|_| Refused::settings("the signing secret has an impossible length"))?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().to_vec())
}

fn value_of(text: &str) -> Result<HeaderValue, Refused> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Refused::adapter("the signature's header has a line break or a control character in it"))
}

fn secret_value(text: &str) -> Result<HeaderValue, Refused> {
    let mut value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Refused::settings("the credentials have a line break or a control character in them"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::outbound::{Options, Secrets};

    /// Signs with the secrets as an adapter does: through handles.
    fn signed(secrets: &Value, auth: impl Fn(&Value) -> Auth, body: &str) -> Result<HeaderMap, Refused> {
        let count = secrets.as_array().unwrap().len();
        let pointers: BTreeSet<String> = (0..count).map(|index| format!("/{index}")).collect();
        let mut random = 0;
        let sealed = Secrets::new(secrets, &pointers).unwrap().seal(|| {
            random += 1;
            random
        });
        let handles = serde_json::from_str(&sealed.settings_json).unwrap();
        let to = Destination {
            options: &Options::default(),
            hosts: &[],
            listed: None,
            delivery_id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            payload: &Bytes::new(),
            now: 1_614_265_330_999,
        };
        let mut headers = HeaderMap::new();
        sign(&auth(&handles), &mut headers, body.as_bytes(), &sealed, &to)?;
        Ok(headers)
    }

    fn text(value: &Value) -> String {
        value.as_str().unwrap().to_owned()
    }

    fn webhooks(handles: &Value) -> Auth {
        Auth::StandardWebhooks(handles.as_array().unwrap().iter().map(text).collect())
    }

    const VECTOR: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_standard_webhooks_vector_holds() {
        let headers = signed(&json!([VECTOR]), webhooks, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_rotated_both_sign() {
        let secrets = json!([VECTOR, "whsec_b3RoZXI="]);
        let headers = signed(&secrets, webhooks, r#"{"test": 2432232314}"#).unwrap();
        let both = headers["webhook-signature"].to_str().unwrap();
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }

    #[test]
    fn a_secret_that_cannot_sign_is_named_without_its_value() {
        for secret in ["whsec_not!base64", "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_"] {
            let refused = signed(&json!([secret]), webhooks, "").unwrap_err();
            assert_eq!(refused.blame, model::Blame::Settings);
            assert!(!refused.message.contains("not!base64") && !refused.message.contains("MfKQ"));
        }
        assert!(signed(&json!([]), webhooks, "").is_err());
    }

    #[test]
    fn a_body_is_signed_as_github_does_it() {
        // The example of GitHub's documentation.
        let scheme = |hash, prefix: &'static str| {
            move |handles: &Value| {
                Auth::Hmac(model::Hmac {
                    secret: text(&handles[0]),
                    hash,
                    header: "X-Hub-Signature-256".to_owned(),
                    prefix: prefix.to_owned(),
                })
            }
        };
        let secret = json!(["It's a Secret to Everybody"]);
        let headers = signed(&secret, scheme(Hash::Sha256, "sha256="), "Hello, World!").unwrap();
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(headers["x-hub-signature-256"], expected);
        // RFC 2202, case 2, and RFC 4231, case 2.
        let jefe = json!(["Jefe"]);
        let sha1 = signed(&jefe, scheme(Hash::Sha1, ""), "what do ya want for nothing?").unwrap();
        assert_eq!(sha1["x-hub-signature-256"], "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let sha512 = signed(&jefe, scheme(Hash::Sha512, ""), "what do ya want for nothing?").unwrap();
        assert!(sha512["x-hub-signature-256"].to_str().unwrap().starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
    }

    #[test]
    fn basic_and_bearer_are_what_the_rfcs_say() {
        let secret = json!(["open sesame"]);
        let basic = signed(&secret, |handles| Auth::Basic("Aladdin".into(), text(&handles[0])), "").unwrap();
        assert_eq!(basic["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic["authorization"].is_sensitive());
        let bearer = signed(&json!(["tok"]), |handles| Auth::Bearer(text(&handles[0])), "").unwrap();
        assert_eq!(bearer["authorization"], "Bearer tok");
        let broken = signed(&json!(["a\r\nx: y"]), |handles| Auth::Bearer(text(&handles[0])), "");
        assert_eq!(broken.unwrap_err().blame, model::Blame::Settings);
        assert!(signed(&json!(["a:b"]), |handles| Auth::Basic(text(&handles[0]), "p".into()), "").is_err());
    }
}
