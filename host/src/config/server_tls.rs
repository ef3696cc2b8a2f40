//! `[server.tls]`: where the API's certificate and key are, and what is in them.
//!
//! Must not know TLS: whether they are good is found out elsewhere. Must never put the key into a problem.

use std::path::{Path, PathBuf};

use super::{
    channels::Found,
    problems::{Problem, did_you_mean},
    raw::{Node, Place, Value},
    secret::{Reference, is_open_to_all, reference, resolve},
    value::{Checked, Fault, path, wrong, wrong_type},
};
use crate::{files, model::Key};

/// A chain of certificates is never longer, in bytes.
const LONGEST: usize = 1 << 20;
const KEYS: [&str; 2] = ["certificate", "key"];

/// Where they are.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsFiles {
    /// PEM: the host's certificate, and those that lead from it to its authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: Reference,
}

/// What is in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// PEM.
    pub certificate: Vec<u8>,
    /// PEM.
    pub key: Key,
    /// Which files: a certificate is renewed in place.
    pub files: Vec<PathBuf>,
}

/// Reads the section; none when it is empty.
pub(super) fn files(node: &Node) -> Checked<Option<TlsFiles>> {
    const HINT: &str = "write certificate = \"herald.crt\" and key = \"herald.key\" in [server.tls]";
    let Value::Table(table) = &node.value else {
        return wrong_type(node, "a table");
    };
    if table.is_empty() {
        return Ok(None);
    }
    if let Some((name, node)) = table.iter().find(|(name, _)| !KEYS.contains(&name.as_str())) {
        let problem = node.problem(format!(".{name}"), "there is no such setting");
        let hint = did_you_mean(name, KEYS).unwrap_or_else(|| HINT.to_owned());
        return Err(vec![Fault { problem: problem.hint(hint), of_type: false }]);
    }
    let (Some(certificate), Some(key)) = (table.get("certificate"), table.get("key")) else {
        return wrong(node, "lacks `certificate` or `key`", HINT);
    };
    let key = match &key.value {
        Value::Table(table) => match reference(table, Path::new("")) {
            Some(Ok(reference)) => reference,
            _ => return wrong(key, "is no reference", HINT),
        },
        _ => Reference::File(path(key)?),
    };
    Ok(Some(TlsFiles { certificate: path(certificate)?, key }))
}

impl TlsFiles {
    /// The same, paths taken from `base`.
    pub(super) fn at(self, base: &Path) -> Self {
        let key = match self.key {
            Reference::File(path) => Reference::File(base.join(path)),
            Reference::Exec(mut words) => {
                if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
                    *program = base.join(&*program).to_string_lossy().into_owned();
                }
                Reference::Exec(words)
            }
            env @ Reference::Env(_) => env,
        };
        Self { certificate: base.join(self.certificate), key }
    }

    /// The files among them.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let key = match &self.key {
            Reference::File(path) => Some(path.clone()),
            _ => None,
        };
        std::iter::once(self.certificate.clone()).chain(key).collect()
    }
}

impl Found<'_> {
    /// What is in the files; what can't be read becomes problems.
    pub fn server_tls(&mut self, tls: &TlsFiles, place: &Place) -> Option<Tls> {
        let certificate = files::read(&tls.certificate, LONGEST).map_err(|error| {
            let message = format!("the file {} can't be read: {error}", tls.certificate.display());
            let problem = Problem::new("server.tls.certificate", message).at(place.to_string());
            problem.hint("the path is relative to the config file; Herald's user must be able to read it")
        });
        let key = resolve(&tls.key, self.variable).map_err(|failure| {
            Problem::new("server.tls.key", failure.message).at(place.to_string()).hint(failure.hint)
        });
        if let Reference::File(path) = &tls.key
            && is_open_to_all(path)
        {
            let message = format!("every user of this machine can read {}", path.display());
            let problem = Problem::new("server.tls.key", message).at(place.to_string());
            self.warnings.push(problem.hint(format!("chmod o-r {}", path.display())));
        }
        match (certificate, key) {
            (Ok(certificate), Ok(key)) => {
                Some(Tls { certificate, key: Key::new(key.into_bytes()), files: tls.paths() })
            }
            (certificate, key) => {
                self.problems.extend(certificate.err().into_iter().chain(key.err()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use crate::config::tests::Case;

    #[test]
    fn certificate_and_key_are_read_from_beside_the_config() {
        let case = Case::new("[server.tls]\ncertificate = \"c\"\nkey = { file = \"k\" }");
        fs::write(case.folder.path().join("c"), "certificate").unwrap();
        fs::write(case.folder.path().join("k"), "s3cret-T0ken\n").unwrap();
        #[cfg(unix)]
        fs::set_permissions(case.folder.path().join("k"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let config = case.config();
        let tls = config.tls.as_ref().unwrap();
        assert_eq!((tls.certificate.as_slice(), tls.key.bytes()), (&b"certificate"[..], &b"s3cret-T0ken"[..]));
        assert_eq!(tls.files, ["c", "k"].map(|name| case.folder.path().join(name)));
        #[cfg(unix)]
        assert_eq!(
            case.lines(&config.warnings),
            ["herald.toml:1: server.tls.key: every user of this machine can read k (chmod o-r k)"]
        );
        assert!(Case::new("[server.tls]").config().tls.is_none());
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, start) in [
            ("certificate = \"c\"", "herald.toml:1: server.tls: lacks `certificate` or `key` (write"),
            ("certificat = \"c\"\nkey = \"k\"", "herald.toml:2: server.tls.certificat: there is no such setting (did"),
            ("certificate = 3\nkey = \"k\"", "herald.toml:2: server.tls: must be text, not a whole number"),
            ("certificate = \"c\"\nkey = { x = 1 }", "herald.toml:3: server.tls: is no reference"),
            ("certificate = \"herald.toml\"\nkey = \"k\"", "herald.toml:1: server.tls.key: the file k can't be read"),
        ] {
            let problems = Case::new(format!("[server.tls]\n{text}")).problems();
            assert!(problems.len() == 1 && problems[0].starts_with(start), "{problems:?} {start}");
        }
    }
}
