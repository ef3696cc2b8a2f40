//! Handles in the place of secrets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::outbound::filling::Filling;

fn secrets(settings: &Value, pointers: &[&str]) -> Secrets {
    Secrets::new(settings, &pointers.iter().map(ToString::to_string).collect()).unwrap()
}

fn counting() -> impl FnMut() -> u128 {
    let mut next = 0;
    move || {
        next += 1;
        next
    }
}

#[test]
fn an_adapter_sees_a_fresh_handle_in_the_place_of_each_secret() {
    let settings = json!({
        "url": "https://h/",
        "headers": [{"na/me": "A", "va~lue": "s3cr\"et"}, {"x": "heraldsecret"}],
        "port": 7,
        "none": null,
        "empty": "",
    });
    let secrets = secrets(&settings, &["/headers/0/va~0lue", "/port", "/none", "/empty", "/absent"]);
    let mut random = counting();
    let (first, second) = (secrets.seal(&mut random), secrets.seal(&mut random));
    let seen: Value = serde_json::from_str(&first.settings_json).unwrap();
    let handle = seen.pointer("/headers/0/va~0lue").unwrap().as_str().unwrap();
    assert_eq!(handle.len(), 38);
    assert!(handle.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    assert_eq!(seen.pointer("/headers/1/x"), Some(&json!("heraldsecret")));
    assert_eq!((&seen["none"], &seen["empty"]), (&Value::Null, &json!("")));
    assert!(!first.settings_json.contains("s3cr"));
    assert_eq!(Filling::of(&first).plain(handle).unwrap(), "s3cr\"et");
    assert_eq!(Filling::of(&first).plain(seen["port"].as_str().unwrap()).unwrap(), "7");
    assert_eq!(Filling::of(&second).plain(handle).unwrap(), handle, "another call's handle means nothing");
    assert_ne!(first.settings_json, second.settings_json);
}

#[test]
fn settings_without_secrets_stay_as_they_are() {
    let settings = json!({"a": [1, 2.5, true, {"b": "c\n\u{1f600}"}], "e": {}, "f": []});
    let sealed = secrets(&settings, &[]).seal(counting());
    assert_eq!(serde_json::from_str::<Value>(&sealed.settings_json).unwrap(), settings);
}

#[test]
fn an_object_or_an_array_is_no_secret() {
    for settings in [json!({"a/b": {"c": 1}}), json!({"a/b": ["x"]})] {
        let failed = Secrets::new(&settings, &BTreeSet::from(["/a~1b".to_owned()])).unwrap_err();
        assert!(failed.to_string().starts_with("/a~1b: a secret is text"), "{failed}");
    }
}

#[test]
fn the_settings_point_at_the_hosts_of_their_urls() {
    let settings = json!({
        "a": "https://Hooks.Slack.com/services/x", "b": {"c": ["http://127.1:8080/y"]}, "d": "example.com",
        "e": "ftp://files.example.com/", "f": "https://[::1]:7/", "g": "see https://no.example.com",
    });
    let hosts = secrets(&settings, &["/a"]).hosts().clone();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["127.0.0.1", "::1", "hooks.slack.com"]);
}

#[test]
fn handles_are_replaced_wherever_they_stand_and_nothing_else_is() {
    let sealed = secrets(&json!({"a": "one", "b": "two"}), &["/a", "/b"]).seal(counting());
    let [a, b] = [1, 2].map(handle);
    let forged = handle(3);
    let text = format!("{a}{b} é{a}é {forged} heraldsecret {a}");
    let expected = format!("onetwo éoneé {forged} heraldsecret one");
    let filling = Filling::of(&sealed);
    assert_eq!(filling.plain(&text).unwrap(), expected);
    assert_eq!(filling.bytes(text.as_bytes()).unwrap(), expected.as_bytes());
    assert!(matches!(filling.text(&forged, str::to_owned).unwrap(), Cow::Borrowed(_)));
    assert!(sealed.is_in(&text) && !sealed.is_in(&forged));
    assert_eq!(sealed.leading(&format!("{b}/x")), Some(("two", "/x")));
    assert_eq!(sealed.leading("https://x"), None);
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let secrets = secrets(&json!({"a": "hunter2hunter2"}), &["/a"]);
    let sealed = secrets.seal(counting());
    assert!(!format!("{secrets:?} {sealed:?}").contains("hunter2"));
}

#[test]
fn a_url_of_the_settings_is_what_the_parser_makes_of_it() {
    let urls = ["https://a.com", "HTTP://A.com:80/x y#z", " https://b.com/\t", "https://", "a.com", "mailto:me@a.com"];
    let secrets = Secrets::new(&json!({ "urls": urls }), &BTreeSet::from(["/urls/0".to_owned()])).unwrap();
    for text in urls.into_iter().chain(["https://a.com/other", ""]) {
        assert_eq!(secrets.parse_url(text), Url::parse(text), "{text}");
    }
}
