//! Requests that a web page in somebody's browser makes: none of another site's gets in.
//!
//! A page may post to any address that its reader's machine reaches, loopback included, and by DNS rebinding (its own name
//! made to resolve to 127.0.0.1) it may read the answers too. Programs send none of the headers that tell a page.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::{access::Access, error::ApiError};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets pass what no browser sends, and what a page of this host itself asks for.
pub(super) fn check(access: &Access, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    if access.tokens.is_empty() && access.only_local {
        is_meant(access, uri, headers)?;
    }
    // <https://www.w3.org/TR/fetch-metadata/>: what the reader typed is `none`.
    let site = headers.get_all(&SEC_FETCH_SITE).iter();
    if let Some(site) = site.into_iter().find(|site| !matches!(site.as_bytes(), b"none" | b"same-origin")) {
        return Err(refuse(&format!("with Sec-Fetch-Site: {}", shown(site))));
    }
    match headers.get_all(header::ORIGIN).iter().find(|origin| !is_own(access, origin, headers)) {
        Some(origin) => Err(refuse(&format!("of the origin {}", shown(origin)))),
        None => Ok(()),
    }
}

/// A page that got here by a name of its own, rebound to this machine, asks for that name.
fn is_meant(access: &Access, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let hosts = headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    // RFC 9112, 3.2.2: a target in absolute form counts, and the header may say something else.
    let mut all = hosts.chain(uri.authority().map(|authority| authority.as_str().as_bytes()));
    let Some(strange) = all.find(|host| !name_of(host).is_some_and(|name| is_known(access, name))) else {
        return Ok(());
    };
    let strange = String::from_utf8_lossy(strange);
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "unknown_host",
        format!("this host listens on loopback without tokens, and is not known as `{strange}`"),
        "ask for it as localhost or by an address of loopback, add the name to `server.allowed_hosts`, or configure a [[server.token]]",
    ))
}

/// A host without its port; an address of IPv6 keeps its brackets. Every event comes by here: nothing is copied.
fn name_of(host: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(host).ok()?;
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    host.get(..end)
}

fn is_known(access: &Access, name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        || is_listed(access, name)
}

fn is_listed(access: &Access, host: &str) -> bool {
    access.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

/// The same host and port as the request is for, whatever the scheme: TLS may end before us. Where a proxy has put
/// another name into `Host`, the one that people use is listed.
fn is_own(access: &Access, origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some(at) = origin.as_bytes().windows(3).position(|part| part == b"://") else {
        return false; // `null`: a file, or a frame that may be anybody's
    };
    let origin = origin.as_bytes().get(at + 3..).unwrap_or_default();
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_listed = || name_of(origin).is_some_and(|name| is_listed(access, name));
    !origin.is_empty() && (host.eq_ignore_ascii_case(origin) || is_listed())
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn refuse(what: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "foreign_page",
        format!("this is the request of a web page of another site, {what}"),
        "ask from a program; a page of your own asks its own server, or has its host in `server.allowed_hosts`",
    )
}
