//! `[channel.tls]`: whom a channel trusts, and the certificate that it shows.
//!
//! Must never put anything of a key into a problem.

use std::sync::Arc;

use super::{
    channels::Found,
    entry::Entry,
    raw::{Node, Value, check_keys},
    secret::{Reference, failure, is_open_to_all, reference, resolve},
};
use crate::model::{Certificates, Identity, Tls, Unusable};

const KEYS: &[&str] = &["ca", "certificate", "key"];

impl Found<'_> {
    /// The channel's own; the usual one where it says nothing. `None` when something is wrong.
    pub fn channel_tls(&mut self, channel: &Entry<'_>) -> Option<Tls> {
        let Some(node) = channel.table.get("tls") else {
            return Some(Tls::default());
        };
        let path = channel.path_of("tls");
        let table = node.table(&path, &mut self.problems)?;
        check_keys(table, &path, KEYS, &mut self.problems);
        let entry = Entry { node, table, path };
        for (one, other) in [("certificate", "key"), ("key", "certificate")] {
            if let (Some(node), None) = (table.get(one), table.get(other)) {
                let problem = node.problem(entry.path_of(one), format!("does nothing without `{other}`"));
                self.problems.push(problem.hint("give both: the certificate is shown, and the key proves it"));
                return None;
            }
        }
        let roots = self.optional(&entry, "ca", Certificates::from_pem)?;
        let identity = match self.optional(&entry, "certificate", Certificates::from_pem)? {
            None => None,
            Some(certificates) => {
                self.optional(&entry, "key", |key| Identity::from_pem(&certificates, key))?.map(Arc::new)
            }
        };
        Some(Tls { roots, identity })
    }

    /// What `parse` makes of the text; none within when there is none, none when it is wrong.
    #[expect(clippy::option_option, reason = "that there is none is no fault")]
    fn optional<T>(
        &mut self,
        entry: &Entry<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Unusable>,
    ) -> Option<Option<T>> {
        let Some(node) = entry.table.get(key) else {
            return Some(None);
        };
        let path = entry.path_of(key);
        let text = self.text_or_reference(node, &path, key == "key")?;
        parse(&text).map(Some).map_err(|wrong| self.problems.push(wrong_text(node, &path, wrong))).ok()
    }

    /// Text that stands in the config, or what a reference stands for. A secret is better not in the config itself, nor in
    /// a file that all can read.
    pub fn text_or_reference(&mut self, node: &Node, path: &str, is_secret: bool) -> Option<String> {
        let found = match &node.value {
            Value::Text(text) => {
                if is_secret {
                    let warning = node.problem(path, "a secret stands in the config file");
                    self.warnings.push(warning.hint("write { env = \"NAME\" } or { file = \"PATH\" } instead"));
                }
                return Some(text.clone());
            }
            Value::Table(table) => reference(table, self.base),
            _ => None,
        };
        let found = found
            .unwrap_or_else(|| failure("is neither text nor a reference", "write { file = \"PATH\" } for example"));
        let value = found.and_then(|reference| {
            let value = resolve(&reference, self.variable)?;
            if let Reference::File(file) = &reference
                && is_secret
                && is_open_to_all(file)
            {
                let message = format!("every user of this machine can read {}", file.display());
                self.warnings.push(node.problem(path, message).hint(format!("chmod o-r {}", file.display())));
            }
            Ok(value)
        });
        value.map_err(|failure| self.problems.push(node.problem(path, failure.message).hint(failure.hint))).ok()
    }
}

/// A path in the place of the text is the likeliest mistake.
pub(super) fn wrong_text(node: &Node, path: &str, wrong: Unusable) -> super::Problem {
    let problem = node.problem(path, wrong.message);
    match node.value {
        Value::Text(_) => problem.hint(format!("to name a file write {{ file = \"PATH\" }}; {}", wrong.hint)),
        _ => problem.hint(wrong.hint),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use crate::config::tests::{Case, SECRET, with_channel};

    /// With a certificate, its key and another key as files beside it.
    fn case(tls: &str) -> Case {
        let case = with_channel(&format!("[channel.tls]\n{tls}"));
        let make = || generate_simple_self_signed(["herald.example".to_owned()]).unwrap();
        let (CertifiedKey { cert, signing_key }, other) = (make(), make());
        for (name, text) in [
            ("herald.pem", cert.pem()),
            ("herald.key", signing_key.serialize_pem()),
            ("other.key", other.signing_key.serialize_pem()),
            ("secret", SECRET.to_owned()),
        ] {
            case.write_private(name, &text);
        }
        case
    }

    #[test]
    fn a_channel_has_authorities_and_a_certificate_of_its_own() {
        let files =
            "ca = { file = \"herald.pem\" }\ncertificate = { file = \"herald.pem\" }\nkey = { file = \"herald.key\" }";
        let channel = case(files).config().channels.remove(0);
        assert!(channel.tls.roots.is_some() && channel.tls.identity.is_some());
        let channel = with_channel("").config().channels.remove(0);
        assert_eq!(channel.tls, crate::model::Tls::default());
    }

    #[test]
    fn what_can_not_be_used_is_said_without_showing_it() {
        let shortened = |tls: &str| {
            let lines = case(tls).problems();
            assert_eq!(lines.len(), 1, "{lines:?}");
            lines[0].split(" (").next().unwrap().to_owned()
        };
        for (tls, problem) in [
            ("ca = { file = \"secret\" }", "5: channel.c.tls.ca: holds no certificate in PEM"),
            ("ca = \"herald.pem\"", "5: channel.c.tls.ca: holds no certificate in PEM"),
            ("ca = 1", "5: channel.c.tls.ca: is neither text nor a reference"),
            ("key = { file = \"herald.key\" }", "5: channel.c.tls.key: does nothing without `certificate`"),
            ("certificate = { file = \"herald.pem\" }", "5: channel.c.tls.certificate: does nothing without `key`"),
            (
                "certificate = { file = \"herald.pem\" }\nkey = { file = \"other.key\" }",
                "6: channel.c.tls.key: is not the key of `certificate`",
            ),
            (
                "certificate = { file = \"herald.pem\" }\nkey = { file = \"secret\" }",
                "6: channel.c.tls.key: holds no private key in PEM",
            ),
        ] {
            assert_eq!(shortened(tls), format!("herald.toml:{problem}"));
        }
        assert!(case("ca = \"herald.pem\"").problems()[0].contains("to name a file write { file = \"PATH\" }"));
        assert!(case("certificat = \"\"").problems()[0].contains("certificat"));
    }
}
