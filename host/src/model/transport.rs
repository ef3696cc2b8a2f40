//! How a channel's connections are made, where that is not how everybody's are. Pure: texts in, what can be used out.
//!
//! Must not read a file or a clock, nor put anything of a key into a message.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::Millis;

/// What makes connections differ: those of one such set-up are never used for another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transport {
    /// Whom the other end must be, and who this end is.
    pub tls: Tls,
    /// The address that connections come from; none: whichever the machine takes.
    pub bind: Option<IpAddr>,
    /// Through whom connections are made; none: straight.
    pub proxy: Option<Proxy>,
}

/// Somebody through whom connections are made.
#[derive(Clone)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// Its name or address: the operator's choice, so it may be a private one.
    pub host: Host<String>,
    /// Its port.
    pub port: u16,
    /// A user and a password, where it asks for them.
    pub credentials: Option<(String, SecretString)>,
}

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// By the method CONNECT of HTTP (RFC 9110, 9.3.6).
    Http,
    /// By SOCKS 5 (RFC 1928).
    Socks5,
}

impl Proxy {
    /// From a URL; a user and a password stand before the `@`, percent-encoded.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        const HINT: &str = "write \"http://proxy.example:3128\" or \"socks5://10.0.0.1:1080\"; a user and a password go before an @, percent-encoded";
        let Ok(url) = Url::parse(text.trim()) else {
            return unusable("is not the URL of a proxy", HINT);
        };
        let kind = match url.scheme() {
            "http" => ProxyKind::Http,
            "socks5" => ProxyKind::Socks5,
            "socks5h" => {
                return unusable(
                    "asks the proxy to look names up, and Herald looks them up itself, to see where they lead",
                    "write socks5 in the place of socks5h",
                );
            }
            "https" => {
                return unusable(
                    "asks for TLS with the proxy, which Herald does not speak there",
                    "write http in the place of https: what is sent by https stays unreadable to the proxy all the same",
                );
            }
            _ => return unusable("is neither an HTTP nor a SOCKS5 proxy", HINT),
        };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        // Only the schemes of the web have their hosts parsed as such by the URL's parser.
        let host = url.host_str().and_then(|host| Host::parse(host).ok()).filter(|_| bare);
        let port = url.port().or((kind == ProxyKind::Socks5).then_some(1080)).or(url.port_or_known_default());
        let (Some(host), Some(port)) = (host, port) else {
            return unusable("is not the URL of a proxy", HINT);
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
        let credentials = match (decoded(url.username()), decoded(url.password().unwrap_or_default())) {
            (Some(user), Some(password)) if user.is_empty() && password.is_empty() => None,
            // RFC 7617 and RFC 1929.
            (Some(user), Some(password))
                if !user.contains(':') && user.len().max(password.len()) <= 255 && !user.is_empty() =>
            {
                Some((user, SecretString::from(password)))
            }
            _ => {
                return unusable(
                    "has a user or a password that can't be sent",
                    "at most 255 bytes of UTF-8, no colon in the user",
                );
            }
        };
        Ok(Self { kind, host, port, credentials })
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        let secret = |proxy: &Self| {
            proxy.credentials.as_ref().map(|(user, word)| (user.clone(), word.expose_secret().to_owned()))
        };
        (self.kind, &self.host, self.port) == (other.kind, &other.host, other.port) && secret(self) == secret(other)
    }
}

impl fmt::Display for Proxy {
    /// Without the user and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.kind)
    }
}

/// TLS where it is not the usual one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tls {
    /// The only authorities that are trusted; none: those of the machine.
    pub roots: Option<Certificates>,
    /// What this end shows when the other one asks who it is (mutual TLS).
    pub identity: Option<Arc<Identity>>,
}

/// Why a text can't be used: what is wrong, and what to do. Nothing of the text is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong.
    pub message: &'static str,
    /// What to do.
    pub hint: &'static str,
}

const fn unusable<T>(message: &'static str, hint: &'static str) -> Result<T, Unusable> {
    Err(Unusable { message, hint })
}

/// One certificate or more.
#[derive(Clone, PartialEq)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// From PEM (RFC 7468); what stands between the certificates does not matter.
    pub fn from_pem(text: &str) -> Result<Self, Unusable> {
        const HINT: &str = "it begins with -----BEGIN CERTIFICATE-----; to convert: openssl x509 -inform der -in FILE";
        match CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>() {
            Ok(all) if all.is_empty() => unusable("holds no certificate in PEM", HINT),
            Ok(all) if all.iter().any(|one| RootCertStore::empty().add(one.clone()).is_err()) => {
                unusable("holds a certificate that can't be read", HINT)
            }
            Ok(all) => Ok(Self(all)),
            Err(_) => unusable("is not PEM", HINT),
        }
    }

    /// As authorities to trust.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }

    /// When the first of them is over.
    pub fn not_after(&self) -> Option<Millis> {
        first_end(&self.0)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// A certificate with those that vouch for it, and its key.
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// Of the key's text, so that the text itself need not be kept to see whether it has changed.
    digest: [u8; 32],
}

impl Identity {
    /// From a certificate and its key, unencrypted, both in PEM.
    pub fn from_pem(certificates: &Certificates, key: &str) -> Result<Self, Unusable> {
        const HINT: &str = "it begins with -----BEGIN PRIVATE KEY-----, or RSA or EC instead of PRIVATE";
        let digest = Sha256::digest(key).into();
        let key = match PrivateKeyDer::from_pem_slice(key.as_bytes()) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) if key.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                return unusable(
                    "is a key under a passphrase, which Herald has not",
                    "take the passphrase off, openssl pkey -in FILE, and let nobody else read the file",
                );
            }
            Err(pem::Error::NoItemsFound) => return unusable("holds no private key in PEM", HINT),
            Err(_) => return unusable("is not PEM", HINT),
        };
        match CertifiedKey::from_der(certificates.0.clone(), key, &ring::default_provider()) {
            Ok(key) => Ok(Self { key: Arc::new(key), digest }),
            Err(rustls::Error::InconsistentKeys(_)) => unusable(
                "is not the key of `certificate`",
                "give the key that the certificate was made for; in `certificate`, Herald's own stands first",
            ),
            Err(_) => unusable("is a key of a kind that can't be used", "use RSA, ECDSA (P-256, P-384) or Ed25519"),
        }
    }

    /// What TLS takes.
    pub fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// When the first of the certificates is over.
    pub fn not_after(&self) -> Option<Millis> {
        first_end(&self.key.cert)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.key.cert == other.key.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate and its key")
    }
}

/// None when no time can be read: TLS itself does not ask for that of one's own.
fn first_end(all: &[CertificateDer<'_>]) -> Option<Millis> {
    let end = |one: &CertificateDer<'_>| {
        let (_, certificate) = x509_parser::parse_x509_certificate(one).ok()?;
        // Before 1970 is over as well.
        Some(Millis::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0).saturating_mul(1000))
    };
    all.iter().filter_map(end).min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate and its key, in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["herald.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2030, 1, 2);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_are_an_identity_and_nothing_else_is() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let certificates = Certificates::from_pem(&certificate).unwrap();
        let identity = |key: &str| Identity::from_pem(&certificates, key);
        assert_eq!(identity(&key).unwrap(), identity(&key).unwrap());
        assert_eq!(identity(&key).unwrap().not_after(), Some(1_893_542_400_000));
        for (wrong, message) in [
            (other.as_str(), "is not the key of `certificate`"),
            (&certificate, "holds no private key in PEM"),
            ("s3cret", "holds no private key in PEM"),
            ("-----BEGIN PRIVATE KEY-----\n~\n-----END PRIVATE KEY-----", "is not PEM"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "is a key of a kind that can't be used"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                "is a key under a passphrase, which Herald has not",
            ),
        ] {
            assert_eq!(identity(wrong).unwrap_err().message, message);
        }
        for (wrong, message) in [
            (key.as_str(), "holds no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\n~\n-----END CERTIFICATE-----", "is not PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "holds a certificate that can't be read"),
        ] {
            assert_eq!(Certificates::from_pem(wrong).unwrap_err().message, message);
        }
    }

    #[test]
    fn a_key_is_not_shown_for_debugging() {
        let (certificate, key) = pair();
        let certificates = Certificates::from_pem(&certificate).unwrap();
        let identity = Some(Arc::new(Identity::from_pem(&certificates, &key).unwrap()));
        let shown = format!(
            "{:?}",
            Transport {
                tls: Tls { roots: Some(certificates), identity },
                proxy: Some(Proxy::parse("http://user:s3cret@proxy.example:3128").unwrap()),
                ..Transport::default()
            }
        );
        assert!(shown.contains("a certificate and its key") && shown.contains("proxy.example:3128"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("user") && shown.len() < 250, "{shown}");
    }

    #[test]
    fn a_proxy_is_http_or_socks5_and_its_password_may_hold_anything() {
        let parsed = |text: &str| Proxy::parse(text).unwrap();
        let proxy = parsed("http://us%40er:p%3A%2f%C3%A9@[fd00::1]:3128/");
        let (user, password) = proxy.credentials.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("us@er", "p:/é"));
        assert_eq!((proxy.kind, proxy.to_string().as_str()), (ProxyKind::Http, "[fd00::1]:3128"));
        assert_eq!(parsed("socks5://10.0.0.1").to_string(), "10.0.0.1:1080");
        assert_eq!(parsed("http://proxy.example").to_string(), "proxy.example:80");
        assert_eq!(parsed("http://u:a@h"), parsed("http://u:a@h"));
        assert_ne!(parsed("http://u:a@h"), parsed("http://u:b@h"));
        for (wrong, message) in [
            ("proxy.example:3128", "is neither an HTTP nor a SOCKS5 proxy"),
            ("10.0.0.1:3128", "is not the URL of a proxy"),
            ("http://", "is not the URL of a proxy"),
            ("http://h/path", "is not the URL of a proxy"),
            ("socks5://", "is not the URL of a proxy"),
            ("ftp://h", "is neither an HTTP nor a SOCKS5 proxy"),
            ("http://u%FF:p@h", "has a user or a password that can't be sent"),
            ("http://u%3A:p@h", "has a user or a password that can't be sent"),
        ] {
            assert_eq!(Proxy::parse(wrong).unwrap_err().message, message, "{wrong}");
        }
        assert!(Proxy::parse("socks5h://h").unwrap_err().message.contains("look names up"));
        assert!(Proxy::parse("https://h").unwrap_err().message.contains("TLS with the proxy"));
    }
}
