//! Where a request comes from: the other end of its connection, or what proxies that we trust say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use poem::http::HeaderMap;
use poem::{Addr, Request};

/// Who is counted as one address: an IPv4 address, or the network of 64 bits that an IPv6 customer
/// has to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(IpAddr);

impl Address {
    /// Of an IP address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let network = u128::from(ip) >> 64 << 64;
                Self(Ipv6Addr::from(network).into())
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }

    /// As a number; no two have the same.
    pub(super) fn number(self) -> u128 {
        match self.0 {
            IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
            IpAddr::V6(ip) => u128::from(ip),
        }
    }
}

/// `FARM_TRUSTED_PROXIES`: what these addresses say about who they speak for is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    ip: IpAddr,
    bits: u8,
}

impl Network {
    fn holds(&self, ip: IpAddr) -> bool {
        let differ = match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => u128::from(u32::from(net) ^ u32::from(ip)) << 96,
            (IpAddr::V6(net), IpAddr::V6(ip)) => u128::from(net) ^ u128::from(ip),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.bits)
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ip, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let ip: IpAddr = ip.parse().map_err(drop)?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(drop))?;
        // To trust everybody is to trust nobody: anybody could say who they are.
        if bits == 0 || bits > most || ip != ip.to_canonical() {
            return Err(());
        }
        Ok(Self { ip, bits })
    }
}

impl FromStr for Proxies {
    type Err = String;

    /// Addresses and networks, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| part.parse().map_err(|()| part.to_owned()));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    /// Where a request comes from. The header `X-Forwarded-For` is read from its end, as far as
    /// proxies that are trusted wrote it; what stands before is anybody's word.
    pub(crate) fn address(&self, request: &Request) -> Address {
        let peer = match &request.remote_addr().0 {
            Addr::SocketAddr(peer) => peer.ip().to_canonical(),
            // A socket of this machine.
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        Address::of(self.behind(peer, request.headers()))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut seen = peer;
        if !self.trusts(peer) {
            return seen;
        }
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let words = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for word in words {
            let Some(ip) = ip_of(word.trim()) else { return seen };
            seen = ip;
            if !self.trusts(ip) {
                return seen;
            }
        }
        seen
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(ip))
    }
}

/// With or without a port.
fn ip_of(word: &str) -> Option<IpAddr> {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse().or_else(|_| word.parse::<SocketAddr>().map(|addr| addr.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let proxies: Proxies = trusted.parse().unwrap();
        proxies.behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_who_is_trusted_says_for_whom_they_speak() {
        let nets = "10.0.0.0/8, 2001:db8::/32,192.0.2.7";
        for (trusted, peer, lines, want) in [
            ("", "10.0.0.1", &["1.1.1.1"][..], "10.0.0.1"),
            (nets, "9.9.9.9", &["1.1.1.1"], "9.9.9.9"),
            (nets, "10.0.0.1", &[], "10.0.0.1"),
            (nets, "10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            (nets, "10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            (nets, "10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.9.9.9"], "1.1.1.1"),
            (nets, "10.0.0.1", &["6.6.6.6, 1.1.1.1:555, 192.0.2.7"], "1.1.1.1"),
            (nets, "192.0.2.8", &["1.1.1.1"], "192.0.2.8"),
            (nets, "2001:db8:1::5", &["[2003::1]:80"], "2003::1"),
            (nets, "2001:db8:1::5", &["[2003::2]"], "2003::2"),
            // What cannot be read ends it.
            (nets, "10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1"),
            (nets, "10.0.0.1", &["1.1.1.1, unknown, 10.3.3.3"], "10.3.3.3"),
            (nets, "10.0.0.1", &["10.3.3.3, 10.4.4.4"], "10.3.3.3"),
            (nets, "10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1"),
        ] {
            assert_eq!(behind(trusted, peer, lines), want, "{trusted} {peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["10.0.0.0/33", "::/129", "0.0.0.0/0", "::/0", "x", "10.0.0.0/", "10.0.0.1/-1"] {
            assert_eq!(format!("10.1.1.1,{bad}").parse::<Proxies>(), Err(bad.to_owned()));
        }
        assert_eq!("".parse(), Ok(Proxies::default()));
    }

    #[test]
    fn a_customer_is_one_address() {
        let address = |ip: &str| Address::of(ip.parse().unwrap()).number();
        assert_eq!(address("2001:db8:0:1::1"), address("2001:db8:0:1:ffff::9"));
        assert_ne!(address("2001:db8:0:1::1"), address("2001:db8:0:2::1"));
        assert_eq!(address("::ffff:1.2.3.4"), address("1.2.3.4"));
        assert_ne!(address("1.2.3.4"), address("1.2.3.5"));
    }
}
