//! Which addresses a foreign URL may lead to: public ones, on the usual ports, and nothing that
//! only looks like one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why an address is not gone to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL at all.
    #[error("the address is no URL")]
    NoUrl,
    /// Another scheme than http and https.
    #[error("the address begins with {0}:, not with http: or https:")]
    Scheme(String),
    /// A user or a password in it.
    #[error("the address holds a user name")]
    UserInfo,
    /// Another port than the scheme's.
    #[error("port {0} is not gone to")]
    Port(u16),
    /// An address of no public host.
    #[error("the address leads to {ip}, which is {what}")]
    Address {
        /// Where it leads.
        ip: IpAddr,
        /// What that is.
        what: &'static str,
    },
}

/// A host and port that may be gone to, whatever its address: said by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    host: String,
    port: u16,
}

impl std::str::FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("{text:?} is not like host:8100");
        let url = Url::parse(&format!("http://{text}")).map_err(|_| rule())?;
        let plain = url.username().is_empty() && url.path() == "/" && url.query().is_none();
        let (Some(host), Some((_, port))) = (url.host_str(), text.rsplit_once(':')) else {
            return Err(rule());
        };
        let port = port.parse().ok().filter(|_| plain).ok_or_else(rule)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// What may be done with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Go, wherever its name leads: an operator said so.
    Trusted,
    /// Go where its name leads, if that is public.
    Guarded,
}

/// Looks at a URL before anything is resolved or connected to.
pub(crate) fn judge(url: &Url, allowed: &[Allowed]) -> Result<Way, Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::UserInfo);
    }
    let port = url.port_or_known_default().unwrap_or(0);
    if allowed.iter().any(|one| Some(one.host.as_str()) == url.host_str() && one.port == port) {
        return Ok(Way::Trusted);
    }
    let usual = if url.scheme() == "https" { 443 } else { 80 };
    if port != usual {
        return Err(Refused::Port(port));
    }
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => None,
        None => return Err(Refused::NoUrl),
    };
    ip.map_or(Ok(()), public)?;
    Ok(Way::Guarded)
}

/// Refuses an address that is not a public host's.
pub(crate) fn public(ip: IpAddr) -> Result<(), Refused> {
    let what = match ip {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    what.map_or(Ok(()), |what| Err(Refused::Address { ip, what }))
}

/// The ranges of the IANA registry for special purposes (RFC 6890 and its successors).
fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = ip.octets();
    Some(match (a, b, c, d) {
        (0, ..) => "this network",
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => "a private network",
        (100, 64..=127, ..) => "a carrier's private network",
        (127, ..) => "this machine",
        (169, 254, 169, 254) => "a cloud's metadata service",
        (169, 254, ..) => "a link-local address",
        (192, 0, 0, _) => "reserved for protocols",
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => "for documentation",
        (192, 88, 99, _) => "a relay of IPv6",
        (198, 18..=19, ..) => "for benchmarks",
        (224..=239, ..) => "a multicast group",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let s = ip.segments();
    if ip.is_loopback() {
        return Some("this machine");
    }
    if ip.is_unspecified() {
        return Some("this network");
    }
    // An IPv4 address in another dress: mapped, compatible, NAT64, 6to4.
    let inside = match s {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = inside {
        // A public one is gone to as it is, not in disguise.
        let inside = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
        return special_v4(inside).or(Some("an IPv4 address in disguise"));
    }
    match s[0] {
        0x64 => Some("a translator's prefix"),
        0xfc00..=0xfdff => Some("a private network"),
        0xfe80..=0xfebf => Some("a link-local address"),
        0xfec0..=0xfeff => Some("a site-local address"),
        0xff00.. => Some("a multicast group"),
        0x2001 if s[1] == 0 => Some("a tunnel of IPv4"),
        0x2001 if s[1] == 0xdb8 => Some("for documentation"),
        0x2001 if s[1] < 0x200 => Some("reserved for protocols"),
        0x3fff if s[1] < 0x1000 => Some("for documentation"),
        // Only this eighth has been given out.
        0x2000..=0x3fff => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_pass_and_no_others() {
        for ip in ["1.1.1.1", "157.240.1.1", "2a03:2880:f003::1", "2606:4700::1111", "172.32.0.1"] {
            assert_eq!(public(ip.parse().unwrap()), Ok(()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(public(ip.parse().unwrap()).is_err(), "{ip}");
        }
    }

    #[test]
    fn urls_are_judged_before_anything_is_asked() {
        let judge = |text: &str| judge(&Url::parse(text).unwrap(), &[]);
        assert_eq!(judge("https://scontent.cdninstagram.com/v/x.jpg?oh=1"), Ok(Way::Guarded));
        assert_eq!(judge("http://example.com:80/"), Ok(Way::Guarded));
        for (text, refusal) in [
            ("file:///etc/passwd", "begins with file:"),
            ("ftp://example.com/", "begins with ftp:"),
            ("gopher://example.com/", "begins with gopher:"),
            ("http://user@example.com/", "user name"),
            ("http://user:pass@example.com/", "user name"),
            ("http://example.com:8080/", "port 8080"),
            ("https://example.com:80/", "port 80"),
            ("http://example.com:22/", "port 22"),
            ("http://127.0.0.1/", "this machine"),
            // One address in eight spellings.
            ("http://2130706433/", "this machine"),
            ("http://0x7f000001/", "this machine"),
            ("http://017700000001/", "this machine"),
            ("http://127.1/", "this machine"),
            ("http://0x7f.0.0.1/", "this machine"),
            ("http://[::1]/", "this machine"),
            ("http://[::ffff:127.0.0.1]/", "this machine"),
            ("http://[::ffff:7f00:1]/", "this machine"),
            ("http://169.254.169.254/latest/meta-data/", "metadata"),
            ("http://[fd00:ec2::254]/", "private network"),
            ("http://0/", "this network"),
        ] {
            let refused = judge(text).unwrap_err().to_string();
            assert!(refused.contains(refusal), "{text}: {refused}");
        }
    }

    #[test]
    fn an_operator_may_allow_a_host_with_its_port() {
        let allowed: Vec<Allowed> = vec!["127.0.0.1:8100".parse().unwrap()];
        let judge = |text: &str| judge(&Url::parse(text).unwrap(), &allowed);
        assert_eq!(judge("http://127.0.0.1:8100/images/a.jpg"), Ok(Way::Trusted));
        assert!(judge("http://127.0.0.1:8101/").is_err());
        assert!(judge("http://127.0.0.1/").is_err());
        for text in ["localhost", "a:b", "http://x:1", "x:1/path", "u@x:1", ":1", "x:99999"] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }
}
