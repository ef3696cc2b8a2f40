//! AWS Signature Version 4: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//!
//! Signs all headers that the request has by then: those of the adapter and AWS's own. What the host adds later (the
//! delivery's id, its own `user-agent`) is not signed, so it may be changed on the way.

use hmac::Hmac;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use percent_encoding::{percent_encode, utf8_percent_encode};
use sha2::{Digest, Sha256};
use url::{Position, Url, form_urlencoded};

use super::{mac, secret_value, value_of};
use crate::{
    model::{AwsSigv4, Millis},
    outbound::{check::Refused, prepare::put, redact::COMPONENT},
};

static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static BODY_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
static SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What is signed beside headers and body.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub body: &'a [u8],
    pub now: Millis,
}

/// Where services differ.
#[derive(Clone, Copy)]
struct Rules {
    /// S3 signs the path as it is sent; the others without empty segments, and encoded once more.
    path_as_it_is: bool,
    /// The hash of the body is a header, too.
    shows_hash: bool,
}

impl Rules {
    fn of(service: &str) -> Self {
        Self { path_as_it_is: service == "s3", shows_hash: matches!(service, "s3" | "aoss") }
    }
}

/// Adds AWS's headers. `keys` has its secrets filled in.
pub(super) fn sign(keys: &AwsSigv4, headers: &mut HeaderMap, target: Target<'_>) -> Result<(), Refused> {
    for (name, value) in [
        ("the access key's id", &keys.access_key_id),
        ("the secret access key", &keys.secret_access_key),
        ("the region", &keys.region),
        ("the service", &keys.service),
    ] {
        if value.is_empty() {
            return Err(Refused::settings(format!("{name} to sign with for AWS is empty")));
        }
    }
    sign_by(keys, Rules::of(&keys.service), headers, target)
}

fn sign_by(keys: &AwsSigv4, rules: Rules, headers: &mut HeaderMap, target: Target<'_>) -> Result<(), Refused> {
    let time = time_of(target.now)?;
    let day = time.get(..8).unwrap_or_default();
    let body_hash = sha256(target.body);
    put(headers, DATE.clone(), value_of(&time)?)?;
    if rules.shows_hash {
        put(headers, BODY_HASH.clone(), value_of(&body_hash)?)?;
    }
    if let Some(token) = &keys.session_token {
        put(headers, SESSION_TOKEN.clone(), secret_value(token)?)?;
    }
    // An adapter's own would be signed and then replaced.
    headers.remove(header::AUTHORIZATION);
    let (signed, canonical) = canonical_request(headers, rules, target, &body_hash);
    let scope = format!("{day}/{}/{}/aws4_request", keys.region, keys.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{}", keys.secret_access_key).into_bytes();
    for part in [day, &keys.region, &keys.service, "aws4_request"] {
        key = mac::<Hmac<Sha256>>(&key, &[part.as_bytes()])?;
    }
    let signature = hex::encode(mac::<Hmac<Sha256>>(&key, &[to_sign.as_bytes()])?);
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
        keys.access_key_id
    );
    put(headers, header::AUTHORIZATION, secret_value(&value)?)
}

/// The names of the headers that are signed, and the request as it is signed.
fn canonical_request(headers: &HeaderMap, rules: Rules, target: Target<'_>, body_hash: &str) -> (String, String) {
    let host = &target.url[Position::BeforeHost..Position::AfterPort];
    let mut lines: Vec<(&str, String)> = headers.keys().map(|name| (name.as_str(), values(headers, name))).collect();
    lines.push((header::HOST.as_str(), host.to_owned()));
    lines.sort_unstable();
    let signed = lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut canonical = format!("{}\n{}\n{}\n", target.method, path(target.url, rules), query(target.url));
    for (name, value) in lines {
        canonical.extend([name, ":", &value, "\n"]);
    }
    canonical.extend(["\n", &signed, "\n", body_hash]);
    (signed, canonical)
}

/// All values of a header, in their order, spaces around and between words made one.
fn values(headers: &HeaderMap, name: &HeaderName) -> String {
    let trimmed = |value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    headers.get_all(name).iter().map(trimmed).collect::<Vec<_>>().join(",")
}

/// URLs have no `.` and `..` in their paths any more.
fn path(url: &Url, rules: Rules) -> String {
    if rules.path_as_it_is {
        return url.path().to_owned();
    }
    let mut segments: Vec<String> = vec![String::new()];
    let named = url.path().split('/').filter(|segment| !segment.is_empty());
    segments.extend(named.map(|segment| utf8_percent_encode(segment, COMPONENT).to_string()));
    if url.path().ends_with('/') || segments.len() == 1 {
        segments.push(String::new());
    }
    segments.join("/")
}

/// Each name and value encoded in one way only, in the order of the bytes.
fn query(url: &Url) -> String {
    let encoded = |text: &str| percent_encode(text.as_bytes(), COMPONENT).to_string();
    let pairs = form_urlencoded::parse(url.query().unwrap_or_default().as_bytes());
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (encoded(&name), encoded(&value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// ISO 8601, basic format, as AWS wants it.
fn time_of(now: Millis) -> Result<String, Refused> {
    let time = i64::try_from(now).ok().and_then(|now| Timestamp::from_millisecond(now).ok());
    let time =
        time.ok_or_else(|| Refused::settings("the clock of this machine shows a time that no signature can have"))?;
    Ok(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Suite {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        credentials: Credentials,
        region: String,
        service: String,
        normalize: bool,
        sign_body: bool,
        timestamp: String,
        request: String,
        canonical: String,
        signature: String,
    }

    #[derive(Deserialize)]
    struct Credentials {
        access_key_id: String,
        secret_access_key: String,
        token: Option<String>,
    }

    #[test]
    fn requests_are_signed_as_the_published_suite_of_aws_says() {
        let suite: Suite = serde_json::from_str(include_str!("../../../../tests/fixtures/aws-sigv4.json")).unwrap();
        assert!(suite.cases.len() > 30);
        for case in suite.cases {
            case.check();
        }
    }

    impl Case {
        fn check(&self) {
            let name = &self.name;
            let (head, body) = self.request.split_once("\n\n").unwrap_or((&self.request, ""));
            let (first, given) = head.split_once('\n').unwrap();
            let (method, rest) = first.split_once(' ').unwrap();
            let url = rest.strip_suffix(" HTTP/1.1").unwrap();
            let url = Url::parse(&format!("https://example.amazonaws.com{url}")).unwrap();
            let mut headers = HeaderMap::new();
            for line in given.lines() {
                let (name, value) = line.split_once(':').unwrap();
                let name: HeaderName = name.parse().unwrap();
                // What the URL says.
                if name != header::HOST {
                    headers.append(name, value.parse().unwrap());
                }
            }
            // Most services want an encoded path encoded once more; the suite does not do that.
            let path_as_it_is = !self.normalize || url.path().contains('%');
            let rules = Rules { path_as_it_is, shows_hash: self.sign_body };
            let keys = AwsSigv4 {
                access_key_id: self.credentials.access_key_id.clone(),
                secret_access_key: self.credentials.secret_access_key.clone(),
                session_token: self.credentials.token.clone(),
                region: self.region.clone(),
                service: self.service.clone(),
            };
            let time: Timestamp = self.timestamp.parse().unwrap();
            let now = u64::try_from(time.as_millisecond()).unwrap();
            let target = Target { method: &method.parse().unwrap(), url: &url, body: body.as_bytes(), now };
            sign_by(&keys, rules, &mut headers, target).unwrap();
            let authorization = headers.remove(header::AUTHORIZATION).unwrap();
            let (_, canonical) = canonical_request(&headers, rules, target, &sha256(body.as_bytes()));
            assert_eq!(canonical, self.canonical, "{name}");
            let signature = authorization.to_str().unwrap().rsplit_once('=').unwrap().1;
            assert_eq!(signature, self.signature, "{name}");
            assert!(authorization.is_sensitive());
        }
    }

    #[test]
    fn an_encoded_path_is_encoded_once_more_but_for_s3() {
        let url = Url::parse("https://x.test/@connections//JBDvjfGEIAMCERw%3D").unwrap();
        assert_eq!(path(&url, Rules::of("execute-api")), "/%40connections/JBDvjfGEIAMCERw%253D");
        assert_eq!(path(&url, Rules::of("s3")), "/@connections//JBDvjfGEIAMCERw%3D");
    }
}
