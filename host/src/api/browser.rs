//! Requests that a web page in somebody's browser makes: none of another site's gets in.
//!
//! A page may post to any address that its reader's machine reaches, loopback included, and by DNS rebinding (its own name
//! made to resolve to 127.0.0.1) it may read the answers too. Programs send none of the headers that tell a page.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};

use super::{access::Access, error::ApiError};

/// Lets pass what no browser sends, and what a page of this host itself asks for.
pub(super) fn check(access: &Access, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    if access.tokens.is_empty() && access.only_local {
        is_meant(access, uri, headers)?;
    }
    // <https://www.w3.org/TR/fetch-metadata/>: what the reader typed is `none`.
    let site = headers.get_all("sec-fetch-site").iter();
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
    let hosts = headers.get_all(header::HOST).iter();
    // RFC 9112, 3.2.2: a target in absolute form counts, and the header may say something else.
    let mut all = hosts
        .map(|host| (shown(host), authority(host.as_bytes())))
        .chain(uri.authority().map(|authority| (authority.to_string(), Some(authority.clone()))));
    let strange =
        all.find(|(_, authority)| !authority.as_ref().is_some_and(|authority| is_known(access, authority.host())));
    let Some((shown, _)) = strange else { return Ok(()) };
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "unknown_host",
        format!("this host listens on loopback without tokens, and is not known as `{shown}`"),
        "ask for it as localhost or by an address of loopback, add the name to `server.allowed_hosts`, or configure a [[server.token]]",
    ))
}

fn is_known(access: &Access, host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
        || is_listed(access, host)
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
    let Some(authority) = origin.as_bytes().get(at + 3..).and_then(authority) else { return false };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    host.eq_ignore_ascii_case(authority.as_str().as_bytes()) || is_listed(access, authority.host())
}

fn authority(bytes: &[u8]) -> Option<Authority> {
    Authority::try_from(bytes).ok()
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
