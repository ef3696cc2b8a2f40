//! Where a request may go, decided before any secret is put into it, and how a refusal is said.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use url::{Host, Url};

use super::guard;
use crate::model::{Blame, FailReason};

/// What the operator allows beyond https to public addresses: the `[outbound]` section of the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Hosts that plain http may go to; `*.` may stand in front.
    pub allow_http: Vec<String>,
    /// Ranges that are not public and may be reached all the same.
    pub allow_addresses: Vec<IpNet>,
}

/// A request that is not sent, and what to do about it. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Whose fault it is.
    pub blame: Blame,
    /// `blocked` when it went where this host does not send; `adapter` when no request could be made of it.
    pub reason: FailReason,
    /// What is wrong.
    pub message: String,
    /// What would change it: the exact line of the config where there is one.
    pub hint: Option<String>,
}

impl Refused {
    /// The adapter gave something that is no request.
    pub(super) fn adapter(message: impl Into<String>) -> Self {
        Self { blame: Blame::Adapter, reason: FailReason::Adapter, message: message.into(), hint: None }
    }

    /// The settings make no request.
    pub(super) fn settings(message: impl Into<String>) -> Self {
        Self { blame: Blame::Settings, reason: FailReason::Adapter, message: message.into(), hint: None }
    }

    fn blocked(blame: Blame, message: String, hint: String) -> Self {
        Self { blame, reason: FailReason::Blocked, message, hint: Some(hint) }
    }
}

impl Options {
    /// Refuses a URL whose scheme, host or literal address this channel must not use. Names are checked again, by
    /// [`Self::check_address`], for each address that they resolve to.
    ///
    /// `declared` is what the adapter says that it sends to; when it says nothing, `pointed` counts: where the settings
    /// point. `listed` is what the operator lets the channel send to, where that is given: a host has to pass both.
    pub(super) fn check(
        &self,
        url: &Url,
        declared: &[String],
        pointed: &BTreeSet<String>,
        listed: Option<&[String]>,
    ) -> Result<(), Refused> {
        let Some(host) = url.host() else {
            return Err(Refused::adapter("the URL names no host"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::blocked(
                Blame::Settings,
                format!("the URL for {host} has a user name or a password in it, which are not sent that way"),
                "take them out of the URL; an adapter that signs in has settings for them".to_owned(),
            ));
        }
        let name = name_of(url, &host);
        check_dots(&host, pointed)?;
        check_host(&name, declared, pointed)?;
        check_listed(&name, listed, pointed)?;
        if url.scheme() == "http" && !self.allow_http.iter().any(|allowed| matches(allowed, &name)) {
            return Err(Refused::blocked(
                Blame::Settings,
                format!("plain http to {name} is not allowed; everything goes by https"),
                format!(
                    "use an https URL, or allow it in the config: {}",
                    line("outbound.allow_http", self.allow_http.iter().cloned(), name.into_owned())
                ),
            ));
        }
        match host {
            Host::Ipv4(ip) => self.check_address(&name, IpAddr::V4(ip)),
            Host::Ipv6(ip) => self.check_address(&name, IpAddr::V6(ip)),
            Host::Domain(_) => Ok(()),
        }
    }

    /// Refuses an address that `name` stands for or resolves to.
    pub(super) fn check_address(&self, name: &str, ip: IpAddr) -> Result<(), Refused> {
        let Some(class) = guard::is_refused(ip, &self.allow_addresses) else {
            return Ok(());
        };
        let what = if name.parse() == Ok(ip) {
            format!("{name} is a {class} address")
        } else {
            format!("{name} resolves to {ip}, a {class} address")
        };
        let present = self.allow_addresses.iter().map(IpNet::to_string);
        Err(Refused::blocked(
            Blame::Settings,
            format!("{what}; only public addresses are sent to"),
            format!(
                "to allow it, set in the config: {}",
                line("outbound.allow_addresses", present, guard::range_for(ip).to_string())
            ),
        ))
    }
}

/// The URL's host as [`normal`] has it; the parser has put it in lower case.
fn name_of<'u>(url: &'u Url, host: &Host<&str>) -> Cow<'u, str> {
    match (host, url.host_str()) {
        (Host::Ipv6(ip), _) => Cow::Owned(ip.to_string()),
        (_, name) => Cow::Borrowed(name.unwrap_or_default().trim_end_matches('.')),
    }
}

/// Refuses a name with an empty part: `a..b`, or one that ends in more than one dot. The URL parser takes `127.0.0.1..` for a
/// name, and a resolver may take it for an address.
fn check_dots(host: &Host<&str>, pointed: &BTreeSet<String>) -> Result<(), Refused> {
    let Host::Domain(name) = host else { return Ok(()) };
    if !name.strip_suffix('.').unwrap_or(name).split('.').any(str::is_empty) {
        return Ok(());
    }
    let blame = if pointed.contains(&normal(name)) { Blame::Settings } else { Blame::Adapter };
    Err(Refused::blocked(
        blame,
        format!("the host `{name}` of the URL has an empty part between its dots"),
        "take the dots that are too many out of the URL".to_owned(),
    ))
}

fn check_host(name: &str, declared: &[String], pointed: &BTreeSet<String>) -> Result<(), Refused> {
    if declared.is_empty() {
        if pointed.contains(name) {
            return Ok(());
        }
        let (message, hint) = if pointed.is_empty() {
            let message = format!("{name} is not a host of this channel: no URL is in its settings");
            (message, "no line of the config allows it: point a URL in its settings at it")
        } else {
            let known = pointed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            (
                format!("{name} is not a host of this channel: its settings point at {known}"),
                "no line of the config allows it: point a URL in its settings at it, or have the adapter declare the host in \
                 `describe`",
            )
        };
        return Err(Refused::blocked(Blame::Adapter, message, hint.to_owned()));
    }
    if declared.iter().any(|pattern| matches(pattern, name)) {
        return Ok(());
    }
    let known = declared.join(", ");
    let (blame, hint) = if pointed.contains(name) {
        (Blame::Settings, format!("use a URL of {known} in the channel's settings"))
    } else {
        (
            Blame::Adapter,
            format!("no line of the config allows it: the adapter must declare {name} among its hosts in `describe`"),
        )
    };
    let message = format!("{name} is not a host of this channel: its adapter declares {known}");
    Err(Refused::blocked(blame, message, hint))
}

/// What the operator says comes last: where it is the only obstacle, its line is all that has to change.
fn check_listed(name: &str, listed: Option<&[String]>, pointed: &BTreeSet<String>) -> Result<(), Refused> {
    let Some(listed) = listed.filter(|listed| !listed.iter().any(|pattern| matches(pattern, name))) else {
        return Ok(());
    };
    let blame = if pointed.contains(name) { Blame::Settings } else { Blame::Adapter };
    Err(Refused::blocked(
        blame,
        format!("{name} is not among the `hosts` of this channel, which are {}", listed.join(", ")),
        format!(
            "to allow it, set in the config at this [[channel]]: {}",
            line("hosts", listed.iter().cloned(), name.to_owned())
        ),
    ))
}

/// The line of the config with what it holds already and one entry more.
fn line(key: &str, present: impl Iterator<Item = String>, more: String) -> String {
    let entries: Vec<String> =
        present.chain([more]).map(|entry| serde_json::Value::String(entry).to_string()).collect();
    format!("{key} = [{}]", entries.join(", "))
}

/// A host in the one spelling that is compared: lower case, no brackets, no final dot, addresses as `std` writes them.
pub(super) fn normal(host: &str) -> String {
    let host = host.trim().trim_end_matches('.');
    match Host::parse(host) {
        Ok(Host::Ipv4(ip)) => ip.to_string(),
        Ok(Host::Ipv6(ip)) => ip.to_string(),
        Ok(Host::Domain(name)) => name,
        Err(_) => host
            .parse::<Ipv6Addr>()
            .map(|ip| ip.to_string())
            .or_else(|_| host.parse::<Ipv4Addr>().map(|ip| ip.to_string()))
            .unwrap_or_else(|_| host.to_ascii_lowercase()),
    }
}

/// Whether `pattern`, a host with perhaps `*.` in front, covers the [`normal`] host.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    match pattern.trim().strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(&normal(parent))
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty()),
        // Most are written as they are compared.
        None => pattern == host || normal(pattern) == host,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(options: &Options, url: &str, declared: &[&str], pointed: &[&str]) -> Result<(), Refused> {
        let declared: Vec<String> = declared.iter().map(ToString::to_string).collect();
        let pointed = pointed.iter().map(ToString::to_string).collect();
        options.check(&Url::parse(url).unwrap(), &declared, &pointed, None)
    }

    fn local() -> Options {
        Options {
            allow_http: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
            allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
        }
    }

    #[test]
    fn a_request_goes_only_to_the_channels_hosts() {
        let none = Options::default();
        assert!(check(&none, "https://hooks.slack.com/x", &[], &["hooks.slack.com"]).is_ok());
        assert!(check(&none, "https://HOOKS.slack.com./x", &[], &["hooks.slack.com"]).is_ok());
        assert!(check(&none, "https://a.example.com/", &["*.example.com"], &[]).is_ok());
        assert!(check(&none, "https://a.b.example.com/", &["*.Example.com."], &[]).is_ok());
        for (declared, pointed) in [
            (&["*.example.com"][..], &[][..]),
            (&["*.ample.com"], &[]),
            (&["api.example.com"], &["example.com"]),
            (&[], &["other.com"]),
            (&[], &[]),
        ] {
            let refused = check(&none, "https://example.com/", declared, pointed).unwrap_err();
            assert_eq!(refused.reason, FailReason::Blocked);
            assert!(refused.message.contains("example.com is not a host of this channel"), "{refused}");
        }
    }

    #[test]
    fn what_the_operator_lists_for_a_channel_narrows_what_its_adapter_may_use() {
        let check = |url: &str, declared: &[&str], pointed: &[&str], listed: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            let pointed = texts(pointed).into_iter().collect();
            Options::default().check(&Url::parse(url).unwrap(), &texts(declared), &pointed, Some(&texts(listed)))
        };
        assert!(check("https://a.example.com/", &["*.example.com"], &[], &["*.Example.com."]).is_ok());
        assert!(check("https://A.example.com./", &[], &["a.example.com"], &["b.com", "a.example.com"]).is_ok());
        let refused = check("https://b.example.com/", &["*.example.com"], &[], &["a.example.com"]).unwrap_err();
        assert_eq!((refused.blame, refused.reason), (Blame::Adapter, FailReason::Blocked));
        assert_eq!(refused.message, "b.example.com is not among the `hosts` of this channel, which are a.example.com");
        let hint = refused.hint.unwrap();
        assert!(hint.ends_with(r#"[[channel]]: hosts = ["a.example.com", "b.example.com"]"#), "{hint}");
        let settings = check("https://example.com/", &[], &["example.com"], &["*.example.com"]).unwrap_err();
        assert_eq!(settings.blame, Blame::Settings, "the settings point where the operator does not let them");
        // Neither list lets through what the other does not.
        for (declared, pointed) in [(&["a.com"][..], &[][..]), (&[], &["a.com"]), (&[], &[])] {
            let refused = check("https://b.com/", declared, pointed, &["b.com"]).unwrap_err();
            assert!(refused.message.starts_with("b.com is not a host of this channel"), "{refused}");
        }
        // An address is listed as it is written, and the guard stands behind the list all the same.
        let loopback = check("https://[::ffff:127.0.0.1]/", &["::ffff:7f00:1"], &[], &["[::ffff:7f00:1]"]);
        assert!(loopback.unwrap_err().message.contains("a loopback address"));
    }

    #[test]
    fn plain_http_is_refused_with_the_line_that_would_allow_it() {
        let refused = check(&Options::default(), "http://127.0.0.1:9/", &[], &["127.0.0.1"]).unwrap_err();
        assert_eq!(refused.blame, Blame::Settings);
        assert!(refused.hint.unwrap().ends_with(r#"outbound.allow_http = ["127.0.0.1"]"#));
        let refused = check(&local(), "http://example.com/", &[], &["example.com"]).unwrap_err();
        let hint = refused.hint.unwrap();
        assert!(hint.ends_with(r#"outbound.allow_http = ["127.0.0.1", "localhost", "example.com"]"#), "{hint}");
        assert!(check(&local(), "http://127.0.0.1:9/", &[], &["127.0.0.1"]).is_ok());
    }

    #[test]
    fn a_literal_address_is_refused_in_all_its_spellings() {
        let open = Options { allow_http: vec![], ..Options::default() };
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://0x7f.1/",
            "https://127.0.0.1./",
            "https://017700000001/",
            "https://0x7f000001/",
            "https://0x7F.0.0.0x1/",
            "https://127.0.1/",
            // Full-width digits, and a full stop that is none.
            "https://１２７.0.0.1/",
            "https://127。0。0。1/",
            "https://[0:0:0:0:0:ffff:127.0.0.1]/",
            "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
            "https://[::127.0.0.1]/",
            "https://[2002:7f00:1::]/",
            "https://%31%32%37.0.0.1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::1]/",
            "https://[64:ff9b::7f00:1]/",
        ] {
            let host = normal(Url::parse(url).unwrap().host_str().unwrap());
            let refused = check(&open, url, &[], &[&host]).unwrap_err();
            assert!(refused.message.contains("a loopback address"), "{url}: {refused}");
            let hint = refused.hint.unwrap();
            assert!(hint.contains("outbound.allow_addresses = [\""), "{hint}");
        }
        for zoned in ["https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[::1%25lo]/", "https://[::1%1]/"]
        {
            assert!(Url::parse(zoned).is_err(), "{zoned}");
        }
        // What begins like an address and is none is no name either, so that no resolver gets to read it its own way.
        for neither in ["https://256.0.0.1/", "https://0x7f.1.1.1.1/", "https://4294967296/"] {
            assert!(Url::parse(neither).is_err_and(|error| error == url::ParseError::InvalidIpv4Address), "{neither}");
        }
        assert!(check(&local(), "https://2130706433/", &[], &["127.0.0.1"]).is_ok());
    }

    #[test]
    fn a_host_with_an_empty_part_is_refused() {
        for url in [
            "https://200.64.0.64../",
            "https://127.1../",
            "https://0x7f000001.../",
            "https://a.example../",
            "https://./",
        ] {
            let host = normal(Url::parse(url).unwrap().host_str().unwrap());
            let refused = check(&Options::default(), url, &[], &[&host]).unwrap_err();
            assert_eq!((refused.blame, refused.reason), (Blame::Settings, FailReason::Blocked), "{url}");
            assert!(refused.message.contains("has an empty part between its dots"), "{url}: {refused}");
        }
        assert!(check(&Options::default(), "https://a.example./", &[], &["a.example"]).is_ok());
    }

    #[test]
    fn a_user_name_in_the_url_is_refused_and_not_shown() {
        let refused = check(&Options::default(), "https://user:hunter2@a.com/", &[], &["a.com"]).unwrap_err();
        assert!(!format!("{refused:?}").contains("hunter2"));
        assert!(check(&Options::default(), "https://user@a.com/", &[], &["a.com"]).is_err());
    }
}
