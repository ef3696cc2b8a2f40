//! `proxy`: through whom connections are made, the URL itself or a reference to it.
//!
//! Must never put the URL into a problem: a password may be in it.

use super::{
    channel_tls::wrong_text,
    channels::Found,
    layers::Layers,
    raw::{Node, Value},
    value::{Checked, wrong, wrong_type},
};
use crate::model::Proxy;

/// `outbound.proxy` as far as it is not a reference: [`Found::common_proxy`] reads that.
pub(super) fn proxy(node: &Node) -> Checked<Option<Proxy>> {
    match &node.value {
        Value::Text(text) if text.is_empty() => Ok(None),
        Value::Text(text) => {
            Proxy::parse(text).map(Some).or_else(|unusable| wrong(node, unusable.message, unusable.hint))
        }
        Value::Table(_) => Ok(None),
        _ => wrong_type(node, "a URL, or a reference to one"),
    }
}

impl Found<'_> {
    /// `outbound.proxy` when it is a reference, and a warning when a password stands in the config.
    pub fn common_proxy(&mut self, layers: &Layers<'_>, common: &mut Option<Proxy>) {
        let node = layers.read("outbound", "proxy", |node| Ok(node.clone()), &mut self.problems);
        match node {
            Some(node) if matches!(node.value, Value::Table(_)) => {
                *common = self.proxy(&node, "outbound.proxy").flatten();
            }
            Some(node) => self.warn_of(common.as_ref(), &node, "outbound.proxy"),
            None => {}
        }
    }

    /// A channel's own; none within: it goes straight. None when it is wrong.
    #[expect(clippy::option_option, reason = "to go straight is a choice, too")]
    pub fn proxy(&mut self, node: &Node, path: &str) -> Option<Option<Proxy>> {
        if matches!(&node.value, Value::Text(text) if text.is_empty()) {
            return Some(None);
        }
        let text = self.text_or_reference(node, path, false)?;
        match Proxy::parse(&text) {
            Ok(proxy) => {
                self.warn_of(Some(&proxy), node, path);
                Some(Some(proxy))
            }
            Err(unusable) => {
                self.problems.push(wrong_text(node, path, unusable));
                None
            }
        }
    }

    fn warn_of(&mut self, proxy: Option<&Proxy>, node: &Node, path: &str) {
        let has_password = proxy.is_some_and(|proxy| proxy.credentials.is_some());
        if has_password && matches!(node.value, Value::Text(_)) {
            let warning = node.problem(path, "a secret stands in the config");
            self.warnings.push(warning.hint("keep the whole URL elsewhere: { env = \"NAME\" } or { file = \"PATH\" }"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use crate::config::tests::{Case, SECRET, with_channel};

    fn proxy_of(case: &Case) -> Option<String> {
        case.config().outbound.proxy.map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_proxy_is_a_url_or_a_reference_to_one_and_a_channel_may_go_straight() {
        let url = "http://user:s3cret-T0ken@10.0.0.1:3128";
        let case = Case::new("[outbound]\nproxy = { file = \"proxy\" }");
        case.write_private("proxy", &format!("{url}\n"));
        assert_eq!(proxy_of(&case).unwrap(), "10.0.0.1:3128");
        assert_eq!(case.config().warnings.iter().count(), 0);
        let case = Case::new("").env(&[("HERALD_OUTBOUND__PROXY", url)]);
        assert_eq!(proxy_of(&case).unwrap(), "10.0.0.1:3128");
        assert!(case.config().warnings.to_string().contains("outbound.proxy: a secret stands in the config"));
        assert_eq!(proxy_of(&Case::new("")), None);
        let channel = |keys: &str| with_channel(keys).config().channels.remove(0);
        assert_eq!(channel("").proxy, None);
        assert_eq!(channel("proxy = \"\"\nbind = \"\"").proxy, Some(None));
        assert_eq!(channel("proxy = \"\"\nbind = \"\"").bind, Some(None));
        assert_eq!(channel("proxy = \"socks5://h\"").proxy.unwrap().unwrap().to_string(), "h:1080");
        assert_eq!(channel("bind = \"::1\"").bind.unwrap().unwrap().to_string(), "::1");
    }

    #[test]
    fn what_is_no_proxy_is_said_without_showing_it() {
        let case = Case::new(format!("[outbound]\nproxy = \"{SECRET}\"\nbind = \"{SECRET}\""));
        let lines = case.problems();
        assert!(lines[0].starts_with("herald.toml:2: outbound.proxy: is not the URL of a proxy"), "{lines:?}");
        assert!(lines[1].starts_with("herald.toml:3: outbound.bind: is not an IP address"), "{lines:?}");
        let case = with_channel("proxy = { env = \"SLACK_WEBHOOK_URL\" }");
        assert!(case.problems()[0].starts_with("herald.toml:4: channel.c.proxy: is not the URL of a proxy"));
        assert!(with_channel("proxy = { env = \"NOT_THERE\" }").problems()[0].contains("NOT_THERE is not set"));
    }
}
