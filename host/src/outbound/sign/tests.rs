//! What each scheme promises, by its published examples.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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
    let url = Url::parse("https://hooks.example.com/in").unwrap();
    let signed = Signed { method: &Method::POST, url: &url, body: body.as_bytes() };
    sign(&auth(&handles), &mut headers, signed, &Filling::of(&sealed), &to)?;
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

/// The server that the specification came from signs so, in its own test.
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const BY_PRIVATE: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

#[test]
fn a_private_key_signs_as_the_published_ed25519_vector_says() {
    let seed_alone = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc";
    for key in [PRIVATE, seed_alone] {
        let headers = signed(&json!([key]), webhooks, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(headers["webhook-signature"], BY_PRIVATE, "{key}");
    }
}

#[test]
fn a_shared_secret_and_a_private_key_sign_in_one_header() {
    let headers = signed(&json!([VECTOR, PRIVATE]), webhooks, r#"{"test": 2432232314}"#).unwrap();
    let expected = format!("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {BY_PRIVATE}");
    assert_eq!(headers["webhook-signature"], expected.as_str());
}

#[test]
fn a_secret_that_cannot_sign_is_named_without_its_value() {
    // Too short a key, halves of two keys, a public key.
    let [short, torn, public] = [
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlaaaaaaaaaaAJ6p9lMicMFs6Kvg==",
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    ];
    for secret in ["whsec_not!base64", short, torn, public, "whsec_"] {
        let refused = signed(&json!([secret]), webhooks, "").unwrap_err();
        assert_eq!(refused.blame, model::Blame::Settings);
        assert!(!refused.message.contains(&secret[6..]) || secret == "whsec_", "{}", refused.message);
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
