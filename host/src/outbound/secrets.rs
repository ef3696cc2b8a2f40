//! A channel's secrets: kept out of the sandbox by handles, put back in by [`mod@super::prepare`], taken out of logs by
//! [`super::redact`].

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
};

use memchr::memmem::Finder;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::Value;
use url::Url;

use super::{
    check::{matches, normal},
    redact::Redactor,
};

/// What every handle begins with. Letters and digits only, lower case: URL parsing, JSON, forms and HTML leave it alone.
const PREFIX: &str = "heraldsecret";
/// 128 bits in base 32.
const RANDOM: usize = 26;
pub(super) const HANDLE: usize = PREFIX.len() + RANDOM;

static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));

/// The settings of one channel with its secrets set apart. Made when the config or the adapter changes; cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    inner: Arc<Inner>,
    /// What is secret beside the settings: access tokens. Only looked for, never put in.
    learnt: Vec<Arc<Redactor>>,
}

struct Inner {
    /// The settings' JSON text, cut where the secrets stood: one piece more than there are values.
    pieces: Vec<String>,
    values: Vec<SecretString>,
    /// Where each of them stands.
    pointers: Vec<String>,
    hosts: BTreeSet<String>,
    /// The settings' texts, secret or not, that are absolute http or https URLs, as they are parsed.
    urls: Vec<(Zeroizing<String>, Url)>,
    redactor: Redactor,
}

/// The settings can't be set apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// An object or an array is marked as secret.
    #[error("{pointer}: a secret is text, a number or a boolean; this is an {kind}")]
    Kind {
        /// Where it stands in the settings (RFC 6901).
        pointer: String,
        /// `object` or `array`.
        kind: &'static str,
    },
    /// The secrets are too large to be searched for.
    #[error("the secrets of one channel are too large: {0}")]
    Size(String),
}

impl Secrets {
    /// Sets the values apart that stand at `secret_pointers` (RFC 6901). A pointer to nothing, to `null` or to an empty
    /// text is not a secret: the adapter sees what is there.
    pub fn new(settings: &Value, secret_pointers: &BTreeSet<String>) -> Result<Self, BadSecret> {
        let mut split = Split {
            pointers: secret_pointers,
            pieces: vec![String::new()],
            values: vec![],
            found: vec![],
            hosts: BTreeSet::new(),
            urls: vec![],
        };
        split.walk(settings, &mut String::new())?;
        let redactor = Redactor::new(split.values.iter().map(ExposeSecret::expose_secret)).map_err(BadSecret::Size)?;
        let Split { pieces, values, found: pointers, hosts, urls, .. } = split;
        let inner = Arc::new(Inner { pieces, values, pointers, hosts, urls, redactor });
        Ok(Self { inner, learnt: Vec::new() })
    }

    /// Makes the settings for one call of the adapter: a new handle for each secret. `random` gives 128 random bits.
    pub fn seal(&self, mut random: impl FnMut() -> u128) -> Sealed {
        let inner = &self.inner;
        let handles: Vec<String> = inner.values.iter().map(|_| handle(random())).collect();
        let length = inner.pieces.iter().map(String::len).sum::<usize>() + handles.len() * (HANDLE + 2);
        let mut settings_json = String::with_capacity(length);
        let mut handles_left = handles.iter();
        for piece in &inner.pieces {
            settings_json.push_str(piece);
            if let Some(handle) = handles_left.next() {
                settings_json.extend(["\"", handle, "\""]);
            }
        }
        Sealed { settings_json, handles, secrets: self.clone() }
    }

    /// The handles of an earlier call that was made with these settings, perhaps by another run of the host: pointers and
    /// handles as [`Sealed::handles`] gave them. Where a pointer leads to no secret any more, its handle means nothing.
    pub fn unseal(&self, handles: &[(String, String)]) -> Sealed {
        let handle = |pointer: &String| {
            let known = handles.iter().find(|(of, handle)| of == pointer && handle.len() == HANDLE);
            known.map(|(_, handle)| handle.clone()).unwrap_or_default()
        };
        let handles = self.inner.pointers.iter().map(handle).collect();
        Sealed { settings_json: String::new(), handles, secrets: self.clone() }
    }

    /// Where the settings point: the hosts of all their texts, secret or not, that are absolute http or https URLs.
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.inner.hosts
    }

    /// Those of the declared hosts, `*.` in front perhaps, where the settings do not point.
    pub fn elsewhere<'d>(&self, declared: &'d [String]) -> Vec<&'d str> {
        let pointed = |pattern: &&String| self.hosts().iter().any(|host| matches(pattern, host));
        declared.iter().filter(|pattern| !pointed(pattern)).map(String::as_str).collect()
    }

    /// What [`Url::parse`] says of a text. Most requests go where the settings say, which has been parsed before.
    pub(super) fn parse_url(&self, text: &str) -> Result<Url, url::ParseError> {
        let known = self.inner.urls.iter().find(|(known, _)| known.as_str() == text);
        known.map_or_else(|| Url::parse(text), |(_, url)| Ok(url.clone()))
    }

    /// The text with `[redacted]` in the place of each secret, also where it stands URL-encoded, JSON- or HTML-escaped or
    /// in base 64. Of a secret that is a URL, scheme and host stay.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let shown = self.inner.redactor.redact(text);
        self.learnt.iter().fold(shown, |shown, learnt| match learnt.redact(&shown) {
            Cow::Owned(redacted) => Cow::Owned(redacted),
            Cow::Borrowed(_) => shown,
        })
    }

    /// These, and what was learnt beside them: it is redacted, too.
    #[must_use]
    pub(super) fn with(&self, learnt: &Arc<Redactor>) -> Self {
        let mut all = self.clone();
        if !all.learnt.iter().any(|known| Arc::ptr_eq(known, learnt)) {
            all.learnt.push(learnt.clone());
        }
        all
    }

    /// The length of the longest text that [`Self::redact`] looks for: what may be cut in two at the end of an excerpt.
    pub(super) fn longest(&self) -> usize {
        self.redactors().map(Redactor::longest).max().unwrap_or(0)
    }

    /// Takes the beginning of a secret off the end of a redacted text that was cut there.
    pub(super) fn trim_end(&self, text: &mut String) {
        self.redactors().for_each(|redactor| redactor.trim_end(text));
    }

    fn redactors(&self) -> impl Iterator<Item = &Redactor> {
        std::iter::once(&self.inner.redactor).chain(self.learnt.iter().map(AsRef::as_ref))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("values", &self.inner.values.len()).finish_non_exhaustive()
    }
}

/// The settings for one call of an adapter. Its handles mean nothing to any other.
pub struct Sealed {
    /// What the adapter gets as `context.settings`.
    pub settings_json: String,
    handles: Vec<String>,
    secrets: Secrets,
}

impl Sealed {
    /// The secrets that it was made of.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Where each secret stands in the settings (RFC 6901), and the handle in its place.
    pub fn handles(&self) -> Vec<(String, String)> {
        self.secrets.inner.pointers.iter().cloned().zip(self.handles.iter().cloned()).collect()
    }

    /// Whether a handle of this call is in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.find(text.as_bytes(), 0).is_some()
    }

    /// If the text begins with a handle: its value, and the text after it.
    pub(super) fn leading<'s, 't>(&'s self, text: &'t str) -> Option<(&'s str, &'t str)> {
        let value = self.value(text.as_bytes().get(..HANDLE)?)?;
        Some((value, text.get(HANDLE..)?))
    }

    /// The first handle at or after `from`: where, and its value.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, &str)> {
        if self.handles.is_empty() {
            return None;
        }
        let mut from = from;
        loop {
            let at = from + BEGINNING.find(text.get(from..)?)?;
            let handle = text.get(at..at + HANDLE)?;
            if let Some(value) = self.value(handle) {
                return Some((at, value));
            }
            from = at + 1;
        }
    }

    fn value(&self, handle: &[u8]) -> Option<&str> {
        let index = self.handles.iter().position(|known| known.as_bytes() == handle)?;
        self.secrets.inner.values.get(index).map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("handles", &self.handles.len()).finish_non_exhaustive()
    }
}

fn handle(random: u128) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let letters: [u8; RANDOM] = std::array::from_fn(|place| {
        let [digit, ..] = (random >> (5 * place)).to_le_bytes();
        ALPHABET.get(usize::from(digit & 31)).copied().unwrap_or(b'a')
    });
    [PREFIX, str::from_utf8(&letters).unwrap_or_default()].concat()
}

/// Writes JSON text, cutting it at each secret.
struct Split<'p> {
    pointers: &'p BTreeSet<String>,
    pieces: Vec<String>,
    values: Vec<SecretString>,
    found: Vec<String>,
    hosts: BTreeSet<String>,
    urls: Vec<(Zeroizing<String>, Url)>,
}

impl Split<'_> {
    fn walk(&mut self, value: &Value, pointer: &mut String) -> Result<(), BadSecret> {
        if let Value::String(text) = value
            && let Some(url) = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
        {
            self.hosts.extend(url.host_str().map(normal));
            self.urls.push((text.clone().into(), url));
        }
        if self.pointers.contains(pointer.as_str()) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null => String::new(),
                Value::Array(_) => return Err(BadSecret::Kind { pointer: pointer.clone(), kind: "array" }),
                Value::Object(_) => return Err(BadSecret::Kind { pointer: pointer.clone(), kind: "object" }),
            };
            if !text.is_empty() {
                self.values.push(SecretString::from(text));
                self.found.push(pointer.clone());
                self.pieces.push(String::new());
                return Ok(());
            }
        }
        match value {
            Value::Array(items) => {
                self.list("[", "]", items.iter().enumerate(), pointer, |index| (index.to_string(), String::new()))
            }
            Value::Object(fields) => self.list("{", "}", fields.iter(), pointer, |key| {
                (key.replace('~', "~0").replace('/', "~1"), format!("{}:", Value::from(key.as_str())))
            }),
            leaf => {
                self.write(&leaf.to_string());
                Ok(())
            }
        }
    }

    /// `label` gives an entry's reference token in the pointer and what stands before it in the text.
    fn list<'v, K>(
        &mut self,
        open: &str,
        close: &str,
        entries: impl Iterator<Item = (K, &'v Value)>,
        pointer: &mut String,
        label: impl Fn(K) -> (String, String),
    ) -> Result<(), BadSecret> {
        self.write(open);
        let length = pointer.len();
        for (index, (key, value)) in entries.enumerate() {
            let (token, before) = label(key);
            self.write(if index == 0 { "" } else { "," });
            self.write(&before);
            pointer.push('/');
            pointer.push_str(&token);
            self.walk(value, pointer)?;
            pointer.truncate(length);
        }
        self.write(close);
        Ok(())
    }

    fn write(&mut self, text: &str) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests;
