//! Takes secrets out of what is logged or shown, in every form that they are likely to come in, and makes the excerpts
//! of requests and responses that are kept.
//!
//! Must not be relied on to keep a secret from a receiver: that is [`mod@super::prepare`]'s work.

use std::{borrow::Cow, collections::BTreeMap};

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use url::{Position, Url, form_urlencoded};

use super::{secrets::Secrets, skip::Skip};
use crate::model::Header;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "[redacted]";
/// How much of a body is kept.
pub(super) const EXCERPT: usize = 64 * 1024;
/// How much of a response's headers is kept.
const HEADERS: usize = 64 * 1024;
/// Parts of a secret URL shorter than this are not secrets by themselves.
const PART: usize = 8;
/// What signing secrets begin with (Standard Webhooks): receivers know them without it, too.
const SIGNING: [&str; 2] = ["whsec_", "whsk_"];
/// Shorter secrets are redacted only where they stand alone.
const ALONE: usize = 4;

/// What a component of a URL may hold as it is.
pub(super) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a segment of a path may hold as it is (RFC 3986, `pchar`).
pub(super) const SEGMENT: &AsciiSet =
    &SCRIPT.remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b';').remove(b'=').remove(b':').remove(b'@');
/// What JavaScript's `encodeURIComponent` leaves alone.
const SCRIPT: &AsciiSet = &COMPONENT.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// What Python's `quote` leaves alone.
const QUOTE: &AsciiSet = &COMPONENT.remove(b'/');

/// Headers whose whole value is a credential, whoever set them.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-gotify-key",
];

/// Finds secrets in a text.
pub(super) struct Redactor {
    /// None when there is nothing to look for: where something may begin, and what it is.
    search: Option<(Skip, AhoCorasick)>,
    /// What is looked for, and what stands in its place; by the search's pattern ids.
    patterns: Vec<(Zeroizing<String>, Mask)>,
    longest: usize,
}

/// What is shown in the place of a pattern.
struct Mask {
    text: Cow<'static, str>,
    /// Only where no letter or digit stands next to it.
    alone: bool,
}

impl Redactor {
    /// Fails only when the secrets are too large for the search.
    pub(super) fn new<'s>(values: impl Iterator<Item = &'s str>) -> Result<Self, String> {
        let mut patterns = BTreeMap::new();
        for value in values {
            if value.len() < ALONE {
                patterns.insert(value.to_owned(), Mask { text: MASK.into(), alone: true });
            } else if let Some(url) = http_url(value) {
                add_url(&mut patterns, value, &url);
            } else {
                add_forms(&mut patterns, value);
                let key = SIGNING.iter().find_map(|prefix| value.trim().strip_prefix(prefix));
                if let Some(key) = key {
                    add_forms(&mut patterns, key.trim_end_matches('='));
                }
            }
        }
        let search = (!patterns.is_empty()).then(|| {
            let search = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .start_kind(StartKind::Anchored)
                .ascii_case_insensitive(true)
                .build(patterns.keys())?;
            Ok((Skip::new(patterns.keys().map(String::as_str)), search))
        });
        let search = search.transpose().map_err(|error: aho_corasick::BuildError| error.to_string())?;
        let longest = patterns.keys().map(String::len).max().unwrap_or(0);
        let patterns = patterns.into_iter().map(|(pattern, mask)| (Zeroizing::new(pattern), mask)).collect();
        Ok(Self { search, patterns, longest })
    }

    /// The length of the longest text that is looked for.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Takes the beginning of a secret off the end of a text that was cut there.
    pub(super) fn trim_end(&self, text: &mut String) {
        // What is left of a character that was cut in two.
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        let begun = self.patterns.iter().filter_map(|(pattern, _)| {
            let lengths = (ALONE..pattern.len()).rev();
            lengths.filter_map(|length| pattern.get(..length)).find(|begun| text.ends_with(begun))
        });
        let begun = begun.map(str::len).max().unwrap_or(0);
        text.truncate(text.len() - begun);
    }

    pub(super) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some((skip, search)) = &self.search else { return Cow::Borrowed(text) };
        let mut shown = String::new();
        let (mut done, mut from) = (0, 0);
        while let Some(place) = skip.next(text.as_bytes(), from) {
            from = place + 1;
            let here = Input::new(text).span(place..text.len()).anchored(Anchored::Yes);
            let Some(found) = search.find(here) else { continue };
            let mask = self.patterns.get(found.pattern().as_usize()).map(|(_, mask)| mask);
            if mask.is_some_and(|mask| mask.alone) && !stands_alone(text, found.start(), found.end()) {
                continue;
            }
            shown.push_str(text.get(done..found.start()).unwrap_or_default());
            shown.push_str(mask.map_or(MASK, |mask| &mask.text));
            done = found.end();
            from = done;
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        shown.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(shown)
    }
}

fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let after = text.get(end..).and_then(|text| text.chars().next());
    ![before, after].into_iter().flatten().any(char::is_alphanumeric)
}

type Patterns = BTreeMap<String, Mask>;

fn http_url(value: &str) -> Option<Url> {
    Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// A URL in whole and the parts of it that would do as well; a log should still say which host it was.
fn add_url(patterns: &mut Patterns, value: &str, url: &Url) {
    let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::BeforePath]);
    let rest = &url[Position::BeforePath..];
    let signs_in = !url.username().is_empty() || url.password().is_some();
    if rest.len() > 1 || signs_in {
        let shown = format!("{origin}/{MASK}");
        for whole in [value, url.as_str()] {
            add_forms(patterns, whole);
            for form in [whole.to_owned(), json(whole), slashed(whole), html(whole)] {
                patterns.insert(form, Mask { text: shown.clone().into(), alone: false });
            }
        }
    }
    // As it was typed too: the parser encodes some characters.
    let typed = value.splitn(4, '/').nth(3).map(|rest| format!("/{rest}"));
    for rest in [Some(rest.to_owned()), typed].into_iter().flatten().filter(|rest| rest.len() >= PART) {
        add_forms(patterns, &rest);
        for form in [rest.clone(), json(&rest), slashed(&rest), html(&rest)] {
            patterns.insert(form, Mask { text: format!("/{MASK}").into(), alone: false });
        }
    }
    for part in [url.username(), url.password().unwrap_or_default()].into_iter().filter(|part| part.len() >= ALONE) {
        add_forms(patterns, &percent_decode_str(part).decode_utf8_lossy());
    }
    // As they are meant, and as they stand there.
    let meant = url.query_pairs().map(|(_, value)| value.into_owned());
    let pairs = url.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    for value in meant.chain(pairs.map(|(_, value)| value.to_owned())).filter(|value| value.len() >= PART) {
        add_forms(patterns, &value);
    }
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    // Before a query stands a word (`messages`, `invoke`) more often than a secret.
    let word = url.query().is_some() && last.bytes().all(|byte| byte.is_ascii_lowercase());
    if last.len() >= PART && !word {
        add_forms(patterns, last);
    }
}

/// The value as it is and in the encodings that a request, a receiver or an error message may give it.
fn add_forms(patterns: &mut Patterns, value: &str) {
    let mut add = |form: String| {
        if form.len() >= ALONE {
            patterns.entry(form).or_insert(Mask { text: MASK.into(), alone: false });
        }
    };
    let encoded =
        [NON_ALPHANUMERIC, COMPONENT, SEGMENT, SCRIPT, QUOTE].map(|set| utf8_percent_encode(value, set).to_string());
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    for encoded in encoded.into_iter().chain([form]) {
        add(small_hex(&encoded));
        add(encoded);
    }
    add(json(value));
    add(slashed(value));
    add(ascii(&json(value), |_| false));
    add(ascii(&json(value), |letter| matches!(letter, '<' | '>' | '&')));
    add(html(value));
    add(value.to_owned());
    for shift in 0..3 {
        add(aligned(&STANDARD, value, shift));
        add(aligned(&URL_SAFE, value, shift));
    }
}

/// `%2F` as `%2f`.
fn small_hex(encoded: &str) -> String {
    let mut left = 0;
    let small = encoded.chars().map(|letter| {
        if letter == '%' {
            left = 2;
            return letter;
        }
        let hex = left > 0;
        left -= i32::from(hex);
        if hex { letter.to_ascii_lowercase() } else { letter }
    });
    small.collect()
}

/// As it stands inside a JSON string.
pub(super) fn json(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// As PHP writes JSON.
fn slashed(value: &str) -> String {
    json(value).replace('/', "\\/")
}

/// JSON with `\u` escapes: all that is not ASCII (Python), and what `also` says (Go: `<`, `>` and `&`).
fn ascii(json: &str, also: impl Fn(char) -> bool) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii() && !also(letter) {
            text.push(letter);
        } else {
            text.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        text
    })
}

fn html(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The characters of base 64 that are wholly the value's own when `shift` bytes stand before it.
fn aligned(engine: &impl Engine, value: &str, shift: usize) -> String {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(value.as_bytes());
    let text = engine.encode(&bytes);
    text.get((shift * 8).div_ceil(6)..bytes.len() * 8 / 6).unwrap_or_default().to_owned()
}

/// Headers as they are shown: credentials and secrets redacted, what goes beyond 64 KiB left out.
pub(super) fn headers(map: &HeaderMap, secrets: &Secrets) -> Vec<Header> {
    let mut room = HEADERS;
    let mut shown = Vec::with_capacity(map.len());
    for (name, value) in map {
        let value = if CREDENTIALS.contains(&name.as_str()) {
            MASK.to_owned()
        } else {
            secrets.redact(&text(value.as_bytes())).into_owned()
        };
        // A name may be an echo, too.
        let name = secrets.redact(name.as_str()).into_owned();
        let Some(left) = room.checked_sub(name.len() + value.len()) else { break };
        room = left;
        shown.push((name, value));
    }
    shown
}

/// Bytes as text. That they are text as they stand is found out sooner than where they are not.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// How much of a body must be there so that [`excerpt`] can find a secret that begins in what is kept.
pub(super) fn needed(secrets: &Secrets) -> usize {
    EXCERPT + secrets.longest()
}

/// Whether [`excerpt`] would show just these bytes.
pub(super) fn is_shown_whole(bytes: &[u8], secrets: &Secrets) -> bool {
    let is_same = |text| matches!(secrets.redact(text), Cow::Borrowed(_));
    bytes.len() <= EXCERPT && simdutf8::basic::from_utf8(bytes).is_ok_and(is_same)
}

/// The first 64 KiB of a body as text, redacted. `more` says that the body went on after these bytes.
pub(super) fn excerpt(bytes: &[u8], more: bool, secrets: &Secrets) -> String {
    let head = bytes.get(..needed(secrets)).unwrap_or(bytes);
    let mut shown = secrets.redact(&text(head)).into_owned();
    if more || head.len() < bytes.len() {
        secrets.trim_end(&mut shown);
    }
    shown.truncate(shown.floor_char_boundary(EXCERPT));
    shown
}

#[cfg(test)]
mod tests;
