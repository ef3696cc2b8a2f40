//! The kinds of values that name places on the network.
//!
//! Must not resolve a name, nor print the value that it refuses: a URL may hold a secret.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::{Host, Url};

use super::{
    raw::{Node, Value},
    value::{Checked, list, text, wrong},
};

/// An address to listen on.
pub(super) fn address(node: &Node) -> Checked<SocketAddr> {
    const HINT: &str = "write an IP address and a port: \"127.0.0.1:7766\", \"[::1]:7766\", \"0.0.0.0:7766\" for all";
    text(node)?.trim().parse().or_else(|_| wrong(node, "is not an address to listen on", HINT))
}

/// Permissions of a file, in octal digits as `chmod` takes them.
pub(super) fn mode(node: &Node) -> Checked<u32> {
    let text = text(node)?;
    let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    match u32::from_str_radix(&text, 8).ok().filter(|mode| digits && *mode <= 0o777) {
        Some(mode) => Ok(mode),
        None => wrong(
            node,
            "is not a file's permissions",
            "write four octal digits: \"0600\", \"0660\" for a group, \"0666\" for all",
        ),
    }
}

/// An IP address of this machine.
pub(super) fn ip(node: &Node) -> Checked<IpAddr> {
    const HINT: &str = "write one of this machine's addresses, without a port: \"192.0.2.7\", \"2001:db8::7\"";
    text(node)?.trim().parse().or_else(|_| wrong(node, "is not an IP address", HINT))
}

/// The URL of a web application, without credentials.
pub(super) fn web_url(node: &Node) -> Checked<Url> {
    const HINT: &str = "write it in full: \"https://app.example.com\"";
    match Url::parse(text(node)?.trim()) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => wrong(node, "is neither http nor https", HINT),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            wrong(node, "must not hold a user name or a password", "leave out what stands before the @")
        }
        Ok(url) => Ok(url),
        Err(error) => wrong(node, format!("is not a URL: {error}"), HINT),
    }
}

/// The name of a host or its IP address, as [`Url::host_str`] would give it.
pub(super) fn host(node: &Node) -> Checked<String> {
    const HINT: &str = "write the name or the address alone: \"localhost\", \"127.0.0.1\", \"::1\"";
    let text = text(node)?;
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return Ok(Host::<String>::Ipv6(address).to_string());
    }
    match Host::parse(&text) {
        Ok(host) if !text.contains('*') => Ok(host.to_string()),
        _ => wrong(node, "is not the name of a host", HINT),
    }
}

/// Where requests may go: names of hosts or addresses, `*.` perhaps in front. A list of none would let nothing out.
pub(super) fn hosts(node: &Node) -> Checked<Vec<String>> {
    match &node.value {
        Value::Array(items) if items.is_empty() => {
            wrong(node, "is empty", "leave it out for every host of the adapter")
        }
        _ => list(host_pattern)(node),
    }
}

fn host_pattern(node: &Node) -> Checked<String> {
    const HINT: &str = "write a name or an address alone, or `*.` and a name: \"hooks.slack.com\", \"*.example.com\"";
    let text = text(node)?;
    let (star, rest) = text.strip_prefix("*.").map_or(("", text.as_str()), |rest| ("*.", rest));
    let name = match rest.parse() {
        Ok(IpAddr::V6(address)) => Ok(Host::Ipv6(address)),
        _ => Host::parse(rest),
    };
    match name {
        Ok(Host::Domain(name)) if !name.contains('*') => Ok(format!("{star}{name}")),
        Ok(address @ (Host::Ipv4(_) | Host::Ipv6(_))) if star.is_empty() => Ok(address.to_string()),
        _ => wrong(node, "is not the name of a host", HINT),
    }
}

/// A range of addresses; a bare address is a range of one.
pub(super) fn network(node: &Node) -> Checked<IpNet> {
    const HINT: &str = "write an address or a range of them: \"10.0.0.7\", \"127.0.0.0/8\", \"fd00::/8\"";
    let text = text(node)?;
    let bare = text.parse::<IpAddr>().map(IpNet::from);
    bare.or_else(|_| text.parse()).or_else(|_| wrong(node, "is not a range of addresses", HINT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::value::{optional, tests::read};

    #[test]
    fn addresses_and_hosts() {
        assert!(read("\"[::1]:0\"", address).is_ok());
        assert!(read("\"s3cret:80\"", address).unwrap_err().contains("is not an address"));
        assert_eq!(read("\"LocalHost\"", host), Ok("localhost".to_owned()));
        assert_eq!(read("\"::1\"", host), Ok("[::1]".to_owned()));
        for none in ["\"http://s3cret\"", "\"localhost:80\"", "\"*.s3cret\"", "\"\""] {
            assert!(read(none, host).is_err(), "{none}");
        }
        let all = read("[\"10.0.0.7\", \"127.0.0.0/8\", \"::1\"]", list(network)).unwrap();
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["10.0.0.7/32", "127.0.0.0/8", "::1/128"]);
        let faults = read("[\"10.0.0.7\", \"s3cret\", 3]", list(network)).unwrap_err();
        assert!(faults.starts_with("here: [1]: is not a range of addresses"), "{faults}");
        assert!(faults.ends_with("here: [2]: must be text, not a whole number"), "{faults}");
    }

    #[test]
    fn hosts_of_a_channel() {
        let all = read("[\"Hooks.slack.com\", \"*.Example.com\", \"::1\", \"[::1]\", \"127.1\"]", hosts).unwrap();
        assert_eq!(all, ["hooks.slack.com", "*.example.com", "[::1]", "[::1]", "127.0.0.1"]);
        for none in ["*", "*.", "*.*.s3cret", "a.*.s3cret", "https://s3cret", "s3cret:443", "*.127.0.0.1", " "] {
            assert!(read(&format!("[{none:?}]"), hosts).unwrap_err().starts_with("here: [0]: is "), "{none}");
        }
        let empty = "here: is empty (leave it out for every host of the adapter)";
        assert_eq!(read("[]", hosts).unwrap_err(), empty);
        assert_eq!(read("\"a.com\"", hosts).unwrap_err(), "here: must be a list, not text");
    }

    #[test]
    fn permissions() {
        assert_eq!((read("\"0660\"", mode), read("\"0000\"", mode)), (Ok(0o660), Ok(0)));
        for none in ["\"660\"", "\"0888\"", "\"1777\"", "\"+660\"", "\"rw-rw\""] {
            assert!(read(none, mode).unwrap_err().starts_with("here: is not a file's permissions"), "{none}");
        }
        assert!(read("660", mode).unwrap_err().contains("must be text"));
    }

    #[test]
    fn web_urls() {
        assert_eq!(read("\"https://a.example/x\"", web_url).unwrap().as_str(), "https://a.example/x");
        assert!(read("\"\"", optional(web_url)).unwrap().is_none());
        for none in ["\"ftp://s3cret\"", "\"s3cret\"", "\"https://u:s3cret@h\"", "\"https://\"", "\" \""] {
            assert!(read(none, optional(web_url)).is_err(), "{none}");
        }
    }

    #[test]
    fn a_host_listens_somewhere() {
        let nowhere = super::super::tests::Case::new("[server]\nlisten = \"\"").problems();
        assert!(
            nowhere.len() == 1 && nowhere[0].starts_with("herald.toml:2: server.listen: is empty, and so"),
            "{nowhere:?}"
        );
        let case = super::super::tests::Case::new("[server]\nlisten = \"\"\nsocket = \"s\"\nsocket_mode = \"0660\"");
        let server = case.config().server;
        assert_eq!((server.listen, server.socket_mode), (None, 0o660));
        assert_eq!(server.socket, Some(case.folder.path().join("s")));
    }
}
