//! An event's link to the thing that it is about.

use url::Url;

use super::{BadInput, Surroundings};

/// An absolute http(s) link; a relative one needs to know the application's address.
pub(in crate::pipeline) fn link(url: Option<String>, around: &Surroundings<'_>) -> Result<Option<String>, BadInput> {
    let Some(text) = url.filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    if is_plain(&text) {
        return Ok(Some(text));
    }
    let url = match (Url::parse(&text), around.app_url) {
        (Ok(url), _) => url,
        (Err(url::ParseError::RelativeUrlWithoutBase), Some(base)) => {
            base.join(&text).map_err(|error| BadInput::invalid(format!("`url`: {error}"), "send an absolute URL"))?
        }
        (Err(url::ParseError::RelativeUrlWithoutBase), None) => {
            tracing::warn!("an event has a relative URL, which messages leave out; set `server.app_url` to resolve it");
            return Ok(None);
        }
        (Err(error), _) => {
            return Err(BadInput::invalid(format!("`url`: {error}"), "send an absolute URL"));
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadInput::invalid(format!("`url` has the scheme `{}`", url.scheme()), "links are http or https"));
    }
    Ok(Some(url.into()))
}

/// Whether parsing the URL would only give it back: says no where in doubt. Most links are such, and parsing one costs as
/// much as reading a third of an event.
fn is_plain(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let Some((host, path)) = rest.split_once('/') else { return false };
    // No label is empty, Punycode or a number, and so no host is an address.
    let is_host = host.split('.').all(|label| {
        label.starts_with(|first: char| first.is_ascii_lowercase())
            && !label.starts_with("xn--")
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    });
    let is_literal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~');
    // No segment is `.` or `..`, which parsing takes out.
    is_host && !path.starts_with('.') && path.bytes().all(is_literal) && !path.contains("/.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_links_are_plain_and_odd_ones_are_not() {
        for plain in ["https://app.valohai.com/p/acme/x/0181a3a0-6e6e/", "http://localhost/", "https://a-1.b/~c/d_e.f"]
        {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in ["https://a.com", "https://a.com:443/", "https://1.2/", "https://a.0x1/", "https://a.com/x/../y"] {
            assert!(!is_plain(odd), "{odd}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]
        #[test]
        fn a_plain_link_is_as_it_would_be_parsed(
            host in r"([a-z0-9A-Z.é:@%-]|xn--|0x){0,6}|[a-z0-9-]{1,3}(\.[a-z0-9-]{1,3}){0,2}",
            path in r"(/|\.|%2e|~|\\|[a-zA-Z0-9_é:?#-]| |\t){0,8}|(/[a-z.]{0,3}){0,4}",
        ) {
            for text in [format!("https://{host}{path}"), format!("http://{host}/{path}")] {
                if is_plain(&text) {
                    prop_assert_eq!(Url::parse(&text).map(String::from), Ok(text));
                }
            }
        }
    }
}
