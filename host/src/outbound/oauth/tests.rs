//! What token requests look like, and what is made of their answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::{model::Blame, outbound::Options};

fn made(oauth: &Oauth2, secret: &str) -> Result<TokenRequest, Refused> {
    let settings =
        json!({"url": "https://hooks.example/", "token_url": "https://login.example/token", "secret": secret});
    let sealed = Secrets::new(&settings, &["/secret".to_owned()].into()).unwrap().seal(|| 7);
    let handles: Value = serde_json::from_str(&sealed.settings_json).unwrap();
    let oauth = Oauth2 { client_secret: handles["secret"].as_str().unwrap().to_owned(), ..oauth.clone() };
    let (options, payload) = (Options::default(), Bytes::new());
    let to =
        Destination { options: &options, hosts: &[], listed: None, delivery_id: "dlv_1", payload: &payload, now: 0 };
    token_request(&oauth, &sealed, &to)
}

fn oauth(client_auth: ClientAuth) -> Oauth2 {
    Oauth2 {
        token_url: "https://login.example/token".to_owned(),
        client_id: "her ald".to_owned(),
        client_secret: String::new(),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        client_auth,
        audience: Some("https://hooks.example".to_owned()),
    }
}

#[test]
fn a_client_tells_who_it_is_in_the_header_or_in_the_form_encoded_either_way() {
    let secret = "s+c/r&t:";
    let request = made(&oauth(ClientAuth::Basic), secret).unwrap().prepared;
    let credentials = STANDARD.encode("her+ald:s%2Bc%2Fr%26t%3A");
    assert_eq!(request.headers["authorization"], format!("Basic {credentials}").as_str());
    assert!(request.headers["authorization"].is_sensitive());
    let form = "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fhooks.example";
    assert_eq!(request.body, form);
    let request = made(&oauth(ClientAuth::Body), secret).unwrap().prepared;
    assert_eq!(request.body, format!("{form}&client_id=her+ald&client_secret=s%2Bc%2Fr%26t%3A").as_str());
    assert!(!request.headers.contains_key("authorization"));
}

#[test]
fn no_secret_is_sent_to_a_token_endpoint_that_the_channel_may_not_reach() {
    for client_auth in [ClientAuth::Basic, ClientAuth::Body] {
        let elsewhere = Oauth2 { token_url: "https://evil.example/token".to_owned(), ..oauth(client_auth) };
        let refused = made(&elsewhere, "hunter2hunter2").err().unwrap();
        assert!(refused.message.contains("token endpoint") && refused.message.contains("evil.example"), "{refused}");
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_request_for_too_many_scopes_is_refused() {
    let scopes = |count| Oauth2 { scopes: vec!["a".to_owned(); count], ..oauth(ClientAuth::Basic) };
    assert!(made(&scopes(100), "secret").is_ok());
    let refused = made(&scopes(101), "secret").err().unwrap();
    assert_eq!(refused.blame, Blame::Adapter);
    assert!(refused.message.contains("101 scopes: more than 100"), "{refused}");
}

#[test]
fn what_asks_in_other_words_has_another_token() {
    let key = |oauth: &Oauth2, secret| made(oauth, secret).unwrap().key;
    let usual = oauth(ClientAuth::Basic);
    assert_eq!(key(&usual, "secret"), key(&usual, "secret"));
    let others = [
        Oauth2 { client_id: "x".to_owned(), ..usual.clone() },
        Oauth2 { scopes: vec!["ab".to_owned()], ..usual.clone() },
        Oauth2 { audience: None, ..usual.clone() },
        Oauth2 { client_auth: ClientAuth::Body, ..usual.clone() },
        // What one field ends with is not what another begins with.
        Oauth2 { scopes: texts(&["a", "b", "audience", "https://hooks.example"]), audience: None, ..usual.clone() },
        Oauth2 { scopes: texts(&["a"]), audience: Some("b".to_owned()), ..usual.clone() },
        Oauth2 { scopes: texts(&["a", "b", "https://hooks.example"]), audience: None, ..usual.clone() },
    ];
    let keys: std::collections::BTreeSet<_> = others.iter().chain([&usual]).map(|oauth| key(oauth, "secret")).collect();
    assert_eq!(keys.len(), others.len() + 1);
    assert_ne!(key(&usual, "secret"), key(&usual, "rotated"));
}

#[test]
fn a_token_is_used_until_shortly_before_it_expires() {
    let until = |answer: Value| {
        let body = answer.to_string();
        read(StatusCode::OK, body.as_bytes(), 1_000).unwrap().until
    };
    assert_eq!(until(json!({"access_token": "t", "token_type": "bearer", "expires_in": 3600})), 1_000 + 3_570_000);
    assert_eq!(until(json!({"access_token": "t", "expires_in": "100"})), 1_000 + 90_000);
    assert_eq!(until(json!({"access_token": "t"})), 1_000 + 270_000);
    assert!(until(json!({"access_token": "t", "expires_in": u64::MAX})) > u64::MAX - MARGIN - 1);
    assert_eq!(until(json!({"access_token": "t", "expires_in": 0})), 1_000);
}

#[test]
fn an_answer_without_a_usable_token_is_named_without_a_word_of_it() {
    for body in [
        "<html>hunter2</html>",
        r#"{"accessToken":"hunter2"}"#,
        r#"{"access_token":"hunter2","token_type":"mac"}"#,
        r#"{"access_token":"hunter2\r\nx: y"}"#,
        r#"{"access_token":" "}"#,
    ] {
        let words = read(StatusCode::OK, body.as_bytes(), 0).err().unwrap();
        assert!(!words.contains("hunter2"), "{words}");
    }
    assert_eq!(made(&oauth(ClientAuth::Basic), "\n").map(drop), Ok(()), "it is encoded");
    let nowhere = Oauth2 { token_url: "login".to_owned(), ..oauth(ClientAuth::Basic) };
    assert_eq!(made(&nowhere, "s3cret").err().unwrap().blame, Blame::Adapter);
}
