//! From what an adapter made to what is sent: where it goes is checked, then the secrets are put in, then it is signed.
//!
//! Pure: must not resolve, connect or read a clock. No secret may be put in before [`Options::check`] has passed the host.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use url::{Url, form_urlencoded};

use super::{
    check::{Options, Refused},
    filling::Filling,
    redact::{self, COMPONENT, SEGMENT},
    secrets::{Sealed, Secrets},
    sign::{Signed, sign},
};
use crate::model::{Body, Header, Millis, Request, SentRequest};

/// Headers that say how a message is framed or routed; they are the host's.
const FRAMING: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "herald-delivery-id",
];

static DELIVERY_ID: HeaderName = HeaderName::from_static("herald-delivery-id");

/// No service needs more.
const MOST_HEADERS: usize = 128;
/// In bytes. A method and a URL are kept with every attempt, in whole; servers take URLs of 8 KiB or so.
const LONGEST_METHOD: usize = 64;
const LONGEST_URL: usize = 16 * 1024;

/// What a request needs from outside the sandbox, and where it may go.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// What the operator allows.
    pub options: &'a Options,
    /// What the adapter declares in `describe`; when that is nothing, the hosts that the settings point at count.
    pub hosts: &'a [String],
    /// What the operator lets this channel send to, `*.` perhaps in front; none: all that `hosts` or the settings allow.
    pub listed: Option<&'a [String]>,
    /// `dlv_…`
    pub delivery_id: &'a str,
    /// What [`Body::Payload`] stands for.
    pub payload: &'a Bytes,
    /// The time that is signed.
    pub now: Millis,
}

/// A request as it goes out: secrets in it, signed.
pub struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body is [`Body::Payload`].
    pub(super) is_payload: bool,
}

impl Prepared {
    /// The request as it is kept and shown: secrets and credentials redacted, the body's first 64 KiB. The payload, where
    /// all of it can be shown as it is, is left out at once: [`Attempt::without_payload`] would do that to a copy.
    ///
    /// [`Attempt::without_payload`]: crate::model::Attempt::without_payload
    pub fn sent(&self, secrets: &Secrets) -> SentRequest {
        let left_out = self.is_payload && redact::is_shown_whole(&self.body, secrets);
        SentRequest {
            method: self.method.as_str().to_owned(),
            url: secrets.redact(self.url.as_str()).into_owned(),
            headers: redact::headers(&self.headers, secrets),
            body: (!left_out).then(|| self.shown_body(secrets)),
        }
    }

    fn shown_body(&self, secrets: &Secrets) -> String {
        let mut body = redact::excerpt(&self.body, false, secrets);
        if self.body.len() > redact::EXCERPT {
            let note = format!("\n[the first 64 KiB of {} bytes]", self.body.len());
            body.push_str(&note);
        }
        body
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        f.debug_struct("Prepared").field("method", &self.method).field("host", &host).finish_non_exhaustive()
    }
}

/// Makes the final request, or says why it is not sent.
pub fn prepare(request: &Request, sealed: &Sealed, to: &Destination<'_>) -> Result<Prepared, Refused> {
    let prepared = unredacted(request, sealed, to);
    // A host or a header's name may be made of a secret by an adapter that means ill.
    prepared.map_err(|refused| Refused {
        message: sealed.secrets().redact(&refused.message).into_owned(),
        hint: refused.hint.map(|hint| sealed.secrets().redact(&hint).into_owned()),
        ..refused
    })
}

fn unredacted(request: &Request, sealed: &Sealed, to: &Destination<'_>) -> Result<Prepared, Refused> {
    let method = method(&request.method)?;
    let mut url = destination(&request.url, sealed)?;
    to.options.check(&url, to.hosts, sealed.secrets().hosts(), to.listed)?;

    // From here on the request goes to a host that may know the secrets.
    let filling = Filling::of(sealed);
    fill_url(&mut url, &filling)?;
    let body = body(request, &filling, to.payload)?;
    let mut headers = headers(&request.headers, &filling)?;
    if let Some(auth) = &request.auth {
        sign(auth, &mut headers, Signed { method: &method, url: &url, body: &body }, &filling, to)?;
    }
    let delivery =
        HeaderValue::from_str(to.delivery_id).map_err(|_| Refused::adapter("the delivery id is no header value"))?;
    put(&mut headers, DELIVERY_ID.clone(), delivery)?;
    for (name, value) in [(header::USER_AGENT, concat!("Herald/", env!("CARGO_PKG_VERSION"))), (header::ACCEPT, "*/*")]
    {
        let entry = headers.try_entry(name).map_err(|_| too_many())?;
        entry.or_try_insert(HeaderValue::from_static(value)).map_err(|_| too_many())?;
    }
    Ok(Prepared { method, url, headers, body, is_payload: request.body == Body::Payload })
}

fn method(name: &str) -> Result<Method, Refused> {
    if name.len() > LONGEST_METHOD {
        return Err(Refused::adapter(format!("the method is longer than {LONGEST_METHOD} bytes")));
    }
    let method = Method::from_bytes(name.as_bytes())
        .map_err(|_| Refused::adapter(format!("{} is no HTTP method", shown(name))))?;
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(Refused::adapter(format!("the method {method} is not sent")));
    }
    Ok(method)
}

/// The URL with its handles still in it, except for one at its beginning: that one is where the request goes.
fn destination(text: &str, sealed: &Sealed) -> Result<Url, Refused> {
    is_short(text)?;
    // As most are: there the bytes say what takes longer to find out of characters.
    let is_graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_graphic && text.chars().any(char::is_control) {
        return Err(Refused::adapter("the URL has a control character in it"));
    }
    let parsed = match sealed.leading(text) {
        Some((value, rest)) => {
            let value = value.trim();
            let alone = sealed.secrets().parse_url(value);
            if !alone.as_ref().is_ok_and(is_http) {
                return Err(Refused::settings("the secret that the URL begins with is not an absolute https URL"));
            }
            if rest.is_empty() { alone } else { Url::parse(&format!("{value}{rest}")) }
        }
        None => sealed.secrets().parse_url(text),
    };
    let mut url = parsed.map_err(|error| Refused::adapter(format!("the URL is not an absolute https URL: {error}")))?;
    if !is_http(&url) {
        return Err(Refused::adapter("the URL is not an absolute https URL"));
    }
    if url.host_str().is_some_and(|host| sealed.is_in(host)) {
        return Err(Refused::adapter("a secret stands in the host of the URL, where it would be told to name servers"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn is_short(url: &str) -> Result<(), Refused> {
    if url.len() > LONGEST_URL {
        return Err(Refused::adapter(format!("the URL is longer than {LONGEST_URL} bytes")));
    }
    Ok(())
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn fill_url(url: &mut Url, filling: &Filling<'_>) -> Result<(), Refused> {
    let encode = |set: &'static AsciiSet| move |value: &str| utf8_percent_encode(value, set).to_string();
    if filling.is_in(url.path()) {
        let path = filling.text(url.path(), encode(SEGMENT))?.into_owned();
        url.set_path(&path);
    }
    if let Some(query) = url.query().filter(|query| filling.is_in(query)) {
        let query = filling.text(query, encode(COMPONENT))?.into_owned();
        url.set_query(Some(&query));
    }
    is_short(url.as_str())
}

fn body(request: &Request, filling: &Filling<'_>, payload: &Bytes) -> Result<Bytes, Refused> {
    Ok(match &request.body {
        Body::Empty => Bytes::new(),
        Body::Payload => payload.clone(),
        Body::Bytes(bytes) => Bytes::from(filling.bytes(bytes)?.into_owned()),
        Body::Text(text) => Bytes::from(filling.text(text, escape_for(&request.headers))?.into_owned()),
    })
}

/// How a value is written into a text body of the declared type.
fn escape_for(headers: &[Header]) -> fn(&str) -> String {
    let declared = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let essence = declared.map_or("", |(_, value)| value.split(';').next().unwrap_or_default());
    let essence = essence.trim().to_ascii_lowercase();
    let json = essence.ends_with("/json")
        || essence.ends_with("+json")
        || essence.ends_with("/x-ndjson")
        || essence.ends_with("/jsonl");
    if json {
        redact::json
    } else if essence == "application/x-www-form-urlencoded" {
        |value| form_urlencoded::byte_serialize(value.as_bytes()).collect()
    } else {
        str::to_owned
    }
}

fn headers(given: &[Header], filling: &Filling<'_>) -> Result<HeaderMap, Refused> {
    if given.len() > MOST_HEADERS {
        return Err(too_many());
    }
    // The host's own come to them.
    let mut headers = HeaderMap::with_capacity(given.len() + 8);
    for (name, value) in given {
        let name = header_name(name)?;
        let mut sent = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            Refused::adapter(format!("the header {name} has a line break or a control character in it"))
        })?;
        if filling.is_in(value) {
            let filled = filling.plain(value)?;
            sent = HeaderValue::from_bytes(filled.as_bytes()).map_err(|_| {
                Refused::settings(format!(
                    "the secret in the header {name} has a line break or a control character in it"
                ))
            })?;
            sent.set_sensitive(true);
        }
        headers.try_append(name, sent).map_err(|_| too_many())?;
    }
    Ok(headers)
}

/// A header that an adapter may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Refused> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Refused::adapter(format!("{} is no header name", shown(name))))?;
    if FRAMING.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err(Refused::adapter(format!("the header {parsed} is set by the host")));
    }
    Ok(parsed)
}

/// Sets a header, whatever the adapter set there.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Refused> {
    headers.try_insert(name, value).map_err(|_| too_many())?;
    Ok(())
}

fn too_many() -> Refused {
    Refused::adapter("the request has too many headers")
}

/// The beginning of a text that somebody else wrote.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests;
