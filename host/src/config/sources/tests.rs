//! `[[source]]` as it is read. Must not depend on the real environment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;

use super::*;
use crate::config::tests::Case;

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A config with this text, beside files of secrets.
fn case(text: &str) -> Case {
    let case = Case::new(text);
    for (name, secret) in [
        ("hook", WHSEC),
        ("public", "whpk_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
        ("private", "whsk_s3cret"),
        ("plain", "s3cret-T0ken-of-github"),
        ("short", "s3cret"),
    ] {
        let path = case.folder.path().join(name);
        fs::write(&path, secret).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    case
}

#[test]
fn a_source_says_how_it_signs_and_where_it_is() {
    let case = case(
        "[[source]]\nname = \"a\"\nverify = \"standard-webhooks\"\nsecrets = [{ file = \"hook\" }, { file = \"public\" }]\n\
         [[source]]\nname = \"b\"\nverify = { hmac = \"sha256\", header = \"X-Hub-Signature-256\", prefix = \"sha256=\" }\n\
         secrets = [{ file = \"plain\" }]\nallow_addresses = [\"10.0.0.0/8\", \"::1\"]\n\
         [[source]]\nname = \"c\"\nsecrets = [{ file = \"plain\" }]\ntolerance = \"1m\"\n\
         verify = { hmac = \"sha1\", header = \"s\", encoding = \"base64\", timestamp = \"t\", signed = \"v0:{timestamp}:{body}\" }\n\
         [[source]]\nname = \"d\"\nallow_addresses = [\"10.0.0.7\"]\n\
         [[source]]\nname = \"e\"\nsecrets = [{ file = \"plain\" }]\nverify = { hmac = \"sha512\", header = \"s\", timestamp = \"t\" }",
    );
    let config = case.config();
    assert!(config.warnings.is_empty());
    let [a, b, c, d, plain] = config.sources.as_slice() else { panic!() };
    let Some(Verify::StandardWebhooks(keys)) = &a.verify else { panic!() };
    assert!(matches!(keys.as_slice(), [WebhookKey::Secret(key), WebhookKey::Public(public)]
        if key.bytes().len() == 24 && public.len() == 32));
    assert_eq!((a.tolerance, &a.allow_addresses), (TOLERANCE, &None));
    let Some(Verify::Hmac(how, keys)) = &b.verify else { panic!() };
    assert_eq!(
        (how.header.as_str(), how.prefix.as_str(), how.encoding),
        ("x-hub-signature-256", "sha256=", Encoding::Hex)
    );
    assert_eq!((keys[0].bytes(), how.around_timestamp.0.as_str()), (&b"s3cret-T0ken-of-github"[..], ""));
    let may = |address: &str| b.may_come_from(Some(address.parse().unwrap()));
    assert!(may("10.1.2.3") && may("::ffff:10.1.2.3") && may("::1") && !may("11.0.0.1") && !may("::2"));
    assert!(b.may_come_from(None) && a.may_come_from(None));
    let around = |source: &Source| match &source.verify {
        Some(Verify::Hmac(how, _)) => how.around_timestamp.clone(),
        _ => panic!(),
    };
    assert_eq!(around(c), ("v0:".to_owned(), ":".to_owned()));
    assert_eq!(around(plain), (String::new(), ".".to_owned()));
    assert_eq!((c.tolerance, &d.verify), (Duration::from_mins(1), &None));
    assert!(!format!("{config:?}").contains("115, 51, 99"), "no key is printed");
}

#[test]
fn what_is_wrong_with_a_source_is_said_without_its_secrets() {
    let case = case(
        "[server]\nunsigned_events = false\n[store]\nkeep = \"9m\"\n\
         [[source]]\nname = \"a\"\n\
         [[source]]\nname = \"a\"\nverify = \"standard-webhook\"\nsecrets = \"s3cret\"\n\
         [[source]]\nname = \"c\"\nverify = \"standard-webhooks\"\nsecrets = [\"s3cret\", { file = \"private\" }, { file = \"short\" }, { file = \"none\" }]\n\
         [[source]]\nname = \"d\"\nverify = \"standard-webhooks\"\nsecrets = [{ file = \"hook\" }]\n\
         [[source]]\nname = \"e\"\nverify = { hmac = \"md5\", headr = \"x\", signed = \"{timestamp}{body}\" }\nsecrets = []\n\
         [[source]]\nname = \"f\"\nverify = { hmac = \"sha256\", header = \"a b\" }\nsecrets = [{ file = \"short\" }]\nallow_addresses = []\n\
         [[source]]\nname = \"g\"\nsecrets = [{ file = \"hook\" }]\ntolerance = \"25h\"\n\
         [[source]]\nname = \"h\"\nverify = { hmac = \"sha256\", header = \"a\" }\nsecrets = [{ file = \"plain\" }]\ntolerance = \"1m\"\n\
         [[source]]\nname = \"i\"\nverify = \"standard-webhooks\"",
    );
    let mut starts = [
        "herald.toml:5: source.a.verify: is missing, and `server.unsigned_events` is false (say how",
        "herald.toml:7: source.a: the source at herald.toml:5 has this name too",
        "herald.toml:9: source.a.verify: must be `standard-webhooks` (did you mean",
        "herald.toml:10: source.a.secrets: must be a list, not text",
        "herald.toml:14: source.c.secrets[0]: is no reference (write { env",
        "herald.toml:14: source.c.secrets[1]: is a private key (it is the sender's alone",
        "herald.toml:14: source.c.secrets[2]: is not `whsec_` or `whpk_` and base 64",
        "herald.toml:14: source.c.secrets[3]: the file",
        "herald.toml:15: source.d.tolerance: a copied post could come again after `store.keep`, 9m, has forgotten",
        "herald.toml:21: source.e.verify.hmac: must be `sha256` or `sha512` or `sha1`",
        "herald.toml:21: source.e.verify.headr: there is no such setting (did you mean `header`?)",
        "herald.toml:21: source.e.verify.header: is missing",
        "herald.toml:21: source.e.verify.signed: does not say what is signed (write {body} once, at the end; {timestamp} needs",
        "herald.toml:22: source.e.secrets: is empty",
        "herald.toml:25: source.f.verify.header: is not the name of a header",
        "herald.toml:27: source.f.allow_addresses: is empty (leave it out",
        "herald.toml:30: source.g.secrets: nothing is verified with them",
        "herald.toml:31: source.g.tolerance: must lie between 1s and 1d",
        "herald.toml:36: source.h.tolerance: there is no time in what this source signs",
        "herald.toml:37: source.i.secrets: is missing",
    ];
    let mut problems = case.problems();
    problems.sort();
    starts.sort_unstable();
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\n  should start with\n{start}\n{problems:#?}");
        assert!(!problem.contains("s3cret"), "{problem}");
    }
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
}

#[test]
fn what_is_signed_ends_with_the_body_and_has_the_time_once() {
    let config = |verify: &str| {
        case(&format!(
            "[[source]]\nname = \"a\"\nsecrets = [{{ file = \"plain\" }}]\nverify = {{ hmac = \"sha256\", header = \"s\", {verify} }}"
        ))
    };
    for bad in
        ["{body}", "{timestamp}", "{body}{timestamp}", "{timestamp}.{timestamp}.{body}", "{timestamp}{body}{body}", "x"]
    {
        let problems = config(&format!("timestamp = \"t\", signed = \"{bad}\"")).problems();
        assert!(
            problems.len() == 1 && problems[0].contains("source.a.verify.signed: does not say"),
            "{bad}: {problems:?}"
        );
    }
    for good in ["signed = \"v1:{body}\"", "signed = \"{timestamp}{body}\", timestamp = \"t\""] {
        assert_eq!(config(good).config().sources.len(), 1, "{good}");
    }
}
