//! Authenticates a request as its adapter declared it: over the final bytes, afresh for every attempt.
//!
//! Must not change the body, nor read a clock: the time that is signed is the destination's.

mod aws;
mod standard_webhooks;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method, header};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use url::Url;

use super::{
    check::Refused,
    filling::Filling,
    prepare::{Destination, put},
};
use crate::model::{self, Auth, AwsSigv4, Hash};

/// What is signed beside the headers.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    pub body: &'a [u8],
}

/// Adds the headers of the scheme.
pub(super) fn sign(
    auth: &Auth,
    headers: &mut HeaderMap,
    signed: Signed<'_>,
    filling: &Filling<'_>,
    to: &Destination<'_>,
) -> Result<(), Refused> {
    let Signed { method, url, body } = signed;
    let plain = |text: &str| filling.plain(text);
    match auth {
        Auth::Basic(user, password) => {
            let (user, password) = (plain(user)?, plain(password)?);
            if user.contains(':') {
                return Err(Refused::settings("a user name with a colon in it can't be sent (RFC 7617)"));
            }
            let credentials = STANDARD.encode(format!("{user}:{password}"));
            put(headers, header::AUTHORIZATION, secret_value(&format!("Basic {credentials}"))?)
        }
        Auth::Bearer(token) => put(headers, header::AUTHORIZATION, secret_value(&format!("Bearer {}", plain(token)?))?),
        Auth::StandardWebhooks(secrets) => {
            standard_webhooks::is_few(secrets)?;
            let secrets = secrets.iter().map(|secret| plain(secret)).collect::<Result<Vec<_>, _>>()?;
            standard_webhooks::sign(&secrets, headers, body, to)
        }
        Auth::Hmac(scheme) => {
            let key = plain(&scheme.secret)?;
            generic_hmac(scheme, key.as_bytes(), headers, body)
        }
        Auth::AwsSigv4(keys) => {
            let keys = AwsSigv4 {
                access_key_id: plain(&keys.access_key_id)?,
                secret_access_key: plain(&keys.secret_access_key)?,
                session_token: keys.session_token.as_deref().map(plain).transpose()?,
                region: plain(&keys.region)?,
                service: plain(&keys.service)?,
            };
            aws::sign(&keys, headers, aws::Target { method, url, body, now: to.now })
        }
        // Who sends has asked for the token and put it in the place of this: see `outbound::oauth`.
        Auth::Oauth2(_) => {
            Err(Refused::adapter("a request that needs an access token was about to go out without one"))
        }
    }
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

pub(super) fn secret_value(text: &str) -> Result<HeaderValue, Refused> {
    let mut value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Refused::settings("the credentials have a line break or a control character in them"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
