//! `[[source]]`: who posts events to a path of its own, and how it proves that it is the one.
//!
//! Must never put a secret into a problem.

use std::{collections::BTreeMap, time::Duration};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderName;

use super::{
    channels::Found,
    entry::Entry,
    net::network,
    raw::{Node, Place, Table, Value, check_keys, join},
    schema::Sections,
    secret::{Failure, Reference, failure, is_open_to_all, reference, resolve},
    value::{Checked, choice, duration, list, name, show_duration, text, wrong},
};
use crate::model::{Encoding, Hash, Key, SignedHeader, Source, Verify, WebhookKey};

pub(super) const KEYS: &[&str] = &["name", "verify", "secrets", "tolerance", "allow_addresses"];
const VERIFY_KEYS: &[&str] = &["hmac", "header", "prefix", "encoding", "timestamp", "signed"];
/// What Standard Webhooks advise.
const TOLERANCE: Duration = Duration::from_mins(5);
/// In bytes; a shorter secret can be guessed by trying, as whoever has seen one signature can do at leisure.
const SHORTEST: usize = 16;
const REFERENCE: &str = "write { env = \"NAME\" } or { file = \"PATH\" }; the secret itself stands there";

/// Secrets are pasted by people: their padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How posts are signed, without the keys.
enum Scheme {
    StandardWebhooks,
    Hmac(SignedHeader),
}

impl Found<'_> {
    /// The sources of the file; what is wrong becomes problems.
    pub fn sources(&mut self, root: &Table, sections: Option<&Sections>) -> Vec<Source> {
        let mut names: BTreeMap<String, Place> = BTreeMap::new();
        let mut sources = Vec::new();
        for mut entry in Entry::all(root, "source", &mut self.problems) {
            let name = entry.demand("name", name, &mut self.problems);
            if let Some(name) = &name {
                entry.path = join("source", name);
                if let Some(first) = names.insert(name.clone(), entry.node.place.clone()) {
                    let problem = entry.node.problem(&entry.path, format!("the source at {first} has this name too"));
                    self.problems.push(problem.hint("every source has a name of its own"));
                }
            }
            check_keys(entry.table, &entry.path, KEYS, &mut self.problems);
            let before = self.problems.len();
            let verify = self.verify(&entry);
            let tolerance = entry.read("tolerance", tolerance, &mut self.problems);
            let allow_addresses = entry.read("allow_addresses", addresses, &mut self.problems);
            if self.problems.len() > before {
                continue;
            }
            let Some(name) = name else { continue };
            let source = Source { name, verify, tolerance: tolerance.unwrap_or(TOLERANCE), allow_addresses };
            self.check_source(&source, &entry, sections);
            sources.push(source);
        }
        sources
    }

    /// What does not go together.
    fn check_source(&mut self, source: &Source, entry: &Entry<'_>, sections: Option<&Sections>) {
        let Some(sections) = sections else { return };
        let mut say = |key: &str, message: String, hint: &str| {
            let node = entry.table.get(key).unwrap_or(entry.node);
            self.problems.push(node.problem(entry.path_of(key), message).hint(hint));
        };
        let has_time = match &source.verify {
            None if !sections.server.unsigned_events => {
                let message = "is missing, and `server.unsigned_events` is false".to_owned();
                return say("verify", message, "say how this source signs, or take unsigned events");
            }
            Some(Verify::StandardWebhooks(_)) => true,
            Some(Verify::Hmac(how, _)) => how.timestamp.is_some(),
            None => false,
        };
        let keep = sections.store.keep;
        if !has_time && entry.table.contains_key("tolerance") {
            let message = "there is no time in what this source signs".to_owned();
            say("tolerance", message, "leave it out, or name the header that holds the time: `timestamp` in `verify`");
        } else if has_time && keep < 2 * source.tolerance {
            // From as early to as late as is taken: so long the first of two must be remembered.
            let message = format!(
                "a copied post could come again after `store.keep`, {}, has forgotten the first",
                show_duration(&keep)
            );
            say("tolerance", message, "make `store.keep` at least twice as long as `tolerance`");
        }
    }

    fn verify(&mut self, entry: &Entry<'_>) -> Option<Verify> {
        let Some(node) = entry.table.get("verify") else {
            if let Some(secrets) = entry.table.get("secrets") {
                let problem = secrets.problem(entry.path_of("secrets"), "nothing is verified with them");
                self.problems.push(problem.hint("add verify = \"standard-webhooks\" or verify = { hmac = … }"));
            }
            return None;
        };
        let scheme = match &node.value {
            Value::Table(table) => {
                self.signed_header(&Entry { node, table, path: entry.path_of("verify") }).map(Scheme::Hmac)
            }
            _ => entry
                .read("verify", choice(&[("standard-webhooks", ())]), &mut self.problems)
                .map(|()| Scheme::StandardWebhooks),
        };
        let keys = self.secrets(entry)?;
        Some(match scheme? {
            Scheme::StandardWebhooks => Verify::StandardWebhooks(self.keys(keys, webhook_key)),
            Scheme::Hmac(how) => Verify::Hmac(how, self.keys(keys, hmac_key)),
        })
    }

    fn signed_header(&mut self, entry: &Entry<'_>) -> Option<SignedHeader> {
        const HASHES: &[(&str, Hash)] = &[("sha256", Hash::Sha256), ("sha512", Hash::Sha512), ("sha1", Hash::Sha1)];
        const ENCODINGS: &[(&str, Encoding)] = &[("hex", Encoding::Hex), ("base64", Encoding::Base64)];
        let problems = &mut self.problems;
        check_keys(entry.table, &entry.path, VERIFY_KEYS, problems);
        let hash = entry.demand("hmac", choice(HASHES), problems);
        let header = entry.demand("header", header, problems);
        let prefix = entry.read_or("prefix", String::new(), text, problems);
        let encoding = entry.read_or("encoding", Encoding::Hex, choice(ENCODINGS), problems);
        let timestamp = entry.read("timestamp", self::header, problems);
        let has_time = entry.table.contains_key("timestamp");
        let default = (String::new(), if has_time { ".".to_owned() } else { String::new() });
        let around_timestamp = entry.read_or("signed", default, around(has_time), problems);
        Some(SignedHeader {
            hash: hash?,
            header: header?,
            prefix: prefix?,
            encoding: encoding?,
            timestamp,
            around_timestamp: around_timestamp?,
        })
    }

    /// The secrets with where they stand.
    fn secrets<'e>(&mut self, entry: &Entry<'e>) -> Option<Vec<(&'e Node, String, String)>> {
        let Some(node) = entry.table.get("secrets") else {
            let problem = entry.node.problem(entry.path_of("secrets"), "is missing");
            self.problems.push(problem.hint("add secrets = [{ env = \"NAME\" }], several while one is being replaced"));
            return None;
        };
        let Value::Array(items) = &node.value else {
            let problem = node.problem(entry.path_of("secrets"), format!("must be a list, not {}", node.kind()));
            self.problems.push(problem.hint("write [{ env = \"NAME\" }]"));
            return None;
        };
        if items.is_empty() {
            let problem = node.problem(entry.path_of("secrets"), "is empty");
            self.problems.push(problem.hint("nothing could be verified: add { env = \"NAME\" }"));
        }
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let key = format!("{}[{index}]", entry.path_of("secrets"));
            match self.referred(item, &key, REFERENCE) {
                Ok((_, value)) => values.push((item, key, value)),
                Err(failure) => self.problems.push(item.problem(&key, failure.message).hint(failure.hint)),
            }
        }
        Some(values)
    }

    fn keys<K>(&mut self, secrets: Vec<(&Node, String, String)>, read: fn(&str) -> Result<K, Failure>) -> Vec<K> {
        let mut keys = Vec::new();
        for (node, key, value) in secrets {
            match read(value.trim()) {
                Ok(read) => keys.push(read),
                Err(failure) => self.problems.push(node.problem(&key, failure.message).hint(failure.hint)),
            }
        }
        keys
    }

    /// What a reference gives; `hint` says what to write when it is none. A file that everybody can read is warned of.
    pub(super) fn referred(&mut self, node: &Node, key: &str, hint: &str) -> Result<(Reference, String), Failure> {
        let found = match &node.value {
            Value::Table(table) => reference(table, self.base),
            _ => None,
        };
        let reference = found.unwrap_or_else(|| failure("is no reference", hint))?;
        let value = resolve(&reference, self.variable)?;
        if let Reference::File(path) = &reference
            && is_open_to_all(path)
        {
            let message = format!("every user of this machine can read {}", path.display());
            self.warnings.push(node.problem(key, message).hint(format!("chmod o-r {}", path.display())));
        }
        Ok((reference, value))
    }
}

fn tolerance(node: &Node) -> Checked<Duration> {
    duration(Duration::from_secs(1)..=Duration::from_hours(24))(node)
}

fn addresses(node: &Node) -> Checked<Vec<ipnet::IpNet>> {
    match &node.value {
        Value::Array(items) if items.is_empty() => wrong(node, "is empty", "leave it out for every address"),
        _ => list(network)(node),
    }
}

fn header(node: &Node) -> Checked<HeaderName> {
    HeaderName::try_from(text(node)?.trim()).or_else(|_| {
        wrong(node, "is not the name of a header", "write it as the sender sends it: \"x-hub-signature-256\"")
    })
}

/// What is signed before the timestamp, and between it and the body.
fn around(has_time: bool) -> impl Fn(&Node) -> Checked<(String, String)> {
    move |node| {
        let text = text(node)?;
        let parts = text.strip_suffix("{body}").filter(|before| !before.contains("{body}"));
        match (parts, parts.and_then(|before| before.split_once("{timestamp}"))) {
            (Some(_), Some((before, between))) if has_time && !between.contains("{timestamp}") => {
                Ok((before.to_owned(), between.to_owned()))
            }
            (Some(before), None) if !has_time => Ok((before.to_owned(), String::new())),
            _ if has_time => wrong(
                node,
                "does not say what is signed",
                "write {timestamp} once, and {body} at the end: \"v0:{timestamp}:{body}\"",
            ),
            _ => wrong(
                node,
                "does not say what is signed",
                "write {body} once, at the end; {timestamp} needs `timestamp`, the header that holds it",
            ),
        }
    }
}

fn webhook_key(text: &str) -> Result<WebhookKey, Failure> {
    const HINT: &str = "take it from the sender as it is: `whsec_` or `whpk_`, and base 64 after it";
    if text.starts_with("whsk_") {
        return failure(
            "is a private key",
            "it is the sender's alone: give its public one, `whpk_…`, and have it replaced",
        );
    }
    let public = text.strip_prefix("whpk_");
    let bytes = BASE64.decode(public.or_else(|| text.strip_prefix("whsec_")).unwrap_or(text));
    match (bytes, public) {
        (Ok(bytes), Some(_)) if bytes.len() == 32 => Ok(WebhookKey::Public(bytes)),
        (Ok(bytes), None) if bytes.len() >= SHORTEST => Ok(WebhookKey::Secret(Key::new(bytes))),
        (Ok(_), Some(_)) => failure("is not an ed25519 key, which has 32 bytes", HINT),
        (Ok(_), None) => failure(format!("has fewer than {SHORTEST} bytes: it could be guessed"), HINT),
        _ => failure("is not `whsec_` or `whpk_` and base 64 after it", HINT),
    }
}

fn hmac_key(text: &str) -> Result<Key, Failure> {
    match text.len() {
        ..SHORTEST => failure(
            format!("has fewer than {SHORTEST} characters: it could be guessed"),
            "agree on a longer one with the sender: openssl rand -hex 32",
        ),
        _ => Ok(Key::new(text.as_bytes().to_vec())),
    }
}

#[cfg(test)]
mod tests;
