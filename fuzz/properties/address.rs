//! URLs as strangers type them: what is let out goes by https to a name, or to an address that is public by each of its
//! spellings.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bytes::Bytes;
use herald::{
    model::{Body, Request},
    outbound::{self, Destination, Options, Secrets, is_refused},
};
use serde_json::json;
use url::{Host, Url};

/// Panics when the property does not hold.
pub fn check(text: &str) {
    let secrets = Secrets::new(&json!({ "url": text }), &BTreeSet::new()).expect("nothing is secret");
    let request =
        Request { method: "POST".to_owned(), url: text.to_owned(), headers: vec![], body: Body::Empty, auth: None };
    let payload = Bytes::new();
    let to = Destination {
        options: &Options::default(),
        hosts: &[],
        listed: None,
        delivery_id: "dlv_01kb0c6zj3v5t8w2n4x7q9r1se",
        payload: &payload,
        now: 1_793_600_000_000,
    };
    if let Ok(prepared) = outbound::prepare(&request, &secrets.seal(|| 7), &to) {
        let sent = Url::parse(&prepared.sent(&secrets).url).expect("what is sent has a URL");
        assert_eq!(sent.scheme(), "https", "{sent}");
        match sent.host() {
            Some(Host::Ipv4(ip)) => assert_eq!(is_refused(IpAddr::V4(ip), &[]), None, "{sent}"),
            Some(Host::Ipv6(ip)) => assert_eq!(is_refused(IpAddr::V6(ip), &[]), None, "{sent}"),
            Some(Host::Domain(name)) => {
                // What a name leads to is looked at when it is resolved; an address must not pass as one.
                assert!(
                    name.trim_end_matches('.').parse::<IpAddr>().is_err(),
                    "an address that passes as a name: {sent}"
                );
            }
            None => panic!("no host: {sent}"),
        }
    }
    // An address that is refused is refused inside of others, too.
    if let Some(&[a, b, c, d]) = text.as_bytes().first_chunk::<4>() {
        let ip = Ipv4Addr::new(a, b, c, d);
        if is_refused(IpAddr::V4(ip), &[]).is_some() {
            let [high, low] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            let six_to_four = Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1);
            for ip in [ip.to_ipv6_mapped(), nat64, six_to_four] {
                assert!(is_refused(IpAddr::V6(ip), &[]).is_some(), "{ip}");
            }
        }
    }
}
