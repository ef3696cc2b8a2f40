//! Which addresses may be connected to. Pure: an address and the operator's list in, a class or nothing out.
//!
//! Only addresses of the public Internet pass by themselves. IPv6 addresses that carry an IPv4 address are judged by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const LOOPBACK: &str = "loopback";
const METADATA: &str = "metadata";
const RESERVED: &str = "reserved";

const fn v4(address: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, last: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last), prefix)
}

/// The first that contains an address names its class.
const V4: [(Ipv4Net, &str); 23] = [
    // Where clouds keep the credentials of the machine: AWS and most others, ECS, EKS, Scaleway, Alibaba, Oracle, Azure.
    (v4([169, 254, 169, 254], 32), METADATA),
    (v4([169, 254, 170, 2], 32), METADATA),
    (v4([169, 254, 170, 23], 32), METADATA),
    (v4([169, 254, 42, 42], 32), METADATA),
    (v4([100, 100, 100, 200], 32), METADATA),
    (v4([192, 0, 0, 192], 32), METADATA),
    (v4([168, 63, 129, 16], 32), METADATA),
    (v4([0, 0, 0, 0], 8), "unspecified"),
    (v4([127, 0, 0, 0], 8), LOOPBACK),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([100, 64, 0, 0], 10), "CGNAT"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([192, 0, 0, 0], 24), RESERVED),
    (v4([192, 88, 99, 0], 24), RESERVED),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([255, 255, 255, 255], 32), "broadcast"),
    (v4([240, 0, 0, 0], 4), RESERVED),
];

const V6: [(Ipv6Net, &str); 19] = [
    // AWS, EKS, Google, Scaleway, Oracle.
    (v6(0xfd00, 0xec2, 0, 0x254, 128), METADATA),
    (v6(0xfd00, 0xec2, 0, 0x23, 128), METADATA),
    (v6(0xfd20, 0xce, 0, 0x254, 128), METADATA),
    (v6(0xfd00, 0x42, 0, 0x42, 128), METADATA),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128), METADATA),
    (v6(0, 0, 0, 1, 128), LOOPBACK),
    (v6(0, 0, 0, 0, 128), "unspecified"),
    (v6(0xfc00, 0, 0, 0, 7), "unique local"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
    // A network's own NAT64 prefix (RFC 8215): nothing says where in it the IPv4 address stands.
    (v6(0x64, 0xff9b, 1, 0, 48), "NAT64"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0x2001, 2, 0, 0, 48), "benchmarking"),
    // Protocol assignments: Teredo, ORCHID and the like.
    (v6(0x2001, 0, 0, 0, 23), RESERVED),
    // The rest of what is not global unicast.
    (v6(0, 0, 0, 0, 3), RESERVED),
    (v6(0x4000, 0, 0, 0, 2), RESERVED),
    (v6(0x8000, 0, 0, 0, 1), RESERVED),
];

/// The class of an address that must not be connected to: `loopback`, `private`, `metadata`, …; nothing when it may.
///
/// An address may be connected to when it is public or when `allow` contains it. A metadata address must be in `allow`
/// by itself: a range around it is not enough.
pub fn is_refused(ip: IpAddr, allow: &[IpNet]) -> Option<&'static str> {
    let class = class(ip)?;
    let inner = inner(ip);
    let allowed = allow.iter().any(|net| {
        let exact = net.prefix_len() == net.max_prefix_len();
        (net.contains(&ip) || net.contains(&inner)) && (exact || class != METADATA)
    });
    (!allowed).then_some(class)
}

/// The smallest sensible range that lets a refused address through, for `allow_addresses`.
pub(super) fn range_for(ip: IpAddr) -> IpNet {
    match inner(ip) {
        IpAddr::V4(ip) if ip.is_loopback() => IpNet::V4(v4([127, 0, 0, 0], 8)),
        other => IpNet::from(other),
    }
}

fn class(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => class_v4(ip),
        IpAddr::V6(ip) => match embedded(ip) {
            Some((inner, carrier)) => class_v4(inner).or(carrier),
            None => V6.iter().find(|(net, _)| net.contains(&ip)).map(|(_, class)| *class),
        },
    }
}

fn class_v4(ip: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find(|(net, _)| net.contains(&ip)).map(|(_, class)| *class)
}

/// The IPv4 address that packets really go to, if there is one.
fn inner(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => embedded(v6).map_or(ip, |(inner, _)| IpAddr::V4(inner)),
        IpAddr::V4(_) => ip,
    }
}

/// The IPv4 address in an IPv6 one, and the class of what carries it where that alone is a reason to refuse.
///
/// Mapped addresses and the well-known NAT64 prefix are ordinary ways to reach the IPv4 Internet; the others are relics
/// that no receiver needs.
fn embedded(ip: Ipv6Addr) -> Option<(Ipv4Addr, Option<&'static str>)> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((from(high, low), None)),
        [0, 0, 0, 0, 0, 0, high, low] => Some((from(high, low), Some("IPv4-compatible"))),
        [0x2002, high, low, ..] => Some((from(high, low), Some("6to4"))),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(ip: &str, allow: &[&str]) -> Option<&'static str> {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().unwrap()).collect();
        is_refused(ip.parse().unwrap(), &allow)
    }

    #[test]
    fn only_public_addresses_pass_by_themselves() {
        for (ip, class) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("169.254.1.1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("169.254.170.2", "metadata"),
            ("168.63.129.16", "metadata"),
            ("169.254.42.42", "metadata"),
            ("100.100.100.200", "metadata"),
            ("100.64.0.1", "CGNAT"),
            ("100.127.255.255", "CGNAT"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("198.19.255.255", "benchmarking"),
            ("192.0.0.1", "reserved"),
            ("192.88.99.1", "reserved"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fc00::1", "unique local"),
            ("fd12:3456::1", "unique local"),
            ("fd00:ec2::254", "metadata"),
            ("fd20:ce::254", "metadata"),
            ("fd00:42::42", "metadata"),
            ("fd00:c1::a9fe:a9fe", "metadata"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site local"),
            ("ff02::1", "multicast"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("2001:2::1", "benchmarking"),
            ("2001::1", "reserved"),
            ("100::1", "reserved"),
            ("5f00::1", "reserved"),
            ("64:ff9b:1::a00:1", "NAT64"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "metadata"),
            ("::ffff:10.0.0.1", "private"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("::127.0.0.1", "loopback"),
            ("::8.8.8.8", "IPv4-compatible"),
            ("2002:7f00:1::1", "loopback"),
            ("2002:808:808::1", "6to4"),
        ] {
            assert_eq!(refused(ip, &[]), Some(class), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(refused(ip, &[]), None, "{ip}");
        }
    }

    #[test]
    fn an_address_of_an_allowed_range_passes_in_every_spelling() {
        for ip in ["127.0.0.1", "::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1"] {
            assert_eq!(refused(ip, &["127.0.0.0/8"]), None, "{ip}");
        }
        assert_eq!(refused("::1", &["127.0.0.0/8"]), Some("loopback"));
        assert_eq!(refused("10.1.2.3", &["10.1.2.3/32"]), None);
        assert_eq!(refused("10.1.2.4", &["10.1.2.3/32"]), Some("private"));
    }

    #[test]
    fn a_metadata_address_passes_only_when_it_is_spelled_out() {
        let everything = ["0.0.0.0/0", "::/0"];
        for ip in [
            "169.254.169.254",
            "169.254.42.42",
            "100.100.100.200",
            "::ffff:169.254.169.254",
            "::ffff:169.254.42.42",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:42::42",
            "fd00:c1::a9fe:a9fe",
        ] {
            assert_eq!(refused(ip, &everything), Some("metadata"), "{ip}");
            assert_eq!(refused(ip, &["fd00::/8", "169.254.0.0/16"]), Some("metadata"), "{ip}");
            let spelled_out = range_for(ip.parse().unwrap()).to_string();
            assert_eq!(refused(ip, &[&spelled_out]), None, "{ip}");
        }
        assert_eq!(refused("fd00:c1::1", &["fd00::/8"]), None);
        assert_eq!(refused("169.254.1.1", &everything), None);
    }

    #[test]
    fn the_range_that_is_suggested_lets_the_address_through() {
        for (ip, range) in [
            ("127.0.0.1", "127.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.0/8"),
            ("::1", "::1/128"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("169.254.169.254", "169.254.169.254/32"),
        ] {
            assert_eq!(range_for(ip.parse().unwrap()).to_string(), range);
            assert_eq!(refused(ip, &[range]), None, "{ip}");
        }
    }
}
